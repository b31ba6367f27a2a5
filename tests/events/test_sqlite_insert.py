"""However many rows are written together, and whatever they have in common, they come back as they were."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.events.envelope import ENGINE, Draft, as_event, as_events, chain, chain_each
from midstream.events.ids import Address
from midstream.events.memory import MemoryStore
from midstream.events.sqlite import SqliteStore
from midstream.events.store import EventStore
from midstream.events.verify import verify
from tests.events.stores import RUN, created, note


def draft(data: int | str, actor: str, cause: int | None, address: Address | None) -> Draft:
    return note(data)._replace(actor=actor, cause=cause, address=address)


DRAFTS = st.builds(
    draft,
    st.integers(0, 9) | st.text(max_size=5),
    st.sampled_from([ENGINE] * 3 + ["user:a", "policy:é\n"]),
    st.sampled_from([None] * 3 + [1]),
    st.sampled_from([None, Address("a#1"), Address("b#1[\x00'ä]")]),
)
SIZES = st.integers(1, 5) | st.integers(15, 18) | st.integers(255, 520)


async def kept(store: EventStore, appends: list[list[Draft]]) -> list[tuple[object, ...]]:
    """Record a run, and return what is read of it."""
    await store.append(RUN, [created()], expected=0, holder="me")
    seq = 1
    for drafts in appends:
        await store.append(RUN, drafts, expected=seq, epoch=1)
        seq += len(drafts)
    assert (await verify(store, RUN)).sound
    return [event[:2] + event[3:] for event in [event async for event in store.read(RUN)]]


@settings(max_examples=40)
@given(
    st.lists(st.tuples(SIZES, st.lists(DRAFTS, min_size=1, max_size=3), st.booleans()), max_size=4)
)
async def test_what_is_written_together_is_read_as_it_was(
    appends: list[tuple[int, list[Draft], bool]],
) -> None:
    made: list[list[Draft]] = []
    for size, several, alike in appends:
        drafts = [several[place % len(several)] for place in range(size)]
        made.append([one._replace(actor=ENGINE, cause=None) for one in drafts] if alike else drafts)
    with TemporaryDirectory() as folder:
        async with await SqliteStore.open(Path(folder) / "a.db", synchronous="normal") as store:
            found = await kept(store, made)
    assert found == await kept(MemoryStore(), made)


@given(st.lists(DRAFTS, max_size=5), st.none() | st.integers(1, 3))
def test_digests_in_one_go_are_those_of_one_after_the_other(
    drafts: list[Draft], epoch: int | None
) -> None:
    before, one_by_one = b"\0" * 32, list[bytes]()
    for seq, draft in enumerate(drafts, 7):
        before = chain(before, seq, draft, epoch)
        one_by_one.append(before)
    assert chain_each(b"\0" * 32, 7, drafts, epoch) == one_by_one


@given(st.lists(DRAFTS, max_size=5), st.none() | st.integers(1, 3))
def test_events_in_one_go_are_those_of_one_after_the_other(
    drafts: list[Draft], epoch: int | None
) -> None:
    one_by_one = [as_event(draft, RUN, seq, epoch) for seq, draft in enumerate(drafts, 7)]
    assert as_events(drafts, RUN, 7, epoch) == one_by_one
