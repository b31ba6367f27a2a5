"""Where a run stands, in a few neutral lines, for a model that takes over: what it is about, done, decided and open."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from midstream.projections.flow import Activation
from midstream.projections.run_state import RunState

_LONGEST = 300
"""Characters of one output or input."""
_MOST = 20
"""Entries of one list; the newest ones."""


def brief(state: RunState, target: str) -> str:
    """Return the brief; a pure function of the run, so that it is the same whenever it is made.

    Args:
        state: The run.
        target: `provider:model` that takes over.
    """
    sections = (
        ("The work", [f"{name}: {_shown(value)}" for name, value in state.inputs.items()]),
        ("Done", list(_done(state))),
        ("Decided", list(_decided(state))),
        ("Open", list(_open(state))),
    )
    head = (
        f"Note of the operator, not of the user: from here on {target} goes on with this work, graph {state.graph!r}. "
        "The conversation above is yours. Go on where it stands; do not do again what is done."
    )
    return "\n\n".join(
        [head, *(f"{title}:\n{_listed(lines)}" for title, lines in sections if lines)]
    )


def _done(state: RunState) -> Iterator[str]:
    for made in state.activations.values():
        if made.status == "completed":
            yield f"{made.address}: {_shown(made.output)}"


def _decided(state: RunState) -> Iterator[str]:
    for made in state.activations.values():
        if made.status == "skipped":
            yield f"{made.address} is skipped"
        elif made.status == "failed":
            yield f"{made.address} failed and is not tried again"
    for switch in state.switches:
        scope = "the run" if switch.scope == "run" else switch.scope
        yield f"{scope} went on with {switch.target} (event {switch.seq})"


def _open(state: RunState) -> Iterator[str]:
    for address in (*state.running, *state.waiting):
        yield f"{address}: {_progress(state, state.activations[address])}"
    started = {made.node for made in state.activations.values() if not made.scope}
    for node in state.topology.nodes:
        if node not in started:
            yield f"{node}: not begun"


def _progress(state: RunState, made: Activation) -> str:
    calls = [call for call in state.calls.values() if call.address.startswith(f"{made.address}/")]
    tools = [call for call in calls if call.kind == "tool"]
    ended = sum(call.status in ("completed", "failed") for call in tools)
    under_way = [call.request.get("name", "") for call in tools if call.address in state.open_calls]
    said = f"attempt {made.attempt} is under way"
    if tools:
        said += f", {ended} of {len(tools)} calls of tools have ended"
    return f"{said}; open: {', '.join(under_way)}" if under_way else said


def _listed(lines: Iterable[str]) -> str:
    found = list(lines)
    left = len(found) - _MOST
    more = [f"- ({left} earlier ones)"] if left > 0 else []
    return "\n".join([*more, *(f"- {line}" for line in found[-_MOST:])])


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    flat = " ".join(text.split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}…"
