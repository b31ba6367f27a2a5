"""OpenAI's Responses, without anything kept on the server; the SDK is loaded when an adapter is made."""

from midstream.adapters.responses.adapter import ResponsesAdapter

__all__ = ["ResponsesAdapter"]
