"""What a provider's request says, in neutral form: the conversation as segments, how to ask, and what has no neutral words.

Each message keeps the wire form of its own where its parts do not say the same, so that it is sent back unchanged to where
it came from, see `home.py`; `Message.unsaid` names what another provider cannot be told of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue

from midstream.adapters.wire import INVALID, is_array, is_object, unwrapped
from midstream.errors import ConversionError
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Segment,
    Text,
    ToolCall,
    ToolSpec,
)

ShownPart = Text | Image | Document | Audio | Opaque
"""What a turn of the user or the result of a tool can hold."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A request that was read.

    Attributes:
        segments: The conversation; `seq` is the place of a segment's first message in the request, from 1.
        settings: How to ask, see `midstream.adapters.base.Settings`.
        model: As the request names it, or empty.
        rest: The fields of the request beside the model and the conversation, as they came.
        said: Names of those fields that `settings` say wholly.
        besides: What `settings` do not say of the fields, where they say a part of some; None where each is said or not.
    """

    segments: tuple[Segment, ...]
    settings: Mapping[str, JsonValue]
    model: str
    rest: Mapping[str, Any]
    said: frozenset[str] = field(default_factory=frozenset[str])
    besides: Mapping[str, Any] | None = None


def messages_of(body: Mapping[str, Any], key: str = "messages") -> list[dict[str, Any]]:
    """Return the wire messages of a request.

    Raises:
        ConversionError: There are none, or one is no object.
    """
    found = body.get(key)
    if not is_array(found):
        raise ConversionError(
            f"the request has no list of {key}; found {_kind(found)}; give a whole request body"
        )
    for place, item in enumerate(found):
        if not is_object(item):
            raise ConversionError(f"{key}[{place}] is {_kind(item)}, not an object")
    return found


def segments_of(
    messages: Sequence[tuple[int, Message]],
    items: Sequence[Any],
    tools: tuple[ToolSpec, ...] | None,
) -> tuple[Segment, ...]:
    """Return the messages as segments: an answer by itself, and what was said between two answers.

    Args:
        messages: With the place of each in the request, from 1.
        items: The wire messages.
        tools: What the model may call, or None where the request does not say.
    """
    found: list[Segment] = []
    between: list[Message] = []
    since = 1
    for place, message in messages:
        if message.role == "assistant":
            if between:
                found.append(Segment(since, tuple(between)))
                between = []
            if found and _unanswered(found[-1]):
                first = _joined(found[-1].messages[0], items[place - 2], message, items[place - 1])
                found[-1] = replace(found[-1], messages=(first,))
            else:
                found.append(Segment(place, (message,)))
            continue
        if not between:
            since = place
        between.append(message)
    if between:
        found.append(Segment(since, tuple(between)))
    if tools is not None:
        opening = found[0] if found else Segment(1)
        found[:1] = [Segment(opening.seq, opening.messages, opening.system, tools)]
    return tuple(found)


def _unanswered(segment: Segment) -> bool:
    return segment.messages[-1].role == "assistant" and bool(segment.messages[-1].tool_calls)


def _joined(first: Message, before: Any, second: Message, item: Any) -> Message:
    """Return two wire messages as the one turn that they are: the first one's calls are answered after the second."""
    native = [*(first.native if is_array(first.native) else [before]), item]
    return first.model_copy(
        update={
            "parts": (*first.parts, *second.parts),
            "native": native,
            "unsaid": (*first.unsaid, *second.unsaid),
        }
    )


def as_written(parts: Iterable[Part]) -> tuple[Part, ...]:
    """Return the parts with the arguments of calls as the model wrote them; see `midstream.adapters.wire.INVALID`."""
    return tuple(
        part.model_copy(update={"arguments": unwrapped(part.arguments)})
        if isinstance(part, ToolCall) and part.form == "json" and INVALID in part.arguments
        else part
        for part in parts
    )


def unknown_keys(item: Mapping[str, Any], known: Set[str], path: str = "") -> tuple[str, ...]:
    """Return the paths of the fields that say something and are not known."""
    if item.keys() <= known:
        return ()
    return tuple(
        f"{path}{key}"
        for key, value in item.items()
        if key not in known and value not in (None, "", [], {}, False)
    )


def _kind(value: Any) -> str:
    if value is None:
        return "nothing"
    return {"dict": "an object", "list": "a list", "str": "a text"}.get(
        type(value).__name__, repr(value)
    )
