"""Many requests at once: lines of JSON in, lines of JSON out; a line that cannot be converted says why and stops nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from midstream.adapters.answer import text
from midstream.adapters.convert import Converted, Recorded, recorded, written
from midstream.adapters.dialect import dialect
from midstream.adapters.wire import encode, is_array, is_object
from midstream.errors import ConversionError
from midstream.events.json_text import read_json
from midstream.events.payloads import Change


def converted_lines(lines: Iterable[bytes]) -> Iterator[bytes]:
    r"""Convert lines of the form `{"id", "source", "request", "response"?, "targets"}`.

    Args:
        lines: Each a JSON object; blank ones are passed over. A target may name a model, as in `anthropic:claude-opus-4-8`.

    Yields:
        For each line and target `{"id", "target", "request", "losses", "repairs"}`, or `{"id", "target", "error"}` with the
        error's type and message; each ends in `\n`.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            for row in _rows(line, number):
                yield encode(row) + b"\n"


def reported(converted: Converted) -> dict[str, Any]:
    """Return what was lost and repaired, as JSON."""
    return {
        "losses": [_change(change) for change in converted.losses],
        "repairs": [_change(change) for change in converted.repairs],
    }


def _rows(line: bytes, number: int) -> Iterator[dict[str, Any]]:
    row: Any = None
    try:
        row = _json(line, number)
        found = _recorded(row, number)
    except Exception as error:  # noqa: BLE001  # what is in a file may break anything, and stops nothing
        about = row if is_object(row) else {}
        targets = about.get("targets")
        for target in targets if is_array(targets) and targets else [None]:
            yield {"id": about.get("id"), "target": target, "error": _error(error)}
        return
    for target in row["targets"]:
        yield _written(found, row.get("id"), target)


def _json(line: bytes, number: int) -> Any:
    try:
        return read_json(line)
    except json.JSONDecodeError as error:
        raise ConversionError(f"line {number} is not JSON: {error}") from error


def _recorded(row: Any, number: int) -> Recorded:
    if not is_object(row):
        raise ConversionError(f"line {number} is not a JSON object")
    if not is_array(row.get("targets")) or not text(row.get("source")):
        raise ConversionError(f"line {number} needs a source and a list of targets")
    request, source = row.get("request"), row["source"]
    return recorded(request, source=source, response=row.get("response"), parsed=True)


def _written(found: Recorded, id_: Any, target: Any) -> dict[str, Any]:
    try:
        name, _, model = str(target).partition(":")
        converted = written(found, dialect(name), model or None)
    except Exception as error:  # noqa: BLE001  # as above
        return {"id": id_, "target": target, "error": _error(error)}
    return {"id": id_, "target": target, "request": converted.request, **reported(converted)}


def _error(error: Exception) -> dict[str, str]:
    return {"type": type(error).__name__, "message": str(error)}


def _change(change: Change) -> dict[str, Any]:
    return {
        "kind": change.kind,
        "seq": change.seq,
        "part": change.part,
        "detail": change.detail,
    }
