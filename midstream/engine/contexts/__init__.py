"""What the code of a node may do: `ctx`, and what it wants of the control flow."""
