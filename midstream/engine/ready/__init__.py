"""Ready-made nodes: a model call, a tool call, an agent, a question or a plan, made of data and templates."""
