"""`midstream fork` and `replay`: a run's past, changed and tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from midstream.cli.drive import finish, log_to_stderr
from midstream.cli.exits import BAD, OK
from midstream.cli.given import graph_of, inputs_of, tags_of
from midstream.cli.moments import moment_of, seconds_ago, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, reading
from midstream.cli.output import put, put_json, say
from midstream.cli.progress import progress
from midstream.cli.settings import SETTINGS, command
from midstream.cli.summary import SOURCE
from midstream.engine.debugging.replay import Divergence, ReplayReport, replay_run
from midstream.engine.graphs.graph import Graph
from midstream.engine.providers import Providers
from midstream.errors import ConfigError, GraphError
from midstream.events.paging import pages
from midstream.events.store import EventStore, RunInfo, RunQuery
from midstream.projections.fold import fold_pages
from midstream.projections.usage import USAGE

if TYPE_CHECKING:
    pass

_STEPS_SHOWN = 20
_TEXT_SHOWN = 200


async def fork(
    wanted: str,
    *,
    at: str,
    given: Sequence[str],
    model: str,
    prompts: Sequence[str],
    systems: Sequence[str],
    settings: Sequence[str],
    graph: str,
    paused: bool,
    run_id: str,
    tags: Sequence[str],
    reason: str,
    by: str,
    quiet: bool,
) -> int:
    """Fork a run, and drive the fork here to its end, if its code is given."""
    log_to_stderr()
    code = graph_of(graph) if graph else None
    run_name, place = split_moment(wanted)
    async with engine(graphs=() if code is None else (code,)) as opened:
        info = await find_run(opened.store, run_name)
        run = opened.run(info.run_id)
        made = await run.fork(
            at=moment_of(at) or place,
            set=inputs_of(given, ""),
            model=model,
            prompts=texts(prompts, "--prompt"),
            systems=texts(systems, "--system"),
            settings=inputs_of(settings, ""),
            graph=code,
            paused=paused or code is None,
            run_id=run_id or None,
            tags={**tags_of(tags), **({SOURCE: graph} if graph else {})},
            reason=reason,
            by=by,
        )
        shared = (await opened.store.lineage(made.id))[-1].after
        cost = await _cost_after(opened.store, info, shared)
        if SETTINGS.get().as_json:
            put_json({"run_id": made.id, "parent": run.id, "shared": shared, "cost_before": cost})
        else:
            say(
                f"run {made.id} shares {shared} events with {run.id}, "
                f"for which what came after them cost ${cost:.4f}"
            )
        if code is None or paused:
            source = info.tags.get(SOURCE, "MODULE:GRAPH")
            say(
                f"it is paused; go on with `{command('resume', made.id, '--graph', graph or source)}`"
            )
            if not SETTINGS.get().as_json:
                put(made.id)
            return OK
        return await finish(made, {SOURCE: graph}, quiet=quiet)


def texts(pairs: Sequence[str], option: str) -> dict[str, str]:
    """Return what is said by step, from `STEP=TEXT`.

    Raises:
        ConfigError: One names no step.
    """
    found: dict[str, str] = {}
    for pair in pairs:
        step, sign, text = pair.partition("=")
        if not sign or not step:
            raise ConfigError(f"{option} {pair!r} names no step; write it as in 'plan=Be brief.'")
        found[step] = text
    return found


async def _cost_after(store: EventStore, info: RunInfo, seq: int) -> Decimal:
    usage = await fold_pages(USAGE, pages(store, info.run_id, after=seq))
    return usage.total.cost


async def replay(
    wanted: Sequence[str], *, everything: bool, places: Sequence[str], since: str, tolerant: bool
) -> int:
    """Replay runs, and say where the code has diverged."""
    graphs = {graph.name: graph for graph in map(graph_of, places)}
    async with reading() as store:
        infos = await _chosen(store, wanted, everything=everything, graphs=graphs, since=since)
        reports: list[ReplayReport] = []
        with progress("replaying", len(infos)) as advance:
            for info in infos:
                providers = Providers()
                report = await replay_run(
                    store, info.run_id, graphs[info.graph], providers, strict=not tolerant
                )
                await providers.close()
                reports.append(report)
                advance(1)
    for report in reports:
        if SETTINGS.get().as_json:
            put_json(_report_row(report))
        else:
            put(str(report))
    diverged = sum(not report.identical for report in reports)
    if len(reports) > 1:
        say(f"{len(reports) - diverged} of {len(reports)} runs are identical")
    return BAD if diverged else OK


async def _chosen(
    store: EventStore,
    wanted: Sequence[str],
    *,
    everything: bool,
    graphs: Mapping[str, Graph],
    since: str,
) -> list[RunInfo]:
    if everything == bool(wanted):
        raise ConfigError("name the runs to replay, or pass --all; one of the two")
    oldest = (time.time() - seconds_ago(since)) * 1e6 if since else 0.0
    if everything:
        found = [info for info in await store.runs(RunQuery()) if info.graph in graphs]
        return [info for info in found if info.created_at >= oldest]
    infos = [await find_run(store, name) for name in wanted]
    for info in infos:
        if info.graph not in graphs:
            hint = info.tags.get(SOURCE, "MODULE:GRAPH")
            raise GraphError(
                f"run {info.run_id!r} needs the code of graph {info.graph!r}; "
                f"try `{command('replay', info.run_id, '--graph', hint)}` where that module can be imported"
            )
    return [info for info in infos if info.created_at >= oldest]


def _report_row(report: ReplayReport) -> dict[str, Any]:
    return {
        "run_id": report.run_id,
        "identical": report.identical,
        "strict": report.strict,
        "seq": report.seq,
        "compared": report.compared,
        "divergence": None if report.divergence is None else _divergence_row(report.divergence),
        "notes": list(report.notes),
    }


def _divergence_row(found: Divergence) -> dict[str, Any]:
    return {
        "seq": found.seq,
        "step": found.step,
        "recorded": found.recorded,
        "now": found.now,
        "differences": [str(one) for one in found.differences],
        "file": found.file,
        "line": found.line,
        "remedies": list(found.remedies),
    }
