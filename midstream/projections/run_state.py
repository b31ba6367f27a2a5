"""Where a run stands: the state the engine decides from, folded from the run's events alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from midstream.errors import RunErasedError, UnknownEventError
from midstream.events.envelope import ERASED, Event
from midstream.events.ids import Address, activation, nested
from midstream.events.pause import no_collecting
from midstream.events.payloads import VERSIONS
from midstream.projections.flow import Flow
from midstream.projections.fold import Handler
from midstream.projections.of_calls import OF_CALLS
from midstream.projections.of_nodes import OF_NODES
from midstream.projections.of_runs import OF_RUNS
from midstream.projections.records import Call, CallStatus, Cut, Said, Switch
from midstream.projections.standing import RunState

__all__ = [
    "Call",
    "CallStatus",
    "Cut",
    "RunState",
    "Said",
    "Switch",
    "apply",
    "fold_run",
    "next_address",
]

_HANDLERS: Mapping[str, Handler[RunState]] = {**OF_RUNS, **OF_NODES, **OF_CALLS}


def apply(state: RunState, event: Event) -> None:
    """Fold one event into the state, also one that it does not care about: `state.seq` counts them all.

    Raises:
        UnknownEventError: The event matters and is of a newer version than this release knows.
        RunErasedError: Its content was erased.
    """
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        if event.version != VERSIONS[event.type]:
            raise UnknownEventError(event.type, event.version, VERSIONS[event.type])
        handler(state, event)
    elif event.type == ERASED:
        raise RunErasedError(event.run_id)
    state.seq = event.seq


def fold_run(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Return the state after the events of one run; a given state is changed and goes on from where it is."""
    state = RunState() if state is None else state
    handlers, versions = _HANDLERS, VERSIONS
    with no_collecting():
        for event in events:
            type_ = event.type
            # As `apply` does it, without a call for each event.
            if type_ in handlers and event.version == versions[type_]:
                handlers[type_](state, event)
                state.seq = event.seq
            else:
                apply(state, event)
    return state


def next_address(here: Flow, node: str, further: int = 0) -> Address:
    """Return the address that the next activation of a node of a flow will have, or one further on."""
    latest = here.latest.get(node)
    number = 1 if latest is None else int(latest.address.rpartition("#")[2]) + 1
    return activation(nested(here.scope, node), number + further)
