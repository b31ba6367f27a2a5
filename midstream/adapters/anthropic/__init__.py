"""Anthropic's Messages; the SDK is loaded when an adapter is made."""

from midstream.adapters.anthropic.adapter import AnthropicAdapter

__all__ = ["AnthropicAdapter"]
