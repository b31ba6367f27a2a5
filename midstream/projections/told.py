"""What one model is told of a conversation: all of it, or what a recorded cut left, with the brief of a migration to it.

A cut is recorded with the call before which it was made, and holds for the calls that continue that one. So the view of a
model changes only where the log says so, is the same whenever it is made again, and grows at its end from there on. Nothing
is cut from the log: a model that a cut does not concern is told everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from midstream.events.content import Message, Segment, Text, ToolResult, ToolSpec
from midstream.projections.conversation import (
    answered,
    asked,
    main_line,
    parents_of,
    results,
    unit_segments,
    units,
)
from midstream.projections.run_state import Cut, RunState


def told(state: RunState, address: str, model: str) -> Iterator[Segment]:
    """Return what a model is told up to a call and its answer.

    Args:
        state: The run.
        address: The call.
        model: `provider:model`.
    """
    line = main_line(state, address)
    found = cuts_of(state, line, model)
    yield from _trimmed(_line(state, line, model, _since(found, line)), found)


def told_before(
    state: RunState, address: str, parents: Sequence[str], model: str, before: int
) -> Iterator[Segment]:
    """Return what a model is told before what a call adds itself, under the cuts that were made for that call, too.

    Args:
        state: The run.
        address: The call; it need not be recorded yet.
        parents: What it continues.
        model: `provider:model`.
        before: Results recorded from this event on are not told.
    """
    if not parents:
        return
    line = main_line(state, parents[0])
    found = cuts_of(state, [*line, address], model)
    since = _since(found, [*line, address])
    whole = since is not None and since[1] == len(line)
    if since is not None and whole:
        yield from _summary(state, line, since)
    else:
        yield from _trimmed(_line(state, line, model, since), found)
    sides = not (since is not None and whole and since[0].sides)
    told_now = between(state, parents, before, model, with_results=not whole, with_sides=sides)
    yield from _trimmed(told_now, found)


def between(
    state: RunState,
    parents: Sequence[str],
    before: int,
    model: str,
    *,
    with_results: bool = True,
    with_sides: bool = True,
) -> Iterator[Segment]:
    """Return what stands between the answer of the first parent and what a call adds: results, and other branches.

    Args:
        state: The run.
        parents: What the call continues.
        before: Results recorded from this event on are not told.
        model: `provider:model`; another branch is told as it was cut there.
        with_results: Tell the results of the first parent's tools.
        with_sides: Tell what other branches said.
    """
    if with_results:
        yield results(state, state.calls[parents[0]], before)
    if with_sides and len(parents) > 1:
        seen: set[str] = set()
        units(state, parents[0], before, seen)
        for parent in parents[1:]:
            yield from _side(state, parent, before, model, seen)


def _side(
    state: RunState, parent: str, before: int, model: str, seen: set[str]
) -> Iterator[Segment]:
    """Return what another branch adds, under the cuts that were made in it; and add its calls to `seen`."""
    line = main_line(state, parent)
    found = cuts_of(state, line, model)
    since = _since(found, line)
    summarised: set[str] = set()
    if since is not None and since[1]:
        units(state, line[since[1] - 1], before, summarised)
    new = units(state, parent, before, seen)
    if since is not None and any(name in summarised for name, _ in new):
        yield from _summary(state, line, since)
    kept = (unit for unit in new if unit[0] not in summarised)
    yield from _trimmed((one for unit in kept for one in unit_segments(state, unit)), found)


def cuts_of(state: RunState, line: Sequence[str], model: str) -> list[Cut]:
    """Return the cuts along a line of calls that concern a model, in order."""
    return [
        cut
        for address in line
        for cut in state.cuts.get(address, ())
        if cut.lasting or cut.model == model
    ]


def first_told(state: RunState, line: Sequence[str], model: str) -> int:
    """Return the place in a line of calls of the first one that a model is told as it was."""
    since = _since(cuts_of(state, line, model), line)
    return 0 if since is None else since[1]


def handoff(state: RunState, address: str, model: str) -> Segment | None:
    """Return the brief that a model is told before what a recorded call adds, or None."""
    wanted = state.calls[address].request.get("handoff", "")
    return brief_of(state, wanted, model) if wanted else None


def brief_of(state: RunState, switch: str, model: str) -> Segment | None:
    """Return the brief of a migration to this model; None where it went to another one."""
    for found in state.switches:
        if found.id == switch and found.target == model and found.brief:
            return Segment(found.seq, (Message(role="user", parts=(Text(text=found.brief),)),))
    return None


def notice(result: ToolResult) -> ToolResult:
    """Return what stands for the output of a tool that is left out."""
    said = sum(len(part.text) for part in result.parts if isinstance(part, Text))
    text = (
        f"[The output of this call of {result.name} ({said} characters) was left out to make room.]"
    )
    return ToolResult(id=result.id, name=result.name, parts=(Text(text=text),))


def key(segment: Segment, result: ToolResult) -> str:
    """Return the name of an output in a cut."""
    return f"{segment.seq}/{result.id}"


def trimmed(segment: Segment, left_out: frozenset[str]) -> Segment:
    """Return the segment with a notice in the place of each output that is left out."""
    if not any(
        isinstance(part, ToolResult) and key(segment, part) in left_out
        for message in segment.messages
        for part in message.parts
    ):
        return segment
    return replace(
        segment,
        messages=tuple(
            _trimmed_message(segment, message, left_out) for message in segment.messages
        ),
    )


def _trimmed_message(segment: Segment, message: Message, left_out: frozenset[str]) -> Message:
    parts = tuple(
        notice(part) if isinstance(part, ToolResult) and key(segment, part) in left_out else part
        for part in message.parts
    )
    if parts == message.parts:
        return message
    return message.model_copy(update={"parts": parts, "native": None, "dialect": "", "unsaid": ()})


def _trimmed(segments: Iterator[Segment], found: Sequence[Cut]) -> Iterator[Segment]:
    left_out = frozenset[str]().union(*(cut.results for cut in found))
    for segment in segments:
        yield trimmed(segment, left_out) if left_out else segment


def _since(found: Sequence[Cut], line: Sequence[str]) -> tuple[Cut, int] | None:
    """Return the newest summary, and the place in the line of the first call that it does not stand for."""
    for cut in reversed(found):
        if cut.since in line:
            return cut, line.index(cut.since)
    return None


def _line(
    state: RunState, line: Sequence[str], model: str, since: tuple[Cut, int] | None
) -> Iterator[Segment]:
    first = 0 if since is None else since[1]
    if since is not None:
        yield from _summary(state, line, since)
    for place in range(first, len(line)):
        call = state.calls[line[place]]
        parents = parents_of(call)
        if parents:
            skip = since is not None and place == first
            sides = not (since is not None and skip and since[0].sides)
            yield from between(
                state, parents, call.first_seq, model, with_results=not skip, with_sides=sides
            )
        brief = handoff(state, call.address, model)
        if brief is not None:
            yield brief
        yield asked(call)
        yield answered(call)


def _summary(state: RunState, line: Sequence[str], since: tuple[Cut, int]) -> Iterator[Segment]:
    """Return the summary as the beginning of the conversation, with the instruction and the tools in force there."""
    cut, place = since
    system: str | None = None
    tools: tuple[ToolSpec, ...] | None = None
    for address in line[:place]:
        segment = asked(state.calls[address])
        system = segment.system if segment.system is not None else system
        tools = segment.tools if segment.tools is not None else tools
    text = "".join(message.text for message in answered(state.calls[cut.by]).messages)
    said = f"Summary of the conversation so far:\n\n{text}"
    yield Segment(cut.seq, (Message(role="user", parts=(Text(text=said),)),), system, tools)
