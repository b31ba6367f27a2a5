"""OpenAI's Chat Completions, and servers that speak the same; the SDK is loaded when an adapter is made."""

from midstream.adapters.openai.adapter import OpenAIAdapter

__all__ = ["OpenAIAdapter"]
