"""All commands, by the modules that have them; only the one that is wanted is imported, so that it begins quickly.

What a command does is imported when it is run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from midstream.cli.exits import MEANINGS
from midstream.cli.settings import DEFAULT_DB, SETTINGS, Settings

if TYPE_CHECKING:
    app: typer.Typer

_EVERYWHERE = "--db, --config, --json and --no-color may stand before or after the command."

COMMANDS = {
    "demo": "app_first",
    "doctor": "app_first",
    "start": "app_driving",
    "resume": "app_driving",
    "migrate": "app_driving",
    "pause": "app_driving",
    "cancel": "app_driving",
    "settle": "app_driving",
    "runs": "app_looking",
    "show": "app_looking",
    "tail": "app_looking",
    "verify": "app_looking",
    "questions": "app_people",
    "answer": "app_people",
    "feedback": "app_people",
    "convert": "app_conversations",
    "import": "app_conversations",
    "say": "app_conversations",
    "messages": "app_conversations",
    "trace": "app_debugging",
    "fork": "app_debugging",
    "replay": "app_debugging",
    "cost": "app_debugging",
    "diff": "app_debugging",
}
"""The module of each command, in the order of `--help`; there it stands in a table of the same name."""

GROUPS = {
    "export": "app_exporting:export",
    "db": "app_store:db",
    "experience": "experience:app",
    "graph": "app_graphs:graph",
    "models": "routing_commands:models",
    "config": "routing_commands:config",
    "policy": "routing_commands:policy",
    "mcp": "app_mcp:mcp",
}
"""Where each group of commands is made, in that order."""

_WITH_VALUE = ("--db", "--config")

_COMPLETING = "_MIDSTREAM_COMPLETE"
"""What a shell sets that wants to know which words may follow."""


def application(names: Iterable[str] = (*COMMANDS, *GROUPS)) -> typer.Typer:
    """Return the command line with these commands and groups of commands.

    Args:
        names: All, unless it is known which one is wanted: making sixty takes longer than most of them run.
    """
    made = typer.Typer(
        name="midstream",
        help="Runs of LLM work that survive a crash and change models midstream.",
        epilog=f"{MEANINGS} {_EVERYWHERE}",
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        no_args_is_help=True,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    made.callback()(options)
    for name in names:
        if name in COMMANDS:
            table = import_module(f"midstream.cli.{COMMANDS[name]}").COMMANDS
            made.command(name)(table[name])
        else:
            module, _, group = GROUPS[name].partition(":")
            made.add_typer(getattr(import_module(f"midstream.cli.{module}"), group))
    return made


if not TYPE_CHECKING:  # a checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        """Make the whole command line when somebody asks for `app`."""
        if name != "app":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = made = application()
        return made


def main() -> None:
    """Run the command line; exits the process."""
    arguments = globals_first(sys.argv[1:])
    application(wanted(arguments))(arguments, prog_name="midstream")


def wanted(arguments: list[str]) -> Iterable[str]:
    """Return the commands that these arguments may mean: one, all of them, or none.

    Args:
        arguments: Global options first.
    """
    everything = (*COMMANDS, *GROUPS)
    if _COMPLETING in os.environ:
        return everything
    if arguments == ["--version"]:
        return ()
    given = iter(arguments)
    for word in given:
        if word in _WITH_VALUE:
            next(given, None)
        elif not word.startswith("-"):
            return (word,) if word in everything else everything
        elif not _is_global(word):
            return everything  # `--help` lists them
    return everything


def _is_global(word: str) -> bool:
    return word in ("--json", "--no-color") or word.startswith(("--db=", "--config="))


def globals_first(arguments: list[str]) -> list[str]:
    """Move the global options to the front, so that they may stand anywhere."""
    front: list[str] = []
    rest: list[str] = []
    given = iter(arguments)
    for word in given:
        if word == "--":
            rest += [word, *given]
        elif word in _WITH_VALUE:
            front += [word, *(value for value in [next(given, None)] if value is not None)]
        elif _is_global(word):
            front.append(word)
        else:
            rest.append(word)
    return front + rest


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(version("midstream"))
        except PackageNotFoundError:
            import midstream

            typer.echo(midstream.__version__)
        raise typer.Exit


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


def _on_command_line(ctx: typer.Context, option: str) -> bool:
    source = ctx.get_parameter_source(option)
    return source is not None and source.name == "COMMANDLINE"
