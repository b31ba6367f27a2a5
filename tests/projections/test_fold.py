"""Folding: laws that hold for every projection."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Event
from midstream.errors import UnknownEventError
from midstream.projections import USAGE, fold, fold_async, fold_run
from tests.projections.logs import alien, newer, recorded

cuts = st.tuples(st.booleans(), st.integers(0, 60))


@settings(deadline=None)
@given(cuts)
def test_folding_usage_in_two_parts_is_folding_at_once(cut: tuple[bool, int]) -> None:
    log = recorded(cut[0])
    assert fold(USAGE, log[cut[1] :], fold(USAGE, log[: cut[1]])) == fold(USAGE, log)


@settings(deadline=None)
@given(cuts)
def test_folding_a_run_in_two_parts_is_folding_at_once(cut: tuple[bool, int]) -> None:
    log = recorded(cut[0])
    assert fold_run(log[cut[1] :], fold_run(log[: cut[1]])) == fold_run(log)


async def test_folding_as_events_come_is_folding_at_once() -> None:
    async def coming() -> AsyncIterator[Event]:
        for event in recorded():
            yield event

    assert await fold_async(USAGE, coming()) == fold(USAGE, recorded())


@settings(deadline=None)
@given(st.integers(0, 30))
def test_an_event_of_an_unknown_type_is_passed_over(place: int) -> None:
    log = recorded()
    strange = (*log[:place], alien(log[place]), *log[place:])
    assert fold(USAGE, strange) == fold(USAGE, log)
    state = fold_run((*log, alien(log[-1])._replace(seq=len(log) + 1)))
    assert state.seq == len(log) + 1
    assert state.status == "completed"


def test_a_newer_version_of_an_event_that_matters_is_refused() -> None:
    log = recorded()
    answered = next(n for n, event in enumerate(log) if event.type == "model.responded")
    changed = (*log[:answered], newer(log[answered]), *log[answered + 1 :])
    for folding in (lambda: fold(USAGE, changed), lambda: fold_run(changed)):
        with pytest.raises(UnknownEventError, match=r"'model\.responded' version 2"):
            folding()


def test_a_newer_version_of_an_event_that_does_not_matter_is_passed_over() -> None:
    log = recorded()
    changed = (newer(log[0]), *log[1:])
    assert fold(USAGE, changed) == fold(USAGE, log)
