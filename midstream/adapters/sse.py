"""Recorded streams: the events of a text of server-sent events, as JSON.

Source: html.spec.whatwg.org, Server-sent events, 9.2.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from midstream.errors import ConversionError
from midstream.events.json_text import read_json

_END = "[DONE]"
_MARK = "\ufeff"
"""May stand before a text, and says nothing."""
_LINE_END = re.compile(r"\r\n|\n|\r")  # and no other: JSON may hold a U+2028 as it is


def events(text: str) -> Iterator[Any]:
    """Iterate over the data of the events that are JSON, up to the end mark of the stream.

    Raises:
        ConversionError: The data of an event is not JSON.
    """
    data: list[str] = []
    for line in (*_LINE_END.split(text.removeprefix(_MARK)), ""):
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
        return read_json(data)
    except json.JSONDecodeError as error:
        raise ConversionError(
            f"an event of the stream is not JSON ({error}): {data[:80]!r}; give the stream as it came"
        ) from error
