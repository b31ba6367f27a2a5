"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

RunArgument = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id, the beginning of one, @last or @last-failed."),
]
By = Annotated[str, typer.Option("--by", help="Who wants it; recorded.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing of what happens in between.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="May be repeated.")]

Lease = Annotated[
    float,
    typer.Option("--lease", min=0.5, metavar="SECONDS", help="How long a dead process keeps it."),
]
