"""The commands of `midstream db`: looking after the file; see `app`."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli.completing import complete_run
from midstream.cli.exits import carry_out
from midstream.cli.options import By, Reason, group

db = group("db", "Look after the store: how large it is, a copy of it, its free space.")


@db.command()
def stats(
    by_type: Annotated[
        bool, typer.Option("--by-type", help="By type of event, too; reads the whole file.")
    ] = False,
) -> None:
    """Say what the store holds, and how large it is."""
    from midstream.cli import upkeep

    carry_out(upkeep.stats(by_type=by_type))


@db.command()
def backup(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to.")],
    quick: Annotated[
        bool, typer.Option("--quick", help="Check the copy's pages, not each event.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it exists.")] = False,
) -> None:
    """Copy the store while runs go on, check the copy, and only then give it its name."""
    from midstream.cli import upkeep

    carry_out(upkeep.backup(file, quick=quick, force=force))


@db.command()
def vacuum(
    live: Annotated[
        bool, typer.Option("--live", help="Also while runs are driven; their appends wait for it.")
    ] = False,
) -> None:
    """Give the file's free pages back to the disk; what is in it stays the same."""
    from midstream.cli import upkeep

    carry_out(upkeep.vacuum(live=live))


@db.command()
def prune(
    older_than: Annotated[
        str,
        typer.Option("--older-than", metavar="30d", help="Since the newest event of a run."),
    ],
    keep: Annotated[
        list[str] | None,
        typer.Option(
            "--keep", metavar="WHICH", help="failed, cancelled, graph:NAME, tag:K=V. Repeat."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say which would go.")] = False,
    reason: Reason = "",
    by: By = "",
) -> None:
    """Remove whole runs that ended long ago; what stays of them is where they stood."""
    from midstream.cli import keeping

    carry_out(
        keeping.prune(older_than=older_than, keep=keep or (), dry_run=dry_run, reason=reason, by=by)
    )


@db.command()
def erase(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="With its forks.", autocompletion=complete_run)
    ] = "",
    subject: Annotated[
        str, typer.Option("--subject", metavar="WHO", help="All runs of this subject instead.")
    ] = "",
    subruns: Annotated[
        bool | None,
        typer.Option("--subruns/--no-subruns", help="With the runs that it has started."),
    ] = None,
    reason: Reason = "",
    by: By = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask; it cannot be undone.")] = False,
) -> None:
    """Erase what runs said, for good; what happened and when stays, and can still be verified."""
    from midstream.cli import keeping

    carry_out(keeping.erase(run, subject=subject, subruns=subruns, reason=reason, by=by, yes=yes))


@db.command()
def rotate() -> None:
    """Seal the keys of all runs with the newest of MIDSTREAM_KEYS."""
    from midstream.cli import keeping

    carry_out(keeping.rotate())


@db.command()
def removed() -> None:
    """List the runs that were removed: when, by whom, why, and where each stood."""
    from midstream.cli import keeping

    carry_out(keeping.removed())
