"""Images and files of tools' results, which the dialect cannot hold there: back from the turn of the user that shows them.

Only what this package puts there is taken back: a text that names the number and the call, then the thing itself.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from midstream.adapters.wire import is_array
from midstream.events.content import Audio, Document, Image, Message, Part, Text, ToolResult

_LABEL = re.compile(r"(Image|Document|Audio) (\d+), from the result of call (.+):", re.DOTALL)

Shown = Image | Document | Audio
Placed = tuple[int, Message]


def folded(messages: Sequence[Placed], items: Sequence[Any]) -> list[Placed]:
    """Return the messages with what was moved out of results in its place again.

    Args:
        messages: With the place of each in the request, from 1.
        items: The wire messages; the last result keeps that of the turn that is gone, so that it goes home as it was.
    """
    told: list[Placed] = []
    for place, message in messages:
        shown = _shown(message) if told and told[-1][1].role == "tool" else {}
        if not shown:
            told.append((place, message))
            continue
        start = len(told)
        while start and told[start - 1][1].role == "tool":
            start -= 1
        results = [(at, _filled(result, shown)) for at, result in told[start:]]
        at, last = results[-1]
        native = last.native if is_array(last.native) else [items[at - 1]]
        results[-1] = at, last.model_copy(update={"native": [*native, items[place - 1]]})
        told[start:] = results
    return told


def _shown(message: Message) -> dict[tuple[str, str], Shown]:
    """Return what the turn shows by kind and number, or nothing where it says anything else."""
    parts = message.parts
    if message.role != "user" or not parts or len(parts) % 2:
        return {}
    shown: dict[tuple[str, str], Shown] = {}
    for label, part in zip(parts[::2], parts[1::2], strict=True):
        found = _LABEL.fullmatch(label.text) if isinstance(label, Text) else None
        if found is None or not isinstance(part, Image | Document | Audio):
            return {}
        shown[found[1].lower(), found[2]] = part
    return shown


def _filled(message: Message, shown: dict[tuple[str, str], Shown]) -> Message:
    return message.model_copy(
        update={"parts": tuple(_result(part, shown) for part in message.parts)}
    )


def _result(part: Part, shown: dict[tuple[str, str], Shown]) -> Part:
    if not isinstance(part, ToolResult):
        return part
    parts = tuple(
        shown.get(_number(inner.text), inner) if isinstance(inner, Text) else inner
        for inner in part.parts
    )
    return part.model_copy(update={"parts": parts})


def _number(text: str) -> tuple[str, str]:
    found = re.fullmatch(r"\[(\w+) (\d+): see the next message\]", text)
    return ("", "") if found is None else (found[1], found[2])
