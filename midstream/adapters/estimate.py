"""Does it fit: tokens of a conversation before anybody has counted them.

The rule: four characters of the wire form to a token, and 1600 tokens to an image. It is 10 to 30 % off either way for English
text and JSON, and too low for other scripts; both vendors recommend it for a first look. No tokenizer is loaded, and nothing
is sent.
"""

from __future__ import annotations

from midstream.adapters.base import Adapter
from midstream.adapters.sealing import CHARACTERS_PER_TOKEN
from midstream.adapters.view import View


def tokens(view: View) -> int:
    """Return about how many tokens the conversation has, with its instructions and tools."""
    return -(-view.size // CHARACTERS_PER_TOKEN)


def fits(adapter: Adapter, view: View, *, answer: int = 0) -> bool | None:
    """Tell whether the conversation and an answer of so many tokens fit the model; None where its window is not known."""
    window = adapter.capabilities(view.model).context_window
    return None if window is None else tokens(view) + answer <= window
