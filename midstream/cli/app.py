"""The commands and their options; what they do is imported when one is run, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from midstream.cli import app_conversations, app_debugging, app_driving, app_looking, app_people
from midstream.cli.app_exporting import export
from midstream.cli.app_graphs import graph as graphs
from midstream.cli.app_store import db as store
from midstream.cli.exits import MEANINGS, carry_out
from midstream.cli.experience import app as experience
from midstream.cli.options import group
from midstream.cli.routing_commands import GROUPS as ROUTING
from midstream.cli.settings import DEFAULT_DB, SETTINGS, Settings

_EVERYWHERE = "--db, --config, --json and --no-color may stand before or after the command."

app = typer.Typer(
    name="midstream",
    help="Runs of LLM work that survive a crash and change models midstream.",
    epilog=f"{MEANINGS} {_EVERYWHERE}",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("midstream"))
        except PackageNotFoundError:
            import midstream

            typer.echo(midstream.__version__)
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    db: Annotated[
        Path | None,
        typer.Option("--db", envvar="MIDSTREAM_DB", metavar="FILE", help="The store [runs.db]."),
    ] = None,
    config: Annotated[
        str,
        typer.Option(
            "--config",
            envvar="MIDSTREAM_CONFIG",
            metavar="FILE",
            help="Groups, pools and endpoints [midstream.yaml].",
        ),
    ] = "",
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a line on stdout, with the API's names.")
    ] = False,
    no_color: Annotated[bool, typer.Option("--no-color", help="As NO_COLOR does.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Keep what was said for all commands."""
    SETTINGS.set(
        Settings(
            db=db or DEFAULT_DB,
            as_json=as_json,
            color=not no_color,
            db_given=_on_command_line(ctx, "db"),
            config=config,
        )
    )


@app.command()
def demo(
    live: Annotated[
        bool,
        typer.Option("--live", help="Ask the vendors, with OPENAI_API_KEY and ANTHROPIC_API_KEY."),
    ] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Keep what the tools and the processes wrote, too.")
    ] = False,
) -> None:
    """Kill a run in the middle of a tool loop, resume it, and move it to another provider's model.

    Needs no key: a stand-in for both providers answers on this machine, over real HTTP, to the vendors' real SDKs.
    """
    from midstream.cli.demo import demonstrate

    carry_out(demonstrate(live=live, keep=keep))


mcp = group("mcp", "Speak MCP.")


@mcp.command("serve")
def mcp_serve() -> None:
    """Offer the runs of the store as MCP tools over stdin and stdout: list, show, view, fork, and answer a question."""
    from midstream.cli import mcp_server

    carry_out(mcp_server.serve())


@app.command()
def doctor(
    what: Annotated[
        str, typer.Argument(metavar="[config]", help="config: what is in force, and why.")
    ] = "",
) -> None:
    """Check this machine, and say what to do about what is missing; or print the configuration in force."""
    if what == "config":
        from midstream.cli import configuring

        carry_out(configuring.effective())
    if what:
        raise typer.BadParameter(f"{what!r} is nothing to look at; say config, or nothing")
    from midstream.cli import doctor as examining

    carry_out(examining.doctor())


_TABLES = (app_driving, app_looking, app_people, app_conversations, app_debugging)
for _table in _TABLES:
    for _name, _command in _table.COMMANDS.items():
        app.command(_name)(_command)
for _group in (export, store, experience, graphs, *ROUTING, mcp):
    app.add_typer(_group)


def main() -> None:
    """Run the command line; exits the process."""
    arguments = sys.argv[1:]
    app(globals_first(arguments), prog_name="midstream")


def globals_first(arguments: list[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere."""
    front: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for word in given:
        if word == "--":
            rest += [word, *given]
        elif word in ("--db", "--config"):
            front += [word, *(value for value in [next(given, None)] if value is not None)]
        elif word in ("--json", "--no-color") or word.startswith(("--db=", "--config=")):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def _on_command_line(ctx: typer.Context, option: str) -> bool:
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
