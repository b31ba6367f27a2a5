"""Fields of a request that only one dialect has, and that go along to it and to no other.

The setting `native` is `{"dialect", "fields", "said"}`: the fields as they came, and the names of those that other settings
say, too. A conversation that is still wholly what its provider was told is asked with exactly these fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from midstream.adapters.changes import loss
from midstream.adapters.output import SETTING
from midstream.adapters.view import View
from midstream.adapters.wire import is_array, is_object
from midstream.events.payloads import Change

NATIVE = "native"
_SHOWN = 60
STREAMING = ("stream", "stream_options")
"""How an answer is to come is the sender's to say, not the conversation's."""
WHOLE: dict[str, None] = dict.fromkeys(STREAMING)
"""For an answer in one piece; see `midstream.adapters.posting`."""


def native(dialect: str, fields: Mapping[str, Any], said: frozenset[str]) -> dict[str, Any]:
    """Return the setting that carries the fields of a request which was read."""
    return {"dialect": dialect, "fields": dict(fields), "said": sorted(said & fields.keys())}


def with_native(
    body: dict[str, Any], wanted: Any, dialect: str, view: View, *, closed: bool
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the body with the fields of its dialect, and what is said of those of another one.

    Args:
        body: As the neutral settings make it; `model` and the conversation come first.
        wanted: The setting, or None.
        dialect: Of the body.
        view: What is told.
        closed: The request adds nothing to the view.
    """
    if not is_object(wanted) or not is_object(wanted.get("fields")):
        return body, ()
    fields: dict[str, Any] = wanted["fields"]
    listed = wanted.get("said")
    said: list[Any] = listed if is_array(listed) else []
    if wanted.get("dialect") != dialect:
        return body, tuple(
            loss("setting_dropped", 0, f"{shown(key, value)}: a field of {wanted.get('dialect')}")
            for key, value in fields.items()
            if key not in said and key not in STREAMING and value is not None
        )
    if view.state.get("home") and closed:
        kept = {key: body[key] for key in ("model", *_conversation(view, body)) if key in body}
        return {**kept, **fields}, ()
    own = {
        key: value
        for key, value in fields.items()
        if key not in said and key not in STREAMING and value is not None
    }
    return overlaid(body, own), ()


def overlaid(made: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return a body with the fields that go along; of an object that both have, what the made one says counts."""
    body = {**made, **kept}
    for key in made.keys() & kept.keys():
        if is_object(made[key]) and is_object(kept[key]):
            body[key] = {**kept[key], **made[key]}
    return body


def asked_beside(settings: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the settings that change a body elsewhere than in its own fields, for its digest."""
    return tuple(settings[name] for name in (NATIVE, SETTING) if settings.get(name) is not None)


def shown(key: str, value: Any) -> str:
    """Return a field for people."""
    text = orjson.dumps(value).decode()
    return f"{key}={text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"


def _conversation(view: View, body: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(
        key for key in body if key in ("messages", "input", "contents") or key in view.head
    )
