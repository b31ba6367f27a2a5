"""How a call finds its record."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.engine.recording.claims import Claims, digest_of
from midstream.events.ids import Address
from midstream.projections.run_state import Call, RunState

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


def recorded(*calls: tuple[str, str]) -> RunState:
    state = RunState()
    for seq, (address, lane) in enumerate(calls, 1):
        state.calls[address] = Call(address, "tool", "open", lane, {}, None, seq, 0, 1)
        state.call_keys.setdefault(address.rpartition("#")[0], []).append(address)
    return state


@settings(deadline=None, max_examples=30)
@given(st.dictionaries(st.text(), JSON))
def test_a_digest_does_not_depend_on_the_order_of_keys(value: dict[str, Any]) -> None:
    assert digest_of(value) == digest_of(dict(reversed(value.items())))


def test_the_first_call_of_a_kind_is_number_one() -> None:
    claims = Claims(Address("n#1"))
    assert claims.claim(RunState(), "tool:t:00", "") == "n#1/tool:t:00#1"
    assert claims.claim(RunState(), "tool:t:01", "") == "n#1/tool:t:01#1"
    assert claims.claim(RunState(), "tool:t:00", "") == "n#1/tool:t:00#2"


def test_a_call_finds_the_record_that_its_own_branch_made() -> None:
    state = recorded(("n#1/tool:t:00#1", "2"), ("n#1/tool:t:00#2", "1"))
    claims = Claims(Address("n#1"))
    assert claims.claim(state, "tool:t:00", "1") == "n#1/tool:t:00#2"
    assert claims.claim(state, "tool:t:00", "2") == "n#1/tool:t:00#1"
    assert claims.claim(state, "tool:t:00", "1") == "n#1/tool:t:00#3"


def test_a_record_of_another_branch_is_better_than_a_call_made_twice() -> None:
    state = recorded(("n#1/tool:t:00#1", "7"))
    assert Claims(Address("n#1")).claim(state, "tool:t:00", "1") == "n#1/tool:t:00#1"


def test_a_place_in_a_branch_counts_by_branch() -> None:
    claims = Claims(Address("n#1"))
    found = [claims.next_in_lane("now", lane) for lane in ("", "1", "", "1")]
    assert found == ["n#1/now#1", "n#1/now@1#1", "n#1/now#2", "n#1/now@1#2"]


async def test_branches_are_numbered_in_the_order_in_which_they_start() -> None:
    claims = Claims(Address("n#1"))

    async def branch(naps: int) -> tuple[str, str, list[str]]:
        first = claims.lane()
        for _ in range(naps):
            await asyncio.sleep(0)
        inner = await asyncio.gather(*(leaf() for _ in range(2)))
        return first, claims.lane(), inner

    async def leaf() -> str:
        return claims.lane()

    async def activation() -> list[tuple[str, str, list[str]]]:
        claims.begin()
        assert claims.lane() == ""
        return await asyncio.gather(*(branch(naps) for naps in (3, 1, 2)))

    assert await asyncio.create_task(activation()) == [
        (name, name, [f"{name}.1", f"{name}.2"]) for name in ("1", "2", "3")
    ]
