"""`midstream trace` and `diff`: what a run did, and where two runs part; with no more imported than that takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from midstream.cli.exits import BAD, OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import printable, put, put_json
from midstream.cli.settings import SETTINGS
from midstream.cli.show import MARKS
from midstream.cli.spans import span
from midstream.engine.debugging.parting import diff_stored
from midstream.engine.driving.moments import moment_seq
from midstream.events.paging import pages
from midstream.events.store import RunInfo
from midstream.projections.diff import RunDiff, Side, plain_diff
from midstream.projections.trace import UNREAD, Step, Trace, trace_of

_STEPS_SHOWN = 20
_TEXT_SHOWN = 200
_BESIDE = 20
"""How many steps are shown at the beginning, and at the end, of those beside each other."""


async def trace(wanted: str, *, at: str, whole: bool) -> int:
    """Show the steps of a run as a tree.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        at: As it stood at this event, or before this step.
        whole: Show every step, however many there are beside each other.
    """
    run, place = split_moment(wanted)
    async with reading() as store:
        info = await find_run(store, run)
        if info.erased:
            put(f"{info.run_id}  {info.graph}  its content was erased; {info.seq} events")
            return OK
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        found = await trace_of(pages(store, info.run_id, to=to, bare=UNREAD))
    if SETTINGS.get().as_json:
        for row in found.data():
            put_json(row)
    else:
        for text in _lines(info, found, whole=whole):
            put(text)
    return OK


def _lines(info: RunInfo, found: Trace, *, whole: bool) -> Iterator[str]:
    """Iterate over the lines of a tree; of many steps beside each other, only the first and the last ones."""
    yield f"{info.run_id}  {info.graph}  up to event {found.seq}"
    inner: dict[str, list[Step]] = {}
    for step in found.steps.values():
        inner.setdefault(step.within, []).append(step)
    yield from _branches(inner, "", "", None if whole else _BESIDE)


def _branches(
    inner: Mapping[str, Sequence[Step]], within: str, margin: str, most: int | None
) -> Iterator[str]:
    steps = inner.get(within, ())
    left_out = 0 if most is None else max(len(steps) - 2 * most, 0)
    for place, step in enumerate(steps):
        if left_out and place == most:
            yield f"{margin}├── … {left_out} more; --all shows them"
        if left_out and most is not None and most <= place < len(steps) - most:
            continue
        last = place == len(steps) - 1
        yield f"{margin}{'└── ' if last else '├── '}{_label(step)}"
        yield from _branches(inner, step.id, f"{margin}{'    ' if last else '│   '}", most)


def _label(step: Step) -> str:
    mark = MARKS.get(step.status, ("?", ""))[0]
    took = "" if step.seconds is None else f"  {span(step.seconds)}"
    tokens = step.input_tokens + step.output_tokens
    used = f"  {tokens} tokens  ${step.cost:.4f}" if tokens else ""
    name = "" if step.type == "node" else f"  {step.name}"
    error = f"  {printable(step.error)[:_TEXT_SHOWN]}" if step.error else ""
    again = f"  {step.attempts} attempts" if step.attempts > 1 else ""
    return f"{mark} {step.id}{name}  {step.status}{took}{used}{again}{error}"


async def diff(left: str, right: str, *, stat: bool) -> int:
    """Say where two runs part; 1 if they differ, as `diff` does."""
    (first, first_at), (second, second_at) = split_moment(left), split_moment(right)
    async with reading() as store:
        ours, theirs = await find_run(store, first), await find_run(store, second)
        found = await diff_stored(
            store, ours.run_id, theirs.run_id, left_at=first_at, right_at=second_at
        )
    if SETTINGS.get().as_json:
        put_json(plain_diff(found))
    else:
        for text in _diff_lines(found, stat=stat):
            put(text)
    return BAD if found else OK


def _diff_lines(found: RunDiff, *, stat: bool) -> Iterable[str]:
    how = "the same events" if found.shared else "alike"
    yield f"common   {found.common} events ({how})"
    if not found:
        yield "no difference"
        return
    first = found.steps[0]
    yield f"part     at {first.step or 'the run'}, events {first.left_seq or '-'} | {first.right_seq or '-'}"
    yield f"cause    {found.cause}"
    for one in () if stat else found.steps[:_STEPS_SHOWN]:
        yield ""
        yield f"{one.step or 'the run'}"
        yield f"  - {one.left or 'nothing'}"
        yield f"  + {one.right or 'nothing'}"
        yield from (f"    {place}" for place in one.differences[:8])
        yield from (f"    {text}" for text in one.text)
    if len(found.steps) > _STEPS_SHOWN and not stat:
        yield f"… and {len(found.steps) - _STEPS_SHOWN} more steps"
    yield ""
    yield from (f"output   {place}" for place in found.output[:8])
    yield f"outcome  {found.left.status} | {found.right.status}"
    yield f"since    {_came_to(found.left)} | {_came_to(found.right)}"


def _came_to(side: Side) -> str:
    return f"${side.cost:.4f}, {side.tokens} tokens, {side.calls} calls, {side.seconds:.1f} s"
