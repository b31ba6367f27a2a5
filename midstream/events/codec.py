"""Payloads to stored bytes and back, with large texts put aside by content.

A body is JSON. In a body of more than `INLINE` bytes, each text longer than that is stored once, by its sha256, and
`{"$blob": "<sha256>"}` stands in its place; a field that is long without long texts is put aside whole, as JSON. A user's
own object with such a key is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from pydantic_core import PydanticSerializationError

from midstream.errors import CorruptLogError, NotRecordableError
from midstream.events.envelope import ENGINE, Draft, Event
from midstream.events.ids import Address, RunId
from midstream.events.payloads import VERSIONS, type_of
from midstream.events.upcast import upcast

if TYPE_CHECKING:
    from pydantic import JsonValue

    from midstream.events.fact import Fact

INLINE = 4096
"""Bodies up to this many bytes, and texts up to this many characters, are stored in place."""

_MARK = "$blob"
MARK = b'"$blob"'
"""A stored body without it has no references and no escapes."""


SEALED = b'{"$sealed":"'
"""How a sealed body begins; see `midstream.events.sealing`."""


def encode(
    payload: Fact,
    *,
    at: int,
    actor: str = ENGINE,
    cause: int | None = None,
    address: Address | None = None,
    redact: Redact | None = None,
) -> Draft:
    """Return the payload as a draft, ready to be appended.

    Args:
        payload: The fact.
        at: When it happened, in microseconds since 1970.
        actor: Who records it.
        cause: The seq of the event that led to it.
        address: The step it belongs to.
        redact: Takes secrets out of what is recorded.

    Raises:
        NotRecordableError: A value in it is not JSON.
    """
    type_ = type_of(payload)
    try:
        body = payload.__pydantic_serializer__.to_json(payload, exclude_defaults=True)
        data = orjson.loads(body)
    except (PydanticSerializationError, RecursionError) as error:
        raise NotRecordableError(type_, str(error), "record plain JSON data") from error
    except orjson.JSONDecodeError as error:
        # It was written as `NaN` or `Infinity`, which no reader of JSON takes.
        found = f"a number that is not finite ({error})"
        raise NotRecordableError(type_, found, "use None, or a text") from error
    if orjson.dumps(data) != body:
        _check_integers(type_, body)
    if redact is not None:
        redacted = _redacted(redact, data, actor, address)
        if redacted is not data:
            data, body = redacted, _dumped(redacted)
    blobs: dict[str, bytes] = {}
    if len(body) > INLINE or MARK in body:
        body = _dumped(_put_aside(data, blobs))
    return Draft(
        type_, payload.version, at, actor, cause, address, body, tuple(blobs.items()), data
    )


class Redact(Protocol):
    """Takes secrets out of what is recorded; see `midstream.events.redaction`."""

    def __call__(self, value: Any, /) -> Any:
        """Return plain JSON without secrets; the value itself where there are none."""
        ...

    def envelope(self, text: str, /) -> None:
        """Refuse an address or an actor that holds a secret.

        Raises:
            NotRecordableError: It does.
        """
        ...


def _redacted(redact: Redact, data: Any, actor: str, address: str | None) -> Any:
    if actor != ENGINE:
        redact.envelope(actor)
    if address is not None:
        redact.envelope(address)
    return redact(data)


@dataclass(frozen=True, slots=True)
class Prepared:
    """A field's value as it is stored, made once for many events.

    Attributes:
        value: The value, plain JSON.
        stored: What stands in the body.
        blobs: What was put aside: sha256 in hex, and the bytes.
    """

    value: JsonValue
    stored: orjson.Fragment
    blobs: tuple[tuple[str, bytes], ...]


def prepare(value: JsonValue) -> Prepared:
    """Return plain JSON, as of `values.plain`, for `encode_prepared`."""
    blobs: dict[str, bytes] = {}
    kept = _put_aside({"": value}, blobs)[""]
    return Prepared(value, orjson.Fragment(orjson.dumps(kept)), tuple(blobs.items()))


def encode_plain(
    type_: str,
    data: dict[str, Any],
    *,
    at: int,
    actor: str = ENGINE,
    cause: int | None = None,
    address: Address | None = None,
    version: int | None = None,
    redact: Redact | None = None,
) -> Draft:
    """Return the draft that `encode` makes of the same fact, without making and validating an object for it.

    Args:
        type_: The fact's type tag.
        data: Its fields, those that are not at their defaults: plain JSON, as of `values.plain`. It is kept as it is.
        at: See `encode`.
        actor: See `encode`.
        cause: See `encode`.
        address: See `encode`.
        version: Of the fact's shape; None for the one that this release writes.
        redact: See `encode`.
    """
    if redact is not None:
        data = _redacted(redact, data, actor, address)
    body = _dumped(data)
    aside: tuple[tuple[str, bytes], ...] = ()
    if len(body) > INLINE or MARK in body:
        blobs: dict[str, bytes] = {}
        body = _dumped(_put_aside(data, blobs))
        aside = tuple(blobs.items())
    return Draft(type_, version or VERSIONS[type_], at, actor, cause, address, body, aside, data)


def encode_prepared(
    type_: str,
    data: dict[str, Any],
    prepared: Mapping[str, Prepared],
    *,
    at: int,
    actor: str = ENGINE,
    redact: Redact | None = None,
) -> Draft:
    """Return the draft that `encode_plain` makes of a fact some of whose fields are the same for many events.

    Args:
        type_: The fact's type tag.
        data: Its fields as `encode_plain` takes them, with an empty value in the place of each of those.
        prepared: Those; they are not redacted here.
        at: See `encode`.
        actor: See `encode`.
        redact: See `encode`.
    """
    if redact is not None:
        data = _redacted(redact, data, actor, None)
    blobs: dict[str, bytes] = {}
    own = orjson.dumps(data)
    kept = _put_aside(data, blobs) if len(own) > INLINE or MARK in own else data
    stored, whole = {**kept}, {**data}
    for name, field in prepared.items():
        stored[name], whole[name] = field.stored, field.value
        blobs.update(field.blobs)
    body, aside = _dumped(stored), tuple(blobs.items())
    return Draft(type_, VERSIONS[type_], at, actor, None, None, body, aside, whole)


def encode_each(
    type_: str,
    facts: Iterable[tuple[Address, dict[str, Any]]],
    *,
    at: int,
    redact: Redact | None = None,
) -> list[Draft]:
    """Return the drafts that `encode_plain` makes of facts of one type, given their addresses and data."""
    if redact is not None:
        return [
            encode_plain(type_, data, at=at, address=address, redact=redact)
            for address, data in facts
        ]
    version, dumps = VERSIONS[type_], orjson.dumps
    # Not `Draft(...)`, whose own `__new__` takes as long as all the rest.
    new: Callable[[type[Draft], tuple[Any, ...]], Draft]
    new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generic
    made: list[Draft] = []
    for address, data in facts:
        body = dumps(data)
        if len(body) > INLINE or MARK in body:
            made.append(encode_plain(type_, data, at=at, address=address))
        else:
            kept = b"%b" % body  # see `_dumped`
            made.append(new(Draft, (type_, version, at, ENGINE, None, address, kept, (), data, "")))
    return made


def _dumped(data: Mapping[str, Any]) -> bytes:
    """Return the data as JSON, in a copy: what orjson returns takes 4 KiB of memory, however short it is."""
    return b"%b" % orjson.dumps(data)


def _check_integers(type_: str, body: bytes) -> None:
    """Refuse integers that come back as floats: those of more than 64 bits."""

    def check(digits: str) -> int:
        value = int(digits)
        if not -(2**63) <= value < 2**64:
            found = f"the integer {digits[:30]} does not fit in 64 bits"
            raise NotRecordableError(type_, found, "record it as text")
        return value

    json.loads(body, parse_int=check)


def decode(
    row: tuple[
        RunId, int, int, int, str, int, str, int | None, Address | None, int | None, bytes, bytes
    ],
    blobs: Mapping[str, bytes] | None = None,
) -> Event:
    """Return the event of a stored row.

    Args:
        row: run_id, seq, position, at, type, version, actor, cause, address, epoch, body, digest.
        blobs: What the body refers to, by digest; None leaves the references as they are.

    Raises:
        CorruptLogError: The body is not JSON, or a blob is missing.
    """
    run_id, seq, position, at, type_, version, actor, cause, address, epoch, body, digest = row
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise CorruptLogError(run_id, seq, f"its body is not JSON ({error})") from error
    if blobs is not None and MARK in body:
        try:
            data = _put_back(data, blobs)
        except KeyError as error:
            raise CorruptLogError(run_id, seq, f"blob {error.args[0]!r} is missing") from error
        except ValueError as error:
            raise CorruptLogError(run_id, seq, f"a blob of it cannot be read ({error})") from error
    stored = (type_, version)
    type_, version, data = upcast(type_, version, data)
    return Event(
        run_id,
        seq,
        position,
        at,
        type_,
        version,
        actor,
        cause,
        address,
        epoch,
        body,
        digest,
        data,
        stored,
    )


def references(body: bytes) -> tuple[str, ...]:
    """Return the digests of the blobs that a stored body refers to, in the order they stand there."""
    if MARK not in body:
        return ()
    value = orjson.loads(body)
    return tuple(value["$blob"]) if body.startswith(SEALED) else tuple(_references(value))


def _references(value: JsonValue) -> Iterator[str]:
    match value:
        case {"$blob": "", "value": dict(kept)}:
            # Escaped: whatever looks like a reference here is the user's own data, what it holds may be one.
            for item in kept.values():
                yield from _references(item)
        case {"$blob": str(digest)}:
            yield digest
        case list():
            for item in value:
                yield from _references(item)
        case dict():
            for item in value.values():
                yield from _references(item)
        case _:
            pass


def _put_aside(data: Mapping[str, Any], blobs: dict[str, bytes]) -> dict[str, Any]:
    """Put aside the long texts of each field, or the whole field where it is long without them."""
    body: dict[str, Any] = {}
    for name, value in data.items():
        found: dict[str, bytes] = {}
        kept = _texts_aside(value, found)
        whole = orjson.dumps(kept)
        if len(whole) > INLINE:
            body[name] = {_MARK: _blob(orjson.dumps(value), blobs), "json": True}
        else:
            body[name] = kept
            blobs.update(found)
    return body


def _texts_aside(value: JsonValue, blobs: dict[str, bytes]) -> JsonValue:
    match value:
        case str() if len(value) > INLINE:
            return {_MARK: _blob(value.encode(), blobs)}
        case list():
            return [_texts_aside(item, blobs) for item in value]
        case dict():
            kept = {key: _texts_aside(item, blobs) for key, item in value.items()}
            # A user's own object that has our key: wrapped, so that reading it back is not mistaken for a reference.
            return {_MARK: "", "value": kept} if _MARK in value else kept
        case _:
            return value


def _blob(body: bytes, blobs: dict[str, bytes]) -> str:
    digest = sha256(body).hexdigest()
    blobs[digest] = body
    return digest


def _put_back(value: JsonValue, blobs: Mapping[str, bytes]) -> Any:
    match value:
        case {"$blob": "", "value": dict(kept)}:
            return {key: _put_back(item, blobs) for key, item in kept.items()}
        case {"$blob": str(digest), "json": True}:
            return orjson.loads(blobs[digest])
        case {"$blob": str(digest)}:
            return blobs[digest].decode()
        case list():
            return [_put_back(item, blobs) for item in value]
        case dict():
            return {key: _put_back(item, blobs) for key, item in value.items()}
        case _:
            return value
