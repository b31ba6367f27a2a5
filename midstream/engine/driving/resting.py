"""What all activations of a run wait for, where every one of them does: the run can be put aside until then."""

from __future__ import annotations

from midstream.engine.driving.attempts import Attempts
from midstream.engine.graphs.decide import open_children
from midstream.engine.models.model_calls import Models
from midstream.engine.nesting.nesting import Code
from midstream.engine.recording.parking import Moments
from midstream.projections.run_state import RunState


def moments(state: RunState, code: Code, attempts: Attempts, models: Models) -> Moments | None:
    """Return what all activations that are under way wait for, or None while one of them does something else.

    Args:
        state: The run as it stands.
        code: Of the run.
        attempts: Performs its activations.
        models: Has its calls.
    """
    if models.flights:
        return None
    paused = state.status == "paused"
    waiting = [state.activations[address].retry_at for address in state.waiting]
    found: list[float | None] = [None if paused else due for due in waiting]
    for address in state.running:
        awaited = _moments_of(address, code, attempts)
        if awaited is None:
            return None
        found += awaited
    seconds = state.limits.get("seconds")
    if seconds is not None:
        found.append(state.began / 1_000_000 + seconds)
    if not state.running and open_children(state):
        found.append(None)  # for the ends of runs that it has started
    return found if found or paused else None


def _moments_of(address: str, code: Code, attempts: Attempts) -> Moments | None:
    node = code.node(address)
    if node.over is not None and address[-1] != "]":
        # Its items are under way by themselves; what gives them one by one is not known to wait.
        return None if node.over.items is not None else ()
    limited = node.timeout or node.total_timeout or node.idle_timeout
    if node.graph is not None:
        return None if limited else ()  # what is inside it is under way by itself
    desk = attempts.desks.get(address)
    # A node's own time limit runs in this process.
    return None if desk is None or limited else desk.branches.moments()
