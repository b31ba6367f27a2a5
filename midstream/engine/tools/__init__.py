"""Functions that a model may call, its own, and those of MCP servers."""
