"""Arguments and options that several commands share, and how a group of commands is made."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli.completing import complete_run

_RUN = "A run's id, the beginning of one, @last or @last-failed."

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help=_RUN, autocompletion=complete_run)]
RunsArgument = Annotated[
    list[str], typer.Argument(metavar="RUN...", help=_RUN, autocompletion=complete_run)
]
MaybeRuns = Annotated[
    list[str] | None,
    typer.Argument(metavar="[RUN]...", help="All, if none.", autocompletion=complete_run),
]
MaybeRun = Annotated[
    str, typer.Argument(metavar="[RUN]", help="All, if none.", autocompletion=complete_run)
]
RunAtArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN[@N]", help="A run, or a moment of it.", autocompletion=complete_run
    ),
]
By = Annotated[str, typer.Option("--by", help="Who wants it; recorded.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; recorded.")]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Say nothing of what happens in between.")
]
Tags = Annotated[list[str] | None, typer.Option("--tag", metavar="K=V", help="May be repeated.")]
Out = Annotated[str, typer.Option("-o", "--out", metavar="FILE", help="[stdout]")]
Lease = Annotated[
    float,
    typer.Option("--lease", min=0.5, metavar="SECONDS", help="How long a dead process keeps it."),
]


def group(name: str, help_: str) -> typer.Typer:
    """Return a group of commands."""
    return typer.Typer(
        name=name,
        help=help_,
        rich_markup_mode=None,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
