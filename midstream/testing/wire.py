"""What the server needs to know of a wire format."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from midstream.testing.script import Answer, Call, FaultKind
from midstream.testing.seen import Reading
from midstream.testing.violations import Violation, WireDialect

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


class Ids:
    """Ids in the vendors' forms: the same ones in the same order for each server, never twice."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)

    def new(self, prefix: str, length: int) -> str:
        """Make an id of `length` characters after the prefix."""
        rest = int.from_bytes(hashlib.sha256(f"{prefix}{next(self._numbers)}".encode()).digest())
        letters: list[str] = []
        for _ in range(length):
            rest, digit = divmod(rest, len(_ALPHABET))
            letters.append(_ALPHABET[digit])
        return prefix + "".join(letters)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An answer that is an error, in the vendor's shape.

    Attributes:
        status: The HTTP status.
        body: The JSON body.
        headers: Headers beside those which every answer has.
    """

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str] = field(default_factory=dict[str, str])


class Wire(Protocol):
    """One wire format: read requests, write answers, streams and errors."""

    dialect: WireDialect
    request_id_header: str

    def request_id(self, ids: Ids) -> str:
        """Make an id for one request."""
        ...

    def read(self, body: Mapping[str, Any]) -> Reading:
        """Read the conversation; whatever is not as it should be reads as empty."""
        ...

    def key_missing(self, headers: Mapping[str, str]) -> bool:
        """Say whether no key was sent; any key is a good one."""
        ...

    def headers_missing(self, headers: Mapping[str, str]) -> str | None:
        """Say which header the vendor misses, beside the key."""
        ...

    def whole(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Mapping[str, Any]:
        """Write an answer as one JSON body."""
        ...

    def events(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Iterator[bytes]:
        """Write an answer as server-sent events, the terminal one last."""
        ...

    def error_event(self) -> bytes:
        """Write the event by which a stream says that it failed."""
        ...

    def refusal(self, kind: FaultKind, message: str | None, request_id: str) -> Refusal:
        """Write an error; `message` None is the vendor's usual sentence."""
        ...

    def patience(self, refusal: Refusal, seconds: float) -> Refusal:
        """Write into an error how long to wait."""
        ...

    def missing_key(self, request_id: str) -> Refusal:
        """Write the error for a request without a key."""
        ...

    def unknown_path(self, method: str, path: str, request_id: str) -> Refusal:
        """Write the error for a path that is not served."""
        ...

    def violated(self, violations: tuple[Violation, ...], request_id: str) -> Refusal:
        """Write the error for a request that breaks rules."""
        ...


_READ = (
    "system",
    "tools",
    "messages",
    "instructions",
    "input",
    "systemInstruction",
    "contents",
)
"""Where the vendors' requests hold what a model reads."""


def retry_after(refusal: Refusal, seconds: float) -> Refusal:
    """Say in the usual header how long to wait."""
    return replace(refusal, headers={**refusal.headers, "retry-after": f"{seconds:g}"})


def estimated_tokens(*texts: str) -> int:
    """A quarter of the characters, rounded up, at least 1: an estimate that is the same everywhere."""
    return max(1, math.ceil(sum(map(len, texts)) / 4))


def input_tokens(answer: Answer, body: Mapping[str, Any]) -> int:
    """The usage that the answer states, or the estimate over what was sent to be read."""
    if answer.input_tokens is not None:
        return answer.input_tokens
    read = {key: body[key] for key in _READ if key in body}
    return estimated_tokens(json.dumps(read, ensure_ascii=False))


def output_tokens(answer: Answer) -> int:
    """The usage that the answer states, or the estimate over what it says."""
    if answer.output_tokens is not None:
        return answer.output_tokens
    calls = (call.name + arguments_text(call) for call in answer.calls)
    return estimated_tokens(answer.text, *calls)


def arguments_text(call: Call) -> str:
    """The arguments as JSON text."""
    if isinstance(call.arguments, str):
        return call.arguments
    return json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))


def pieces(text: str, at_least: int = 3, at_most_length: int = 24) -> Iterator[str]:
    """Split as a stream does: into several pieces that join to the text, without regard to words."""
    size = max(1, min(at_most_length, math.ceil(len(text) / at_least)))
    for start in range(0, len(text), size):
        yield text[start : start + size]


def sse(data: Any, event: str | None = None) -> bytes:
    """Write one server-sent event.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html
    """
    text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {text}\n\n".encode()
