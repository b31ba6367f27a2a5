"""Tests of `midstream.events`."""
