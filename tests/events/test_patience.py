"""Appending when the answer may be lost: nothing is recorded twice, and nothing is taken for one's own that is not."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from midstream.errors import ConcurrencyError, LeaseLostError, StoreError, StoreFullError
from midstream.events import Draft, Head, MemoryStore
from midstream.events.ids import RunId
from midstream.events.patience import TRIES, append_patiently
from midstream.testing.contract import notes_of
from tests.events.stores import RUN, created, note


class Forgetful(MemoryStore):
    """Commits, or not, and then fails to say which."""

    def __init__(self, *plan: str) -> None:
        super().__init__()
        self.plan = list(plan)
        self.tries = 0

    async def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Head:
        self.tries += 1
        step = self.plan.pop(0) if self.plan else "answers"
        if step == "full":
            raise StoreFullError("log.db")
        if step == "fails":
            raise StoreError("the connection broke")
        head = await super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        if step == "commits":
            raise StoreError("the connection broke")
        return head


@pytest.mark.parametrize(
    "plan",
    [
        ["commits"],
        ["fails"],
        ["fails", "commits"],
        ["fails", "fails", "fails", "commits"],
        [],
    ],
)
async def test_an_append_whose_answer_was_lost_is_recorded_once(plan: list[str]) -> None:
    store = Forgetful("answers", *plan)
    await store.append(RUN, [created()], expected=0, holder="me")
    head = await append_patiently(store, RUN, [note(1), note(2)], expected=1, epoch=1, pause=0)
    assert head == await store.head(RUN)
    assert await notes_of(store, RUN) == [1, 2]


async def test_a_new_run_whose_answer_was_lost_is_recognised() -> None:
    store = Forgetful("commits")
    head = await append_patiently(
        store, RUN, [created(), note(1)], expected=0, holder="me", pause=0
    )
    assert (head.seq, store.tries) == (2, 2)


async def test_what_others_have_appended_since_does_not_hide_it() -> None:
    store = Forgetful("answers", "fails")
    await store.append(RUN, [created(), note("mine"), note("theirs")], expected=0)
    head = await append_patiently(store, RUN, [note("mine")], expected=1, pause=0)
    assert head.seq == 2


async def test_events_of_somebody_else_are_not_taken_for_ones_own() -> None:
    store = MemoryStore()
    await store.append(RUN, [created(), note("theirs")], expected=0)
    with pytest.raises(ConcurrencyError):
        await append_patiently(store, RUN, [note("mine")], expected=1, pause=0)


async def test_half_of_ones_own_events_are_not_ones_own() -> None:
    store = MemoryStore()
    await store.append(RUN, [created(), note(1)], expected=0)
    with pytest.raises(ConcurrencyError):
        await append_patiently(store, RUN, [note(1), note(2)], expected=1, pause=0)


async def test_the_same_facts_of_another_epoch_are_not_ones_own() -> None:
    store = MemoryStore()
    await store.append(RUN, [created()], expected=0, holder="me")
    await store.append(RUN, [note(1)], expected=1)
    with pytest.raises(ConcurrencyError):
        await append_patiently(store, RUN, [note(1)], expected=1, epoch=1, pause=0)


async def test_a_refusal_that_is_certain_is_not_repeated() -> None:
    store = Forgetful("answers", "full")
    await store.append(RUN, [created()], expected=0)
    with pytest.raises(StoreFullError):
        await append_patiently(store, RUN, [note(1)], expected=1, pause=0)
    with pytest.raises(LeaseLostError):
        await append_patiently(store, RUN, [note(1)], expected=1, epoch=7, pause=0)
    assert store.tries == 3


async def test_patience_ends() -> None:
    store = Forgetful("answers", *["fails"] * TRIES)
    await store.append(RUN, [created()], expected=0)
    with pytest.raises(StoreError, match="broke"):
        await append_patiently(store, RUN, [note(1)], expected=1, pause=0)
    assert store.tries == 1 + TRIES
    assert await notes_of(store, RUN) == []
