"""Google's Gemini, by the `google-genai` SDK: `pip install midstream[gemini]`."""

from midstream.adapters.gemini.adapter import GeminiAdapter

__all__ = ["GeminiAdapter"]
