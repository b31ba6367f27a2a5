"""What a node is: its function, options, values, and what can be checked before it runs."""
