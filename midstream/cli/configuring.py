"""`midstream doctor config` and `midstream config migrate`: what is in force and why, and bringing old files up to date."""

from __future__ import annotations

import os
from pathlib import Path

from midstream.cli.exits import OK
from midstream.cli.output import as_json, put, put_json, say
from midstream.cli.settings import SETTINGS, command


async def effective() -> int:
    """Print each value in force, and where it comes from."""
    from midstream.adapters.routing.loading import load
    from midstream.adapters.routing.table import Table

    loaded = load(SETTINGS.get().config or None)
    Table(loaded.config)
    for path, value, origin in loaded.effective():
        if SETTINGS.get().as_json:
            put_json({"path": path, "value": value, "origin": origin})
        else:
            shown = value if isinstance(value, str) else as_json(value)
            put(f"{path} = {shown}  ({origin})")
    names = sorted({one.key_env for one in loaded.config.endpoints.values() if one.key_env})
    for name in names:
        if not os.environ.get(name):
            say(f"{name} is not set; export it before an endpoint that names it is asked")
    if not loaded.files:
        say("there is no configuration; name one with --config, or write midstream.yaml")
    return OK


async def migrate(folder: str, *, backup: bool, validate_only: bool, verbose: bool) -> int:
    """Bring a folder of old configuration files into the present form.

    Args:
        folder: Where they are.
        backup: Keep the old folder beside it.
        validate_only: Only say what would be done.
        verbose: Name each change.
    """
    from midstream.adapters.routing.migrating import ConfigMigrator

    report = ConfigMigrator(Path(folder)).migrate(backup=backup, validate_only=validate_only)
    for step in report.steps:
        if SETTINGS.get().as_json:
            put_json({"file": step.file, "what": step.what})
        elif verbose or validate_only:
            put(f"{step.file}: {step.what}")
    if not report.steps:
        say("nothing to do: this is the present form")
    elif validate_only:
        say(f"{len(report.steps)} changes, and what comes out is valid; nothing was written")
    else:
        kept = f"; the old files are in {report.backup}" if report.backup else ""
        say(f"{len(report.steps)} changes were made{kept}")
        say(f"see what is in force: {command('doctor', 'config')}")
    return OK
