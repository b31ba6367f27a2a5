"""A moment of a recorded run, kept beside a test: what the code decided then, it still decides.

`midstream export pytest RUN --at STEP -o test_it.py` writes such a test and its log; it needs neither the store nor a model.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path

from midstream.adapters.base import Adapter
from midstream.engine.debugging.replay import ReplayReport, replay_run
from midstream.engine.graphs.graph import Graph
from midstream.engine.providers import Providers
from midstream.errors import ConfigError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.jsonl import import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.projections.run_state import RunState, fold_run
from midstream.testing.replaying import alone


@dataclass(frozen=True)
class Pinned:
    """A run up to a moment, and its code.

    Attributes:
        log: The file that `midstream export` wrote, or its text.
        run: The run.
        graph: Its code today.
        strict: See `Run.replay`.
        adapters: Adapters by provider that only render, for providers of your own.
    """

    log: str | PathLike[str]
    run: str = field(kw_only=True)
    graph: Graph = field(kw_only=True)
    strict: bool = field(default=True, kw_only=True)
    adapters: Mapping[str, Adapter] = field(default_factory=dict[str, Adapter], kw_only=True)

    def replay(self) -> ReplayReport:
        """Run the code against the log, asking nobody; `check()` of what is returned raises where the two part.

        Raises:
            CorruptLogError: The log is not what was exported.
            GraphError: The code is of another graph.
        """
        return alone(self._replayed())

    def state(self) -> RunState:
        """Return where the run stood.

        Raises:
            CorruptLogError: The log is not what was exported.
        """
        return fold_run(alone(self._events()))

    async def _replayed(self) -> ReplayReport:
        store = await self._store()
        providers = Providers(dict(self.adapters))
        return await replay_run(store, RunId(self.run), self.graph, providers, strict=self.strict)

    async def _events(self) -> list[Event]:
        store = await self._store()
        return [event async for event in store.read(RunId(self.run))]

    async def _store(self) -> MemoryStore:
        store = MemoryStore()
        await import_runs(store, read_lines(_body(self.log).splitlines()), now=time.time())
        return store


def _body(log: str | PathLike[str]) -> bytes:
    if isinstance(log, str) and "\n" in log:
        return log.encode()
    try:
        return Path(log).read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the log {str(log)!r}: {error.strerror}; it belongs beside the test that was exported with it"
        ) from error
