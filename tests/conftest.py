"""What tests of the engine share: engines over a store in memory, in three modes that must make no difference.

`plain` is the engine as it is. `ambiguous` loses the answer of every twentieth append, before or after the commit.
`always_replay` drops all state after each append. A test that takes `make_engine` or `make_store` runs in each of them.
"""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Generator
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Literal
from zlib import crc32

import pytest
from hypothesis import settings

from midstream import Engine
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore

from .stores import AmbiguousStore

Mode = Literal["plain", "ambiguous", "always_replay"]

# In CI the same examples each time: what is new there is the change, not the dice. Everywhere else they are thrown.
# No example has a time limit: what it takes is the machine's mood.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

# A shell ignores this signal in what it runs in the background, and children inherit that; tests that send it need it heard.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Opening:
    """An engine that is to be entered: `await` it, and the test's end closes it, or use it with `async with`."""

    def __init__(self, engine: Engine, stack: AsyncExitStack) -> None:
        self._engine = engine
        self._stack = stack

    def __await__(self) -> Generator[Any, None, Engine]:
        return self._stack.enter_async_context(self._engine).__await__()

    async def __aenter__(self) -> Engine:
        return await self._engine.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._engine.__aexit__(kind, error, trace)


class MakeStore:
    """Makes stores in memory as the mode wants them."""

    def __init__(self, mode: Mode, seed: int) -> None:
        self.mode = mode
        self._seed = seed

    def __call__(self) -> EventStore:
        self._seed += 1
        if self.mode == "ambiguous":
            return AmbiguousStore(MemoryStore(), seed=self._seed)
        return MemoryStore()


class MakeEngine:
    """Makes engines as the mode wants them: `engine = await make_engine(models={…})`.

    All engines of a test stand over one store, unless `store=` says otherwise; they are closed, the newest first, when
    the test ends.
    """

    def __init__(self, make_store: MakeStore, stack: AsyncExitStack) -> None:
        self.mode = make_store.mode
        self.store = make_store()
        self._stack = stack

    def __call__(self, *, store: EventStore | None = None, **options: Any) -> Opening:
        options.setdefault("always_replay", self.mode == "always_replay")
        return Opening(Engine(store if store is not None else self.store, **options), self._stack)


@pytest.fixture(params=("plain", "ambiguous", "always_replay"))
def mode(request: pytest.FixtureRequest) -> Mode:
    """The mode a test of the engine runs in."""
    chosen: Mode = request.param
    return chosen


@pytest.fixture
def make_store(mode: Mode, request: pytest.FixtureRequest) -> MakeStore:
    """Make stores in memory, in each mode."""
    name = str(request.node.nodeid)  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # pytest's
    return MakeStore(mode, crc32(name.encode()))


@pytest.fixture
async def make_engine(make_store: MakeStore) -> AsyncIterator[MakeEngine]:
    """Make engines in each mode; see `MakeEngine`."""
    async with AsyncExitStack() as stack:
        yield MakeEngine(make_store, stack)
