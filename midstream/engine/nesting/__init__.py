"""Graphs inside a run, and runs that a run starts."""
