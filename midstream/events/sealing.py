"""Sealed content: what is stored of an event when its run has a key, and opening it again.

Only content is sealed: the body of an event, its blobs, and snapshots. The envelope (type, time, actor, address) is not,
and the chain of digests goes over what is stored. So a log is verified, exported and copied without any key, and who
destroys a key has erased the content and nothing else.

A sealed body is still JSON: `{"$sealed": "BASE64", "of": RUN, "$blob": [DIGEST, …]}`. `of` is there where the content
belongs to another run than the one it stands in; the digests are those of the sealed blobs, in the order in which the
content refers to them.
"""

from __future__ import annotations

import os
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Protocol

import orjson

from midstream.errors import ConfigError, SealedError
from midstream.events.codec import MARK, SEALED, decode, references
from midstream.events.envelope import ERASED, Draft, Event
from midstream.events.sqlite_squeeze import SQUEEZED, squeezed, unsqueezed

KEY_BYTES = 32
"""Length of every key."""

BLOB = b"\x01sealed\n"
"""How a sealed blob or snapshot begins."""


class Cipher(Protocol):
    """Makes bytes unreadable without a key, and readable with it."""

    def seal(self, key: bytes, plain: bytes, about: bytes) -> bytes:
        """Return the bytes sealed; the same bytes may be sealed differently each time.

        Args:
            key: `KEY_BYTES` bytes.
            plain: What is sealed.
            about: What it belongs to; opening it for anything else fails.
        """
        ...

    def open(self, key: bytes, sealed: bytes, about: bytes) -> bytes:
        """Return what was sealed.

        Raises:
            ValueError: It was sealed with another key, for something else, or was changed.
        """
        ...


class SubjectKeys(Protocol):
    """Keeps the keys of subjects elsewhere than in the store's file: in a service of your own.

    Who destroys a key there has erased its subject's content in every copy of the file, backups included.
    """

    async def key(self, subject: str) -> bytes | None:
        """Return a subject's key, or None where there is none, or none any more."""
        ...

    async def make(self, subject: str) -> bytes:
        """Return a subject's key, and make it where there never was one.

        Raises:
            RunErasedError: It was destroyed; or whatever else keeps it from being made.
        """
        ...

    async def destroy(self, subject: str) -> None:
        """Destroy a subject's key for good; nothing happens where there is none."""
        ...


def _aes() -> Cipher:
    from midstream.events.aes import AesGcm  # a library of its own, only where it is used

    return AesGcm()


@dataclass(frozen=True, slots=True)
class Encryption:
    """How the content of a store is sealed.

    Each run has a key of its own, which stands in the file. With `keys`, it stands there sealed with the first of these, so
    that nobody reads the file without them; without, content can be erased and is otherwise open to whoever has the file.

    Attributes:
        keys: Keys by a name of your choice, `KEY_BYTES` bytes each; new keys of runs are sealed with the first, those that
            were sealed with the others stay readable.
        subjects: Who keeps the keys of subjects; None keeps them in the file as well.
        cipher: What seals; AES-256-GCM where none is given (extra `midstream[crypto]`).
    """

    keys: Mapping[str, bytes] = field(default_factory=dict[str, bytes], repr=False)
    subjects: SubjectKeys | None = None
    cipher: Cipher = field(default_factory=_aes, repr=False)

    def __post_init__(self) -> None:
        for name, key in self.keys.items():
            if not name or len(key) != KEY_BYTES:
                raise ConfigError(
                    f"key {name!r} has {len(key)} bytes; every key has a name and {KEY_BYTES} bytes, as of os.urandom({KEY_BYTES})"
                )

    @classmethod
    def from_env(cls, name: str = "MIDSTREAM_KEYS") -> Encryption | None:
        """Return what an environment variable says: `NAME:BASE64`, several with commas, the newest first; None where it is not set.

        Raises:
            ConfigError: It cannot be read; the message has no key in it.
        """
        text = os.environ.get(name, "").strip()
        if not text:
            return None
        keys: dict[str, bytes] = {}
        for place, part in enumerate(text.split(","), 1):
            key, colon, value = part.strip().partition(":")
            wrong = ConfigError(
                f"{name}: key number {place} is not NAME:BASE64 of {KEY_BYTES} bytes, as `openssl rand -base64 {KEY_BYTES}` makes it"
            )
            try:
                keys[key] = b64decode(value, validate=True)
            except ValueError as error:
                raise wrong from error
            if not (key and colon and len(keys[key]) == KEY_BYTES):
                raise wrong
        return cls(keys=keys)


class Sealer:
    """Seals and opens the content of one run.

    Args:
        cipher: What seals.
        key: The run's own key.
        subject: The key of its subject; empty without one. Content needs both.
    """

    def __init__(self, cipher: Cipher, key: bytes, subject: bytes = b"") -> None:
        self._cipher = cipher
        self._key = sha256(b"midstream content\0" + key + subject).digest()

    def draft(self, run_id: str, seq: int, draft: Draft, of: str = "") -> Draft:
        """Return a draft with its body and blobs sealed, as event number `seq` of a run."""
        blobs = {name: self.blob(body) for name, body in draft.blobs}
        names = [blobs[name][0] for name in dict.fromkeys(references(draft.body)) if name in blobs]
        plain = squeezed(draft.body)
        sealed = self._cipher.seal(self._key, plain, _about(run_id, seq, draft.type))
        body = SEALED + b64encode(sealed) + b'"'
        if of:
            body += b',"of":' + orjson.dumps(of)
        if names:
            body += b',"$blob":' + orjson.dumps(names)
        return draft._replace(body=body + b"}", blobs=tuple(blobs.values()))

    def blob(self, body: bytes) -> tuple[str, bytes]:
        """Return a blob sealed, and the digest of that."""
        sealed = BLOB + self._cipher.seal(self._key, squeezed(body), b"blob")
        return sha256(sealed).hexdigest(), sealed

    def open_blob(self, sealed: bytes) -> bytes:
        """Return what `blob` sealed.

        Raises:
            ValueError: This is not its key.
        """
        return _unsqueezed(self._cipher.open(self._key, sealed[len(BLOB) :], b"blob"))

    def event(self, event: Event, blobs: Mapping[str, bytes] | None) -> Event:
        """Return an event with its content opened; its `body` stays as it is stored.

        Args:
            event: As it is stored.
            blobs: The sealed blobs it refers to, by their digests; None leaves references, which are those of the content.

        Raises:
            SealedError: This is not its key.
            CorruptLogError: A blob is missing.
        """
        told: dict[str, Any] = orjson.loads(event.body)
        about = _about(event.run_id, event.seq, event.stored[0])
        try:
            plain = _unsqueezed(self._cipher.open(self._key, b64decode(told["$sealed"]), about))
            opened = None if blobs is None else self._blobs(plain, told.get("$blob", ()), blobs)
        except ValueError as error:
            raise SealedError(
                event.run_id, f"event {event.seq} was not sealed with its key, or was changed"
            ) from error
        made = decode((*event[:4], *event.stored, *event[6:10], plain, event.digest), opened)
        return made._replace(body=event.body)

    def _blobs(
        self, plain: bytes, stored: Sequence[str], blobs: Mapping[str, bytes]
    ) -> dict[str, bytes]:
        names = dict.fromkeys(references(plain)) if MARK in plain else {}
        pairs = zip(names, stored, strict=True)
        return {name: self.open_blob(blobs[kept]) for name, kept in pairs if kept in blobs}


def erased(event: Event) -> Event:
    """Return an event as it is read when its content is gone: its place and its envelope."""
    return event._replace(type=ERASED, version=0, data={})


def owner_of(event: Event) -> str:
    """Return the run whose key opens a sealed event."""
    told: dict[str, Any] = orjson.loads(event.body)
    return str(told.get("of", event.run_id))


def subject_id(subject: str) -> str:
    """Return what stands for a subject in lists and records: a digest, so that they need not be erased with it."""
    return sha256(b"midstream subject\0" + subject.encode()).hexdigest()[:32]


def _about(run_id: str, seq: int, type_: str) -> bytes:
    return orjson.dumps((run_id, seq, type_))


def _unsqueezed(kept: bytes) -> bytes:
    return unsqueezed(kept) if kept[:1] == bytes((SQUEEZED,)) else kept
