"""Writes docs/commands.md from the commands and their options, so that the page cannot say something else.

python scripts/cli_reference.py            prints the page
python scripts/cli_reference.py --write    writes it
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from midstream.cli.app import app

PAGE = Path(__file__).parent.parent / "docs" / "commands.md"

HEAD = """# Commands

<!-- Written by scripts/cli_reference.py from the code; change the help there, and run it with --write. -->

What holds for all of them, such as exit codes and how a run is named, is told in [the command line](cli.md).
"""


def page() -> str:
    """Return the page."""
    lines = [HEAD]
    for path, command in walk("midstream", typer.main.get_command(app)):
        lines += section(path, command)
    return "\n".join(lines)


def walk(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Iterate over a command and those below it, in the order of `--help`."""
    yield path, command
    for name, inner in getattr(command, "commands", {}).items():
        yield from walk(f"{path} {name}", inner)


def section(path: str, command: Any) -> Iterator[str]:
    """Iterate over the lines about one command."""
    usage = " ".join(
        param.metavar or param.human_readable_name
        for param in command.params
        if param.param_type_name == "argument"
    )
    yield f"## `{' '.join(filter(None, (path, usage)))}`\n"
    for paragraph in (command.help or "").split("\n\n"):
        yield f"{' '.join(paragraph.split())}\n"
    rows = [row for param in command.params if (row := option(param)) is not None]
    if rows:
        yield "| option | what it does |\n|---|---|"
        yield from rows
        yield ""


def option(param: Any) -> str | None:
    """Return the row of an argument or an option; None where there is nothing to say."""
    if param.param_type_name == "argument":
        said = getattr(param, "help", "") or ""
        return (
            f"| `{escaped(param.metavar or param.human_readable_name)}` | {escaped(said)} |"
            if said
            else None
        )
    names = ", ".join((*param.opts, *param.secondary_opts))
    if "--help" in param.opts or "completion" in names:
        return None
    value = "" if param.is_flag else f" {param.metavar or 'VALUE'}"
    default = param.default
    shown = (
        "" if default in (None, "", False, True, (), []) or callable(default) else f" [{default}]"
    )
    return f"| `{escaped(names + value)}` | {escaped((param.help or '') + shown)} |"


def escaped(text: str) -> str:
    """Return a text that a cell of a table can hold."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
