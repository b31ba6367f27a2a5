"""Change models midstream: an event-sourced workflow engine for LLM work."""
