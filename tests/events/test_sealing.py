"""Sealed content: nothing of it stands in the file, the log is whole without keys, and what was erased is gone."""

from __future__ import annotations

import base64
import os
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import (
    ConfigError,
    CorruptLogError,
    RunErasedError,
    RunNotFoundError,
    RunRemovedError,
    SealedError,
    StoreError,
)
from midstream.events import verify
from midstream.events.aes import AesGcm
from midstream.events.codec import SEALED, encode
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines, import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.events.payloads import RunCreated
from midstream.events.sealing import Encryption, Sealer, subject_id
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_squeeze import expanded, squeezed
from midstream.events.store import Head, RunQuery, Snapshot
from midstream.events.system import KEEPING
from midstream.testing.contract import (
    created,
    created_end,
    events_of,
    forked,
    note,
    outcomes,
    scanned,
)
from tests.events.stores import RUN, behind, text
from tests.events.test_sqlite_keeping import raw, swept

OTHER, FORK = RunId("r2"), RunId("fork")
OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "the moon is made of cheese"


async def opened(path: Path, encryption: Encryption | None = None, **more: Any) -> SqliteStore:
    return await SqliteStore.open(path, encryption=encryption, **more)


def about(subject: str) -> Any:
    fact = RunCreated(graph="trip", definition={}, graph_digest="0", subject=subject)
    return encode(fact, at=1)


async def told(store: SqliteStore, run: RunId, *data: Any, subject: str = "") -> Head:
    """Make a run that has ended and said something, short, long and larger than a body."""
    said = [SECRET, SECRET + text(900, 1), SECRET + text(9000, 2), *data]
    drafts = [about(subject) if subject else created(), *map(note, said), created_end()]
    return await store.append(run, drafts, expected=0)


@given(st.binary(max_size=2000), st.binary(max_size=40), st.binary(min_size=32, max_size=32))
def test_what_is_sealed_is_opened_with_the_same_key_for_the_same_thing(
    plain: bytes, what: bytes, key: bytes
) -> None:
    cipher = AesGcm()
    sealed = cipher.seal(key, plain, what)
    assert cipher.open(key, sealed, what) == plain
    assert sealed == cipher.seal(key, plain, what)
    for wrong in (
        (bytes(32) if key != bytes(32) else b"1" * 32, sealed, what),
        (key, sealed, what + b"x"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), what),
        (key, sealed[:7], what),
    ):
        with pytest.raises(ValueError, match=r"this key|once"):
            cipher.open(*wrong)


@given(st.text(max_size=300), st.integers(1, 9), st.sampled_from(["", "other"]))
def test_a_sealed_body_is_kept_smaller_and_comes_back_byte_for_byte(
    said: str, seq: int, of: str
) -> None:
    body = Sealer(AesGcm(), OLD).draft("r", seq, note(said), of).body
    kept = squeezed(body)
    assert len(kept) < len(body)
    assert expanded(kept) == body


async def test_no_content_stands_in_the_file(tmp_path: Path) -> None:
    async with await opened(tmp_path / "log.db", Encryption(keys={"a": OLD})) as store:
        head = await told(store, RUN, subject="alice@example.com")
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, SECRET.encode()))
        kept = await store.load_snapshot(RUN, "state")
        assert kept is not None
        assert kept.body == SECRET.encode()
        events = await events_of(store, RUN)
        assert all(event.body.startswith(SEALED) for event in events)
        assert events[1].data["data"] == SECRET
        assert events[3].data["data"].startswith(SECRET)
        assert all(event.payload for event in events)
        everything = raw(tmp_path)
    for word in (SECRET, "alice", "definition"):
        assert word.encode() not in everything


async def test_without_the_key_a_log_is_verified_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path, Encryption(keys={"a": OLD})) as store:
        head = await told(store, RUN)
        await store.append(FORK, [forked(RUN, head), note(1)], expected=head.seq)
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, b"x"))
    for keys, found in (({}, "key 'a', which is not here"), ({"a": NEW}, "'a' is another one")):
        async with await opened(path, Encryption(keys=keys)) as store:
            for run in (RUN, FORK):
                assert (await verify(store, run)).sound
            for refused in (
                events_of(store, RUN),
                scanned(store),
                store.load_snapshot(RUN, "state"),
                store.append(RUN, [note()], expected=head.seq),
            ):
                with pytest.raises(SealedError, match=found):
                    await refused
            assert [info.run_id for info in await store.runs()] == [FORK, RUN]
    async with await opened(path, read_only=True) as store:
        with pytest.raises(SealedError, match="MIDSTREAM_KEYS"):
            await events_of(store, RUN)


async def test_runs_that_began_before_stay_open_and_all_is_one_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path) as store:
        await store.append(RUN, [created(), note("open")], expected=0)
    async with await opened(path, Encryption()) as store:
        await store.append(RUN, [note("still open")], expected=2)
        await told(store, OTHER)
        with pytest.raises(StoreError, match="recorded without encryption"):
            await store.erase([OTHER, RUN], at=1, actor="user")
    async with await opened(path) as store:  # the keys stand in the file: nothing else is needed
        assert [event.data.get("data") for event in await events_of(store, RUN)][1:] == [
            "open",
            "still open",
        ]
        await store.append(OTHER, [note("late")], expected=5)
        events = await events_of(store, OTHER)
        assert events[-1].data["data"] == "late"
        assert events[-1].body.startswith(SEALED)
        assert len(await scanned(store)) == 3 + 6


async def test_keys_are_rotated_without_touching_content(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path, Encryption(keys={"old": OLD})) as store:
        await told(store, RUN, subject="alice")
        before = raw(tmp_path)
    async with await opened(path, Encryption(keys={"new": NEW, "old": OLD})) as store:
        await told(store, OTHER)
        assert (await events_of(store, RUN))[1].data["data"] == SECRET
        assert await store.rotate() == 2
        assert await store.rotate() == 0
    async with await opened(path, Encryption(keys={"new": NEW})) as store:
        for run in (RUN, OTHER):
            assert (await events_of(store, run))[1].data["data"] == SECRET
            assert (await verify(store, run)).sound
    assert before != raw(tmp_path)


async def test_what_was_erased_is_gone_and_the_log_stays_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path, Encryption()) as store, await opened(path) as other:
        head = await told(store, RUN)
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, b"x"))
        await told(store, OTHER)
        assert len(await events_of(other, RUN)) == 5
        await other.append(RUN, [note("known by heart")], expected=5)
        anchor = await store.head(RUN)
        assert anchor is not None
        before = [event.digest for event in await events_of(store, RUN)]
        assert await store.erase([RUN], at=7, actor="user:ann", reason="asked for") == [RUN]
        for one in (store, other):
            events = await events_of(one, RUN)
            assert [event.digest for event in events][:-1] == before
            assert [event.type for event in events] == ["erased"] * 6 + ["run.erased"]
            assert [event.stored[0] for event in events][:2] == ["run.created", "note.added"]
            assert all(event.data == {} for event in events[:-1])
            assert (events[-1].actor, events[-1].at) == ("user:ann", 7)
            assert events[-1].data["reason"] == "asked for"
            assert await one.load_snapshot(RUN, "state") is None
            for _ in range(3):  # what was refused once is known by heart
                with pytest.raises(RunErasedError):
                    await one.append(RUN, [note()], expected=7)
            assert (await verify(one, RUN, anchor=anchor)).anchored
            assert (await events_of(one, OTHER))[1].data["data"] == SECRET
        with pytest.raises(RunErasedError):
            await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, b"x"))
        (info,) = await store.runs(RunQuery(prefix=RUN))
        assert (info.erased, info.tags, info.status) == (True, {}, "completed")
        assert await store.erase([RUN], at=9, actor="user") == [RUN]
        assert len(await events_of(store, RUN)) == 7
        await swept(store)


async def test_the_key_of_what_was_erased_stands_nowhere_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path, Encryption()) as store:
        await told(store, RUN)
        with closing(sqlite3.connect(path)) as connection:
            ((key,),) = connection.execute("SELECT kept FROM keys").fetchall()
        assert key in raw(tmp_path)
        await store.erase([RUN], at=7, actor="user")
        await swept(store)
        assert key not in raw(tmp_path)


async def test_a_fork_is_erased_with_the_run_that_it_begins_with(tmp_path: Path) -> None:
    async with await opened(tmp_path / "log.db", Encryption()) as store:
        head = await told(store, RUN, subject="alice")
        await store.append(FORK, [forked(RUN, head), note("own")], expected=head.seq)
        await told(store, OTHER)
        assert await store.erase([RUN], at=7, actor="user") == [RUN, FORK]
        found = {info.run_id: (info.status, info.erased) for info in await store.runs()}
        assert found == {
            RUN: ("completed", True),
            FORK: ("cancelled", True),
            OTHER: ("completed", False),
        }
        assert {event.type for event in await events_of(store, FORK)} == {"erased", "run.erased"}
        assert (await verify(store, FORK)).sound
        assert await store.erase([OTHER], at=7, actor="user") == [OTHER]


async def test_a_subject_is_erased_in_all_runs_and_in_those_forked_and_begun_by_them(
    tmp_path: Path,
) -> None:
    async with await opened(tmp_path / "log.db", Encryption()) as store:
        head = await told(store, RUN, subject="alice")
        await told(store, RunId("old"), subject="alice")
        await told(store, OTHER, subject="bob")
        await store.append(FORK, [forked(RUN, head)], expected=head.seq)
        fact = RunCreated(graph="t", definition={}, graph_digest="0", parent=RUN)
        await store.append(RunId("child"), [encode(fact, at=1)], expected=0)
        await store.remove([RunId("old")], at=2, actor="user")
        gone = await store.erase(subject="alice", at=7, actor="user", reason="asked")
        assert set(gone) == {RUN, FORK, "child", "old"}
        event = (await events_of(store, KEEPING))[-1]
        assert event.data == {"subject": subject_id("alice"), "runs": 4, "reason": "asked"}
        assert (await events_of(store, OTHER))[1].data["data"] == SECRET
        assert await store.erase(subject="nobody", at=8, actor="user") == []
        again = RunId("again")
        await told(store, again, subject="alice")  # they came back, with another key
        assert (await events_of(store, again))[1].data["data"] == SECRET
        with pytest.raises(RunNotFoundError):
            await store.erase([RunId("never")], at=8, actor="user")
        with pytest.raises(RunRemovedError):
            await store.erase([RunId("old")], at=8, actor="user")


class Kms:
    """A service that keeps the keys of subjects."""

    def __init__(self) -> None:
        self.keys: dict[str, bytes] = {}
        self.gone: set[str] = set()

    async def key(self, subject: str) -> bytes | None:
        return self.keys.get(subject)

    async def make(self, subject: str) -> bytes:
        if subject in self.gone:
            raise RunErasedError(subject)
        return self.keys.setdefault(subject, os.urandom(32))

    async def destroy(self, subject: str) -> None:
        self.keys.pop(subject, None)
        self.gone.add(subject)


async def test_a_key_that_is_kept_elsewhere_erases_backups_too(tmp_path: Path) -> None:
    path, backup, kms = tmp_path / "log.db", tmp_path / "backup.db", Kms()
    async with await opened(path, Encryption(subjects=kms)) as store:
        head = await told(store, RUN, subject="alice")
        await told(store, OTHER)
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(backup)) as copy:
            source.backup(copy)
    async with await opened(path, Encryption(subjects=kms)) as store:
        await store.append(RUN, [note("more")], expected=head.seq)  # nobody has read the run here
        await store.append(FORK, [forked(RUN, head)], expected=head.seq)
        assert (await events_of(store, RUN))[1].data["data"] == SECRET
        await store.erase(subject="alice", at=7, actor="user")
        assert (await events_of(store, RUN))[1].type == "erased"
        with pytest.raises(StoreError):
            await told(store, RunId("again"), subject="alice")
    async with await opened(backup, Encryption(subjects=kms)) as store:
        assert {event.type for event in await events_of(store, RUN)} == {"erased"}
        with pytest.raises(RunErasedError):
            await store.append(RUN, [note()], expected=head.seq)
        assert (await verify(store, RUN)).sound
        assert (await events_of(store, OTHER))[1].data["data"] == SECRET


async def test_a_service_of_keys_that_is_down_fails_only_what_needs_it(tmp_path: Path) -> None:
    class Down(Kms):
        async def make(self, subject: str) -> bytes:
            raise OSError("no route to it")

    async with await opened(tmp_path / "log.db", Encryption(subjects=Down())) as store:
        found = await outcomes(
            store.append(RUN, [about("alice")], expected=0),
            store.append(OTHER, [created()], expected=0),
        )
        assert [type(one) for one in found] == [SealedError, Head]
        assert "no route" in str(found[0])


async def test_content_of_another_run_is_erased_with_that_run(tmp_path: Path) -> None:
    async with await opened(tmp_path / "log.db", Encryption()) as store:
        await told(store, RUN)
        about_it = note("what it taught")._replace(of=RUN)
        await store.append(OTHER, [created(), about_it, note("own")], expected=0)
        await store.append(OTHER, [about_it], expected=3)
        events = await events_of(store, OTHER)
        assert [event.data.get("data") for event in events][1:] == [
            "what it taught",
            "own",
            "what it taught",
        ]
        await store.erase([RUN], at=7, actor="user")
        events = await events_of(store, OTHER)
        assert [event.type for event in events] == ["run.created", "erased", "note.added", "erased"]
        assert (await verify(store, OTHER)).sound
        with pytest.raises(RunErasedError):
            await store.append(OTHER, [about_it], expected=4)


async def test_a_changed_or_missing_piece_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await opened(path, Encryption()) as store:
        await told(store, RUN)
        await told(store, OTHER)
    with behind(path) as connection:
        ((body,),) = connection.execute("SELECT body FROM events WHERE run = 1 AND seq = 2")
        changed = body[:-1] + bytes([body[-1] ^ 1])
        connection.execute("UPDATE events SET body = ? WHERE run = 1 AND seq = 2", (changed,))
        connection.execute("DELETE FROM blobs WHERE id IN (SELECT blob FROM uses WHERE run = 2)")
    async with await opened(path) as store:
        assert (await verify(store, RUN)).seq == 2
        with pytest.raises(SealedError, match="event 2"):
            await events_of(store, RUN)
        assert (await verify(store, OTHER)).seq == 4
        with pytest.raises(CorruptLogError, match="missing"):
            await events_of(store, OTHER)


async def test_a_sealed_run_is_exported_as_it_is_or_opened(tmp_path: Path) -> None:
    async with await opened(tmp_path / "log.db", Encryption()) as store:
        head = await told(store, RUN)
        await store.append(FORK, [forked(RUN, head), note("own " + text(9000, 3))], expected=5)
        sealed = [line async for line in export_lines(store, [FORK])]
        plain = [line async for line in export_lines(store, [FORK], opened=True)]
        assert SECRET.encode() not in b"".join(sealed)
        found = read_lines(sealed)  # each digest is checked, without any key
        assert [(run.run_id, len(run.events)) for run in found] == [(RUN, 5), (FORK, 2)]
        with pytest.raises(ConfigError, match="--opened"):
            await import_runs(MemoryStore(), found, now=0.0)
        copy = MemoryStore()
        await import_runs(copy, read_lines(plain), now=0.0)
        for run in (RUN, FORK):
            assert (await verify(copy, run)).sound
            wanted = [event.data for event in await events_of(store, run)]
            got = [event.data for event in await events_of(copy, run)]
            for one in (wanted, got):
                for data in one:
                    if "digest" in data:  # of the parent, whose chain is another one
                        one[one.index(data)] = {**data, "digest": ""}
            assert got == wanted
        await store.erase([RUN], at=7, actor="user")
        with pytest.raises(RunErasedError):
            _ = [line async for line in export_lines(store, [FORK], opened=True)]
        assert read_lines([line async for line in export_lines(store, [FORK])])


async def test_watchers_hear_of_an_erasure(tmp_path: Path) -> None:
    async with await opened(tmp_path / "log.db", Encryption()) as store:
        await told(store, RUN)
        heard: list[tuple[RunId, int]] = []
        end = store.watch(lambda run, seq: heard.append((run, seq)))
        await store.erase([RUN], at=7, actor="user")
        end()
        assert heard == [(RUN, 6)]


def test_keys_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MIDSTREAM_KEYS", raising=False)
    assert Encryption.from_env() is None
    new, old = (base64.b64encode(key).decode() for key in (NEW, OLD))
    monkeypatch.setenv("MIDSTREAM_KEYS", f"2026:{new}, 2025:{old}")
    found = Encryption.from_env()
    assert found is not None
    assert list(found.keys.items()) == [("2026", NEW), ("2025", OLD)]
    assert new not in repr(found)
    for wrong in ("2026:short", new, f"a:{new[:20]}", "x:!!!"):
        monkeypatch.setenv("MIDSTREAM_KEYS", wrong)
        with pytest.raises(ConfigError) as refused:
            Encryption.from_env()
        assert new[:10] not in str(refused.value)


async def test_sealing_costs_what_it_costs_and_no_more_than_a_page_of_keys(tmp_path: Path) -> None:
    """A coarse bound, so that a key is never fetched for each event; the benchmark has the figure."""
    async with await opened(tmp_path / "log.db", Encryption(), synchronous="normal") as store:
        await store.append(RUN, [created(), *map(note, range(3000))], expected=0)
        began = time.process_time()
        assert len(await events_of(store, RUN)) == 3001
        assert time.process_time() - began < 2.0
