"""Runs that a node starts: the part of `Context` that is about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec
from urllib.parse import quote

from pydantic import JsonValue

from midstream.engine.graphs.decide import DEPTH, too_deep
from midstream.engine.graphs.graph import Graph
from midstream.engine.limits import Limits
from midstream.engine.nesting.subruns import child_id
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.claims import digest_of
from midstream.errors import ConfigError, LimitError, RunCancelledError, RunFailedError
from midstream.events import payloads
from midstream.events.ids import Address, RunId, node_of
from midstream.events.values import own, plain
from midstream.projections.run_state import Call

if TYPE_CHECKING:
    from midstream.events.subrun_facts import Close


class Subrun:
    """A run that a node has started; await it for its output.

    Attributes:
        id: The run.
        step: The address of the call that started it.
    """

    def __init__(self, desk: Desk, address: Address, run_id: RunId) -> None:
        self._desk = desk
        self.step = address
        self.id = run_id

    def __repr__(self) -> str:
        return f"Subrun({self.id!r})"

    def __await__(self) -> Generator[Any, None, JsonValue]:
        """Wait for its end, and return its output.

        Raises:
            RunFailedError: It failed.
            RunCancelledError: It was cancelled.
        """
        return self._outcome().__await__()

    async def _outcome(self) -> JsonValue:
        desk, address = self._desk, self.step
        if self._is_open():
            await self._ended()
            await desk.recorded()
        call = desk.state.calls[address]
        outcome = call.outcome or {}
        if call.status == "completed":
            return own(outcome.get("output"))
        message = outcome.get("message", "")
        if outcome["kind"] == "cancelled":
            raise RunCancelledError(self.id, message)
        raise RunFailedError(
            self.id, f"run {self.id!r} failed: {message}; see `midstream show {self.id}`"
        )

    def _is_open(self) -> bool:
        return self._desk.state.calls[self.step].status == "open"

    async def _ended(self) -> None:
        recorder = self._desk.recorder
        while self._is_open():
            if recorder.paced and await recorder.outcome(self.step):
                continue
            await self._desk.wait(None, unless=lambda: not self._is_open())


Asked = ParamSpec("Asked")


def _awaited(
    start: Callable[Concatenate[SubrunContext, Asked], Awaitable[Subrun]],
) -> Callable[Concatenate[SubrunContext, Asked], Coroutine[Any, Any, JsonValue]]:
    """Return what starts a run in the same way, and waits for it."""

    @wraps(start)
    async def subrun(self: SubrunContext, /, *args: Asked.args, **named: Asked.kwargs) -> JsonValue:
        return await (await start(self, *args, **named))

    subrun.__name__ = "subrun"
    subrun.__qualname__ = "SubrunContext.subrun"
    subrun.__doc__ = (
        "Start a run of its own, and return its output; see `start_subrun`, whose options it has."
    )
    return subrun


class SubrunContext:
    """Runs for a node; see `Context`."""

    _desk: Desk

    async def start_subrun(
        self,
        graph: Graph,
        /,
        *,
        close: Close = "wait",
        key: str = "",
        model: str = "",
        tags: Mapping[str, str] | None = None,
        limits: Limits | None = None,
        inputs: Mapping[str, Any] | None = None,
        **named: Any,
    ) -> Subrun:
        """Start a run of its own, with a log of its own; when this returns, it is in the store.

        However often this run is resumed, it is one run: its id is made of this run's and of the address of this call. Another
        attempt of this node goes on with it while it runs, and starts another one where it failed.

        Args:
            graph: What it runs.
            close: What becomes of it when this run ends first. `wait`: this run ends after it, and cancels it when it is
                itself cancelled. `cancel`: it is cancelled, and this run ends after that. `abandon`: nothing.
            key: What tells it from others of this activation; empty for its graph and inputs. The same key is the same run.
            model: The model of its calls that name none; empty for the one that this run would use now.
            tags: For finding it again, beside those of this run, which it has too.
            limits: What it may not exceed; None takes the graph's. It may never be deeper than this run may.
            inputs: Inputs by name, for those whose names are options here.
            **named: Inputs by name.

        Raises:
            GraphError: The graph is wrong, or an input is missing or unknown; nothing was recorded.
            LimitError: Runs and graphs inside each other would be deeper than `Limits(depth=…)` allows.
            NotRecordableError: An input is not JSON; nothing was recorded.
        """
        desk = self._desk
        given = {**(inputs or {}), **named}
        if close not in ("wait", "cancel", "abandon"):
            raise ConfigError(f"close must be 'wait', 'cancel' or 'abandon', not {close!r}")
        graph.check_inputs(given)
        recorded = {name: plain(value, f"input {name!r}") for name, value in given.items()}
        lane = desk.claims.lane()
        address = self._address_of(graph, recorded, key, lane)
        if desk.subruns is not None:
            desk.subruns.register(graph)
        call = desk.call(address)
        if call is None or self._is_anew(call):
            attempt = 1 if call is None else call.attempt + 1
            wanted = payloads.SubrunRequested(
                run=child_id(desk.recorder.run_id, address, attempt),
                graph=graph.name,
                inputs=recorded,
                model=model or desk.state.model_for("", node_of(desk.activation), ""),
                tags={**desk.state.tags, **(tags or {})},
                limits=self._limits(graph, limits),
                close=close,
                attempt=attempt,
                lane=lane,
            )
            await desk.gate()
            await desk.turn(address)
            desk.recorder.add(wanted, address)
        call = desk.state.calls[address]
        if call.status == "open":
            await self._begun(call)
        return Subrun(desk, address, RunId(call.request["run"]))

    subrun = _awaited(start_subrun)
    """Start a run of its own, and return its output; see `start_subrun`, whose options it has.

    Raises:
        RunFailedError: It failed; the error has its id.
        RunCancelledError: It was cancelled.
    """

    def _address_of(
        self, graph: Graph, inputs: Mapping[str, JsonValue], key: str, lane: str
    ) -> Address:
        desk = self._desk
        if key:
            return Address(f"{desk.activation}/subrun:{graph.name}:{quote(key, safe='')}#1")
        what = f"subrun:{graph.name}:{digest_of(inputs)}"
        return desk.claims.claim(desk.state, what, lane)

    def _is_anew(self, call: Call) -> bool:
        """Say whether another run is to be started: this run is a fork of the one that started it, or it failed before."""
        if call.status == "open":
            return call.epoch is None
        return call.status == "failed" and self._desk.again(call)

    def _limits(self, graph: Graph, limits: Limits | None) -> Mapping[str, float]:
        state, activation = self._desk.state, self._desk.activation
        left = state.limits.get("depth", DEPTH) - activation.count("#")
        if left < 0:
            told = too_deep(f"a run of graph {graph.name!r}", state.limits.get("depth", DEPTH))
            raise LimitError("depth", f"step {activation}: {told}")
        wanted = (limits or graph.limits).data()
        return {**wanted, "depth": min(left, wanted.get("depth", left))}

    async def _begun(self, call: Call) -> None:
        desk = self._desk
        await desk.intent()
        if desk.recorder.paced:
            return
        if (answers := desk.recorder.answers) is not None:
            if not answers.give(desk.recorder, call.address):
                await answers.halt(f"{call.address} would start a run")
            return
        assert desk.subruns is not None  # a run that is driven has a host
        await desk.effect(desk.subruns.attach(desk.recorder.run_id, call))
