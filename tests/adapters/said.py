"""What two conversations say, to compare: texts, calls and results, however they are spread over messages."""

from __future__ import annotations

import json
from collections.abc import Iterator

from midstream.adapters.imported import Imported
from midstream.events.content import Refusal, Text, ToolCall, ToolResult


def missing(before: Imported, after: Imported) -> list[str]:
    """Return what the first says and the second does not; texts may stand in longer ones."""
    lost: list[str] = []
    left = list(_calls(after))
    for call in _calls(before):
        if call in left:
            left.remove(call)
        else:
            lost.append(call)
    whole = "\n".join(_texts(after))
    return lost + [text for text in _texts(before) if text not in whole]


def _calls(read: Imported) -> Iterator[str]:
    for segment in read.segments:
        for message in segment.messages:
            for part in message.parts:
                if isinstance(part, ToolCall):
                    found = part.parsed()
                    given = part.arguments if found is None else json.dumps(found, sort_keys=True)
                    yield f"{part.name}({given})"


def _texts(read: Imported) -> Iterator[str]:
    for segment in read.segments:
        for message in segment.messages:
            for part in message.parts:
                if isinstance(part, Text | Refusal | ToolResult) and part.text.strip():
                    yield part.text
