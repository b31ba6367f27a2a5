"""Requests as somebody else would have written them: fields dropped, added, reordered or null, texts as lists, odd roles."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from typing import Any

from midstream.adapters.wire import is_array, is_object

Body = dict[str, Any]
Path = tuple[Any, ...]
TURNS = {
    "openai-chat": "messages",
    "openai-responses": "input",
    "anthropic": "messages",
    "gemini": "contents",
}
ROLES = ["developer", "function", "tool", "system", "user", "assistant", "model", "critic"]


def changed(name: str, body: Body, seed: int) -> Body:
    """Return a request of a dialect with up to three changes, the same for the same seed."""
    rng, made = random.Random(seed), copy.deepcopy(body)
    for _ in range(rng.randint(1, 3)):
        change = rng.choice(_CHANGES)
        places = [place for place in _places(made) if place[0][0] in _SAID[name]]
        if places:
            change(rng, name, made, *rng.choice(places))
    return made


def _places(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each field of an object in the request: its path and what it holds."""
    if is_object(value):
        for key, item in value.items():
            yield (*path, key), item
            yield from _places(item, (*path, key))
    elif is_array(value):
        for place, item in enumerate(value):
            yield from _places(item, (*path, place))


_SAID = {
    name: frozenset((turns, "tools", "system", "systemInstruction", "instructions"))
    for name, turns in TURNS.items()
}
Change = Callable[[random.Random, str, Body, Path, Any], None]


def _at(body: Any, path: Path) -> Any:
    for step in path:
        body = body[step]
    return body


def _dropped(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    if path != (TURNS[name],):
        del _at(body, path[:-1])[path[-1]]


def _null(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    if path != (TURNS[name],) and path[-1] != "text":
        _at(body, path[:-1])[path[-1]] = None


def _unknown(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    _at(body, path[:-1])["x_unknown"] = {"a": [1, None, "z"]}


def _reordered(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    held = _at(body, path[:-1])
    items = list(held.items())
    rng.shuffle(items)
    held.clear()
    held.update(items)


def _listed(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    if path[-1] == "content" and isinstance(value, str):
        kind = "input_text" if name == "openai-responses" else "text"
        _at(body, path[:-1])["content"] = [{"type": kind, "text": value}]


def _as_text(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    if path[-1] == "content" and is_array(value):
        _at(body, path[:-1])["content"] = "as a text"


def _emptied(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    if is_array(value) or isinstance(value, str):
        _at(body, path[:-1])[path[-1]] = [] if is_array(value) else ""


def _of_another_role(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    turns = body.get(TURNS[name])
    held = [turn for turn in turns if is_object(turn) and "role" in turn] if is_array(turns) else []
    if held:
        rng.choice(held)["role"] = rng.choice(ROLES)


def _said_twice(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    turns = body.get(TURNS[name])
    if is_array(turns) and turns:
        place = rng.randrange(len(turns))
        turns.insert(place, copy.deepcopy(turns[place]))


def _instructed(rng: random.Random, name: str, body: Body, path: Path, value: Any) -> None:
    turns = body.get(TURNS[name])
    if is_array(turns) and name != "gemini":
        turns.insert(rng.randrange(len(turns) + 1), {"role": "system", "content": "be odd"})


_CHANGES: list[Change] = [
    _dropped,
    _null,
    _unknown,
    _reordered,
    _listed,
    _as_text,
    _emptied,
    _of_another_role,
    _said_twice,
    _instructed,
]
