"""`midstream db`: how large the store is, a copy of it, and its free pages."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from midstream.cli.exits import OK
from midstream.cli.opening import must_exist
from midstream.cli.output import put, put_json
from midstream.cli.progress import progress
from midstream.cli.settings import SETTINGS, command
from midstream.cli.writing import replacing
from midstream.errors import ConfigError, CorruptLogError
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_upkeep import Measured, copy, drivers, measure
from midstream.events.sqlite_upkeep import vacuum as vacuum_file
from midstream.events.store import RunQuery
from midstream.events.system import PREFIX
from midstream.events.verify import verify

_MIB = 1 << 20


async def stats(*, by_type: bool) -> int:
    """Say what the store holds."""
    path = must_exist()
    found = await asyncio.to_thread(measure, path, by_type=by_type)
    if SETTINGS.get().as_json:
        put_json({"db": str(path), **dataclasses.asdict(found)})
    else:
        _print(path, found)
    return OK


def _print(path: Path, found: Measured) -> None:
    runs = ", ".join(f"{count} {status}" for status, count in found.runs.items())
    put(f"{path}  {_size(found.bytes)}, {_size(found.wal_bytes)} of write-ahead log beside it")
    gone = f"; {found.removed} were removed" if found.removed else ""
    put(f"runs       {sum(found.runs.values())}  {runs}; {found.forks} are forks{gone}")
    put(f"events     {found.events}  from {_day(found.first_at)} to {_day(found.last_at)}")
    put(f"blobs      {found.blobs}  {_size(found.blob_bytes)}")
    put(f"snapshots  {found.snapshots}  {_size(found.snapshot_bytes)}")
    put(f"free       {_size(found.free_bytes)}")
    put(f"tables     version {found.version}")
    for type_, share in found.by_type.items():
        put(f"  {type_:<22} {share.events:>9}  {_size(share.bytes)}")


def _size(count: int) -> str:
    return f"{count / _MIB:.1f} MiB" if count >= _MIB else f"{count / 1024:.1f} KiB"


def _day(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at else "-"


async def backup(file: str, *, quick: bool, force: bool) -> int:
    """Copy the store, check the copy, and give it its name.

    Args:
        file: Where to.
        quick: Check the pages of the copy only, and not each event.
        force: Replace the file if it exists.
    """
    path, to = must_exist(), Path(file)
    _may_take(to, path, force=force)
    with replacing(to) as beside:
        with progress("copying", 100) as advance:
            await _in_thread(partial(copy, path, beside, told=_Told(advance)))
        if not quick:
            await _check(beside)
        size = _bytes(beside)
    if SETTINGS.get().as_json:
        put_json({"file": file, "bytes": size, "verified": not quick})
    else:
        how = "its pages were checked" if quick else "every event in it was checked"
        put(f"{file}  {_size(size)}, {how}")
    return OK


def _bytes(file: Path) -> int:
    return file.stat().st_size


def _may_take(to: Path, path: Path, *, force: bool) -> None:
    if not to.exists():
        return
    if to.samefile(path):
        raise ConfigError(f"{str(to)!r} is the store itself; choose another file")
    if not force:
        raise ConfigError(f"{str(to)!r} exists; choose another file, or pass --force to replace it")


class _Told:
    """Turns pages out of all pages into hundredths."""

    def __init__(self, advance: Callable[[float], None]) -> None:
        self._advance = advance
        self._shown = 0.0

    def __call__(self, done: int, total: int) -> None:
        now = 100 * done / max(total, 1)
        self._advance(now - self._shown)
        self._shown = now


async def _check(copied: Path) -> None:
    async with await SqliteStore.open(copied, read_only=True) as store:
        runs = [*await store.runs(), *await store.runs(RunQuery(prefix=PREFIX))]
        with progress("checking", len(runs)) as advance:
            for info in runs:
                verdict = await verify(store, info.run_id)
                if verdict.damage is not None:
                    raise CorruptLogError(info.run_id, verdict.seq, verdict.damage)
                advance(1)


async def vacuum(*, live: bool) -> int:
    """Give free pages back to the disk.

    Args:
        live: Also while runs are driven.
    """
    path = must_exist()
    busy = await asyncio.to_thread(drivers, path, now=time.time())
    if busy and not live:
        raise ConfigError(
            f"{busy} live processes drive runs of {str(path)!r}, and would wait for it; "
            f"stop them, or pass --live: `{command('db', 'vacuum', '--live')}`"
        )
    before = (await asyncio.to_thread(measure, path)).bytes
    await _in_thread(partial(vacuum_file, path))
    after = (await asyncio.to_thread(measure, path)).bytes
    if SETTINGS.get().as_json:
        put_json({"db": str(path), "before": before, "after": after})
    else:
        put(f"{path}  {_size(before)} became {_size(after)}")
    return OK


async def _in_thread(work: Callable[..., None]) -> None:
    """Run something that takes long; when this is cancelled, tell it to stop and wait until it has."""
    stop = threading.Event()
    task = asyncio.ensure_future(asyncio.to_thread(work, stop=stop))
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([task])
        raise
