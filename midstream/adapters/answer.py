"""Reading an answer that came as JSON: what is missing or of another type is taken as not said."""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from midstream.adapters.wire import is_array, is_object
from midstream.errors import MalformedAnswerError


def malformed(found: str, provider: str, model: str) -> MalformedAnswerError:
    """Return the error for an answer that is not what the protocol says."""
    return MalformedAnswerError(
        f"{provider} did not answer {model!r} as its protocol says: {found}; ask again",
        provider=provider,
        model=model,
    )


def mapping(value: Any) -> Mapping[str, Any]:
    """Return the value where it is an object, or an empty one."""
    return value if is_object(value) else {}


def text(value: Any) -> str:
    """Return the value where it is a text, or an empty one."""
    return value if isinstance(value, str) else ""


def tokens(counts: Mapping[str, Any], *path: str) -> int:
    """Return a number of tokens, or 0 where there is none."""
    value: Any = counts
    for step in path:
        value = mapping(value).get(step)
    return max(0, int(value)) if isinstance(value, int | float) else 0


def call_ids(given: list[str], response_id: str) -> list[str]:
    """Return an id for each call of an answer, no two the same: its own, or one made from the answer and its place."""
    ids: list[str] = []
    for place, id_ in enumerate(given):
        if not id_ or id_ in ids:
            id_ = "call_" + sha256(f"{response_id}\0{place}\0{id_}".encode()).hexdigest()[:24]
        ids.append(id_)
    return ids


def merged(whole: dict[str, Any], piece: Mapping[str, Any], *, once: frozenset[str]) -> None:
    """Add a piece of a streamed object to it: texts and lists grow, objects are merged, all else is replaced.

    Args:
        whole: What has come so far; changed in place.
        piece: What came.
        once: The names of texts that do not grow.
    """
    for key, value in piece.items():
        before = whole.get(key)
        if value is None:
            whole.setdefault(key, None)
        elif isinstance(value, str) and isinstance(before, str) and key not in once:
            whole[key] = before + value
        elif is_array(value) and is_array(before):
            whole[key] = [*before, *value]
        elif is_object(value) and is_object(before):
            merged(before, value, once=once)
        else:
            whole[key] = dict(value) if is_object(value) else value
