"""A run on one screen: folded from its events, for `show` and the demo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from midstream.cli.open_calls import BARE, OpenCalls
from midstream.events.envelope import Event
from midstream.events.ids import activation_of, node_of
from midstream.events.paging import pages
from midstream.events.pause import no_collecting
from midstream.events.payloads import PAYLOADS
from midstream.events.store import Counting, EventStore, RunInfo, Selective
from midstream.projections.fold import fold
from midstream.projections.outline import OF_CALLS
from midstream.projections.run_state import Call, RunState, fold_run
from midstream.projections.scopes import nodes_of
from midstream.projections.usage import USAGE, UsageState

SOURCE = "midstream.source"
"""The tag that says where `midstream start` found the graph. It is shown, and never imported by itself: a log does not
decide which code runs."""


@dataclass(slots=True)
class NodeLine:
    """One node of the run.

    Attributes:
        node: Its name.
        status: `pending` before its first activation; otherwise as in `Activation.status`.
        attempt: The newest one, from 1.
        started_at: When its newest activation was scheduled, in microseconds since 1970; 0 before that.
        ended_at: When it ended; 0 before that.
        models: Answered model calls.
        tools: Tool calls that ended.
        cost: In US dollars, as text.
    """

    node: str
    status: str = "pending"
    attempt: int = 0
    started_at: int = 0
    ended_at: int = 0
    models: int = 0
    tools: int = 0
    cost: str = "0"


@dataclass(slots=True)
class Moved:
    """A change of model.

    Attributes:
        seq: The event.
        target: The model from there on.
        scope: Of what.
        losses: How much the target could not be told.
        repairs: How much it was told in another form.
    """

    seq: int
    target: str
    scope: str
    losses: int
    repairs: int


@dataclass(slots=True)
class Summary:
    """What there is to say about a run.

    Attributes:
        info: Its line in the store.
        state: Where it stands.
        usage: What it has used.
        nodes: In the order of the graph.
        moves: Changes of model, in order.
        waits_for: What it waits for, in words.
        last_error: The newest failure of anything in it, in words, or empty.
        first_at: When its first event was recorded, in microseconds since 1970.
        last_at: When its newest one was.
        unknown: The addresses of tool calls whose outcome nobody knows.
    """

    info: RunInfo
    state: RunState = field(default_factory=RunState)
    usage: UsageState = field(default_factory=UsageState)
    nodes: dict[str, NodeLine] = field(default_factory=dict[str, NodeLine])
    moves: list[Moved] = field(default_factory=list[Moved])
    waits_for: list[str] = field(default_factory=list[str])
    last_error: str = ""
    first_at: int = 0
    last_at: int = 0

    @property
    def past(self) -> bool:
        """It is how the run stood once; other events came after."""
        return self.state.seq < self.info.seq

    @property
    def unknown(self) -> tuple[str, ...]:
        """Addresses of tool calls whose outcome nobody knows."""
        calls = (self.state.calls[address] for address in self.state.open_calls)
        return tuple(call.address for call in calls if call.status == "unknown")

    @property
    def open_calls(self) -> tuple[Call, ...]:
        """Calls that have not ended."""
        return tuple(self.state.calls[address] for address in self.state.open_calls)

    def driven(self, now: float) -> bool:
        """Return whether a live driver holds the run at this time, in seconds since 1970."""
        return self.info.holder is not None and self.info.until > now and not self.past


async def summarise(
    info: RunInfo, store: EventStore, *, to: int | None = None, now: float, whole: bool = False
) -> Summary:
    """Fold a run into its summary.

    Args:
        info: The run.
        store: Where it is.
        to: Up to this event; None for as far as it goes.
        now: In seconds since 1970.
        whole: The state has every call and output; else only what is shown, and calls that are open.
    """
    made = Summary(info)
    with no_collecting():
        if whole:
            async for page in pages(store, info.run_id, to=to):
                _take_in(made, page, page)
        elif isinstance(store, Selective) and isinstance(store, Counting):
            await _selected(made, store, store, store, to)
        else:
            calls = OpenCalls()
            async for page in pages(store, info.run_id, to=to, bare=BARE):
                _take_in(made, page, calls.taken_out_of(page))
            if not made.state.over:
                await calls.put_into(made.state, store, info.run_id)
    for name, tally in made.usage.by_node.items():
        line = made.nodes.setdefault(name, NodeLine(name))
        line.models, line.cost = tally.calls, format(tally.cost, "f")
    for activation in made.state.activations.values():
        name = node_of(activation.address)
        line = made.nodes.setdefault(name, NodeLine(name))
        line.status, line.attempt = activation.status, activation.attempt
    made.waits_for = _waits_for(made, made.last_at / 1e6 if made.past else now)
    return made


async def _selected(
    made: Summary, store: EventStore, selective: Selective, counting: Counting, to: int | None
) -> None:
    """Fold what is shown, and leave to the store what is only counted: most events of a long run are not read."""
    run_id = made.info.run_id
    doubtful: list[str] = []
    async for page in selective.select(run_id, to=to, without=BARE - {"node.completed"}, bare=BARE):
        doubtful += [activation_of(event.address or "") for event in page if event.type == _UNKNOWN]
        _take_in(made, page, [event for event in page if event.type not in OF_CALLS])
    await _to_the_end(made, store, to)
    for step, count in (await counting.counted(run_id, _TOOL_COMPLETED, to=to)).items():
        made.usage.tools += count
        if (line := made.nodes.get(node_of(step))) is not None:
            line.tools += count
    going = list(dict.fromkeys((*made.state.running, *made.state.waiting, *doubtful)))
    if made.state.over or not going:
        return
    calls = OpenCalls()
    within = going if len(going) <= _MANY else None
    without = OF_CALLS if within else frozenset(PAYLOADS) - OF_CALLS
    async for page in selective.select(run_id, to=to, without=without, within=within, bare=BARE):
        calls.taken_out_of(page)
    await calls.put_into(made.state, store, run_id)


async def _to_the_end(made: Summary, store: EventStore, to: int | None) -> None:
    """Take in that the run goes as far as it does, where its newest event was not read."""
    head = await store.head(made.info.run_id)
    newest = 0 if head is None else head.seq
    last = newest if to is None else min(to, newest)
    if made.state.seq < last:
        async for event in store.read(made.info.run_id, after=last - 1, to=last):
            made.last_at, made.state.seq = event.at, event.seq


def _take_in(made: Summary, page: Sequence[Event], folded: Sequence[Event]) -> None:
    """Take a page in, of which only these events say where the run stands."""
    fold_run(folded, made.state)
    fold(USAGE, (event for event in page if event.type != "model.requested"), made.usage)
    for event in page:
        if event.type in _TOLD:
            _take(made, event)
    if page:
        made.first_at = made.first_at or page[0].at
        made.last_at, made.state.seq = page[-1].at, page[-1].seq


_MANY = 100
"""Activations whose calls are looked for, beyond which all calls are read as quickly."""

_UNKNOWN = "tool.unknown"
"""What may leave a call open whose activation has ended."""

_TOOL_COMPLETED = frozenset(("tool.completed",))

_TOLD = frozenset(
    type_ for type_ in PAYLOADS if type_.startswith("node.") or type_.endswith(".failed")
) | {"run.created", "model.switched", "tool.completed"}
"""Facts of which a summary tells something beside where the run stands and what it has used."""


def _take(made: Summary, event: Event) -> None:
    if event.type == "run.created":
        made.nodes = {name: NodeLine(name) for name in nodes_of(made.state)}
    elif event.type == "model.switched":
        made.moves.append(_moved(event))
    elif event.type.endswith(".failed"):
        made.last_error = _error(event) or made.last_error
    _time(made.nodes, event)


def _time(nodes: dict[str, NodeLine], event: Event) -> None:
    if event.address is None or (line := nodes.get(node_of(event.address))) is None:
        return
    match event.type:
        case "node.scheduled":
            line.started_at, line.ended_at = event.at, 0
        case "node.completed" | "node.failed" | "node.skipped":
            line.ended_at = event.at
        case "tool.completed" | "tool.failed":
            line.tools += 1
        case _:
            pass


def _moved(event: Event) -> Moved:
    changes: Any = event.data.get("changes", ())
    losses = sum(1 for change in changes if change["severity"] == "loss")
    return Moved(
        event.seq,
        event.data["target"],
        event.data.get("scope", "run"),
        losses,
        len(changes) - losses,
    )


def _error(event: Event) -> str:
    if event.type == "run.failed":  # it repeats what its nodes failed with
        return ""
    again = ", tried again" if event.data.get("retry_at") is not None else ""
    return f"event {event.seq}, {event.address}: {event.data.get('kind')}: {event.data.get('message', '')}{again}"


def _waits_for(made: Summary, now: float) -> list[str]:
    state = made.state
    if state.over:
        return []
    waits = [_call(state.calls[address], now) for address in state.open_calls]
    for address in state.waiting:
        due = state.activations[address].retry_at or now
        waits.append(f"{address}: its next attempt, due {_in(due, now)}")
    if state.status == "paused":
        waits.append("somebody to resume it: it is paused")
    elif not made.past and not made.driven(now):
        waits.append("a driver: no live process holds it")
    return waits


def _call(call: Call, now: float) -> str:
    match call.kind:
        case "model":
            return f"{call.address}: an answer of {call.request['model']}"
        case "subrun":
            return f"{call.address}: run {call.request['run']} of graph {call.request['graph']}"
        case "timer":
            return f"{call.address}: a timer, due {_in(call.request['until'], now)}"
        case "question":
            asked = call.request
            return f"{asked['id']}: a person to answer {asked['text']!r} (`midstream questions`)"
        case _ if call.status == "unknown":
            return f"{call.address}: somebody to say what became of it (it was in flight when its process ended)"
        case _:
            return f"{call.address}: the tool {call.request['name']}"


def _in(moment: float, now: float) -> str:
    return f"in {moment - now:.0f} s" if moment > now else "now"
