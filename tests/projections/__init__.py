"""Tests of `midstream.projections`."""
