"""Tasks that perform activations: few of them, and none that keeps another activation waiting."""

from __future__ import annotations

import asyncio
from contextvars import ContextVar

from hypothesis import given
from hypothesis import strategies as st

from midstream.engine.driving.workers import BREATH, Workers
from midstream.events.ids import Address

MARK: ContextVar[str] = ContextVar("mark", default="")


class Stage:
    """What is performed, and by whom."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []
        self.by: dict[str, asyncio.Task[None] | None] = {}
        self.marks: dict[str, str] = {}
        self.durable: dict[str, bool] = {}
        self.errors: list[BaseException] = []
        self.gate = asyncio.Event()
        self.workers = Workers(self.perform, self.errors.append)

    async def perform(self, address: Address, durable: bool) -> None:
        self.began.append(address)
        self.by[address] = asyncio.current_task()
        self.marks[address] = MARK.get()
        self.durable[address] = durable
        if address.startswith("wait"):
            await self.gate.wait()
        elif address.startswith("turn"):
            await asyncio.sleep(0)
        elif address.startswith("mark"):
            MARK.set(address)
        elif address.startswith("fail"):
            raise ValueError(address)
        elif address.startswith("more"):
            self.workers.put([Address(f"plain{address}")])
        self.ended.append(address)


def addresses(*names: str) -> list[Address]:
    return [Address(name) for name in names]


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_those_that_do_not_wait_are_performed_by_one_task_in_their_order() -> None:
    stage = Stage()
    names = addresses(*(f"plain{number}" for number in range(BREATH)))
    stage.workers.put(names, durable=True)
    await stage.workers.done()
    assert stage.ended == names
    assert len(set(stage.by.values())) == 1
    assert set(stage.durable.values()) == {True}


async def test_one_that_waits_keeps_nobody_behind_it_waiting() -> None:
    stage = Stage()
    waiting = addresses(*(f"wait{number}" for number in range(100)))
    stage.workers.put([*waiting, Address("plain")])
    await turns(20)
    assert stage.began == [*waiting, "plain"]
    assert stage.ended == ["plain"]
    stage.gate.set()
    await stage.workers.done()
    assert sorted(stage.ended) == sorted([*waiting, "plain"])


async def test_what_is_put_by_one_that_goes_on_to_wait_is_taken_by_another_task() -> None:
    stage = Stage()

    async def perform(address: Address, durable: bool) -> None:
        if address == "first":
            workers.put(addresses("second"))
            await stage.gate.wait()
        else:
            stage.gate.set()

    workers = Workers(perform, stage.errors.append)
    workers.put(addresses("first"))
    await workers.done()
    assert not stage.errors


async def test_others_have_the_loop_while_many_are_performed() -> None:
    stage = Stage()
    stage.workers.put(addresses(*(f"plain{number}" for number in range(20 * BREATH))))
    most = seen = 0
    while len(stage.ended) < 20 * BREATH:
        await asyncio.sleep(0)
        most, seen = max(most, len(stage.ended) - seen), len(stage.ended)
    assert most <= 8 * BREATH  # as many tasks as are begun before it is known that none waits
    await stage.workers.done()


async def test_what_one_leaves_in_its_context_is_not_for_the_next_one_to_find() -> None:
    stage = Stage()
    stage.workers.put(addresses("mark", "plain"))
    await stage.workers.done()
    assert stage.marks == {"mark": "", "plain": ""}
    assert stage.ended == ["mark", "plain"]


async def test_what_refuses_to_be_compared_may_be_left_in_a_context() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise ValueError("neither true nor false")

        __hash__ = object.__hash__

    stage = Stage()
    variable: ContextVar[object] = ContextVar("odd")
    variable.set(Odd())

    async def perform(address: Address, durable: bool) -> None:
        variable.set(Odd())
        stage.ended.append(address)

    workers = Workers(perform, stage.errors.append)
    workers.put(addresses("one", "two"))
    await workers.done()
    assert (stage.ended, stage.errors) == (["one", "two"], [])


async def test_everyone_finds_the_context_in_which_the_workers_were_made() -> None:
    MARK.set("outside")
    stage = Stage()
    MARK.set("later")
    stage.workers.put(addresses("plain"))
    await stage.workers.done()
    assert stage.marks == {"plain": "outside"}


async def test_one_that_is_cancelled_takes_nobody_with_it() -> None:
    stage = Stage()
    stage.workers.put(addresses("wait1", "wait2"))
    await turns(5)
    stage.workers.stop_at("wait1")
    stage.workers.stop_at("unheard of")
    stage.workers.put(addresses("plain"))
    await turns(5)
    stage.gate.set()
    await stage.workers.done()
    assert stage.ended == ["plain", "wait2"]


async def test_an_activation_may_begin_again_while_its_last_attempt_is_being_cancelled() -> None:
    ended: list[int] = []
    tidied = asyncio.Event()

    async def perform(address: Address, durable: bool) -> None:
        number = len(ended)
        ended.append(number)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if number == 0:
                await tidied.wait()
            raise

    errors: list[BaseException] = []
    workers = Workers(perform, errors.append)
    workers.put(addresses("one"))
    await turns(3)
    workers.stop_at("one")
    workers.put(addresses("one"))
    await turns(3)
    tidied.set()
    await turns(3)
    workers.stop_at("one")
    await asyncio.wait_for(workers.done(), 1)
    assert (ended, errors) == ([0, 1], [])


async def test_an_error_is_told_and_the_others_are_performed() -> None:
    stage = Stage()
    stage.workers.put(addresses("fail", "plain"))
    await stage.workers.done()
    assert [str(error) for error in stage.errors] == ["fail"]
    assert stage.ended == ["plain"]


async def test_after_a_stop_nothing_is_left_and_nothing_begins() -> None:
    stage = Stage()
    before = asyncio.all_tasks()
    stage.workers.put(addresses("wait1", "wait2"))
    await turns(3)
    stage.workers.put(addresses("never begun"))
    await stage.workers.stop()
    assert asyncio.all_tasks() == before
    stage.workers.put(addresses("too late"))
    await turns(3)
    assert stage.began == ["wait1", "wait2"]
    assert not stage.ended
    await asyncio.wait_for(stage.workers.done(), 1)


async def test_what_will_be_put_yet_is_waited_for() -> None:
    stage = Stage()
    stage.workers.expect()
    waiter = asyncio.ensure_future(stage.workers.done())
    await turns(3)
    assert not waiter.done()
    stage.workers.put(addresses("plain"), expected=True)
    await waiter
    assert stage.ended == ["plain"]


async def test_a_task_that_has_nothing_to_do_goes_on_with_what_was_expected() -> None:
    stage = Stage()
    before = asyncio.all_tasks()
    stage.workers.expect()
    stage.workers.put(addresses("plain"))
    await turns(3)
    (resting,) = asyncio.all_tasks() - before
    stage.workers.expect()
    stage.workers.put(addresses("turn"), expected=True)
    await turns(3)
    assert asyncio.all_tasks() - before == {resting}
    assert stage.ended == ["plain", "turn"]
    stage.workers.put((), expected=True)
    await asyncio.wait_for(stage.workers.done(), 1)
    assert asyncio.all_tasks() == before


async def test_a_task_that_waits_for_more_is_stopped_with_the_others() -> None:
    stage = Stage()
    before = asyncio.all_tasks()
    stage.workers.expect()
    stage.workers.put(addresses("plain"))
    await turns(3)
    assert len(asyncio.all_tasks() - before) == 1
    await stage.workers.stop()
    assert asyncio.all_tasks() == before
    stage.workers.put(addresses("too late"), expected=True)
    assert stage.began == ["plain"]


@given(
    batches=st.lists(
        st.tuples(
            st.lists(st.sampled_from(["plain", "turn", "mark", "more", "fail"]), max_size=90),
            st.integers(0, 3),
            st.booleans(),
        ),
        max_size=6,
    )
)
async def test_everything_is_performed_once(batches: list[tuple[list[str], int, bool]]) -> None:
    stage = Stage()
    wanted: list[str] = []
    for _, _, expected in batches:
        if expected:
            stage.workers.expect()
    for batch, pause, expected in batches:
        names = [f"{kind}{len(wanted) + place}" for place, kind in enumerate(batch)]
        wanted += names
        wanted += [f"plain{name}" for name in names if name.startswith("more")]
        stage.workers.put([Address(name) for name in names], expected=expected)
        await turns(pause)
    await asyncio.wait_for(stage.workers.done(), 10)
    assert sorted(stage.began) == sorted(wanted)
    assert len(stage.errors) == sum(name.startswith("fail") for name in wanted)
