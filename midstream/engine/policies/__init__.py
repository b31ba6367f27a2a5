"""Policies that watch a run and change its model, and moving a run to another model."""
