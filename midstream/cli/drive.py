"""`midstream start` and `midstream resume`: drive a run in this process until it has ended."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import structlog

from midstream.cli.exits import BAD, OK, report
from midstream.cli.given import graph_of, inputs_of, tags_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine
from midstream.cli.output import as_json, put, put_json, say, shown
from midstream.cli.settings import SETTINGS, command
from midstream.cli.summary import SOURCE
from midstream.cli.tail import in_words
from midstream.engine.engine import Engine
from midstream.engine.graphs.graph import Graph
from midstream.engine.on_change import OnChange
from midstream.engine.runs.conversation_graph import NAME as CONVERSATION
from midstream.engine.runs.conversation_graph import conversation
from midstream.engine.runs.run import Run
from midstream.errors import GraphError, LeaseHeldError, RunCancelledError, RunFailedError

_MARGIN = 0.05
"""Seconds after the end of a lease."""


async def start(
    place: str,
    *,
    given: Sequence[str],
    file: str,
    run_id: str,
    model: str,
    tags: Sequence[str],
    subject: str,
    lease: float,
    quiet: bool,
) -> int:
    """Start a run and drive it to its end.

    Args:
        place: `MODULE:GRAPH`.
        given: Inputs, as in `city=Tokyo`.
        file: A file with inputs, or empty.
        run_id: The run's id, or empty.
        model: The model of its calls that name none, or empty.
        tags: As in `team=blue`.
        subject: Whom its content is about, or empty.
        lease: Seconds after its last sign of life for which this process keeps the run.
        quiet: Say nothing of what happens in between.
    """
    log_to_stderr()
    graph = graph_of(place)
    inputs, marks = inputs_of(given, file), {**tags_of(tags), SOURCE: place}
    _ = graph.definition  # a graph that is wrong makes no file
    graph.check_inputs(inputs)
    async with engine(graphs=(graph,), new=True, lease=lease) as opened:
        run = await opened.start(
            graph, run_id=run_id or None, model=model, tags=marks, inputs=inputs, subject=subject
        )
        _launched(run, graph)
        return await finish(run, marks, quiet=quiet)


def _launched(run: Run, graph: Graph) -> None:
    if SETTINGS.get().as_json:
        put_json({"run_id": run.id, "graph": graph.name, "status": "running"})
    else:
        say(f"run {run.id} of graph {graph.name} is in the log; if this process ends, resume it")


async def resume(
    wanted: str,
    *,
    places: Sequence[str],
    by: str,
    lease: float,
    wait: bool,
    quiet: bool,
    upgrade: bool = False,
) -> int:
    """Take a run over, or let a paused one go on, and drive it to its end.

    Args:
        wanted: The run.
        places: `MODULE:GRAPH` of graphs, one of which is the run's.
        by: Who wants it.
        lease: Seconds after its last sign of life for which this process keeps the run.
        wait: Wait for the lease of a driver that may have died, in place of being refused.
        quiet: Say nothing of what happens in between.
        upgrade: Go on with code that has changed, where nothing of what has begun has.
    """
    log_to_stderr()
    graphs = [graph_of(place) for place in places]
    policy: OnChange = "upgrade" if upgrade else "pin"
    if upgrade:  # whoever says so at the terminal is asked last, whatever a graph says
        for graph in graphs:
            graph.on_change = "upgrade"
    async with engine(graphs=graphs, lease=lease, on_change=policy) as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        if info.status not in ("running", "paused"):
            say(f"run {run.id} has ended: {info.status}")
            return await _outcome(run)
        if info.status == "paused" and await _held(opened, run.id):
            return await _let_go_on(run, by)
        if info.graph == CONVERSATION:
            after = info.seq
            await opened.resume(run.id, next(iter(graphs), None) or conversation())
            return await converse(run, after=after, quiet=quiet)
        if info.graph not in {graph.name for graph in graphs}:
            hint = info.tags.get(SOURCE, "MODULE:GRAPH")
            raise GraphError(
                f"run {run.id!r} needs the code of graph {info.graph!r}; "
                f"try `{command('resume', run.id, '--graph', hint)}` where that module can be imported"
            )
        await _take_over(run, by, wait=wait)
        return await finish(run, info.tags, quiet=quiet, after=info.seq)


async def converse(run: Run, *, after: int, quiet: bool) -> int:
    """Wait until a conversation waits for somebody, and show its answer, or what it waits for.

    Args:
        run: It is driven here.
        after: What was recorded before is not shown.
        quiet: Say nothing of what happens in between.
    """
    state = await run.parked()
    if not quiet:
        for line in await run.timeline(after=after):
            say(f"{line.seq:>5}  {line.type}  {line.text}")
    if state.over:
        return await _outcome(run)
    unknown = [name for name in state.open_calls if state.calls[name].status == "unknown"]
    said = await run.messages()
    if SETTINGS.get().as_json:
        text = said[-1].text if said else ""
        put_json({"run_id": run.id, "status": "waiting", "text": text, "unknown": unknown})
    elif not unknown and said:
        put(said[-1].text)
    for step in unknown:
        call = state.calls[step].request
        say(
            f"{call['name']}({as_json(call.get('arguments', {}))}) has no result; say what it returned with "
            f"`{command('settle', run.id, step, '--result', 'JSON')}`, then `{command('resume', run.id)}`"
        )
    if not unknown:
        say(f"go on with `{command('say', run.id, 'TEXT')}`")
    return OK


async def _take_over(run: Run, by: str, *, wait: bool) -> None:
    """Resume a run; where its driver has shown no sign of life since, do so when its lease runs out."""
    try:
        await run.resume(by=by)
    except LeaseHeldError as held:
        if not wait:
            raise
        left = held.until - time.time()
        say(f"{held.holder} had the run; waiting {left:.1f} s for a sign of life")
        await asyncio.sleep(left + _MARGIN)
        await run.resume(by=by)


async def _held(opened: Engine, run_id: str) -> bool:
    """Return whether another, live process drives the run."""
    info = await find_run(opened.store, run_id)
    return info.holder is not None and info.until > time.time()


async def _let_go_on(run: Run, by: str) -> int:
    with suppress(GraphError):  # its driver has the code; here, it is not needed
        await run.resume(by=by)
    say(
        f"run {run.id} goes on in the process that drives it; see `{command('tail', run.id, '-f')}`"
    )
    return OK


async def finish(run: Run, tags: Mapping[str, str], *, quiet: bool, after: int = 0) -> int:
    """Drive a run to its end here, saying what happens, and what came out of it.

    Args:
        run: It is driven here.
        tags: Of the run; they say where its code is.
        quiet: Say nothing of what happens in between.
        after: Events up to this one are not told.
    """
    following = asyncio.create_task(_follow(run, after, quiet=quiet))
    try:
        code = await _outcome(run)
    except asyncio.CancelledError:
        source = tags.get(SOURCE, "MODULE:GRAPH")
        say(f"stopped; go on with `{command('resume', run.id, '--graph', source)}`")
        raise
    finally:
        if sys.exc_info()[0] is not None:
            following.cancel()
        await asyncio.wait([following])
    return code


async def _follow(run: Run, after: int, *, quiet: bool) -> None:
    first = 0
    async for event in run.events(after=after):
        first = first or event.at
        if not quiet:
            say(in_words(event, first))
        if event.type == "question.asked":
            say(
                f"a person is asked: {event.data['text']}; answer from another terminal with "
                f"`{command('answer', run.id, event.data['id'], '--yes')}`, or --no, or --value JSON"
            )
        if event.type == "tool.unknown":
            step = event.address or ""
            say(
                f"nobody knows what became of {step}; settle it from another terminal with "
                f"`{command('settle', run.id, step, '--result', 'JSON')}`, or --error TEXT, or --retry"
            )


async def _outcome(run: Run) -> int:
    """Wait for the end of a run, and say what came out of it."""
    try:
        output = await run
    except (RunFailedError, RunCancelledError) as error:
        if SETTINGS.get().as_json:
            status = "failed" if isinstance(error, RunFailedError) else "cancelled"
            put_json({"run_id": run.id, "status": status, "error": str(error)})
            return BAD
        return report(error)
    if SETTINGS.get().as_json:
        put_json({"run_id": run.id, "status": "completed", "output": output})
    else:
        put(shown(output))
    return OK


def log_to_stderr() -> None:
    """Send the engine's own log to stderr, warnings and worse; structlog would write to stdout, which is for data."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.KeyValueRenderer(key_order=["level", "event", "run_id"]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
