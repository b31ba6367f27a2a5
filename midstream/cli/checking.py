"""`midstream verify`: that each event is what was written, and whether the newest ones are all still there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from midstream.cli.exits import BAD, IN_PART, OK
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import put, put_json, say
from midstream.cli.progress import progress
from midstream.cli.settings import SETTINGS, command
from midstream.cli.writing import write
from midstream.errors import ConfigError
from midstream.events.ids import RunId
from midstream.events.store import Head, RunQuery
from midstream.events.system import PREFIX
from midstream.events.verify import Verdict, anchors, verify

if TYPE_CHECKING:
    from midstream.events.sqlite import SqliteStore


async def check(wanted: Sequence[str], *, anchor: str, save_anchor: str) -> int:
    """Verify runs.

    Args:
        wanted: The runs; none for all, and for all that the anchor names.
        anchor: A file of heads that was kept elsewhere, or empty.
        save_anchor: Where to write the heads of the sound runs, or empty.
    """
    kept = _read(anchor) if anchor else {}
    async with reading() as store:
        if wanted:
            chosen = [(await find_run(store, name)).run_id for name in wanted]
        else:
            infos = [*await store.runs(RunQuery(prefix=PREFIX)), *await store.runs()]
            chosen = [info.run_id for info in reversed(infos)]
        verdicts: dict[RunId, Verdict] = {}
        with progress("verifying", len(chosen)) as advance:
            for run_id in chosen:
                verdicts[run_id] = await verify(store, run_id, anchor=kept.get(run_id))
                advance(1)
        if not wanted:
            verdicts |= await _missing(store, kept)
    for verdict in verdicts.values():
        _print(verdict)
    if save_anchor:
        _save(save_anchor, verdicts)
    return _conclude(verdicts, anchored=bool(anchor))


async def _missing(store: SqliteStore, kept: Mapping[RunId, Head]) -> dict[RunId, Verdict]:
    """Return verdicts on the runs that the anchor names and the store has not: removed, or lost."""
    gone = [run_id for run_id in kept if await store.head(run_id) is None]
    stones = {run_id: await store.removed(run_id) for run_id in gone}
    lost = [run_id for run_id, stone in stones.items() if stone is None]
    removed = {
        run_id: await verify(store, run_id, anchor=kept[run_id])
        for run_id, stone in stones.items()
        if stone is not None
    }
    return removed | {
        run_id: Verdict(
            run_id, 0, None, False, "the anchor names this run, the store has lost it", 1
        )
        for run_id in lost
    }


def _print(verdict: Verdict) -> None:
    if SETTINGS.get().as_json:
        names = ("run_id", "events", "sound", "anchored", "damage", "seq")
        head = verdict.head and {"seq": verdict.head.seq, "digest": verdict.head.digest}
        put_json({**{name: getattr(verdict, name) for name in names}, "head": head})
    elif not verdict.sound:
        put(f"✗ {verdict.run_id}  damaged at event {verdict.seq}: {verdict.damage}")
    elif verdict.removed:
        when = datetime.fromtimestamp(verdict.removed / 1e6, UTC).isoformat(" ", "seconds")
        end = (
            "it stood where the anchor says"
            if verdict.anchored
            else "it is not known where it stood"
        )
        put(f"✓ {verdict.run_id}  was removed on {when}; {end}")
    else:
        end = (
            "the anchor's event is there"
            if verdict.anchored
            else "no anchor: the end is not checked"
        )
        put(f"✓ {verdict.run_id}  {verdict.events} events are as they were written; {end}")


def _conclude(verdicts: Mapping[RunId, Verdict], *, anchored: bool) -> int:
    damaged = sum(not verdict.sound for verdict in verdicts.values())
    if damaged:
        say(f"{damaged} of {len(verdicts)} runs are damaged; restore the store from a backup")
        return BAD
    if all(verdict.anchored for verdict in verdicts.values()):
        return OK
    loose = sum(not verdict.anchored for verdict in verdicts.values())
    say(
        f"verified in part: a chain cannot show that its newest events were cut off, and {loose} of {len(verdicts)} "
        "runs have no anchor; "
        + (
            "they are newer than the anchor file: save another one with --save-anchor FILE"
            if anchored
            else f"keep one elsewhere with `{command('verify', '--save-anchor', 'FILE')}` and check against it with --anchor"
        )
    )
    return IN_PART


def _save(file: str, verdicts: Mapping[RunId, Verdict]) -> None:
    write(file, (orjson.dumps(anchors(verdicts), option=orjson.OPT_INDENT_2), b"\n"))
    say(f"heads written to {file}; keep it where whoever changes the store cannot change it")


def _read(file: str) -> dict[RunId, Head]:
    try:
        found: Any = orjson.loads(Path(file).read_bytes())
        return {
            RunId(run_id): Head(int(head["seq"]), 0, bytes.fromhex(head["digest"]))
            for run_id, head in found.items()
        }
    except OSError as error:
        raise ConfigError(f"cannot read {file!r}: {error.strerror}; check the path") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ConfigError(
            f"{file!r} is no anchor file ({error}); make one with `{command('verify', '--save-anchor', 'FILE')}`"
        ) from error
