"""The commands of `midstream export`: runs in forms that others read; see `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import Out, RunArgument, RunsArgument, group

export = group("export", "Write runs in a form that others read.")


@export.command()
def jsonl(
    run: RunsArgument,
    out: Out = "",
    opened: Annotated[
        bool, typer.Option("--opened", help="Sealed content readable, with digests of its own.")
    ] = False,
) -> None:
    """Write runs as lines of JSON, from which `midstream import` makes the same runs."""
    from midstream.cli import exporting

    carry_out(exporting.export(run, out=out, opened=opened))


@export.command()
def otel(
    run: RunsArgument,
    out: Out = "",
    content: Annotated[
        bool, typer.Option("--content", help="What was said, too; it may be anything.")
    ] = False,
    edition: Annotated[
        str, typer.Option("--semconv", metavar="NAMES", help="1.41, latest or both.")
    ] = "1.41",
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Also what has not ended, as it stands now.")
    ] = False,
    service: Annotated[
        str, typer.Option("--service", envvar="OTEL_SERVICE_NAME", help="Whose spans they are.")
    ] = "midstream",
) -> None:
    """Write runs as spans of OpenTelemetry: OTLP in JSON, a line for each run; the same run gives the same ids."""
    from midstream.cli import exporting_spans

    carry_out(
        exporting_spans.export(
            run, out=out, content=content, edition=edition, unfinished=unfinished, service=service
        )
    )


@export.command()
def html(
    run: RunArgument = "@last",
    at: Annotated[
        str, typer.Option("--at", metavar="N|STEP", help="As it stood then; also RUN@N.")
    ] = "",
    out: Out = "",
) -> None:
    """Write a run as one page of HTML: steps on a time line, what was said, losses, costs; it fetches nothing."""
    from midstream.cli import exporting

    carry_out(exporting.page(run, out=out, at=at))


@export.command("pytest")
def pin(
    run: RunArgument = "@last",
    at: Annotated[
        str, typer.Option("--at", metavar="N|STEP", help="Up to this event, or before this step.")
    ] = "",
    graph: Annotated[
        str, typer.Option("--graph", metavar="MODULE:GRAPH", help="Its code, if not as started.")
    ] = "",
    out: Out = "",
    inline: Annotated[
        bool, typer.Option("--inline", help="The log in the test, not in a file beside it.")
    ] = False,
) -> None:
    """Write a test that replays a run up to a moment, and fails once the code decides otherwise."""
    from midstream.cli import pinning

    carry_out(pinning.pin(run, at=at, place=graph, out=out, inline=inline))
