"""Deciding: from where a run stands to what is to be done."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from midstream import Graph
from midstream.engine.graphs.decide import Cancel, Complete, Fail, Schedule, decide
from midstream.events.codec import decode, encode
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    Fact,
    NodeCompleted,
    NodeFailed,
    NodeScheduled,
    NodeStarted,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunContinued,
    RunCreated,
    RunPaused,
)
from midstream.projections.run_state import RunState, fold_run


def diamond() -> Graph:
    graph = Graph("diamond")
    graph.add_node("top", lambda: 1)
    graph.add_node("left", lambda top: top)
    graph.add_node("right", lambda top: top)
    graph.add_node("bottom", lambda left, right: (left, right))
    return graph


def after(graph: Graph, *facts: tuple[Fact, str | None]) -> RunState:
    """Return the state after these facts, the second of each its address."""
    begun = RunCreated(graph="g", definition=graph.definition, graph_digest=graph.digest)
    state = RunState()
    for seq, (payload, address) in enumerate(((begun, None), *facts), 1):
        draft = encode(payload, at=0, address=None if address is None else Address(address))
        kind: Any = (draft.type, draft.version, draft.actor, draft.cause, draft.address)
        fold_run([decode((RunId("r"), seq, seq, 0, *kind, 1, draft.body, b""))], state)
    return state


def done(*nodes: str) -> list[tuple[Fact, str | None]]:
    facts: list[tuple[Fact, str | None]] = []
    for node in nodes:
        facts.append((NodeScheduled(), f"{node}#1"))
        facts.append((NodeCompleted(output=node), f"{node}#1"))
    return facts


def test_nodes_that_need_nothing_are_scheduled_first() -> None:
    assert decide(after(diamond())) == (Schedule("top", Address("top#1"), {}),)


def test_everything_that_became_ready_is_scheduled_at_once() -> None:
    assert decide(after(diamond(), *done("top"))) == (
        Schedule("left", Address("left#1"), {"top": "top#1"}),
        Schedule("right", Address("right#1"), {"top": "top#1"}),
    )


def test_a_join_waits_for_all_it_needs() -> None:
    started = (NodeScheduled(), "right#1")
    assert decide(after(diamond(), *done("top", "left"), started)) == ()
    assert decide(after(diamond(), *done("top", "left", "right"))) == (
        Schedule("bottom", Address("bottom#1"), {"left": "left#1", "right": "right#1"}),
    )


def test_a_run_completes_with_the_output_of_its_last_node() -> None:
    everything = done("top", "left", "right", "bottom")
    assert decide(after(diamond(), *everything)) == (Complete("bottom"),)


def test_a_failure_lets_siblings_settle_and_starts_nothing_new() -> None:
    failed = (NodeFailed(kind="k", message="m"), "left#1")
    running = [*done("top"), (NodeScheduled(), "left#1"), (NodeScheduled(), "right#1"), failed]
    assert decide(after(diamond(), *running)) == ()
    command = decide(after(diamond(), *running, (NodeCompleted(output=1), "right#1")))
    assert isinstance(command[0], Fail)
    assert [(one.address, one.kind) for one in command[0].failures] == [("left#1", "k")]


def test_a_retry_that_is_due_later_is_waited_for() -> None:
    waiting = (NodeFailed(kind="k", retry_at=9.0), "top#1")
    facts = [(NodeScheduled(), "top#1"), waiting]
    assert decide(after(diamond(), *facts)) == ()
    assert decide(after(diamond(), *facts, (NodeStarted(attempt=2), "top#1"))) == ()


def test_a_paused_run_starts_nothing_and_goes_on_when_it_is_continued() -> None:
    paused = (RunPaused(id="1"), None)
    assert decide(after(diamond(), *done("top"), paused)) == ()
    assert len(decide(after(diamond(), *done("top"), paused, (RunContinued(id="2"), None)))) == 2


def test_a_cancellation_comes_before_everything_else() -> None:
    facts = (
        *done("top"),
        (RunPaused(id="1"), None),
        (RunCancelRequested(id="2", reason="x"), None),
    )
    assert decide(after(diamond(), *facts)) == (Cancel(5, "x"),)


@pytest.mark.parametrize("ending", [RunCompleted(output=1), RunCancelled()])
def test_a_run_that_has_ended_asks_for_nothing(ending: Fact) -> None:
    assert decide(after(diamond(), (ending, None), (RunCancelRequested(id="1"), None))) == ()


def test_deciding_changes_nothing_and_says_the_same_again() -> None:
    state = after(diamond(), *done("top"))
    before = deepcopy(state)
    assert decide(state) == decide(state)
    assert state == before
