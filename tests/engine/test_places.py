"""Places: never more are taken than there are, and whoever waits gets all that are free."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from midstream.engine.driving.places import Places


@given(st.integers(1, 5), st.lists(st.tuples(st.integers(1, 9), st.integers(0, 3)), max_size=20))
async def test_never_more_are_taken_than_there_are(
    count: int, steps: list[tuple[int, int]]
) -> None:
    places, under_way = Places(count), 0

    async def leave(some: int) -> None:
        nonlocal under_way
        for _ in range(some):  # each in a turn of its own
            await asyncio.sleep(0)
            under_way -= 1
            places.leave(1)

    for wanted, ended in steps:
        ends = min(ended, under_way) or (under_way if under_way == count else 0)
        leaving = asyncio.create_task(leave(ends))
        taken = await places.take(wanted)
        under_way += taken
        assert 1 <= taken <= wanted
        assert 0 <= under_way <= count
        await leaving
    assert places.free == count - under_way


async def test_whoever_waits_gets_all_that_were_left_meanwhile() -> None:
    places = Places(3)
    assert await places.take(5) == 3
    waiting = asyncio.create_task(places.take(5))
    await asyncio.sleep(0)
    places.leave(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    places.leave(1)
    places.leave(1)
    assert await waiting == 2


async def test_a_wait_that_was_cancelled_takes_nothing() -> None:
    places = Places(1)
    await places.take(1)
    waiting = asyncio.create_task(places.take(1))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    places.leave(1)
    assert places.free == 1
    assert await places.take(1) == 1
