"""Conversations: what a model call continues, and what has been said up to it, as segments that never change.

A conversation is not a list somewhere; it is what the model calls of a run lead back to. Each call names the calls it
continues. By default these are the newest ones of the same node, or, where it has none yet, those of the nodes it waited
for: causality, not the order in which parallel branches happened to answer. Of two branches that join, the first one's
conversation comes first, whole, then what only the second one has.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson
from pydantic import JsonValue

from midstream.events.content import Message, Segment, Text, ToolResult, ToolSpec
from midstream.projections.run_state import Call, RunState

Unit = tuple[str, int]
"""A model call and the seq of the request that follows it: results recorded later are not part of what was told."""


def parents_for(state: RunState, activation: str, lane: str, thread: str | None) -> tuple[str, ...]:
    """Return the calls that a new call continues, first the one whose instruction and tools it keeps.

    Args:
        state: The run.
        activation: The activation that calls.
        lane: Its parallel branch that calls.
        thread: A named thread, None for no history at all, or empty for causality.
    """
    if thread is None:
        return ()
    if thread:
        head = state.threads.get(thread)
        return () if head is None else (head,)
    own = state.heads.get(activation)
    if own and (seen := _seen_from(own, lane)):
        return seen
    return _inherited(state, activation)


def _seen_from(heads: Mapping[str, str], lane: str) -> tuple[str, ...]:
    """Return the heads that a lane sees: the nearest of its own and its ancestors', then those of lanes it began."""
    seen: dict[str, None] = {}
    above = lane
    while True:
        if above in heads:
            seen[heads[above]] = None
            break
        if not above:
            break
        above = above.rpartition(".")[0]
    below = f"{lane}." if lane else ""
    for other, head in heads.items():
        if other != lane and other.startswith(below):
            seen[head] = None
    return tuple(seen)


def _inherited(state: RunState, activation: str) -> tuple[str, ...]:
    """Return the heads of the nearest ancestors that asked a model."""
    found: dict[str, None] = {}
    visited: set[str] = set()
    stack = list(reversed(state.activations[activation].sources))
    while stack:
        address = stack.pop()
        if address in visited:
            continue
        visited.add(address)
        heads = state.heads.get(address)
        if heads:
            found.update(dict.fromkeys(heads.values()))
        else:
            made = state.activations[address]
            # What led out of a graph inside, or what led to the activation.
            stack += reversed(made.ends or made.sources)
    return tuple(found)


def parents_of(call: Call) -> Sequence[str]:
    """Return the calls that a recorded call continues."""
    parents: Sequence[str] = call.request.get("parents", ())
    return parents


def main_line(state: RunState, address: str) -> list[str]:
    """Return the call and its first parents, from the beginning of the conversation."""
    line = [address]
    while parents := parents_of(state.calls[line[-1]]):
        line.append(parents[0])
    line.reverse()
    return line


def side_units(state: RunState, call: Call, told: set[str]) -> list[Unit]:
    """Return what a call's further parents add to the conversation, and add it to `told`."""
    return further_units(state, parents_of(call)[1:], call.first_seq, told)


def further_units(
    state: RunState, parents: Sequence[str], before: int, told: set[str]
) -> list[Unit]:
    """Return what the conversations of these calls add, and add it to `told`."""
    return [unit for parent in parents for unit in units(state, parent, before, told)]


def units(state: RunState, address: str, before: int, told: set[str]) -> list[Unit]:
    """Return what a call's conversation has that is not in `told`, and add it to that."""
    found: list[Unit] = []
    line = main_line(state, address)
    for place, name in enumerate(line):
        call = state.calls[name]
        found += side_units(state, call, told)
        if name not in told:
            told.add(name)
            after = state.calls[line[place + 1]].first_seq if place + 1 < len(line) else before
            found.append((name, after))
    return found


def unit_segments(state: RunState, unit: Unit) -> Iterator[Segment]:
    """Return what one call said and was told, closed by the results of the tools it called."""
    name, before = unit
    call = state.calls[name]
    yield asked(call)
    yield answered(call)
    yield results(state, call, before)


def asked(call: Call) -> Segment:
    """Return what a model call added to the conversation when it asked."""
    data = call.request
    tools = data.get("tools")
    return Segment(
        call.first_seq,
        tuple(_message(raw) for raw in data.get("messages", ())),
        data.get("system"),
        None if tools is None else tuple(ToolSpec.model_validate(raw) for raw in tools),
    )


def answered(call: Call) -> Segment:
    """Return what the model said, or nothing where it has not answered."""
    if call.status != "completed" or call.outcome is None:
        return Segment(call.seq)
    return Segment(call.seq, (_message(call.outcome["message"]),))


def results(state: RunState, call: Call, before: int) -> Segment:
    """Return the results of the tools that an answer called, in the order of the calls, recorded before an event."""
    answer = answered(call)
    parts: list[ToolResult] = []
    for message in answer.messages:
        for place, wanted in enumerate(message.tool_calls):
            made = state.calls.get(tool_address(call.address, place))
            if (
                made is not None
                and 0 < made.seq < before
                and made.status in ("completed", "failed")
            ):
                parts.append(tool_result(made, wanted.id, wanted.name))
    messages = (Message(role="tool", parts=tuple(parts)),) if parts else ()
    return Segment(answer.seq, messages)


def tool_address(model_call: str, place: int) -> str:
    """Return the address of the tool call that stands at a place, from 0, in a model's answer."""
    return f"{model_call}/call:{place}#1"


def tool_result(call: Call, call_id: str, name: str) -> ToolResult:
    """Return what a model is told of a tool call that has ended."""
    outcome = call.outcome or {}
    if call.status == "failed":
        text = outcome.get("message", "") or outcome["kind"]
        return ToolResult(id=call_id, name=name, parts=(Text(text=text),), is_error=True)
    made: Any = outcome.get("parts")
    parts = made or ({"type": "text", "text": result_text(outcome.get("result"))},)
    return ToolResult.model_validate(
        {"id": call_id, "name": name, "parts": (*_edited(call), *parts)}
    )


def _edited(call: Call) -> tuple[Mapping[str, str], ...]:
    """Return what a model is told where a person has changed what it wrote."""
    edited = call.request.get("edited")
    if not edited:
        return ()
    changed = {name: call.request.get("arguments", {}).get(name) for name in edited}
    said = orjson.dumps(changed).decode()
    return ({"type": "text", "text": f"[A person changed the arguments to {said}.]\n"},)


def result_text(result: JsonValue) -> str:
    """Return a tool's result as a model is told it: a text as it is, anything else as JSON."""
    return result if isinstance(result, str) else orjson.dumps(result).decode()


def history(state: RunState, address: str) -> Iterator[Segment]:
    """Return the conversation up to a model call's answer, in order."""
    told: set[str] = set()
    previous: Call | None = None
    for name in main_line(state, address):
        call = state.calls[name]
        if previous is not None:
            yield results(state, previous, call.first_seq)
        for unit in side_units(state, call, told):
            yield from unit_segments(state, unit)
        told.add(name)
        yield asked(call)
        yield answered(call)
        previous = call


def segments(state: RunState, address: str) -> Iterator[Segment]:
    """Return the conversation up to a model call, its answer, and the results of the tools it called."""
    yield from history(state, address)
    yield results(state, state.calls[address], state.seq + 1)


def messages(state: RunState, address: str) -> tuple[Message, ...]:
    """Return the neutral messages of a conversation up to a model call and its answer."""
    return tuple(message for segment in segments(state, address) for message in segment.messages)


def _message(raw: Any) -> Message:
    return Message.model_validate(raw)
