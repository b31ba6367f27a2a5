"""The command line: `midstream --help` lists the commands, and `docs/` says what they are for."""

from midstream.cli.app import main

__all__ = ["main"]
