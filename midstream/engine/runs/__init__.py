"""A run in the hands of its user: its handle, its views, its stream, and runs of agents."""
