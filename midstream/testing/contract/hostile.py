"""What newer releases wrote, and what nobody expects."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import pytest

from midstream.errors import NotRecordableError, UnknownEventError
from midstream.events.envelope import Draft
from midstream.events.store import EventStore, Head
from midstream.events.verify import verify
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import (
    ODD,
    OTHER,
    RUN,
    created,
    events_of,
    note,
    notes_of,
    outcomes,
    scanned,
)


class Hostile(Promises):
    """What newer releases wrote, and what nobody expects."""

    async def test_events_of_a_newer_release_stay_readable(self, store: EventStore) -> None:
        newer = Draft(
            "dream.had", 7, 5, "engine", None, None, b'{"about":"sheep"}', (), {"about": "sheep"}
        )
        again = newer._replace(version=8)
        await store.append(RUN, [created(), newer, note()], expected=0)
        await store.append(RUN, [again], expected=3)
        event = (await events_of(store, RUN))[1]
        assert (event.type, event.version, event.data) == ("dream.had", 7, {"about": "sheep"})
        with pytest.raises(UnknownEventError):
            _ = event.payload
        found = await scanned(store, types=frozenset(("dream.had",)))
        assert [(one.type, one.version) for one in found] == [("dream.had", 7), ("dream.had", 8)]
        assert (await verify(store, RUN)).sound

    @pytest.mark.parametrize(
        "data",
        ODD,
        ids=["nul", "long nul", "odd", "sql", "empty", "integer"],
    )
    async def test_odd_data_comes_back_unchanged(self, store: EventStore, data: Any) -> None:
        await store.append(RUN, [created(), note(data)], expected=0)
        assert await notes_of(store, RUN) == [data]
        assert (await verify(store, RUN)).sound

    async def test_a_text_of_ten_million_characters_comes_back_unchanged(
        self, store: EventStore
    ) -> None:
        text = "0123456789" * 1_000_000
        await store.append(RUN, [created(), note([text])], expected=0)
        assert await notes_of(store, RUN) == [[text]]

    @pytest.mark.parametrize(
        "data",
        ["\ud800", {"\udfff": 1}, float("nan"), [float("inf")], 2**64],
        ids=["surrogate", "key", "nan", "inf", "integer"],
    )
    async def test_what_is_not_json_is_refused_before_it_is_recorded(
        self, store: EventStore, data: Any
    ) -> None:
        with pytest.raises(NotRecordableError):
            note(data)

    async def test_an_envelope_that_cannot_be_written_is_refused_alone_and_whole(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        await store.append(OTHER, [created()], expected=0)
        bad = note("bad")._replace(actor="\ud800")
        found = await outcomes(
            store.append(OTHER, [note("other")], expected=1),
            store.append(RUN, [note("good"), bad], expected=1),
        )
        assert [type(one) for one in found] == [Head, NotRecordableError]
        assert await notes_of(store, RUN) == []
        assert (await store.append(RUN, [note("good")], expected=1)).seq == 2
