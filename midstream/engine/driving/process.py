"""What the runs of one process share: the store, the providers, who is driven here, and what is appended to any run."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from midstream.engine.clock import Clock
from midstream.engine.driving.runner import Runner
from midstream.engine.graphs.shelf import Shelf
from midstream.engine.models.model_calls import Listener, Pricing
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.on_change import OnChange
from midstream.engine.providers import Providers
from midstream.engine.recording.parking import PARK_AFTER, Lot
from midstream.engine.requests.advice import Advisor
from midstream.engine.requests.redacting import RedactedFields
from midstream.engine.spending.spending import Ledger
from midstream.errors import (
    ConcurrencyError,
    LeaseLostError,
    RunNotFoundError,
    StoreError,
)
from midstream.events.codec import Prepared, Redact, encode, encode_prepared
from midstream.events.envelope import Draft
from midstream.events.ids import Address, RunId
from midstream.events.patience import append_patiently
from midstream.events.payloads import Fact
from midstream.events.seizing import Seizing
from midstream.events.store import EventStore
from midstream.projections.run_state import RunState, apply

if TYPE_CHECKING:
    from midstream.engine.planning.reflection import Reflector
    from midstream.engine.policies.policy import Policy
    from midstream.engine.spending.budget import Budget

Check = Callable[[RunId, Mapping[str, Any]], object]
"""Is given a run and its inputs."""


@dataclass(slots=True)
class Live:
    """A run that is being driven in this process."""

    runner: Runner
    task: asyncio.Task[None]

    async def ended(self) -> None:
        """Wait until it no longer is, whatever came of it; whoever waits may be cancelled, and the run goes on."""
        # What `asyncio.wait` does for many tasks, of which each of a thousand that wait would keep a set.
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        wake = partial(_wake, woken)
        self.task.add_done_callback(wake)
        try:
            await woken
        finally:
            self.task.remove_done_callback(wake)


@dataclass
class Process:
    """What the runs of one process share, and what is appended to any run on behalf of whoever wants something of it.

    Attributes:
        store: Where the runs are.
        providers: Who answers.
        pricing: What answers cost.
        clock: Tells the time.
        model: The model of runs that name none, or empty.
        lease: Seconds after its last sign of life for which a driver keeps its runs.
        always_replay: Drop all state after each append; see `Engine`.
        advisor: Knows what earlier runs taught, or None.
        reflector: Says why nodes failed; None for the rules alone.
        park_after: Seconds of rest after which a run that only waits is put aside; see `Engine`.
        on_change: What is done where the code of a run has changed and its graph says nothing; see `Engine`.
        policies: When runs go on with another model.
        redact: Takes secrets out of what is recorded.
        budgets: What each run, or all runs with a tag, may spend.
        checks: By graph: sees that what a run needs beside its graph is known here, or raises `GraphError`.
        forget: Called with each run that has ended here.
        name: This driver's, unique among live ones.
        graphs: The code of graphs, by name.
        live: The runs that are driven here.
        listeners: Who is shown what models are writing, by run.
        lot: The runs that are parked here.
        subruns: The runs that runs of this process have started.
        ledger: What runs have spent.
        draining: It is being closed, and takes on nothing any more.
        seen: It has shown a sign of life.
        woken: How many parked runs were driven on.
    """

    store: EventStore
    providers: Providers
    pricing: Pricing
    clock: Clock
    model: str = ""
    lease: float = 15.0
    always_replay: bool = False
    advisor: Advisor | None = None
    reflector: Reflector | None = None
    park_after: float = PARK_AFTER
    on_change: OnChange = "pin"
    policies: Sequence[Policy] = ()
    redact: Redact | None = None
    budgets: Sequence[Budget] = ()
    checks: dict[str, Check] = field(default_factory=dict[str, Check])
    forget: Callable[[RunId], object] = lambda run_id: None
    name: str = field(default_factory=lambda: _driver_name())
    graphs: Shelf = field(default_factory=Shelf)
    live: dict[RunId, Live] = field(default_factory=dict[RunId, Live])
    listeners: dict[RunId, list[Listener]] = field(default_factory=dict[RunId, list[Listener]])
    lot: Lot = field(init=False, repr=False)
    subruns: Subruns = field(init=False, repr=False)
    ledger: Ledger = field(init=False, repr=False)
    draining: bool = field(init=False, default=False)
    seen: bool = field(init=False, default=False)
    woken: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self._fields = RedactedFields()
        self.ledger = Ledger(
            self.store,
            {budget.tag for budget in self.budgets if budget.tag},
            {budget.tag for budget in self.budgets if budget.window is not None},
        )

    @cached_property
    def _log(self) -> Any:
        import structlog  # it may take rich along, 0.1 s; most processes never have anything to say

        return structlog.get_logger("midstream")

    def draft(
        self,
        payload: Fact,
        address: str | None = None,
        *,
        actor: str,
    ) -> Draft:
        """Return a payload as a draft, recorded now."""
        at = int(self.clock.now() * 1_000_000)
        step = None if address is None else Address(address)
        return encode(payload, at=at, actor=actor, address=step, redact=self.redact)

    def created(self, data: dict[str, Any], definition: Prepared) -> Draft:
        """Return the `run.created` of these fields, which are plain JSON, as a draft, recorded now."""
        prepared: Mapping[str, Prepared] = {"definition": definition}
        if self.redact is not None:
            prepared = self._fields(prepared, self.redact)
        at = int(self.clock.now() * 1_000_000)
        return encode_prepared("run.created", data, prepared, at=at, redact=self.redact)

    async def append(
        self, run_id: RunId, payload: Fact, address: str | None = None, *, actor: str
    ) -> None:
        """Append what somebody wants of a run, durable when this returns; the run's driver needs no lease for it.

        Raises:
            RunNotFoundError: There is no such run.
            NotRecordableError: A value in it is not JSON.
        """
        live = self.live.get(run_id)
        if live is not None and live.runner.recorder.error is None:
            live.runner.record(payload, address, actor=actor)
            with suppress(LeaseLostError):  # nothing was written; and this needs no lease
                await live.runner.recorder.durable()
                return
        draft = self.draft(payload, address, actor=actor)
        while True:
            head = await self.store.head(run_id)
            if head is None:
                raise RunNotFoundError(run_id)
            try:
                await append_patiently(self.store, run_id, [draft], expected=head.seq)
            except ConcurrencyError:
                continue
            return

    async def append_checked(
        self,
        run_id: RunId,
        make: Callable[[RunState], tuple[str, Fact]],
        *,
        actor: str,
    ) -> None:
        """Append what depends on where the run stands, after nothing else than what was looked at.

        Never through the driver: its state is ahead of the log, and somebody elsewhere may be quicker.

        Args:
            run_id: The run.
            make: Returns an address and a fact for a state, or raises; asked again whenever the run has moved on.
            actor: Who wants it.

        Raises:
            RunNotFoundError: There is no such run.
        """
        state = RunState()
        while True:
            async for event in self.store.read(run_id, after=state.seq):
                apply(state, event)
            address, payload = make(state)
            draft = self.draft(payload, address, actor=actor)
            with suppress(ConcurrencyError):
                await append_patiently(self.store, run_id, [draft], expected=state.seq)
                return

    async def appear(self) -> None:
        """Show a first sign of life, if there was none: a run is held by who is seen to be alive.

        Where the store keeps things in line, what is asked of it next is committed with that, and nothing waits for it.
        """
        if self.seen:
            return
        self.seen = True
        until = self.clock.now() + self.lease
        if isinstance(self.store, Seizing):
            self.store.live(self.name, until=until).add_done_callback(self._appeared)
            return
        try:
            await self.store.beat(self.name, until=until)
        except BaseException:
            self.seen = False
            raise

    def _appeared(self, shown: asyncio.Future[None]) -> None:
        self.seen = not shown.cancelled() and shown.exception() is None

    async def _give_up(self, run_id: RunId, epoch: int) -> None:
        """Let somebody else, or this driver later, take a run over that could not be driven on."""
        with suppress(StoreError):
            await self.store.release(run_id, epoch=epoch)


def _wake(woken: asyncio.Future[None], task: asyncio.Task[None]) -> None:
    if not woken.done():
        woken.set_result(None)


def _driver_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
