"""Writing: what is recorded is folded at once, appended in order, and survives what others append."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

import pytest

from midstream import Graph
from midstream.engine.recording.recorder import Recorder
from midstream.errors import LeaseLostError, NotRecordableError, StoreError
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import Address, RunId
from midstream.events.memory import MemoryStore
from midstream.events.payloads import (
    NodeCompleted,
    NodeScheduled,
    NoteAdded,
    RunCreated,
    RunPaused,
    ValueRecorded,
)
from midstream.events.store import EventStore, Head
from midstream.projections.run_state import RunState, fold_run
from tests.conftest import MakeStore
from tests.engine.stage import RoundaboutStore, TellingStore, turns, until

R = RunId("r")


async def recording(store: EventStore) -> tuple[Recorder, list[int]]:
    """Begin a run of one node, and return who records it and a list that grows when others' events were folded."""
    graph = Graph("g")
    graph.add_node("n", lambda: 1)
    created = RunCreated(graph="g", definition=graph.definition, graph_digest=graph.digest)
    draft = encode(created, at=0)
    while await store.head(R) is None:
        try:
            await store.append(R, [draft], expected=0, epoch=1, holder="me")
        except StoreError:  # a store of the mode that loses answers
            continue
    state = await folded(store)
    changes: list[int] = []
    recorder = Recorder(
        store,
        R,
        state,
        epoch=1,
        clock=lambda: 1.0,
        changed=lambda: changes.append(recorder.state.seq),
    )
    store.watch(lambda _, seq: recorder.noticed(seq))
    return recorder, changes


async def folded(store: EventStore) -> RunState:
    return fold_run([event async for event in store.read(R)])


async def outside(store: EventStore, id_: str) -> None:
    """Append as somebody who is not the driver."""
    head = await store.head(R)
    assert head is not None
    await store.append(R, [encode(NoteAdded(id=id_, data=1), at=0)], expected=head.seq)


async def test_what_is_recorded_is_folded_before_it_is_durable(make_store: MakeStore) -> None:
    recorder, _ = await recording(make_store())
    recorder.add(NodeScheduled(), "n#1")
    assert "n#1" in recorder.state.running
    await recorder.durable()


async def test_what_is_recorded_in_one_go_is_one_append() -> None:
    store = TellingStore(MemoryStore())
    recorder, _ = await recording(store)
    recorder.add(NodeScheduled(), "n#1")
    recorder.add(ValueRecorded(value=1), "n#1/now#1")
    await recorder.durable()
    assert store.appends[1:] == [("node.scheduled", "value.recorded")]


async def test_many_facts_of_a_type_are_folded_and_appended_together(make_store: MakeStore) -> None:
    inner = make_store()
    store = TellingStore(inner)
    recorder, _ = await recording(store)
    recorder.add(NodeScheduled(), "n#1")
    items = [Address(f"n#1[{place}]") for place in range(600)]
    recorder.add_each(
        "node.scheduled", [(one, {"index": place}) for place, one in enumerate(items)]
    )
    assert list(recorder.state.running) == ["n#1", *items]
    recorder.add_each("node.completed", [(one, {"output": 1}) for one in items[:2]])
    recorder.add_each("node.completed", [])
    await recorder.durable()
    await recorder.settle()
    assert recorder.state == await folded(inner)
    if isinstance(inner, MemoryStore):  # others are asked again where an answer was lost
        assert [len(append) for append in store.appends[1:]] == [603]


async def test_what_somebody_else_appends_is_folded_in_its_place(make_store: MakeStore) -> None:
    store = make_store()
    recorder, changes = await recording(store)
    recorder.add(NodeScheduled(), "n#1")
    inner: EventStore = getattr(store, "inner", store)
    await outside(inner, "first")  # before what was added has been sent
    recorder.add(NodeCompleted(output=1), "n#1")
    await recorder.durable()
    await recorder.settle()
    assert recorder.state == await folded(store)
    assert recorder.state.notes == {"first"}
    assert changes


async def test_what_is_appended_while_the_log_is_read_is_heard_of() -> None:
    inner = MemoryStore()
    recorder, changes = await recording(RoundaboutStore(inner))
    await outside(inner, "first")
    await asyncio.sleep(0)
    await asyncio.sleep(0)  # the log is being read now
    await outside(inner, "second")
    await until(lambda: len(changes) > 0)
    await turns(50)
    assert recorder.state.notes == {"first", "second"}


async def test_a_driver_whose_lease_is_gone_can_write_no_more(make_store: MakeStore) -> None:
    store = make_store()
    recorder, _ = await recording(store)
    await store.acquire(R, "other", now=10.0)
    recorder.add(NodeScheduled(), "n#1")
    with pytest.raises(LeaseLostError):
        await recorder.durable()
    with pytest.raises(LeaseLostError):
        recorder.add(RunPaused(id="1"))
    assert (await folded(store)).seq == 1


async def test_a_value_that_is_not_json_is_refused_and_nothing_is_recorded(
    make_store: MakeStore,
) -> None:
    store = make_store()
    recorder, _ = await recording(store)
    with pytest.raises(NotRecordableError):
        recorder.add(ValueRecorded(value="\ud800"), "n#1/now#1")
    await recorder.durable()
    assert recorder.state.seq == 1
    assert (await folded(store)).seq == 1


class LateStore(MemoryStore):
    """Answers the second append of a driver before the first, whose answer is lost."""

    late: asyncio.Future[Head] | None = None

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        sent = super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        if expected == 1 and self.late is None:
            self.late = asyncio.get_running_loop().create_future()
            return self.late
        return sent

    def lose(self) -> None:
        """Say that nobody knows what became of the first one."""
        assert self.late is not None
        self.late.set_exception(StoreError("the connection broke after the commit"))


async def test_an_answer_that_comes_before_an_earlier_one_has_the_log_read_again() -> None:
    raised: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: raised.append(told))
    store = LateStore()
    recorder, _ = await recording(store)
    for id in "ab":
        recorder.add(NoteAdded(id=id, data=None))
        recorder.flush()
    told: list[BaseException | None] = []
    recorder.when_durable(told.append)
    await turns()
    assert told == []  # nobody knows yet
    store.lose()
    await recorder.settle()
    assert (told, raised) == ([None], [])
    assert [event.data.get("id") async for event in store.read(R, after=1)] == ["a", "b"]


async def test_a_thousand_events_arrive_in_order_whatever_gets_lost(make_store: MakeStore) -> None:
    store = make_store()
    recorder, _ = await recording(store)
    for n in range(1000):
        recorder.add(ValueRecorded(value=n), f"n#1/now#{n}")
        if n % 7 == 0:
            await asyncio.sleep(0)
        if n % 100 == 0:
            await recorder.durable()
    await recorder.durable()
    values = [event.data["value"] async for event in store.read(R, after=1)]
    assert values == list(range(1000))
    await recorder.settle()
    assert recorder.state == await folded(store)
