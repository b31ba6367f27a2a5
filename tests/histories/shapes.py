"""Every fact in every shape that a version has written: with all its fields, and with those only that it must have.

`shapes.jsonl` has a line for each. `python -m scripts.write_histories` adds those of facts and versions that are new; a line
is never changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import orjson
from pydantic import BaseModel, JsonValue

from midstream.events.codec import encode
from midstream.events.payloads import PAYLOADS, VERSIONS

FILE = Path(__file__).parent / "shapes.jsonl"


def lines() -> list[dict[str, Any]]:
    """Return the shapes that were written so far."""
    return [orjson.loads(line) for line in FILE.read_bytes().splitlines()] if FILE.exists() else []


def missing() -> Iterator[dict[str, Any]]:
    """Make the shapes of this version that were never written."""
    known = {(line["type"], line["version"]) for line in lines()}
    for tag, version in sorted(VERSIONS.items()):
        if (tag, version) in known:
            continue
        for whole in (True, False):
            fact = PAYLOADS[tag](**_fields(PAYLOADS[tag], whole=whole))
            body = orjson.loads(encode(fact, at=1).body)
            yield {"type": tag, "version": version, "data": body}


def add() -> int:
    """Write the shapes that are missing, and return how many those were."""
    made = [orjson.dumps(line) + b"\n" for line in missing()]
    with FILE.open("ab") as file:
        file.writelines(made)
    return len(made)


def _fields(cls: type[BaseModel], *, whole: bool) -> dict[str, Any]:
    return {
        name: _value(field.annotation, name)
        for name, field in cls.model_fields.items()
        if (whole or field.is_required()) and name != "type"
    }


def _value(annotation: Any, name: str) -> Any:
    plain: dict[Any, Any] = {
        str: f"{name} ü",
        int: 7,
        float: 1.5,
        bool: True,
        JsonValue: {"a": [1, None, "x"]},
        Any: {"a": 1},
    }
    if annotation in plain:
        return plain[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _value(arguments[0], name)
    if origin is Literal:
        return arguments[-1]
    if origin in (Union, UnionType):
        return _value(next(one for one in arguments if one is not NoneType), name)
    if origin is tuple:
        return (_value(arguments[0], name),)
    if origin in (Mapping, dict):
        return {"key": _value(arguments[1], name)}
    cls = cast("type[BaseModel]", annotation)
    return cls(**_fields(cls, whole=True))
