"""Opening the store: read-only to look at it, with an engine to change something."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from midstream.cli.settings import SETTINGS
from midstream.errors import StoreOpenError
from midstream.events.sealing import Encryption

if TYPE_CHECKING:
    from midstream.engine.engine import Engine
    from midstream.engine.graphs.graph import Graph
    from midstream.engine.on_change import OnChange
    from midstream.events.redaction import Redaction
    from midstream.events.sqlite import SqliteStore


@asynccontextmanager
async def reading() -> AsyncGenerator[SqliteStore, None]:
    """Open the store to look at it; nothing is written, not even a sign of life.

    Raises:
        StoreOpenError: There is no store, or it is not one of ours.
    """
    from midstream.events.sqlite import SqliteStore

    must_exist()
    store = await SqliteStore.open(
        SETTINGS.get().db, read_only=True, encryption=Encryption.from_env()
    )
    try:
        yield store
    finally:
        await store.close()


@asynccontextmanager
async def engine(
    *,
    graphs: Sequence[Graph] = (),
    new: bool = False,
    lease: float = 15.0,
    on_change: OnChange = "pin",
) -> AsyncGenerator[Engine, None]:
    """Open the store with an engine that takes over nothing by itself.

    Args:
        graphs: The code it knows.
        new: Make the store where there is none.
        lease: Seconds after its last sign of life for which this process keeps its runs.
        on_change: What is done with runs whose code has changed; see `Engine`.

    Raises:
        StoreOpenError: There is no store, or it is not one of ours.
    """
    from midstream.engine.engine import Engine  # who only looks at a log has no use for it

    if not new:
        must_exist()
    config = configuration() if graphs else None  # who drives nothing asks nobody
    async with Engine.open(
        SETTINGS.get().db,
        graphs=graphs,
        recover=False,
        lease=lease,
        on_change=on_change,
        config=config,
        encryption=Encryption.from_env(),
        redact=_redaction(),
    ) as opened:
        yield opened


def _redaction() -> Redaction | None:
    if not os.environ.get("MIDSTREAM_REDACT"):
        return None
    from midstream.events.redaction import Redaction  # its patterns take a while to make

    return Redaction.from_env()


def configuration() -> str | None:
    """Return where groups, pools and endpoints are configured, or None where that is nowhere."""
    if SETTINGS.get().config:
        return SETTINGS.get().config
    here = (*(Path(name) for name in ("midstream.yaml", "midstream.yml")),)
    found = next((path for path in here if path.is_file()), None)
    if found is None and "[tool.midstream" in _project():
        return "pyproject.toml"
    return None if found is None else str(found)


def _project() -> str:
    path = Path("pyproject.toml")
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def must_exist() -> Path:
    """Return the store's file.

    Raises:
        StoreOpenError: There is no such file.
    """
    path = SETTINGS.get().db
    if not path.exists():
        raise StoreOpenError(
            str(path),
            "there is no such file",
            "name the store with --db FILE or MIDSTREAM_DB, or make one with `midstream demo`",
        )
    return path
