"""The commands that look at runs: `runs`, `show`, `tail`, `verify`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import MaybeRuns, RunArgument, Tags


def runs(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[QUERY]...",
            help="As status:failed 'cost:>0.10' since:7d 'not tag.team:blue' sort:-cost; midstream runs help lists all.",
        ),
    ] = None,
    status: Annotated[
        str, typer.Option("--status", "-s", help="running, paused, completed, failed, cancelled.")
    ] = "",
    graph: Annotated[str, typer.Option("--graph", help="Only of this graph.")] = "",
    tag: Tags = None,
    since: Annotated[str, typer.Option("--since", metavar="7d", help="Began since then.")] = "",
    limit: Annotated[int, typer.Option("-n", min=0, help="At most so many.")] = 20,
    whole: Annotated[
        bool, typer.Option("--long", "-l", help="Read them: model, tokens, cost, what waits.")
    ] = False,
    watch: Annotated[
        bool,
        typer.Option("--watch", "-w", help="Again whenever something happens; Ctrl-C ends it."),
    ] = False,
) -> None:
    """List runs, the newest first, or those that a query asks for."""
    from midstream.cli import runs as listing

    words = query or ()
    if words == ["help"]:
        carry_out(listing.fields())
    carry_out(
        listing.list_runs(
            " ".join(words),
            status,
            graph,
            tag or (),
            limit,
            since=since,
            whole=whole,
            watch=watch,
        )
    )


def show(
    run: RunArgument = "@last",
    at: Annotated[
        str, typer.Option("--at", metavar="N|STEP", help="As it stood then; also RUN@N.")
    ] = "",
    state: Annotated[
        bool, typer.Option("--state", help="Inputs, what each step returned, and calls.")
    ] = False,
    step: Annotated[
        str, typer.Option("--step", metavar="STEP", help="One step; of a node, the newest one.")
    ] = "",
    messages: Annotated[
        bool, typer.Option("--messages", help="The newest conversation, or that of the step.")
    ] = False,
    cost: Annotated[bool, typer.Option("--cost", help="What it used, and what that cost.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All of these, and the tree of steps.")
    ] = False,
) -> None:
    """Show one run on one screen: where it stands, what it waits for, and what to do next; or parts of it."""
    from midstream.cli import show_parts

    carry_out(
        show_parts.show(
            run,
            at=at,
            state=state,
            step=step,
            messages=messages,
            cost=cost,
            everything=everything,
        )
    )


def tail(
    run: RunArgument = "@last",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes.")] = False,
    after: Annotated[int, typer.Option("--after", min=0, help="Events after this one.")] = 0,
    full: Annotated[bool, typer.Option("--full", help="The whole data of each event.")] = False,
    types: Annotated[
        list[str] | None,
        typer.Option("--type", metavar="TYPE", help="Only these, as tool.*; may be repeated."),
    ] = None,
) -> None:
    """Write the events of a run, one line each; Ctrl-C leaves the run alone."""
    from midstream.cli import tail as tailing

    carry_out(tailing.tail(run, follow=follow, after=after, full=full, types=types or ()))


def verify(
    run: MaybeRuns = None,
    anchor: Annotated[
        str, typer.Option("--anchor", metavar="FILE", help="Heads that were kept elsewhere.")
    ] = "",
    save_anchor: Annotated[
        str, typer.Option("--save-anchor", metavar="FILE", help="Write the heads of sound runs.")
    ] = "",
) -> None:
    """Check that every event is what was written; without an anchor, the end is not checked (exit 3)."""
    from midstream.cli.checking import check

    carry_out(check(run or (), anchor=anchor, save_anchor=save_anchor))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "runs": runs,
    "show": show,
    "tail": tail,
    "verify": verify,
}
"""By name."""
