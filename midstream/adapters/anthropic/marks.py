"""Cache marks: the service takes four, so that the newest four of those who ask for more are sent.

They are outside of what the service compares prefixes by, so leaving one out changes nothing that was told.
Source: platform.claude.com/docs, prompt-caching; 400 `A maximum of 4 blocks with cache_control may be provided. Found 5.`
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from midstream.adapters.wire import is_array, is_object

MARK = "cache_control"
MOST = 4


def marked(blocks: Any) -> int:
    """Return how many blocks of a content ask to be cached, those inside of results included."""
    return sum(1 for _ in _marks(blocks))


def limited(body: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the body with at most four marks, the newest ones, and how many were left out."""
    messages: list[dict[str, Any]] = body.get("messages", [])
    fields = ("tools", "system")
    found = sum(marked(body.get(key)) for key in fields)
    found += sum(marked(message.get("content")) for message in messages)
    left_out = max(0, found - MOST)
    if not left_out:
        return body, 0
    strip = _Strip(left_out)
    told = {key: strip.blocks(body[key]) for key in fields if key in body}
    told["messages"] = [
        {**message, "content": strip.blocks(message.get("content"))} for message in messages
    ]
    return {**body, **told}, left_out


class _Strip:
    """Takes the first so many marks away, from copies."""

    def __init__(self, marks: int) -> None:
        self._left = marks

    def blocks(self, given: Any) -> Any:
        if not is_array(given) or not self._left:
            return given
        return [self._block(block) if is_object(block) else block for block in given]

    def _block(self, block: dict[str, Any]) -> dict[str, Any]:
        content = block.get("content")
        if is_array(content) and marked(content):
            block = {**block, "content": self.blocks(content)}
        if self._left and block.get(MARK):
            self._left -= 1
            return {key: value for key, value in block.items() if key != MARK}
        return block


def _marks(blocks: Any) -> Iterator[Mapping[str, Any]]:
    given: Iterable[Any] = blocks if is_array(blocks) else ()
    for block in given:
        if is_object(block):
            yield from _marks(block.get("content"))
            if block.get(MARK):
                yield block
