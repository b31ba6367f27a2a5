"""The commands that look back: `trace`, `fork`, `replay`, `diff`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import By, MaybeRuns, Quiet, Reason, RunArgument, RunAtArgument, Tags

At = Annotated[
    str,
    typer.Option("--at", metavar="N|STEP", help="An event, or the moment before a step began."),
]
Many = Annotated[
    list[str] | None,
    typer.Option("--graph", metavar="MODULE:GRAPH", help="The runs' code. May be repeated."),
]
Models = Annotated[
    list[str] | None,
    typer.Option(
        "--model", metavar="[STEP=]PROVIDER:MODEL", help="In place of the one that was asked."
    ),
]


def trace(
    run: RunArgument = "@last",
    at: At = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Every step, however many are beside each other.")
    ] = False,
) -> None:
    """Show the steps of a run as a tree: what each did, how long it took, what it cost."""
    from midstream.cli import looking_back

    carry_out(looking_back.trace(run, at=at, whole=everything))


def fork(
    run: RunArgument,
    at: At = "",
    given: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="PATH=VALUE", help="inputs.city=Rome, plan=…, plan.0.x=…"),
    ] = None,
    model: Annotated[
        str, typer.Option("--model", metavar="PROVIDER:MODEL", help="From there on.")
    ] = "",
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="STEP=TEXT", help="Said in place of what the code says."),
    ] = None,
    system: Annotated[
        list[str] | None, typer.Option("--system", metavar="STEP=TEXT", help="The instruction.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="K=V", help="Of every model call, as temperature=0."),
    ] = None,
    graph: Annotated[
        str,
        typer.Option("--graph", metavar="MODULE:GRAPH", help="The code; drives the fork here."),
    ] = "",
    paused: Annotated[bool, typer.Option("--paused", help="Only make it.")] = False,
    run_id: Annotated[str, typer.Option("--run-id", help="Of the fork.")] = "",
    tag: Tags = None,
    reason: Reason = "",
    by: By = "",
    quiet: Quiet = False,
) -> None:
    """Begin a new run with the events of this one up to a moment, and something changed from there on."""
    from midstream.cli import debugging

    carry_out(
        debugging.fork(
            run,
            at=at,
            given=given or (),
            model=model,
            prompts=prompt or (),
            systems=system or (),
            settings=setting or (),
            graph=graph,
            paused=paused,
            run_id=run_id,
            tags=tag or (),
            reason=reason,
            by=by,
            quiet=quiet,
        )
    )


def replay(
    run: MaybeRuns = None,
    everything: Annotated[bool, typer.Option("--all", help="All runs of these graphs.")] = False,
    graph: Many = None,
    since: Annotated[
        str, typer.Option("--since", metavar="7d", help="Only runs that began since then.")
    ] = "",
    tolerant: Annotated[
        bool, typer.Option("--tolerant", help="Compare what was decided, not how it was told.")
    ] = False,
    live: Annotated[
        list[str] | None,
        typer.Option(
            "--live", metavar="STEP", help="Try it: this happens, the log answers the rest."
        ),
    ] = None,
    model: Models = None,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", metavar="STEP=TEXT", help="Said in place of what the code says."),
    ] = None,
    times: Annotated[int, typer.Option("--times", min=1, help="How often it is tried.")] = 1,
    stop: Annotated[
        bool, typer.Option("--stop", help="End a try where anything else would happen.")
    ] = False,
    limit: Annotated[str, typer.Option("--limit", metavar="USD", help="Of all tries.")] = "",
    forget: Annotated[bool, typer.Option("--forget", help="Keep no forks of the tries.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask about the price.")] = False,
) -> None:
    """Run today's code against the log, asking nobody; exit 1 where it does something else.

    With --live, chosen steps happen, in forks of the run, after their price was told; exit 1 where a try ends otherwise.
    """
    from midstream.cli import debugging

    if live:
        from midstream.cli import trying

        carry_out(
            trying.replay_live(
                run or (),
                everything=everything,
                live=live,
                models=model or (),
                prompts=prompt or (),
                times=times,
                stop=stop,
                limit=limit,
                forget=forget,
                place=next(iter(graph or ()), ""),
                yes=yes,
            )
        )
    carry_out(
        debugging.replay(
            run or (), everything=everything, places=graph or (), since=since, tolerant=tolerant
        )
    )


def cost(
    run: RunArgument = "@last",
    model: Models = None,
    cache: Annotated[
        str,
        typer.Option(
            "--cache", metavar="none|read|write", help="As if caches were used like that."
        ),
    ] = "recorded",
    date: Annotated[
        str, typer.Option("--date", metavar="2026-01-31", help="By the prices of that day.")
    ] = "",
    at: At = "",
    runs: Annotated[
        str | None,
        typer.Option("--runs", metavar="QUERY", help="Of all that `midstream runs QUERY` lists."),
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="run|graph|model|node|tag.KEY", help="With --runs.")
    ] = "graph",
) -> None:
    """Say what a run cost by node and model, or would cost by other prices: an estimate, asking nobody."""
    if runs is not None:
        from midstream.cli.cost_of_runs import cost_of_runs

        carry_out(cost_of_runs(runs, by))
    from midstream.cli import costs

    carry_out(costs.cost(run, models=model or (), cache=cache, date=date, at=at))


def diff(
    left: RunAtArgument,
    right: RunAtArgument,
    stat: Annotated[bool, typer.Option("--stat", help="Only where, why and what it cost.")] = False,
) -> None:
    """Say where two runs part, why, and what that made differ; exit 1 where they differ."""
    from midstream.cli import looking_back

    carry_out(looking_back.diff(left, right, stat=stat))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "trace": trace,
    "fork": fork,
    "replay": replay,
    "cost": cost,
    "diff": diff,
}
"""By name."""
