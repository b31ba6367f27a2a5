"""A conversation before it is known who answers: kept in neutral segments, rendered for whoever is chosen."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from hashlib import sha256
from typing import NamedTuple

import orjson

from midstream.adapters.base import Adapter, ModelRequest, Settings
from midstream.adapters.changes import told_of
from midstream.adapters.view import Segment, View
from midstream.events.content import Message
from midstream.events.payloads import Change

_KEPT = 256
_CHARACTERS_PER_TOKEN = 4


class Told(NamedTuple):
    """A segment, and the digest of the conversation with it at its end."""

    segment: Segment
    digest: bytes


def told(view: View, segment: Segment) -> View:
    """Return the neutral view with the segment at its end."""
    encoded = b"".join(
        message.__pydantic_serializer__.to_json(message, exclude_defaults=True)
        for message in segment.messages
    )
    head: dict[str, object] = {}
    if segment.system is not None:
        head["system"] = segment.system
    if segment.tools is not None:
        head["tools"] = [tool.model_dump(mode="json") for tool in segment.tools]
    encoded += orjson.dumps(head) if head else b""
    digest = sha256(view.digest + encoded).digest()
    return replace(
        view,
        tape=view.tape.extended([Told(segment, digest)]),
        digest=digest,
        size=view.size + len(encoded),
        noted=(),
    )


def asked(view: View, settings: Settings) -> ModelRequest:
    """Return the request for the next turn of a neutral view."""
    over = orjson.dumps(dict(settings), option=orjson.OPT_SORT_KEYS)
    digest = sha256(view.digest + over).hexdigest()
    body = {"conversation": view, "settings": dict(settings)}
    return ModelRequest(view.model, body, (), digest, view.size)


def needs(view: View) -> tuple[str, ...]:
    """Return what the conversation needs a model to take: `images`, `documents`, `audio`, `tools`."""
    found: set[str] = set()
    for segment, _ in view.tape.list():
        if segment.tools:
            found.add("tools")
        for message in segment.messages:
            found |= _media(message)
    return tuple(sorted(found))


def _media(message: Message) -> set[str]:
    kinds = {"image": "images", "document": "documents", "audio": "audio"}
    return {kinds[part.type] for part in message.parts if part.type in kinds}


def tokens(view: View) -> int:
    """Return about how many tokens the conversation has."""
    return view.size // _CHARACTERS_PER_TOKEN


class Renderings:
    """Renders neutral views, and grows what it rendered before."""

    def __init__(self) -> None:
        self._views: OrderedDict[tuple[str, bytes], View] = OrderedDict()

    def view(self, adapter: Adapter, model: str, neutral: View) -> tuple[View, tuple[Change, ...]]:
        """Return the view for a model, with what it lost or repaired from its beginning on."""
        name = f"{adapter.provider}:{model}"
        tape: Sequence[Told] = neutral.tape.list()
        start = len(tape)
        while start and (name, tape[start - 1].digest) not in self._views:
            start -= 1
        view = self._views[name, tape[start - 1].digest] if start else adapter.begin(model)
        noted = view.noted
        for segment, digest in tape[start:]:
            view = adapter.render(view, segment)
            noted = (*noted, *view.noted)
            view = replace(view, noted=noted)
            self._views[name, digest] = view
            if len(self._views) > _KEPT:
                self._views.popitem(last=False)
        return view, told_of(noted)
