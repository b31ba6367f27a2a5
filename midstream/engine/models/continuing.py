"""Where a conversation stands that was imported: its newest call, its tools, and whether it waits for somebody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from midstream.engine.tools.tool import Tool, make_tool, tool_elsewhere
from midstream.events.content import ToolSpec
from midstream.projections.conversation import answered, asked, main_line
from midstream.projections.run_state import RunState

IMPORTED = "llm:imported#"
"""What the addresses of imported calls hold after their activation."""


def imported_head(state: RunState, activation: str) -> str | None:
    """Return the newest call that was imported into an activation, or None."""
    start = f"{activation}/{IMPORTED}"
    found = [
        name for name in state.calls if name.startswith(start) and "/" not in name[len(start) :]
    ]
    return max(found, key=lambda name: state.calls[name].first_seq, default=None)


def tools_in_force(state: RunState, address: str) -> tuple[ToolSpec, ...]:
    """Return what the model of a call was told it may call."""
    for name in reversed(main_line(state, address)):
        tools = asked(state.calls[name]).tools
        if tools is not None:
            return tools
    return ()


def declared_tools(
    state: RunState, address: str | None, tools: Sequence[Tool | Callable[..., Any]]
) -> dict[str, Tool]:
    """Return the tools of a conversation: with the code that is given, told to the model as they were told before."""
    given = {made.name: made for made in map(make_tool, tools)}
    found: dict[str, Tool] = {}
    for spec in () if address is None else tools_in_force(state, address):
        if not spec.hosted:
            made = given.pop(spec.name, None)
            found[spec.name] = tool_elsewhere(spec) if made is None else replace(made, given=spec)
    return {**found, **given}


def parked(state: RunState) -> bool:
    """Tell whether nothing goes on in a conversation until somebody says something, or settles a call."""
    if state.over:
        return True
    open_calls = [state.calls[address] for address in state.open_calls]
    if any(call.status != "unknown" for call in open_calls):
        return False
    if open_calls:
        return True
    calls = [
        call
        for call in state.calls.values()
        if call.kind == "model" and not call.request.get("purpose")
    ]
    asked_for = sum("/turn#" not in call.address and IMPORTED not in call.address for call in calls)
    if any(said.message is None for said in state.said) or asked_for < len(state.said):
        return False
    if not calls:
        return True
    head = max(calls, key=lambda call: call.first_seq)
    wanted = any(message.tool_calls for message in answered(head).messages)
    return head.status == "completed" and not (wanted and tools_in_force(state, head.address))
