"""Tests that treat the engine like a database: kills, lost answers, several processes, hostile input."""
