"""What a shell is offered where a run is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import typer

_OFFERED = 50
_PLACES = ("@last", "@last-failed")


def complete_run(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Return the runs that begin like this, the newest first, each with its graph and status."""
    from midstream.cli.settings import DEFAULT_DB
    from midstream.errors import MidstreamError

    if incomplete.startswith("@"):
        return [(place, "") for place in _PLACES if place.startswith(incomplete)]
    db: Path = ctx.find_root().params.get("db") or DEFAULT_DB
    try:
        return asyncio.run(_runs(db, incomplete))
    except MidstreamError:
        return []  # a shell has no place for what is wrong with a store


async def _runs(db: Path, incomplete: str) -> list[tuple[str, str]]:
    from midstream.events.sqlite import SqliteStore
    from midstream.events.store import RunQuery

    async with await SqliteStore.open(db, read_only=True) as store:
        found = await store.runs(RunQuery(prefix=incomplete, limit=_OFFERED))
    return [(info.run_id, f"{info.graph}, {info.status}") for info in found]
