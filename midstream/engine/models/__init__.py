"""Model calls of a run: the conversation, one turn, its sending and hedging, and the tool calls it asks for."""
