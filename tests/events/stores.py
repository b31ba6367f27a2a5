"""What the tests of the SQLite store share: drafts, and looking at a file behind its back."""

from __future__ import annotations

import base64
import random
import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from midstream.events.codec import encode
from midstream.events.content import Message, Text
from midstream.events.envelope import Draft
from midstream.events.ids import Address, RunId
from midstream.events.payloads import ModelRequested, ModelResponded
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import created, note

RUN = RunId("r1")

__all__ = ["RUN", "behind", "created", "digest_of", "filled", "note", "text", "turn"]


def text(size: int, seed: int) -> str:
    """Return a text of random base64: what hardly any compression makes smaller."""
    return base64.b64encode(random.Random(seed).randbytes(size)).decode()[:size]


def turn(number: int, size: int = 1024) -> list[Draft]:
    """Return one turn of a conversation: a request and an answer, each with a text of this size."""
    asked = Message(role="user", parts=(Text(text=text(size, 2 * number)),))
    answer = Message(role="assistant", parts=(Text(text=text(size, 2 * number + 1)),))
    address = Address(f"chat#1/model#{number}")
    return [
        encode(ModelRequested(model="scripted:m", messages=(asked,)), at=number, address=address),
        encode(ModelResponded(message=answer), at=number, address=address),
    ]


async def filled(store: SqliteStore, events: int = 9, run: RunId = RUN) -> None:
    """Record a run with small, compressed and put-aside bodies."""
    await store.append(run, [created()], expected=0, holder="me")
    for seq in range(1, events):
        data = {0: seq, 1: text(900, seq), 2: text(6000, seq)}[seq % 3]
        draft = note(data)._replace(actor="user:a" if seq % 2 else "engine", cause=1)
        await store.append(run, [draft._replace(address=Address("a#1"))], expected=seq, epoch=1)


@contextmanager
def behind(path: Path) -> Generator[sqlite3.Connection]:
    """Open the file as an intruder would: without the triggers that protect it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for (name,) in list(
            connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        ):
            connection.execute(f"DROP TRIGGER {name}")
        yield connection


def digest_of(path: Path) -> Any:
    """Return what tells whether a file was changed: its content, and what stands beside it."""
    beside = sorted(p.name for p in path.parent.iterdir() if p.name.startswith(path.name))
    return (sha256(path.read_bytes()).hexdigest() if path.is_file() else None, beside)
