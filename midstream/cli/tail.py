"""`midstream tail`: the events of a run, one line each, those that are there and those that come."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import aclosing
from fnmatch import fnmatchcase
from typing import Any

from midstream.cli.exits import OK
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import as_json, printable, put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.events.catalog import ENDINGS
from midstream.events.envelope import Event
from midstream.events.subscribe import subscribe
from midstream.projections.timeline import line


async def tail(
    wanted: str, *, follow: bool, after: int, full: bool, types: Sequence[str] = ()
) -> int:
    """Write the events of a run.

    Args:
        wanted: The run.
        follow: Wait for further events until the run has ended; Ctrl-C leaves the run alone.
        after: Only events with a greater seq.
        full: The whole data of each event.
        types: Only events of these types, in which `*` stands for anything; empty for all.
    """
    first = 0

    def tell(event: Event) -> None:
        nonlocal first
        first = first or event.at
        if not types or any(fnmatchcase(event.type, one) for one in types):
            write(event, first, full=full)

    async with reading() as store:
        info = await find_run(store, wanted)
        if follow:
            async with aclosing(subscribe(store, info.run_id, after=after, until=_ends)) as events:
                async for event in events:
                    tell(event)
        else:
            async for event in store.read(info.run_id, after=after):
                tell(event)
    if not follow and info.status in ("running", "paused"):
        say(f"the run goes on; follow it with `{command('tail', info.run_id, '-f')}`")
    return OK


def _ends(event: Event) -> bool:
    return event.type in ENDINGS


def write(event: Event, first: int, *, full: bool = False) -> None:
    """Write one event on stdout.

    Args:
        event: The event.
        first: When the first one was recorded, in microseconds since 1970.
        full: Its whole data.
    """
    if SETTINGS.get().as_json:
        put_json(row(event))
    else:
        put(in_words(event, first, full=full))


def in_words(event: Event, first: int, *, full: bool = False) -> str:
    """Return one event as a line: number, seconds since the first one, type, step, and what it says."""
    said = line(event)
    text = as_json(dict(event.data)) if full else said.text
    step = f"{said.step}  " if said.step else ""
    return f"{event.seq:>5} {(event.at - first) / 1e6:>8.2f}s  {event.type:<16} {step}{printable(text)}".rstrip()


def row(event: Event) -> dict[str, Any]:
    """Return an event as JSON data, with the names of the API."""
    return {
        "run_id": event.run_id,
        "seq": event.seq,
        "position": event.position,
        "at": event.at,
        "recorded_at": event.recorded_at.isoformat(),
        "type": event.type,
        "version": event.version,
        "actor": event.actor,
        "cause": event.cause,
        "address": event.address,
        "epoch": event.epoch,
        "digest": event.digest.hex(),
        "data": dict(event.data),
    }
