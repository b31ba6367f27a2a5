"""`midstream convert`: a provider's request as another provider's, from file to file."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import orjson

from midstream.adapters.batch import converted_lines, reported
from midstream.adapters.convert import convert
from midstream.cli.exits import OK
from midstream.cli.output import say
from midstream.cli.writing import replacing
from midstream.errors import ConfigError, ConversionError
from midstream.events.json_text import read_json


async def one(
    request: str,
    *,
    source: str,
    target: str,
    model: str,
    response: str,
    out: str,
    report: str,
) -> int:
    """Convert one request.

    Args:
        request: The file of its body; `-` is stdin.
        source: Its wire format.
        target: The wire format to write.
        model: Whom to ask, or empty.
        response: The file of its answer, or empty.
        out: Where to write the request; empty is stdout.
        report: Where to write what was lost or repaired; empty says the numbers on stderr.
    """
    if not (request and source and target):
        raise ConfigError(
            "convert needs --from DIALECT, --to DIALECT and REQUEST.json, or --batch IN.jsonl"
        )
    body = _json(read_file(request), request)
    answer = read_file(response) if response else None
    converted = convert(body, source=source, target=target, model=model or None, response=answer)
    with _writing(out) as file:
        file.write(_shown(converted.request))
    if report:
        with _writing(report) as file:
            file.write(_shown(reported(converted)))
    elif converted.losses or converted.repairs:
        say(
            f"{len(converted.losses)} losses, {len(converted.repairs)} repairs; --report FILE lists them"
        )
    return OK


async def many(lines: str, *, out: str) -> int:
    """Convert the lines of a file; see `converted_lines`."""
    with _reading(lines) as given, _writing(out) as file:
        for row in converted_lines(given):
            file.write(row)
    return OK


def read_file(name: str) -> bytes:
    """Return what a file holds; `-` is stdin.

    Raises:
        ConfigError: It cannot be read.
    """
    with _reading(name) as file:
        return file.read()


@contextmanager
def _reading(name: str) -> Generator[IO[bytes]]:
    if name == "-":
        yield sys.stdin.buffer
        return
    try:
        file = Path(name).open("rb")  # noqa: SIM115  # closed below; only opening it is a wrong option
    except OSError as error:
        raise ConfigError(f"cannot read {name!r}: {error.strerror}") from error
    with file:
        yield file


@contextmanager
def _writing(name: str) -> Generator[IO[bytes]]:
    if not name:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with replacing(Path(name)) as beside, beside.open("wb") as file:
        yield file


def _json(text: bytes, name: str) -> Any:
    try:
        return read_json(text)
    except json.JSONDecodeError as error:
        raise ConversionError(f"{name} is not JSON: {error}") from error


def _shown(value: Any) -> bytes:
    try:
        return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
    except TypeError:  # an integer above 64 bits
        return json.dumps(value, ensure_ascii=False, indent=2).encode() + b"\n"
