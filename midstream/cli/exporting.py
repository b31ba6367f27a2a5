"""`midstream export` and the logs that `midstream import` reads: runs as lines of JSON."""

from __future__ import annotations

import time
from collections.abc import Sequence

from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS
from midstream.cli.writing import write
from midstream.engine.debugging.parting import diff_stored
from midstream.engine.driving.moments import moment_seq
from midstream.errors import ConfigError
from midstream.events.jsonl import FORMAT, export_lines, import_runs, read_lines
from midstream.projections.page import Page


async def export(wanted: Sequence[str], *, out: str, opened: bool = False) -> int:
    """Write runs as lines of JSON, with those whose events they share.

    Args:
        wanted: The runs.
        out: A file, or empty for stdout.
        opened: Write sealed content so that everybody can read it.
    """
    async with reading() as store:
        runs = [(await find_run(store, name)).run_id for name in wanted]
        lines = [line async for line in export_lines(store, runs, opened=opened)]
    write(out, lines)
    if out:
        say(f"{len(lines)} lines written to {out}")
    return OK


async def page(wanted: str, *, out: str, at: str = "") -> int:
    """Write a run as one page of HTML, a fork beside its parent.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        out: A file, or empty for stdout.
        at: As it stood at this event, or before this step; empty for now.
    """
    name, place = split_moment(wanted)
    async with reading() as store:
        info = await find_run(store, name)
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        made = Page(info.run_id, at=to)
        await made.read(store.read(info.run_id, to=to))
        parted = None
        if info.parent is not None and to is None:
            parted = await diff_stored(store, info.parent, info.run_id)
    write(out, [made.html(parted).encode("utf-8", "backslashreplace")])
    return OK


def is_log(body: bytes) -> bool:
    """Say whether a file is a log that midstream exported."""
    return FORMAT.encode() in body.partition(b"\n")[0]


async def bring_in_log(body: bytes, *, open_too: bool) -> int:
    """Record the runs of an exported log, every digest checked first.

    Args:
        body: The file.
        open_too: Also runs that have not ended, which whoever knows their graph will then drive on.
    """
    runs = read_lines(body.splitlines())
    ended = ("run.completed", "run.failed", "run.cancelled")
    going = [run.run_id for run in runs if not any(e.type in ended for e in run.events)]
    if going and not open_too:
        raise ConfigError(
            f"run {going[0]!r} has not ended: imported, it would be driven on by whoever knows its graph, "
            "beside the one that it was exported from; pass --open if that is meant"
        )
    async with engine(new=True) as opened:
        found = await import_runs(opened.store, runs, now=time.time())
    for one in found:
        row = {"run_id": one.run_id, "events": one.events, "added": one.added}
        if SETTINGS.get().as_json:
            put_json({**row, "digest": one.head.digest.hex()})
        else:
            put(
                f"{one.run_id}  {one.events} events, {one.added} of them new; every digest is right"
            )
    return OK
