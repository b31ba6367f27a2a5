"""Graphs as documents: read from YAML and JSON, written as both, and drawn."""
