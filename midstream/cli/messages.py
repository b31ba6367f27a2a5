"""`midstream messages`: a conversation of a run, neutral or as models are told it, side by side, with losses marked."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from midstream.adapters.prices import cost
from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import data_console, printable, put, put_json
from midstream.cli.settings import SETTINGS
from midstream.cli.wire_lines import wire_lines
from midstream.engine.driving.moments import moment_seq
from midstream.engine.providers import Providers
from midstream.engine.runs.run_view import RunView, Step, conversation_head, model_meant, run_view
from midstream.events.content import Message, Segment, system
from midstream.events.payloads import Change
from midstream.projections.conversation import segments
from midstream.projections.run_state import RunState, apply
from midstream.projections.transcript import words

if TYPE_CHECKING:
    from rich.text import Text

_SHORT = 240
"""Characters of one text, unless all of it is wanted."""
_WIDTH = 160
_INSTRUCTING = ("system", "developer")


async def show(
    wanted: str,
    *,
    provider: str,
    versus: str,
    at: str,
    thread: str,
    node: str,
    step: str,
    full: bool,
) -> int:
    """Show a conversation.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        provider: Whose view, as `PROVIDER` or `PROVIDER:MODEL`; empty for the neutral messages.
        versus: A second view, beside it.
        at: After this event, or before this step; empty for now.
        thread: The conversation of this name, or empty.
        node: The newest conversation of this node, or empty.
        step: That of this model call or activation, or empty.
        full: Texts in their whole length.
    """
    run, place = split_moment(wanted)
    state = RunState()
    async with reading() as store:
        info = await find_run(store, run)
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        async for event in store.read(info.run_id, to=to):
            apply(state, event)
    head = conversation_head(state, step or None, thread or None, node or None)
    named = [name for name in (provider, versus) if name]
    if versus and not provider:
        named.insert(0, state.calls[head].request["model"] if head else state.model)
    views = [await _view(state, head, name, info.run_id) for name in named]
    if SETTINGS.get().as_json:
        _as_rows(state, head, views, info.run_id)
        return OK
    if not head:
        put("no model was asked yet")
    elif views:
        _print(views, full=full)
    else:
        _neutral(state, head, full=full)
    return OK


async def _view(state: RunState, head: str, wanted: str, run_id: str) -> RunView:
    providers = Providers()
    try:
        model = model_meant(wanted, state, providers)
        await providers.ready(model)
        adapter, name = providers.adapter(model)
        return run_view(state, adapter, name, head, run_id=run_id, pricing=cost, now=time.time())
    finally:
        await providers.close()


def _as_rows(state: RunState, head: str, views: Sequence[RunView], run_id: str) -> None:
    if not views:
        for segment in segments(state, head) if head else ():
            for message in segment.messages:
                put_json(
                    {"seq": segment.seq, **message.model_dump(mode="json", exclude_defaults=True)}
                )
    names = ("model", "step", "at", "request", "losses", "repairs", "tokens", "context_window")
    for view in views:
        row = {name: getattr(view, name) for name in (*names, "fits", "cost", "digest")}
        put_json({"run_id": run_id, **row})


def _neutral(state: RunState, head: str, *, full: bool) -> None:
    steps = [
        Step(segment.seq, _with_instruction(segment), (), ())
        for segment in segments(state, head)
        if not segment.empty
    ]
    _table([("neutral", {(step.seq, 0): _said(step, full=full) for step in steps})])


def _with_instruction(segment: Segment) -> tuple[Message, ...]:
    return (*([] if segment.system is None else [system(segment.system)]), *segment.messages)


def _said(step: Step, *, full: bool) -> list[Text]:
    lines = [line for message in step.said for line in words(message)]
    return [_line(line, full=full) for line in lines]


def _print(views: Sequence[RunView], *, full: bool) -> None:
    _table([(view.model, _cells(view, full=full)) for view in views])
    for view in views:
        put(_footer(view))


def _cells(view: RunView, *, full: bool) -> dict[tuple[int, int], list[Text]]:
    """Return the lines of each step of a view, by its event and its occurrence, so that two views can be set side by side."""
    found: dict[tuple[int, int], list[Text]] = {}
    for step in view.steps:
        lines = [_line(line, full=full) for item in step.items for line in _told(item)]
        if _in_head(step):
            lines.insert(0, _line("system: (at the head of the request)", full=full))
        lines += [_change(change) for change in step.changes]
        place = 0
        while (step.seq, place) in found:
            place += 1
        found[step.seq, place] = lines
    return found


def _in_head(step: Step) -> bool:
    """Tell whether an instruction of the step is told outside of the messages."""
    told = any(isinstance(item, Message) or item.get("role") in _INSTRUCTING for item in step.items)
    return any(message.role == "system" for message in step.said) and not told


def _told(item: Any) -> Iterator[str]:
    if isinstance(item, Message):
        yield from words(item)
    else:
        yield from wire_lines(item)


def _line(line: str, *, full: bool) -> Text:
    from rich.text import Text

    shown = printable(line)
    if not full and len(shown) > _SHORT:
        shown = f"{shown[:_SHORT]}… ({len(shown) - _SHORT} more)"
    who, colon, rest = shown.partition(": ")
    text = Text(who + colon, style="bold")
    return text.append(rest, style="not bold")


def _change(change: Change) -> Text:
    from rich.text import Text

    lost = change.severity == "loss"
    mark, style = ("- lost", "red") if lost else ("~ told otherwise", "yellow")
    part = "" if change.part is None else f", part {change.part}"
    return Text(printable(f"{mark}: {change.kind}{part}: {change.detail}"), style=style)


def _table(columns: Sequence[tuple[str, dict[tuple[int, int], list[Text]]]]) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_lines=False, expand=True)
    table.add_column("event", justify="right", width=5, no_wrap=True)
    for name, _ in columns:
        table.add_column(name, ratio=1, overflow="fold")
    for seq, place in sorted({key for _, cells in columns for key in cells}, key=_order):
        cells = [Text("\n").join(found.get((seq, place), [])) for _, found in columns]
        table.add_row(str(seq) if seq else "asked", *cells)
    console = data_console()
    console.width = _columns()
    console.print(table, soft_wrap=False)


def _order(key: tuple[int, int]) -> tuple[int, int]:
    return (key[0] or sys.maxsize, key[1])


def _columns() -> int:
    if os.environ.get("COLUMNS", "").isdigit():
        return int(os.environ["COLUMNS"])
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH


def _footer(view: RunView) -> str:
    window = f" of {view.context_window}" if view.context_window else ""
    fits = "" if view.fits else ": DOES NOT FIT"
    price = "no price is known" if view.cost is None else f"${view.cost:.4f} to read it once"
    counts = f"{len(view.losses)} losses, {len(view.repairs)} repairs"
    return f"{view.model}: about {view.tokens}{window} tokens{fits}, {price}, {counts}, digest {view.digest[:12]}"
