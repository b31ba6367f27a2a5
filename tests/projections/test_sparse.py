"""Fields that are made when somebody first looks at them."""

from __future__ import annotations

import copy
import gc

import pytest

from midstream.projections.run_state import RunState


def is_made(state: RunState, name: str) -> bool:
    try:
        object.__getattribute__(state, name)
    except AttributeError:
        return False
    return True


def test_a_field_that_nobody_has_looked_at_takes_no_room_and_keeps_what_is_put_into_it() -> None:
    state = RunState()
    assert not is_made(state, "calls")
    state.heads["plan#1"] = {"": "plan#1/llm:0#1"}
    assert state.heads == {"plan#1": {"": "plan#1/llm:0#1"}}
    assert not is_made(state, "calls")
    assert state.calls == {}
    assert state.calls is state.calls


def test_each_state_has_fields_of_its_own() -> None:
    one, other = RunState(), RunState()
    one.threads["main"] = "plan#1"
    one.said.clear()
    assert other.threads == {}
    assert one.said is not other.said


def test_to_look_at_a_field_does_not_make_a_state_another_one() -> None:
    looked_at, fresh = RunState(seq=3), RunState(seq=3)
    assert looked_at.cuts == {}
    assert looked_at == fresh
    assert copy.deepcopy(fresh) == looked_at
    fresh.undo.append("plan#1")
    assert looked_at != fresh


def test_a_name_that_is_no_field_is_refused_as_of_any_object() -> None:
    with pytest.raises(AttributeError, match=r"'RunState' object has no attribute 'colour'"):
        getattr(RunState(), "colour")  # noqa: B009  # a checker would see it, too
    assert not hasattr(RunState(), "topology_")


def test_a_state_of_nothing_has_few_objects_that_the_garbage_collector_looks_through() -> None:
    held = gc.get_referents(RunState())
    kinds: list[object] = [type(one) for one in held if gc.is_tracked(one)]
    assert kinds.count(list) + kinds.count(dict) <= 1  # its failures; an empty dict is not tracked
