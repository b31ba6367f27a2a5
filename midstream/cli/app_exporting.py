"""The commands of `midstream export`: runs in forms that others read; see `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import Out, RunsArgument, group

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
