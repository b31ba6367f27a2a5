"""`midstream runs`: what is in the store, the newest first."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import get_args

from midstream.cli.exits import OK
from midstream.cli.given import tags_of
from midstream.cli.opening import reading
from midstream.cli.output import data_console, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.cli.show import MARKS
from midstream.cli.spans import span
from midstream.cli.summary import SOURCE
from midstream.errors import ConfigError
from midstream.events.store import RunInfo, RunQuery, Status


async def list_runs(status: str, graph: str, tags: Sequence[str], limit: int) -> int:
    """List runs.

    Args:
        status: Only these; empty for all.
        graph: Only of this graph; empty for all.
        tags: Only with all of these, as in `team=blue`.
        limit: At most so many.
    """
    known: dict[str, Status] = {name: name for name in get_args(Status)}
    if status and status not in known:
        raise ConfigError(f"--status {status!r} is none of {', '.join(known)}")
    query = RunQuery(
        status=frozenset((known[status],)) if status else None,
        graph=graph or None,
        tags=tags_of(tags),
        limit=limit,
    )
    async with reading() as store:
        found = await store.runs(query)
    if SETTINGS.get().as_json:
        for info in found:
            put_json({name: getattr(info, name) for name in RunInfo.__dataclass_fields__})
    elif found:
        _print(found)
    else:
        say(f"no such runs; start one with `{command('start', 'MODULE:GRAPH')}`")
    return OK


def _print(found: Sequence[RunInfo]) -> None:
    from rich.table import Table
    from rich.text import Text

    now = time.time()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("RUN", "GRAPH", "STATUS", "AGE", "EVENTS", "DRIVER", "TAGS"):
        table.add_column(title, no_wrap=True, justify="right" if title == "EVENTS" else "left")
    for info in found:
        mark, color = MARKS[info.status]
        tags = " ".join(f"{k}={v}" for k, v in info.tags.items() if k != SOURCE)
        table.add_row(
            info.run_id,
            info.graph,
            Text(f"{mark} {info.status}", style=color),
            span(now - info.created_at / 1e6),
            str(info.seq),
            _driver(info, now),
            Text(tags),
        )
    data_console().print(table)


def _driver(info: RunInfo, now: float) -> str:
    if info.status in ("completed", "failed", "cancelled"):
        return ""
    if info.holder is None or info.until <= now:
        return "none"
    return info.holder.rpartition(":")[0]
