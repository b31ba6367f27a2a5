"""The commands about endpoints, configurations and policies: `models`, `config`, `policy`."""

from __future__ import annotations

from typing import Annotated

import typer

from midstream.cli.exits import carry_out
from midstream.cli.options import RunArgument, group

models = group("models", "Endpoints: how they are, and taking one out.")
config = group("config", "Configurations of groups, pools and endpoints.")
policy = group("policy", "Migration policies.")
GROUPS = (models, config, policy)
"""All of them."""

Target = Annotated[
    str, typer.Option("--group", metavar="TARGET", help="As group:fast or pool:all; all, if none.")
]


@models.command("list")
def list_models(
    target: Target = "",
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="In the text format of Prometheus.")
    ] = False,
) -> None:
    """Say how endpoints are, and what was counted."""
    from midstream.cli import endpoints

    carry_out(endpoints.show(target, prometheus=prometheus))


@models.command("check")
def check_models(target: Target = "") -> None:
    """Make one small call to each endpoint; exits 1 where one does not answer."""
    from midstream.cli import endpoints

    carry_out(endpoints.check(target))


@models.command("drain")
def drain_model(
    endpoint: Annotated[str, typer.Argument(metavar="ENDPOINT")],
    reason: Annotated[str, typer.Option("--reason", help="Why; recorded.")] = "",
) -> None:
    """Let no further calls go to an endpoint, from any process on this store."""
    from midstream.cli import endpoints

    carry_out(endpoints.drain(endpoint, reason=reason))


@models.command("reset")
def reset_model(
    endpoint: Annotated[str, typer.Argument(metavar="[ENDPOINT]")] = "",
    stats: Annotated[bool, typer.Option("--stats", help="Only count from zero.")] = False,
) -> None:
    """Close an endpoint's breaker and let a drained one back in; or count from zero."""
    from midstream.cli import endpoints

    carry_out(endpoints.reset(endpoint, statistics=stats))


@config.command("migrate")
def migrate_config(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Where the old files are.")],
    backup: Annotated[
        bool, typer.Option("--backup/--no-backup", help="Keep the old folder beside it.")
    ] = True,
    validate_only: Annotated[
        bool, typer.Option("--validate-only", help="Only say what would be done.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Name each change.")] = False,
) -> None:
    """Bring old files into the present form, all or nothing; doing it again changes nothing."""
    from midstream.cli import configuring

    carry_out(
        configuring.migrate(folder, backup=backup, validate_only=validate_only, verbose=verbose)
    )


@policy.command("test")
def test_policy(
    run: RunArgument,
    file: Annotated[str, typer.Option("--policy", metavar="FILE", help="YAML with `policies`.")],
) -> None:
    """Show what policies would have done on a recorded run; nobody is asked."""
    from midstream.cli import policies

    carry_out(policies.test(run, file=file))
