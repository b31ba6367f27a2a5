"""Replaying: today's code against a run's log, with no model, tool, clock or network, up to the first difference."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from midstream.engine.clock import Clock
from midstream.engine.driving.as_recorded import RecordedAdvice, RecordedReflections
from midstream.engine.driving.runner import Runner
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.versions import definition_in, node_changes
from midstream.engine.models.model_calls import Models
from midstream.engine.models.rendering import Rendering
from midstream.engine.providers import Providers
from midstream.engine.recording.compared import foreign
from midstream.engine.recording.mismatch import Diverged, EndOfTape, Mismatch
from midstream.engine.recording.tape import Tape
from midstream.errors import GraphError, ReplayError
from midstream.events.codec import Redact
from midstream.events.envelope import Event
from midstream.events.ids import RunId, node_of
from midstream.events.memory import MemoryStore
from midstream.events.redaction import redaction_in
from midstream.events.store import EventStore
from midstream.projections.difference import Difference, differences
from midstream.projections.run_state import RunState, apply
from midstream.projections.timeline import line

PATIENCE = 10.0
"""Seconds that code which does something of its own, such as a thread, is waited for."""

_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first place where the code does not do what the log says.

    Attributes:
        seq: The event in the log.
        step: Its step, or empty.
        recorded: What the log says, in words.
        now: What the code does today, in words; empty where it does nothing.
        differences: Where the recorded data and today's differ.
        file: Where the code is, or empty.
        line: There; 0 where it is not known.
        remedies: What can be done about it.
    """

    seq: int
    step: str
    recorded: str
    now: str
    differences: tuple[Difference, ...]
    file: str
    line: int
    remedies: tuple[str, ...]

    def __str__(self) -> str:
        place = f" ({self.file}:{self.line})" if self.file else ""
        shown = [f"  {one}" for one in self.differences[:_SHOWN]]
        if len(self.differences) > _SHOWN:
            shown.append(f"  … and {len(self.differences) - _SHOWN} more differences")
        return "\n".join(
            (
                f"event {self.seq}{f' at {self.step}' if self.step else ''}{place}",
                f"  recorded: {self.recorded}",
                f"  now:      {self.now or 'nothing: the code does not come to it'}",
                *shown,
                *(f"  → {remedy}" for remedy in self.remedies),
            )
        )


@dataclass(frozen=True, slots=True)
class ReplayReport:
    """What replaying a run came to.

    Attributes:
        run_id: The run.
        strict: Views, descriptions and messages were compared as well.
        seq: The last event that the code did as recorded.
        compared: How many events the code recorded alike.
        divergence: The first difference, or None.
        notes: What a reader should know, such as another version of the code.
    """

    run_id: RunId
    strict: bool
    seq: int
    compared: int
    divergence: Divergence | None = None
    notes: tuple[str, ...] = ()

    @property
    def identical(self) -> bool:
        """The code does what the log says, as far as the log goes."""
        return self.divergence is None

    def __bool__(self) -> bool:
        return self.identical

    def __str__(self) -> str:
        said = f"run {self.run_id}: identical, {self.compared} events compared"
        if self.divergence is not None:
            said = f"run {self.run_id}: the code has diverged at {self.divergence}"
        return "\n".join((said, *(f"  note: {note}" for note in self.notes)))

    def check(self) -> None:
        """Return if it is identical.

        Raises:
            ReplayError: It is not; the message tells the divergence.
        """
        if self.divergence is not None:
            raise ReplayError(self.run_id, self.divergence.step, str(self.divergence))


class _LogClock(Clock):
    """A clock that shows when the last event happened, and on which nobody waits."""

    tape: Tape

    def now(self) -> float:
        return self.tape.now

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(0)


async def replay_run(
    store: EventStore,
    run_id: RunId,
    graph: Graph,
    providers: Providers,
    *,
    strict: bool = True,
    upto: int | None = None,
    patience: float = PATIENCE,
    redact: Redact | None = None,
) -> ReplayReport:
    """Replay a run; of a fork, what happened since it was forked.

    Args:
        store: Where it is.
        run_id: The run.
        graph: Its code.
        providers: Who renders for its models; nobody is asked.
        strict: See `ReplayReport`.
        upto: Only events up to this one.
        patience: See `PATIENCE`.
        redact: What took secrets out of what was recorded; None looks whether something did, and takes the usual.

    Raises:
        GraphError: The code is of another graph.
        RunNotFoundError: There is no such run.
    """
    events = [event async for event in store.read(run_id, to=upto)]
    begin = max(
        (place for place, event in enumerate(events) if event.type == "run.forked"), default=0
    )
    state = RunState()
    for event in events[: begin + 1]:
        apply(state, event)
    if graph.name != state.graph:
        raise GraphError(
            f"run {run_id!r} is of graph {state.graph!r}, not {graph.name!r}; pass that graph's code"
        )
    newest = next(
        (event for event in reversed(events) if event.type == "graph.upgraded"), events[begin]
    )
    notes = _notes(newest.data.get("code", state.code), graph)
    shape = _other_shape(events, newest, state, graph, strict=strict)
    if shape is not None:
        return ReplayReport(run_id, strict, state.seq, 0, shape, notes)
    rendering = Rendering(providers)
    for model in _models(
        events
    ):  # now, so that loading a vendor's SDK is not taken for code that hangs
        await rendering.ready(model)
    replay = _Replay(run_id, graph, rendering, strict=strict, patience=patience)
    replay.redact = redact or redaction_in(events)
    mismatch = await replay.play(state, events[begin + 1 :])
    found = None if mismatch is None else _divergence(run_id, graph, mismatch)
    last = state.seq if found is None else found.seq - 1
    return ReplayReport(run_id, strict, last, replay.compared, found, notes)


def _models(events: Sequence[Event]) -> list[str]:
    asked = (event.data["model"] for event in events if event.type == "model.requested")
    return list(dict.fromkeys(asked))


def _notes(version: str, graph: Graph) -> tuple[str, ...]:
    if graph.version == version:
        return ()
    return (f"recorded by version {version!r} of the code, replayed by {graph.version!r}",)


class _Replay:
    def __init__(
        self, run_id: RunId, graph: Graph, providers: Rendering, *, strict: bool, patience: float
    ) -> None:
        self.compared = 0
        self._run_id = run_id
        self._graph = graph
        self._providers = providers
        self._strict = strict
        self._patience = patience
        self.redact: Redact | None = None

    async def play(self, state: RunState, events: Sequence[Event]) -> Mismatch | None:
        """Play the stretches of one driver after the other, each begun anew from the log as a takeover is."""
        for stretch in _stretches(events):
            while stretch and stretch[0].type in ("run.resumed", "graph.upgraded"):
                apply(state, stretch[0])
                stretch = stretch[1:]
            mismatch = await self._drive(state, stretch)
            if mismatch is not None:
                return mismatch
        return None

    async def _drive(self, state: RunState, events: Sequence[Event]) -> Mismatch | None:
        if all(foreign(event) for event in events):
            for event in events:
                apply(state, event)
            return None
        tape = Tape(
            self._run_id,
            state,
            events,
            strict=self._strict,
            patience=self._patience,
            viewed=self._providers.viewed,
        )
        tape.redact = self.redact
        clock = _LogClock()
        clock.tape = tape
        models = Models(
            self._providers,
            pricing=lambda provider, model, usage, at: None,
            run_id=self._run_id,
            listeners={},
            advisor=RecordedAdvice(events),
        )
        runner = Runner(
            MemoryStore(),
            self._run_id,
            self._graph,
            state,
            epoch=state.epoch,
            clock=clock,
            models=models,
            park_after=math.inf,
            reflector=RecordedReflections(events),
            recorder=tape,
        )
        tape.changed = runner.others_appended
        driving = asyncio.ensure_future(runner.drive())
        ends: list[asyncio.Future[Any]] = [driving, tape.finished]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        await tape.rest()
        driving.cancel()
        await asyncio.wait([driving])
        self.compared += tape.compared
        self._raise_ours(driving)
        return tape.mismatch

    def _raise_ours(self, driving: asyncio.Future[Any]) -> None:
        """Raise what ended the driving, if it was neither the end of the log nor a divergence."""
        if driving.cancelled():
            return
        error = driving.exception()
        if error is not None and not isinstance(error, Diverged | EndOfTape):
            raise error


def _stretches(events: Sequence[Event]) -> list[list[Event]]:
    stretches: list[list[Event]] = [[]]
    for event in events:
        if event.type == "run.resumed":
            stretches.append([])
        stretches[-1].append(event)
    return stretches


def _other_shape(
    events: Sequence[Event], event: Event, state: RunState, graph: Graph, *, strict: bool
) -> Divergence | None:
    """Return how the graph's definition differs from the newest that was recorded, where that stops a replay."""
    if graph.digest == event.data.get("graph_digest", state.graph_digest):
        return None
    recorded = definition_in(events)
    if not node_changes(recorded, graph.definition):
        return None
    found = tuple(differences(recorded, dict(graph.definition)))
    missing = [name for name in state.topology.nodes if name not in graph.nodes]
    if not strict and not missing:
        return None
    return Divergence(
        event.seq,
        "",
        f"graph {state.graph!r} of digest {event.data.get('graph_digest', state.graph_digest)[:12]}",
        f"graph {graph.name!r} of digest {graph.digest[:12]}",
        found,
        "",
        0,
        (
            "replay with strict=False to compare only what its nodes do",
            f"go on with the new shape in a fork: run.fork(at=…, graph={graph.name})",
            "name the new shape: Graph(name, version=…)",
        ),
    )


def _divergence(run_id: RunId, graph: Graph, mismatch: Mismatch) -> Divergence:
    event, draft = mismatch.event, mismatch.draft
    step = event.address or ""
    file, place = mismatch.file, mismatch.line
    if not file and step:
        file, place = _of_node(graph, node_of(step))
    now = ""
    if draft is not None:
        made = event._replace(type=draft.type, address=draft.address, data=draft.data)
        now = _words(made)
    found = mismatch.differences
    if draft is not None and draft.type == event.type and draft.address != event.address:
        found = tuple(differences(event.data, draft.data))
    return Divergence(
        event.seq,
        step,
        _words(event),
        now,
        found,
        file,
        place,
        (
            f"do it anew with today's code, in a fork: midstream fork {run_id} --at {event.seq - 1}",
            "if only how it is told has changed, replay with strict=False (--tolerant)",
            "if the change is meant, give the graph another version and let runs of the old one end with the old code",
        ),
    )


def _words(event: Event) -> str:
    told = line(event)
    return " ".join(filter(None, (told.type, told.step, told.text)))


def _of_node(graph: Graph, name: str) -> tuple[str, int]:
    """Return where a node's function is written; of a node in a graph inside, given by the way to it."""
    first, _, further = name.partition("/")
    node = graph.nodes.get(first)
    if node is None:
        return "", 0
    if isinstance(node.graph, Graph):
        return _of_node(node.graph, further)
    function = inspect.unwrap(node.function)
    code = getattr(function, "__code__", None)
    return ("", 0) if code is None else (code.co_filename, code.co_firstlineno)
