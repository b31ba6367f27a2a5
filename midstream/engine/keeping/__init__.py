"""Keeping and forgetting: pruning runs, and erasing what they say."""
