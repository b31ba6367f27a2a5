"""The envelope: where and when a fact stands in the log, and the chain of digests that shows it was not changed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from pydantic_core import ValidationError

from midstream.errors import CorruptLogError, NotRecordableError, UnknownEventError
from midstream.events.facts import PAYLOADS
from midstream.events.ids import Address, RunId

if TYPE_CHECKING:
    from midstream.events.payloads import Payload

ENGINE = "engine"
"""The actor of what a driver does."""

ERASED = "erased"
"""The type of an event whose content was erased, as it is read; `Event.stored` has the type that was written."""

REPLAY = "replay"
"""The actor of what was answered from the log of another run, and did not happen again."""


class Draft(NamedTuple):
    """A fact that has no place in the log yet.

    Attributes:
        type: The payload's type tag.
        version: The version of its shape.
        at: When it was recorded, in microseconds since 1970.
        actor: Who recorded it: `engine`, `policy:NAME`, `user:NAME`.
        cause: The seq of the event that led to it, or None.
        address: The step it belongs to, or None.
        body: The payload as JSON; what is stored, and what the digest covers.
        blobs: Bodies that are stored beside it by content: sha256 in hex, and the bytes.
        data: The payload as plain data, with the blobs in place; what folds read.
        of: The run whose content this is, where that is another one than it stands in: it is erased with that run.
    """

    type: str
    version: int
    at: int
    actor: str
    cause: int | None
    address: Address | None
    body: bytes
    blobs: tuple[tuple[str, bytes], ...]
    data: Mapping[str, Any]
    of: str = ""


class Event(NamedTuple):
    """A fact in its place in the log.

    Attributes:
        run_id: The run, which is the stream.
        seq: Its place in the run, dense from 1.
        position: Its place in the store; grows along the log, may have gaps.
        at: When it was recorded, in microseconds since 1970.
        type: The payload's type tag, after upcasting.
        version: The version of its shape, after upcasting.
        actor: Who recorded it: `engine`, `policy:NAME`, `user:NAME`.
        cause: The seq of the event that led to it, or None.
        address: The step it belongs to, or None.
        epoch: The epoch of the driver that recorded it, or None where it needed no lease.
        body: The payload as it is stored, blobs by reference.
        digest: sha256 over the previous digest, this envelope and the body.
        data: The payload as plain data, with the blobs in place. It is shared: do not change it.
        stored: Type tag and version as they are stored, before upcasting.
    """

    run_id: RunId
    seq: int
    position: int
    at: int
    type: str
    version: int
    actor: str
    cause: int | None
    address: Address | None
    epoch: int | None
    body: bytes
    digest: bytes
    data: Mapping[str, Any]
    stored: tuple[str, int]

    @property
    def recorded_at(self) -> datetime:
        """When it was recorded, aware, in UTC."""
        return datetime.fromtimestamp(self.at / 1_000_000, UTC)

    @property
    def payload(self) -> Payload:
        """The payload as a validated object, made anew at each access.

        Raises:
            UnknownEventError: It is newer than this release; `data` is there all the same.
            CorruptLogError: The data does not fit its type.
        """
        known = _VALIDATING.get(self.type)
        if known is None or known[0] != self.version:
            known = _validating(self.type, self.version)
        try:
            return known[1](self.data)
        except ValidationError as error:
            found = f"the data of {self.type!r} does not fit: {error.errors()[0]['msg']}"
            raise CorruptLogError(self.run_id, self.seq, found) from error


_VALIDATING: dict[str, tuple[int, Callable[[object], Payload]]] = {}
"""For each type that was met: its version, and what makes an object of its data."""


def _validating(type_: str, version: int) -> tuple[int, Callable[[object], Payload]]:
    known = PAYLOADS.get(type_)
    if known is None or version != known.version:
        raise UnknownEventError(type_, version, None if known is None else known.version)
    # Its own validator, not that of the union, which would look up once more what `type` says.
    found = _VALIDATING[type_] = version, known.__pydantic_validator__.validate_python
    return found


def as_event(draft: Draft, run_id: RunId, seq: int, epoch: int | None) -> Event:
    """Return the event that a draft will be, as far as its driver knows: without its position and its digest."""
    type_, version, at, actor, cause, address, body, _blobs, data, _of = draft
    # Not `Event(...)`, whose own `__new__` takes as long as all the rest.
    new: Callable[[type[Event], tuple[Any, ...]], Event]
    new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generic
    # fmt: off
    return new(Event, (
        run_id, seq, 0, at, type_, version, actor, cause, address, epoch,
        body, b"", data, (type_, version),
    ))
    # fmt: on


def as_events(drafts: Iterable[Draft], run_id: RunId, seq: int, epoch: int | None) -> list[Event]:
    """Return the events that drafts will be which follow one another, the first as event `seq`; see `as_event`."""
    new: Callable[[type[Event], tuple[Any, ...]], Event]
    new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generic
    events: list[Event] = []
    for place, draft in enumerate(drafts, seq):
        type_, version, at, actor, cause, address, body, _blobs, data, _of = draft
        # fmt: off
        events.append(new(Event, (
            run_id, place, 0, at, type_, version, actor, cause, address, epoch,
            body, b"", data, (type_, version),
        )))
        # fmt: on
    return events


def genesis(run_id: str) -> bytes:
    """Return the digest before the first event of a run: a chain cannot be moved to another run."""
    return sha256(b"midstream:" + run_id.encode()).digest()


def chain(previous: bytes, seq: int, draft: Draft, epoch: int | None) -> bytes:
    """Return the digest of a draft that becomes event number `seq` after an event with digest `previous`.

    Raises:
        NotRecordableError: Its envelope is not JSON.
    """
    return chain_each(previous, seq, (draft,), epoch)[0]


def chain_each(
    previous: bytes, seq: int, drafts: Iterable[Draft], epoch: int | None
) -> list[bytes]:
    """Return the digests of drafts that follow one another, the first of them as event `seq`; see `chain`.

    Raises:
        NotRecordableError: An envelope is not JSON.
    """
    digests: list[bytes] = []
    dumps = orjson.dumps
    for draft in drafts:
        type_, version, at, actor, cause, address, body, _blobs, _data, _of = draft
        # As `link` does it, without two calls for each.
        try:
            envelope = dumps((seq, type_, version, at, actor, cause, address, epoch))
        except TypeError as error:
            place = f"the envelope of {type_!r}"
            raise NotRecordableError(place, str(error), "pass texts and integers") from error
        previous = sha256(previous + envelope + body).digest()
        digests.append(previous)
        seq += 1
    return digests


def link(
    previous: bytes,
    seq: int,
    stored: tuple[str, int],
    at: int,
    actor: str,
    cause: int | None,
    address: str | None,
    epoch: int | None,
    body: bytes,
) -> bytes:
    """Return sha256(previous digest ‖ stored bytes), where the stored bytes are the envelope as a JSON list and the body."""
    envelope = orjson.dumps((seq, stored[0], stored[1], at, actor, cause, address, epoch))
    return sha256(previous + envelope + body).digest()
