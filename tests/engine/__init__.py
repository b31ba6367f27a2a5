"""Tests of `midstream.engine`."""
