"""Runs as lines of JSON: what a store holds of them, byte for byte, so that reading them in again gives the same digests.

The first line says what the file is. A line with `run` begins a run, one with `blob` holds a body that events refer to,
and one with `seq` is an event; its `body` is the text that was stored. A fork comes after the runs it shares events with.
"""

from __future__ import annotations

import base64
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from midstream.errors import ConfigError, CorruptLogError, RunErasedError, RunExistsError
from midstream.events.catalog import FORKED
from midstream.events.codec import SEALED, decode, encode_plain, references
from midstream.events.envelope import ERASED, Draft, Event, genesis, link
from midstream.events.ids import Address, RunId
from midstream.events.store import EventStore, Head, RunQuery, Stretch, as_stored

FORMAT = "midstream-log"
VERSION = 1

_GROUP = 256


async def export_lines(
    store: EventStore, run_ids: Sequence[RunId], *, opened: bool = False
) -> AsyncIterator[bytes]:
    """Iterate over the lines of a file that holds these runs, and those whose events they share.

    Args:
        store: Where they are.
        run_ids: The runs.
        opened: Write sealed content so that everybody can read it. The chain is made anew for it, so the digests are others;
            without, lines hold what is stored, digest by digest, and are read with the keys in the store only.

    Raises:
        RunNotFoundError: There is no such run.
        RunErasedError: It is to be opened, and its content was erased.
    """
    yield _line({"format": FORMAT, "version": VERSION})
    sent: set[str] = set()
    chains: dict[tuple[str, int], bytes] = {}
    for run_id in await _with_parents(store, run_ids):
        parts = await store.lineage(run_id)
        line: dict[str, Any] = {"run": run_id, "after": parts[-1].after}
        if not opened and len(parts) > 1 and await is_sealed(store, run_id, parts[-1].after):
            line["parent"] = parts[-2].run_id  # what `run.forked` says of it is sealed
        yield _line(line)
        lines = _opened_lines(store, parts, chains) if opened else _run_lines(store, parts[-1])
        async for row in lines:
            if row.get("blob") not in sent:
                sent.add(row.get("blob", ""))
                sent.discard("")
                yield _line(row)


async def _with_parents(store: EventStore, run_ids: Sequence[RunId]) -> list[RunId]:
    wanted: dict[RunId, None] = {}
    for run_id in run_ids:
        wanted |= dict.fromkeys(part.run_id for part in await store.lineage(run_id))
    return list(wanted)


async def is_sealed(store: EventStore, run_id: RunId, after: int = 0) -> bool:
    """Say whether the content of a run is sealed.

    Args:
        store: Where it is.
        run_id: The run.
        after: Look at the event after this one.
    """
    async for event in as_stored(store, run_id, after=after):
        return event.body.startswith(SEALED)
    return False


async def _run_lines(store: EventStore, own: Stretch) -> AsyncIterator[dict[str, Any]]:
    async for event in as_stored(store, own.run_id, after=own.after):
        for digest in references(event.body):
            yield _blob_row(digest, await store.blob(digest))
        yield _event_row(event, event.stored, event.body, event.digest)


async def _opened_lines(
    store: EventStore, parts: Sequence[Stretch], chains: dict[tuple[str, int], bytes]
) -> AsyncIterator[dict[str, Any]]:
    """Iterate over a run's own events as they would be had they never been sealed; `chains` has the digests made so far."""
    own = parts[-1]
    digest = chains[parts[-2].run_id, own.after] if own.after else genesis(own.run_id)
    async for event in store.read(own.run_id, after=own.after):
        if event.type == ERASED:
            raise RunErasedError(own.run_id)
        forked = {"digest": digest.hex()} if event.type == FORKED else {}
        data = {**event.data, **forked}
        draft = encode_plain(event.type, data, at=event.at, version=event.version)
        kind = (event.type, event.version)
        envelope = event.at, event.actor, event.cause, event.address, event.epoch
        digest = chains[own.run_id, event.seq] = link(
            digest, event.seq, kind, *envelope, draft.body
        )
        for name, body in draft.blobs:
            yield _blob_row(name, body)
        yield _event_row(event, kind, draft.body, digest)


def _blob_row(name: str, body: bytes) -> dict[str, Any]:
    return {"blob": name, "base64": base64.b64encode(body).decode()}


def _event_row(event: Event, kind: tuple[str, int], body: bytes, digest: bytes) -> dict[str, Any]:
    return {
        "seq": event.seq,
        "type": kind[0],
        "version": kind[1],
        "at": event.at,
        "actor": event.actor,
        "cause": event.cause,
        "address": event.address,
        "epoch": event.epoch,
        "body": body.decode(),
        "digest": digest.hex(),
    }


def _line(row: Mapping[str, Any]) -> bytes:
    return orjson.dumps(row) + b"\n"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of a run of a file.

    Attributes:
        run_id: The run.
        events: How many events the file has of it.
        added: How many of them the store did not have.
        head: The newest event in the file.
    """

    run_id: RunId
    events: int
    added: int
    head: Head


@dataclass(slots=True)
class LoggedRun:
    """A run as a file has it.

    Attributes:
        run_id: The run.
        after: The last event that it shares with the run it was forked from; 0 where it was not.
        events: Its own events, blobs in place.
        blobs: What they refer to, by sha256 in hex; shared by all runs of the file.
        parent: Of a fork whose content is sealed, the run that it shares events with; else empty.
    """

    run_id: RunId
    after: int
    events: list[Event]
    blobs: Mapping[str, bytes]
    parent: str = ""

    @property
    def sealed(self) -> bool:
        """Whether its content is sealed: it can be checked, and not be read."""
        return any(event.body.startswith(SEALED) for event in self.events)


def read_lines(lines: Iterable[bytes]) -> list[LoggedRun]:
    """Return the runs of a file, with every digest checked.

    Raises:
        ConfigError: It is not such a file, or of a newer release.
        CorruptLogError: An event is not what was exported.
    """
    rows = (orjson.loads(line) for line in lines if line.strip())
    try:
        first = next(rows, None)
        if not isinstance(first, dict) or first.get("format") != FORMAT:  # pyright: ignore[reportUnknownMemberType]  # JSON
            raise ConfigError(
                f"it is no log that midstream exported: its first line has no {FORMAT!r}"
            )
        if first["version"] > VERSION:
            raise ConfigError(
                f"a newer release exported it (version {first['version']}, this one reads {VERSION}); upgrade midstream"
            )
        return _runs_of(rows)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError) as error:
        raise ConfigError(f"a line of it is not what midstream exports: {error!r}") from error


def _runs_of(rows: Iterable[Mapping[str, Any]]) -> list[LoggedRun]:
    runs: list[LoggedRun] = []
    blobs: dict[str, bytes] = {}
    chains: dict[tuple[str, int], bytes] = {}
    for row in rows:
        if "run" in row:
            runs.append(
                LoggedRun(RunId(row["run"]), row["after"], [], blobs, row.get("parent", ""))
            )
        elif "blob" in row:
            blobs[row["blob"]] = base64.b64decode(row["base64"])
        else:
            run = runs[-1]
            event = _event(run.run_id, row, blobs)
            _check(run, event, chains)
            chains[run.run_id, event.seq] = event.digest
            run.events.append(event)
    return runs


def _event(run_id: RunId, row: Mapping[str, Any], blobs: Mapping[str, bytes]) -> Event:
    address = row["address"]
    return decode(
        (
            run_id,
            row["seq"],
            0,
            row["at"],
            row["type"],
            row["version"],
            row["actor"],
            row["cause"],
            None if address is None else Address(address),
            row["epoch"],
            row["body"].encode(),
            bytes.fromhex(row["digest"]),
        ),
        blobs,
    )


def _check(run: LoggedRun, event: Event, chains: Mapping[tuple[str, int], bytes]) -> None:
    wanted = run.events[-1].seq + 1 if run.events else run.after + 1
    if event.seq != wanted:
        raise CorruptLogError(run.run_id, event.seq, f"event {wanted} is missing before it")
    if event.seq == 1:
        before = genesis(run.run_id)
    elif run.events:
        before = run.events[-1].digest
    elif run.parent:
        before = chains[run.parent, run.after]
    else:
        before = bytes.fromhex(event.data["digest"])
        known = chains.get((event.data["parent"], run.after), before)
        if known != before:
            raise CorruptLogError(run.run_id, event.seq, "it is a fork of another event")
    stored = event.stored, event.at, event.actor, event.cause, event.address, event.epoch
    if link(before, event.seq, *stored, event.body) != event.digest:
        raise CorruptLogError(
            run.run_id, event.seq, "its digest does not follow from its content and predecessor"
        )


async def import_runs(
    store: EventStore, runs: Sequence[LoggedRun], *, now: float
) -> list[Imported]:
    """Record the runs of a file as they were; what the store has already is compared and left as it is.

    Args:
        store: Where to.
        runs: As `read_lines` gives them.
        now: In seconds since 1970.

    Raises:
        RunExistsError: The store has a run of that id with other events.
        ConfigError: The content of a run is sealed; nothing was recorded.
    """
    for run in runs:
        if run.sealed:
            raise ConfigError(
                f"run {run.run_id!r} was exported as it is stored, which is sealed, and its key is not in the file; "
                "export it with `opened=True` (`midstream export jsonl --opened`), or copy the store (`midstream db backup`)"
            )
    return [await _import(store, run, now) for run in runs]


async def _import(store: EventStore, run: LoggedRun, now: float) -> Imported:
    here = await store.head(run.run_id)
    have = 0
    if here is not None:
        have = await _compared(store, run)
    holder, head, held = f"import:{uuid.uuid4().hex[:8]}", here, False
    epoch = 0 if here is None else await _epoch(store, run.run_id)
    for group in _groups(run.events[have:]):
        wanted = group[0].epoch
        if head is not None and wanted is not None:
            while epoch < wanted:
                epoch, held = await store.acquire(run.run_id, holder, now=now), True
        elif head is None and wanted is not None:
            epoch, held = 1, True
        head = await store.append(
            run.run_id,
            [_draft(event, run.blobs) for event in group],
            expected=group[0].seq - 1,
            epoch=wanted,
            holder=holder if head is None and wanted is not None else None,
        )
    if held:
        await store.release(run.run_id, epoch=epoch)
    assert head is not None  # a run has events
    return Imported(run.run_id, len(run.events), len(run.events) - have, head)


async def _epoch(store: EventStore, run_id: RunId) -> int:
    infos = await store.runs(RunQuery(prefix=run_id))
    return next(info.epoch for info in infos if info.run_id == run_id)


async def _compared(store: EventStore, run: LoggedRun) -> int:
    """Return how many of a run's events the store has, all of them alike."""
    place = 0
    async for event in store.read(run.run_id, after=run.after):
        if place < len(run.events) and event.digest != run.events[place].digest:
            raise RunExistsError(run.run_id, f"other events from event {event.seq} on")
        place += 1
    return min(place, len(run.events))


def _groups(events: Sequence[Event]) -> Iterable[list[Event]]:
    """Return the events in groups of one epoch."""
    group: list[Event] = []
    for event in events:
        if group and (event.epoch != group[0].epoch or len(group) == _GROUP):
            yield group
            group = []
        group.append(event)
    if group:
        yield group


def _draft(event: Event, blobs: Mapping[str, bytes]) -> Draft:
    found = tuple((digest, blobs[digest]) for digest in references(event.body))
    return Draft(
        *event.stored,
        event.at,
        event.actor,
        event.cause,
        event.address,
        event.body,
        found,
        event.data,
    )
