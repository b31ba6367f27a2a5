"""`midstream show`: one run on one screen."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import data_console, printable, put, put_json, shown
from midstream.cli.settings import SETTINGS, command
from midstream.cli.spans import span
from midstream.cli.summary import SOURCE, NodeLine, Summary, summarise
from midstream.engine.driving.moments import moment_seq
from midstream.events.store import EventStore, RunInfo
from midstream.projections.records import GRAPH_OF_IMPORTED

if TYPE_CHECKING:
    from rich.table import Table

MARKS = {
    "completed": ("✓", "green"),
    "failed": ("✗", "red"),
    "cancelled": ("✗", "yellow"),
    "running": ("◐", "cyan"),
    "waiting": ("◌", "yellow"),
    "paused": ("‖", "yellow"),
    "skipped": ("-", "dim"),
    "pending": ("·", "dim"),
}
"""A mark and a colour for each status of a run or node."""

_LONGEST = 600


async def show(wanted: str, *, at: str = "", whole: bool = False) -> int:
    """Show one run.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        at: As it stood at this event, or before this step; empty for now.
        whole: Show what its steps returned.
    """
    now = time.time()
    name, place = split_moment(wanted)
    async with reading() as store:
        info = await find_run(store, name)
        if info.erased:
            return await _put_erased(store, info)
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        # Whether a conversation waits for somebody shows in calls that have ended, too.
        read = whole or info.graph == GRAPH_OF_IMPORTED
        summary = await summarise(info, store, to=to, now=now, whole=read)
    now = summary.last_at / 1e6 if summary.past else now
    if whole:
        _put_state(summary)
        return OK
    if SETTINGS.get().as_json:
        put_json(_row(summary, now))
    else:
        print_summary(summary, now)
    return OK


async def _put_erased(store: EventStore, info: RunInfo) -> int:
    """Say what is left to say of a run whose content was erased."""
    last = [event async for event in store.read(info.run_id) if event.type == "run.erased"][-1]
    told = {"at": last.recorded_at.isoformat(" ", "seconds"), "by": last.actor, **last.data}
    if SETTINGS.get().as_json:
        row = {"run_id": info.run_id, "graph": info.graph, "status": info.status}
        put_json({**row, "events": info.seq, "erased": told})
        return OK
    put(f"{info.run_id}  {info.graph}  {info.status}  {info.seq} events  erased")
    why = f": {told['reason']}" if told.get("reason") else ""
    put(f"  its content was erased on {told['at']} by {told['by']}{why}")
    put(f"  next       {command('tail', info.run_id)}")
    return OK


def print_summary(summary: Summary, now: float) -> None:
    """Print a run for people."""
    from rich.text import Text

    console = data_console()
    state, info = summary.state, summary.info
    mark, color = MARKS[state.status]
    took = (summary.last_at / 1e6 if state.over else now) - summary.first_at / 1e6
    head = Text.assemble(
        (info.run_id, "bold"),
        f"  {state.graph}  ",
        (f"{mark} {state.status}", color),
        f"  {span(took)}  {_models(summary)}  {state.seq} events  {money(summary)}",
    )
    console.print(head)
    if state.parent:
        console.print(Text(f"  started by {state.parent} at {printable(state.parent_step)}"))
    console.print(_table(summary, now))
    for call in state.calls.values():
        if call.kind == "subrun":
            told = f"{call.request['run']}  {call.request['graph']}  {call.status}"
            console.print(Text(f"  started    {printable(told)}"))
    for wait in summary.waits_for:
        console.print(Text(f"  waits for  {printable(wait)}"))
    if summary.last_error:
        console.print(Text(f"  last error {_cut(summary.last_error)}", style="red"))
    if state.status == "completed":
        console.print(Text(f"  output     {_cut(shown(state.output))}"))
    if summary.past:
        newest = f"as it stood at event {state.seq} of {info.seq}"
        console.print(
            Text(f"  then       {newest}; go on from here with {next_command(summary, now)}")
        )
    else:
        console.print(Text(f"  next       {next_command(summary, now)}", style="bold"))


def _table(summary: Summary, now: float) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    for line in summary.nodes.values():
        mark, color = MARKS[line.status]
        table.add_row(
            Text(f" {mark} {line.node}", style=color),
            line.status + (f", attempt {line.attempt}" if line.attempt > 1 else ""),
            _took(line, now),
            _did(line),
            f"${Decimal(line.cost):.4f}" if line.models else "",
        )
    return table


def _took(line: NodeLine, now: float) -> str:
    if not line.started_at:
        return ""
    return span((line.ended_at / 1e6 or now) - line.started_at / 1e6)


def _did(line: NodeLine) -> str:
    counted = ((line.models, "model call"), (line.tools, "tool call"))
    return ", ".join(f"{count} {what}{'s' * (count > 1)}" for count, what in counted if count)


def _models(summary: Summary) -> str:
    names = [summary.state.model] if summary.state.model else []
    for move in summary.moves:
        scope = "" if move.scope == "run" else f"{move.scope}, "
        names.append(f"{move.target} ({scope}at event {move.seq})")
    return " → ".join(names) or "no model named"


def money(summary: Summary) -> str:
    """Return what a run has cost, and say where that is not all of it."""
    total = summary.usage.total
    unpriced = f" + {total.unpriced} calls without a price" if total.unpriced else ""
    return f"${total.cost:.4f}{unpriced}"


def next_command(summary: Summary, now: float) -> str:
    """Return the command that makes most sense next."""
    run_id, status = summary.info.run_id, summary.state.status
    if summary.past:
        return command("fork", run_id, "--at", str(summary.state.seq))
    if summary.unknown:
        return command("settle", run_id, summary.unknown[0], "--result", "JSON")
    if any(call.kind == "question" for call in summary.open_calls):
        return command("questions", run_id)
    if status == "completed":
        return command("verify", run_id)
    if summary.state.over:
        return command("tail", run_id)
    if status == "running" and summary.driven(now):
        return command("tail", run_id, "-f")
    if summary.state.graph == GRAPH_OF_IMPORTED:
        from midstream.engine.models.continuing import parked  # it takes much of the engine along

        waits = parked(summary.state)
        return command("say", run_id, "TEXT") if waits else command("resume", run_id)
    source = summary.state.tags.get(SOURCE, "MODULE:GRAPH")
    return command("resume", run_id, "--graph", source)


def _put_state(summary: Summary) -> None:
    state = summary.state
    row = {
        "run_id": summary.info.run_id,
        "seq": state.seq,
        "status": state.status,
        "inputs": dict(state.inputs),
        "outputs": {
            one.address: one.output
            for one in state.activations.values()
            if one.status == "completed"
        },
        "calls": {
            call.address: {"status": call.status, "outcome": call.outcome}
            for call in state.calls.values()
        },
        "output": state.output,
    }
    if SETTINGS.get().as_json:
        put_json(row)
    else:
        put(orjson.dumps(row, default=str, option=orjson.OPT_INDENT_2).decode())


def _cut(text: str) -> str:
    flat = " ".join(printable(text).split())
    return flat if len(flat) <= _LONGEST else f"{flat[:_LONGEST]}…"


def _row(summary: Summary, now: float) -> dict[str, Any]:
    state, total = summary.state, summary.usage.total
    return {
        "run_id": summary.info.run_id,
        "graph": state.graph,
        "status": state.status,
        "seq": state.seq,
        "tags": dict(state.tags),
        "inputs": dict(state.inputs),
        "model": state.model,
        "switches": [
            {"seq": move.seq, "target": move.target, "scope": move.scope} for move in summary.moves
        ],
        "epoch": state.epoch,
        "holder": summary.info.holder,
        "driven": summary.driven(now),
        "nodes": list(summary.nodes.values()),
        "usage": total,
        "waits_for": summary.waits_for,
        "unknown": summary.unknown,
        "last_error": summary.last_error,
        "output": state.output,
        "next": next_command(summary, now),
    }
