"""Agents: a model with tools, instructions and memory, working on one question."""
