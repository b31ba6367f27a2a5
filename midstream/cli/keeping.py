"""`midstream db prune` and `db removed`: which runs are kept, and which were."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.cli.exits import OK
from midstream.cli.moments import seconds_ago
from midstream.cli.opening import engine, reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS
from midstream.errors import RunNotFoundError
from midstream.events.system import KEEPING


async def prune(
    *, older_than: str, keep: Sequence[str], dry_run: bool, reason: str, by: str
) -> int:
    """Remove whole runs that ended long ago.

    Args:
        older_than: As in `30d`.
        keep: Runs that are kept however old they are; see `Engine.prune`.
        dry_run: Only say which would go.
        reason: Why; recorded.
        by: Who wants it; recorded.
    """
    seconds = seconds_ago(older_than)
    async with engine() as opened:
        done = await opened.prune(
            older_than=seconds, keep=keep, dry_run=dry_run, reason=reason, by=by
        )
    if SETTINGS.get().as_json:
        put_json(
            {
                "removed": done.removed,
                "events": done.events,
                "kept": done.kept,
                "dry_run": done.dry_run,
            }
        )
        return OK
    for run_id in done.removed:
        put(f"{run_id}  {'would be removed' if dry_run else 'removed'}")
    for run_id, why in done.kept.items():
        say(f"{run_id}  kept: {why}")
    what = f"{len(done.removed)} runs of {done.events} events"
    say(
        f"{what} {'would be removed' if dry_run else 'were removed'}, {len(done.kept)} old ones kept"
    )
    return OK


async def removed() -> int:
    """List what was removed, the newest last."""
    async with reading() as store:
        try:
            events = [event async for event in store.read(KEEPING)]
        except RunNotFoundError:
            events = []
    for event in events:
        if event.type != "run.removed":
            continue
        row = {**event.data, "at": event.recorded_at.isoformat(), "by": event.actor}
        if SETTINGS.get().as_json:
            put_json(row)
        else:
            why = f": {row['reason']}" if row.get("reason") else ""
            when = event.recorded_at.isoformat(" ", "seconds")
            put(
                f"{row['run']}  {row['status']} at event {row['seq']}, removed on {when} by {row['by']}{why}"
            )
    return OK
