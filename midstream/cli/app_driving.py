"""The commands that drive and steer runs: `start`, `resume`, `migrate`, `pause`, `cancel`, `settle`; see `app`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import By, Lease, Quiet, Reason, RunArgument, Tags


def start(
    graph: Annotated[
        str,
        typer.Argument(metavar="MODULE:GRAPH", help="As in trips:trip; or a .yaml or .json file."),
    ],
    given: Annotated[
        list[str] | None,
        typer.Option(
            "-i", metavar="K=V", help="An input: JSON where it is JSON, else text. Repeat."
        ),
    ] = None,
    file: Annotated[
        str, typer.Option("--input", metavar="FILE", help="Inputs as a JSON object; - is stdin.")
    ] = "",
    run_id: Annotated[
        str, typer.Option("--run-id", help="The same id with the same inputs is the same run.")
    ] = "",
    model: Annotated[
        str, typer.Option("--model", metavar="PROVIDER:MODEL", help="Of calls that name none.")
    ] = "",
    tag: Tags = None,
    subject: Annotated[
        str, typer.Option("--subject", metavar="WHO", help="`db erase --subject WHO` erases it.")
    ] = "",
    lease: Lease = 15.0,
    quiet: Quiet = False,
) -> None:
    """Start a run and drive it here; its output is written to stdout."""
    from midstream.cli import drive

    carry_out(
        drive.start(
            graph,
            given=given or (),
            file=file,
            run_id=run_id,
            model=model,
            tags=tag or (),
            subject=subject,
            lease=lease,
            quiet=quiet,
        )
    )


def resume(
    run: RunArgument,
    graph: Annotated[
        list[str] | None,
        typer.Option("--graph", metavar="MODULE:GRAPH", help="The run's code. May be repeated."),
    ] = None,
    by: By = "",
    lease: Lease = 15.0,
    wait: Annotated[
        bool, typer.Option(help="Wait for the lease of a driver that may have died.")
    ] = True,
    upgrade: Annotated[
        bool,
        typer.Option("--upgrade", help="With changed code, where nothing that has begun changed."),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Take a run over where nobody drives it, or let a paused one go on."""
    from midstream.cli import drive

    carry_out(
        drive.resume(
            run,
            places=graph or (),
            by=by,
            lease=lease,
            wait=wait,
            quiet=quiet,
            upgrade=upgrade,
        )
    )


def migrate(
    run: RunArgument,
    to: Annotated[str, typer.Option("--to", metavar="PROVIDER:MODEL", help="Who goes on.")],
    scope: Annotated[str, typer.Option("--scope", help="run, node:NAME or thread:NAME.")] = "run",
    source: Annotated[
        str, typer.Option("--source", metavar="MODEL", help="Only calls that would go to it.")
    ] = "",
    when: Annotated[
        str, typer.Option("--when", help="next: after the call in flight; now: abandon that call.")
    ] = "next",
    handoff: Annotated[
        str, typer.Option("--handoff", help="brief: tell it where the run stands; or none.")
    ] = "none",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what it means.")] = False,
    by: By = "",
) -> None:
    """Go on with another model, and say what it cannot be told."""
    from midstream.cli import wishes

    carry_out(
        wishes.migrate(
            run,
            to=to,
            scope=scope,
            source=source,
            when=when,
            handoff=handoff,
            dry_run=dry_run,
            by=by,
        )
    )


def pause(run: RunArgument, reason: Reason = "", by: By = "") -> None:
    """Start nothing further; what is in flight ends and is recorded."""
    from midstream.cli import wishes

    carry_out(wishes.pause(run, reason=reason, by=by))


def cancel(run: RunArgument, reason: Reason = "", by: By = "") -> None:
    """End a run; every call that is open gets a recorded end."""
    from midstream.cli import wishes

    carry_out(wishes.cancel(run, reason=reason, by=by))


def settle(
    run: RunArgument,
    step: Annotated[str, typer.Argument(metavar="STEP", help="As `midstream show RUN` names it.")],
    result: Annotated[
        str | None, typer.Option("--result", metavar="JSON", help="What the call returned.")
    ] = None,
    error: Annotated[str, typer.Option("--error", metavar="TEXT", help="How it failed.")] = "",
    retry: Annotated[bool, typer.Option("--retry", help="It did nothing; call it again.")] = False,
    by: By = "",
) -> None:
    """Say what became of an unsafe tool call that was in flight when its process ended."""
    from midstream.cli import wishes

    carry_out(wishes.settle(run, step, result=result, error=error, retry=retry, by=by))


COMMANDS: Mapping[str, Callable[..., None]] = {
    "start": start,
    "resume": resume,
    "migrate": migrate,
    "pause": pause,
    "cancel": cancel,
    "settle": settle,
}
"""By name."""
