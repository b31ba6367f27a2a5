"""The keys of runs and subjects in an SQLite file, and what they seal and open.

A run that was begun with encryption has a key of its own in the table `keys`, sealed with the newest of the given keys where
there is one. It is asked for again with each page, so that what another process has erased is not opened any more.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import aiosqlite

from midstream.errors import MidstreamError, SealedError
from midstream.events.sealing import KEY_BYTES, Encryption, Sealer
from midstream.events.sqlite_job import T, in_one_hop
from midstream.events.sqlite_rows import filled

_KEYS = "SELECT name, kept, master FROM keys WHERE name IN ({})"
_RUNS = "SELECT uid, subject FROM runs WHERE uid IN ({})"
_PUT = "INSERT OR REPLACE INTO beside (what, name, value, extra) VALUES ('key', ?, ?, ?)"
DESTROY = "DELETE FROM beside WHERE what = 'key' AND name = ?"
"""Destroys a key, by its name."""


@dataclass(slots=True)
class Keys:
    """The keys of one open store.

    Attributes:
        given: How the store is sealed; None where new runs are not.
    """

    given: Encryption | None
    _opened: Encryption | None = None
    _subjects: dict[str, bytes | None] = field(default_factory=dict[str, bytes | None])

    @property
    def _encryption(self) -> Encryption:
        """How sealed content is opened: keys that stand open in the file need nothing else."""
        if self._opened is None:
            self._opened = self.given or Encryption()
        return self._opened

    async def prepare(
        self, connection: aiosqlite.Connection, runs: Collection[str], new: Iterable[str] = ()
    ) -> None:
        """Fetch the keys of subjects that are kept elsewhere; nothing is locked meanwhile.

        Args:
            connection: The file.
            runs: The runs whose keys will be wanted.
            new: The subjects of runs that are about to begin.
        """
        keeper = None if self.given is None else self.given.subjects
        if keeper is None:
            return
        for subject in new:
            if self._subjects.get(subject) is None:
                self._subjects[subject] = await _fetched(keeper.make(subject))
        found = await in_one_hop(connection, lambda there: _subjects_of(there, runs))
        for subject in set(found.values()) - self._subjects.keys():
            self._subjects[subject] = await _fetched(keeper.key(subject))

    def forget(self, subject: str) -> None:
        """Forget the key of a subject, which was destroyed."""
        self._subjects[subject] = None

    def new(self, connection: sqlite3.Connection, run_id: str, subject: str | None) -> Sealer:
        """Make the key of a run that begins, in the transaction that is open."""
        encryption = self._encryption
        key = self._made(connection, f"run:{run_id}")
        if subject is None:
            return Sealer(encryption.cipher, key)
        if encryption.subjects is not None:
            return Sealer(encryption.cipher, key, self._subjects[subject] or b"")
        name = f"subject:{subject}"
        kept = self._read(connection, (name,)).get(name) or self._made(connection, name)
        return Sealer(encryption.cipher, key, kept)

    def sealers(
        self, connection: sqlite3.Connection, runs: Sequence[str]
    ) -> dict[str, Sealer | None]:
        """Return what seals and opens the content of runs; None where their keys were destroyed.

        Raises:
            SealedError: A key is sealed with one that is not here.
        """
        subjects = _subjects_of(connection, runs)
        names = [f"run:{run_id}" for run_id in runs]
        elsewhere = self.given is not None and self.given.subjects is not None
        if not elsewhere:
            names += [f"subject:{subject}" for subject in set(subjects.values())]
        keys = self._read(connection, names)
        found: dict[str, Sealer | None] = {}
        for run_id in runs:
            own, subject = keys.get(f"run:{run_id}"), subjects.get(run_id)
            second: bytes | None = b""
            if subject is not None:
                second = (
                    self._subjects.get(subject) if elsewhere else keys.get(f"subject:{subject}")
                )
            there = own is not None and second is not None
            found[run_id] = Sealer(self._encryption.cipher, own, second) if there else None  # type: ignore[arg-type]  # `there` says so
        return found

    def rotate(self, connection: sqlite3.Connection) -> int:
        """Seal the keys that are not sealed with the newest given key with that, and return how many those were."""
        newest = self._newest
        rows = connection.execute("SELECT name FROM keys WHERE master <> ?", (newest,)).fetchall()
        for (name,) in rows:
            key = self._read(connection, (name,))[name]
            connection.execute(_PUT, (name, *self._wrapped(name, key)))
        return len(rows)

    @property
    def _newest(self) -> str:
        return next(iter(self._encryption.keys), "")

    def _made(self, connection: sqlite3.Connection, name: str) -> bytes:
        key = os.urandom(KEY_BYTES)
        connection.execute(_PUT, (name, *self._wrapped(name, key)))
        return key

    def _wrapped(self, name: str, key: bytes) -> tuple[bytes, str]:
        master = self._newest
        if not master:
            return key, ""
        encryption = self._encryption
        return encryption.cipher.seal(encryption.keys[master], key, name.encode()), master

    def _read(self, connection: sqlite3.Connection, names: Sequence[str]) -> dict[str, bytes]:
        rows = connection.execute(_KEYS.format(_marks(names)), _padded(names)).fetchall()
        return {name: self._unwrapped(name, kept, master) for name, kept, master in rows}

    def _unwrapped(self, name: str, kept: bytes, master: str) -> bytes:
        if not master:
            return kept
        kind, _, of = name.partition(":")
        whose = "its key" if kind == "run" else "the key of a subject"
        key = self._encryption.keys.get(master)
        if key is None:
            raise SealedError(of, f"{whose} is sealed with key {master!r}, which is not here")
        try:
            return self._encryption.cipher.open(key, kept, name.encode())
        except ValueError as error:
            raise SealedError(
                of, f"key {master!r} is another one than {whose} is sealed with"
            ) from error


async def _fetched(key: Awaitable[T]) -> T:
    try:
        return await key
    except MidstreamError:
        raise
    except (
        Exception
    ) as error:  # a user's service; whatever it says, the run cannot be read or written without it
        found = f"the key of its subject could not be fetched ({error!r})"
        raise SealedError("", found) from error


def _subjects_of(connection: sqlite3.Connection, runs: Collection[str]) -> Mapping[str, str]:
    rows = connection.execute(_RUNS.format(_marks(runs)), _padded(runs)).fetchall()
    return {uid: subject for uid, subject in rows if subject is not None}


def _marks(values: Collection[str]) -> str:
    return ", ".join("?" * filled(len(values)))


def _padded(values: Collection[str]) -> tuple[str | None, ...]:
    return (*values, *[None] * (filled(len(values)) - len(values)))
