"""What tests of the command line share: a store of their own, graphs that can be imported, and commands run in place."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from midstream import Engine
from midstream.cli.app import application, globals_first, wanted

from . import graphs


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """Its lines on stdout, as JSON."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def said(self) -> str:
        """Its one line on stderr."""
        (line,) = self.err.splitlines()
        return line


class Command:
    """Runs `midstream` in this process: `command("show", "r1")`."""

    def __init__(self, db: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.db = db
        self._capsys = capsys

    def __call__(self, *words: str) -> Done:
        self._capsys.readouterr()
        arguments = globals_first(list(words))
        with pytest.raises(SystemExit) as ended:
            application(wanted(arguments))(arguments, prog_name="midstream")
        out, err = self._capsys.readouterr()
        code = ended.value.code
        return Done(code if isinstance(code, int) else 0, out, err)


@pytest.fixture
def command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """Run commands over a store of the test's own, where the graphs of the tests can be imported."""
    db = tmp_path / "runs.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MIDSTREAM_DB", str(db))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "shop.py").write_text(Path(graphs.__file__).read_text(encoding="utf-8"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "shop", raising=False)
    yield Command(db, capsys)
    sys.modules.pop("shop", None)
    structlog.reset_defaults()


@pytest.fixture
def half_done(command: Command) -> str:
    """A run that nobody drives: its model has answered, its node sleeps."""

    async def leave() -> None:
        models = {"openai:gpt-4o": ["hello"]}
        async with Engine.open(command.db, models=models, recover=False) as engine:
            run = await engine.start(graphs.sleepy, run_id="half", model="openai:gpt-4o")
            async for event in run.events():
                if event.type == "timer.set":
                    return

    asyncio.run(leave())
    return "half"
