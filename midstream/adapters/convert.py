"""A request of one provider as a request of another, by itself: no run, no SDK, no key.

To where it came from, and to the same model, a request goes back as it was.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midstream.adapters.base import ModelResponse
from midstream.adapters.changes import loss, repair
from midstream.adapters.dialect import Dialect, dialect
from midstream.adapters.imported import Imported
from midstream.adapters.native import overlaid
from midstream.adapters.sse import events
from midstream.adapters.telling import vendor
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import copy_of_json, encode, is_object
from midstream.errors import ConversionError
from midstream.events.content import Message
from midstream.events.json_text import read_json
from midstream.events.payloads import Change

_CARRIED = "stream"
"""The one field beside the settings that means the same everywhere."""


_PACKED = re.compile(r"[A-Za-z0-9+/\s]+={0,2}\s*")
_LEAST = 16
"""How long a text is that recorders packed in base64, at least; neither JSON nor a stream looks like that."""


@dataclass(frozen=True, slots=True)
class Converted:
    """A request in another wire format.

    Attributes:
        request: The body.
        losses: What the target is not told; `seq` is the place in the source's list of messages, from 1.
        repairs: What it is told in another form.
    """

    request: Mapping[str, Any]
    losses: tuple[Change, ...]
    repairs: tuple[Change, ...]


def convert(
    request: Mapping[str, Any],
    *,
    source: str,
    target: str,
    model: str | None = None,
    response: Any = None,
) -> Converted:
    """Return a provider's request as a request of another provider, or of the same one for another model.

    Args:
        request: The body, as JSON.
        source: Its wire format: `openai-chat`, `openai-responses`, `anthropic` or `gemini`.
        target: The wire format of what is returned.
        model: Whom to ask, without the provider; None keeps the model within a vendor, and else takes the target's default.
        response: The answer to the request, which becomes the last message: JSON, its text, the text of a stream of
            server-sent events, or a list of events. What it leaves open (calls without results) is closed.

    Raises:
        ConfigError: A wire format is not known, or not in this release.
        ConversionError: The request or the answer is not what its wire format says.
        MalformedAnswerError: The answer was cut off.
    """
    go = dialect(target)
    return written(recorded(request, source=source, response=response), go, model)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A request that was read, with its answer at the end where there is one.

    Attributes:
        name: Of its wire format.
        come: Its wire format.
        request: As it came.
        read: What it says.
        segments: The conversation.
        answered: The answer is at its end.
    """

    name: str
    come: Dialect
    request: Mapping[str, Any]
    read: Imported
    segments: tuple[Segment, ...]
    answered: bool


def recorded(request: Any, *, source: str, response: Any = None, parsed: bool = False) -> Recorded:
    """Read a request, and its answer; see `convert`.

    Args:
        request: See `convert`.
        source: See `convert`.
        response: See `convert`.
        parsed: It comes from a parser of JSON, and nobody else has it; what is read need not be a copy.
    """
    come = dialect(source)
    if not is_object(request):
        raise ConversionError(f"the request is {type(request).__name__}, not a JSON object")
    if not parsed:
        request = copy_of_json(request, "request")
    read = come.read(request)
    if response is None:
        return Recorded(source, come, request, read, read.segments, answered=False)
    seq = 1 + sum(len(segment.messages) for segment in read.segments)
    answer = Segment(seq, (answered(response, come, read.model),))
    return Recorded(source, come, request, read, (*read.segments, answer), answered=True)


def written(found: Recorded, go: Dialect, model: str | None) -> Converted:
    """Return what was read as a request in another wire format; see `convert`."""
    read, home = found.read, found.come is go
    asked = (
        model
        or (read.model if vendor(found.come.provider) == vendor(go.provider) else "")
        or go.model
    )
    view = go.render_all(View(asked), found.segments)
    changes = list(view.changes)
    if home and not found.answered and (model or read.model) == read.model:
        named = asked if read.model else found.request.get("model")
        body = {"model": named, **go.conversation(view), **read.rest}
        return Converted(
            {key: body[key] for key in body if key in found.request}, *_sorted(changes)
        )
    made = go.requested(view, read.settings)
    kept, dropped = _rest(read, home=home, carried=_CARRIED if go.streams else "")
    return Converted(overlaid(made.body, kept), *_sorted([*changes, *made.changes, *dropped]))


def answered(response: Any, come: Dialect, model: str) -> Message:
    """Return what a recorded answer says; see `read_answer`."""
    return read_answer(response, come, model).message


def read_answer(response: Any, come: Dialect, model: str) -> ModelResponse:
    """Return a recorded answer, streamed or not.

    Raises:
        ConversionError: It is neither JSON nor a stream of events.
        MalformedAnswerError: It is not what the protocol says, or was cut off.
    """
    if isinstance(response, bytes):
        response = response.decode()
    if isinstance(response, str):
        response = _parsed(response)
    if isinstance(response, list):
        assembly = come.assembly()
        for event in response:  # pyright: ignore[reportUnknownVariableType]  # JSON
            assembly.add(event)
        response = assembly.whole()
    return come.parse(response, model)


def _parsed(text: str) -> Any:
    text = text.removeprefix("\ufeff")
    if _PACKED.fullmatch(text) and len(text) > _LEAST:
        text = b64decode(text).decode()
    if not text.lstrip().startswith(("{", "[")):
        return list(events(text))
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise ConversionError(f"the answer is not JSON ({error}): {text[:80]!r}") from error


def _rest(read: Imported, *, home: bool, carried: str) -> tuple[dict[str, Any], list[Change]]:
    """Return the fields of the request that go along, and what is said of those that do not."""
    kept: dict[str, Any] = {}
    dropped: list[Change] = []
    left = {key: value for key, value in read.rest.items() if key not in read.said}
    for key, value in (left if read.besides is None else read.besides).items():
        if value is None:
            continue
        if home or key == carried:
            kept[key] = value
        elif key == _CARRIED:
            detail = f"{key}={value}: the address says whether the answer is streamed"
            dropped.append(repair("setting_mapped", 0, detail))
        else:
            shown = encode(value).decode()
            detail = (
                f"{key}={shown[:60]}{'…' if len(shown) > 60 else ''}: a field of its own provider"
            )
            dropped.append(loss("setting_dropped", 0, detail))
    return kept, dropped


def _sorted(changes: list[Change]) -> tuple[tuple[Change, ...], tuple[Change, ...]]:
    losses = tuple(change for change in changes if change.severity == "loss")
    return losses, tuple(change for change in changes if change.severity == "repair")
