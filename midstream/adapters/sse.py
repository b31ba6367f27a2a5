"""Recorded streams: the events of a text of server-sent events, as JSON.

Source: html.spec.whatwg.org, Server-sent events, 9.2.6.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from midstream.errors import ConversionError

_END = "[DONE]"


def events(text: str) -> Iterator[Any]:
    """Iterate over the data of the events that are JSON, up to the end mark of the stream.

    Raises:
        ConversionError: The data of an event is not JSON.
    """
    data: list[str] = []
    for line in (*text.splitlines(), ""):
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            whole = "\n".join(data)
            data = []
            if whole.strip() == _END:
                return
            if whole.strip():
                yield _json(whole)


def _json(data: str) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise ConversionError(
            f"an event of the stream is not JSON ({error}): {data[:80]!r}; give the stream as it came"
        ) from error
