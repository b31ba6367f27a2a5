"""`midstream db prune` and `db removed`: which runs are kept, and which were."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from midstream.cli.exits import OK
from midstream.cli.moments import seconds_ago
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, must_exist, reading
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS
from midstream.errors import ConfigError, RunNotFoundError
from midstream.events.sealing import Encryption
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


async def erase(
    wanted: str, *, subject: str, subruns: bool | None, reason: str, by: str, yes: bool
) -> int:
    """Erase the content of a run or of a subject.

    Args:
        wanted: The run, or empty.
        subject: The subject, or empty.
        subruns: The runs that the run has started, too, or not; None refuses where there are any.
        reason: Why; recorded.
        by: Who wants it; recorded.
        yes: Do not ask.
    """
    async with engine() as opened:
        run_id = (await find_run(opened.store, wanted)).run_id if wanted else None
        begun = ", and the runs that it has started," if subruns else ""
        what = f"run {run_id} and its forks{begun}" if run_id else f"all runs of {subject!r}"
        _asked(what, yes=yes)
        done = await opened.erase(run_id, subject=subject, subruns=subruns, reason=reason, by=by)
    if SETTINGS.get().as_json:
        put_json({"erased": done.runs, "lessons": done.lessons})
        return OK
    for gone in done.runs:
        put(f"{gone}  erased")
    for lesson in done.lessons:
        put(f"{lesson}  retired: nothing is left that it rests on")
    say(f"{len(done.runs)} runs were erased; backups made before have what they had")
    return OK


def _asked(what: str, *, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError(
            f"the content of {what} would be erased for good; pass --yes if that is meant"
        )
    sys.stderr.write(f"erase the content of {what} for good? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was erased")


async def rotate() -> int:
    """Seal the keys of all runs with the newest given key."""
    from midstream.events.sqlite import SqliteStore

    encryption = Encryption.from_env()
    if encryption is None:
        raise ConfigError("MIDSTREAM_KEYS is not set; it holds the new key first, then the old one")
    store = await SqliteStore.open(must_exist(), encryption=encryption)
    async with store:
        count = await store.rotate()
    if SETTINGS.get().as_json:
        put_json({"rotated": count})
    else:
        put(f"{count} keys were sealed with {next(iter(encryption.keys))!r}")
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
