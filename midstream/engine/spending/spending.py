"""What was spent, counted from the log: of one run, or of all runs with a tag, also those of other processes."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from decimal import Decimal

from midstream.errors import RunNotFoundError
from midstream.events.envelope import REPLAY, Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore

_COUNTED = frozenset(
    (
        "run.created",
        "run.completed",
        "run.failed",
        "run.cancelled",
        "model.requested",
        "model.responded",
        "model.failed",
        "model.aborted",
        "tool.requested",
        "budget.exceeded",
    )
)


@dataclass(frozen=True, slots=True)
class Amounts:
    """What was spent, or will be.

    Attributes:
        tokens: Read and written.
        money: In US dollars.
        model_calls: Attempts.
        tool_calls: Attempts.
    """

    tokens: int = 0
    money: Decimal = Decimal(0)
    model_calls: int = 0
    tool_calls: int = 0

    def __add__(self, other: Amounts) -> Amounts:
        return Amounts(
            self.tokens + other.tokens,
            self.money + other.money,
            self.model_calls + other.model_calls,
            self.tool_calls + other.tool_calls,
        )


@dataclass(slots=True)
class Spending:
    """What one run has spent.

    Attributes:
        amounts: So far.
        began: When it was created, in seconds since 1970.
        exceeded: By budget, what was done each time it was reached.
        seq: The newest event that was counted.
        parent: The run that started it, or None.
        children: The runs that it has started, while they may spend more.
        settled: What those others of them have spent.
        over: It has ended.
    """

    amounts: Amounts = field(default_factory=Amounts)
    began: float = 0.0
    exceeded: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    seq: int = 0
    parent: RunId | None = None
    children: dict[RunId, None] = field(default_factory=dict[RunId, None])
    settled: Amounts = field(default_factory=Amounts)
    over: bool = False


class Ledger:
    """Counts, and keeps what calls under way are expected to spend.

    Args:
        store: The log.
        tags: The tags that somebody asks about.
        windowed: Those of them of which somebody asks what was spent of late.
    """

    def __init__(
        self, store: EventStore, tags: Collection[str] = (), windowed: Collection[str] = ()
    ) -> None:
        self._store = store
        self.lock = asyncio.Lock()
        """Held by whoever counts, and keeps what it has found room for."""
        self._reading = asyncio.Lock()
        self._wanted, self._windowed = frozenset(tags), frozenset(windowed)
        self._tags: frozenset[str] = frozenset()
        self._runs: dict[RunId, Spending] = {}
        self._reserved: dict[tuple[RunId, str], Amounts] = {}
        self._position = 0
        self._marks: dict[RunId, dict[str, str]] = {}
        self._totals: dict[tuple[str, str], Amounts] = {}
        self._entries: dict[tuple[str, str], list[tuple[float, Amounts]]] = {}

    def count(self, tags: Collection[str]) -> None:
        """Count by these tags, too; what is new among them is counted from the beginning of the log."""
        self._wanted |= frozenset(tags)

    async def of_run(self, run_id: RunId) -> Spending:
        """Return what a run has spent, as far as it is durable."""
        found = self._runs.setdefault(run_id, Spending())
        async for event in self._store.read(run_id, after=found.seq):
            found.seq = event.seq
            found.amounts += self._amounts(event)
            match event.type:
                case "run.created":
                    found.began = event.at / 1e6
                    if event.data.get("parent_step"):
                        found.parent = RunId(event.data["parent"])
                case "run.forked":
                    found.parent = RunId(
                        ""
                    )  # the run that started the other one knows nothing of it
                case "subrun.requested":
                    found.children[RunId(event.data["run"])] = None
                case "budget.exceeded":
                    actions = found.exceeded.setdefault(event.data["budget"], [])
                    actions.append(event.data.get("action", "fail"))
                case "run.completed" | "run.failed" | "run.cancelled":
                    found.over = True
                case _:
                    pass
        return found

    async def with_subruns(self, run_id: RunId) -> Amounts:
        """Return what the run that a run goes back to has spent, with all that were started in it, and have under way."""
        first = run_id
        while parent := (await self.of_run(first)).parent:
            first = parent
        total, _ = await self._below(first)
        return total

    async def _below(self, run_id: RunId) -> tuple[Amounts, bool]:
        """Return what a run and those below it have spent or kept, and whether all of that has ended."""
        try:
            own = await self.of_run(run_id)
        except RunNotFoundError:  # it was asked for, and is about to be started
            return Amounts(), False
        total = own.amounts + self.reserved(run_id=run_id)
        for child in tuple(own.children):
            spent, over = await self._below(child)
            if over:  # it is not read again
                del own.children[child]
                own.settled += spent
            else:
                total += spent
        return total + own.settled, own.over and not own.children

    async def of_tag(self, tag: str, value: str, since: float | None) -> Amounts:
        """Return what all runs with a tag have spent, and what they have under way here.

        Args:
            tag: Its name.
            value: Its value.
            since: In seconds since 1970; None for all.
        """
        await self.catch_up()
        total = self.reserved(tag=(tag, value))
        if since is None:
            return total + self.counted(tag, value)
        entries = self._entries.get((tag, value), [])
        entries[:] = [entry for entry in entries if entry[0] > since]  # what has left the window
        for _, amounts in entries:
            total += amounts
        return total

    def counted(self, tag: str, value: str) -> Amounts:
        """Return what all runs with a tag had spent when the log was last read; see `catch_up`."""
        return self._totals.get((tag, value), Amounts())

    async def catch_up(self) -> None:
        """Read what is new in the log."""
        async with self._reading:
            if self._tags != self._wanted:
                self._tags, self._position = self._wanted, 0
                self._marks, self._totals, self._entries = {}, {}, {}
            async for page in self._store.scan(after=self._position, types=_COUNTED):
                for event in page:
                    self._position = event.position
                    self._enter(event)

    def _enter(self, event: Event) -> None:
        if event.type == "run.created":
            tags = event.data.get("tags", {})
            self._marks[event.run_id] = {tag: tags[tag] for tag in self._tags if tag in tags}
        amounts = self._amounts(event)
        if amounts != Amounts():
            for mark in self._marks.get(event.run_id, {}).items():
                self._totals[mark] = self._totals.get(mark, Amounts()) + amounts
                if mark[0] in self._windowed:
                    self._entries.setdefault(mark, []).append((event.at / 1e6, amounts))

    def _amounts(self, event: Event) -> Amounts:
        """Return what an event says was spent, and give back what was reserved for it."""
        key = (event.run_id, event.address or "")
        match event.type:
            case "model.requested":
                held = self._reserved.get(key)
                if held is not None:
                    self._reserved[key] = Amounts(held.tokens, held.money)
                return Amounts(model_calls=1)
            case "model.responded":
                self._reserved.pop(key, None)
                if event.actor == REPLAY:
                    return Amounts()  # another run's log answered, and nobody was paid
                usage, cost = event.data.get("usage", {}), event.data.get("cost")
                tokens = usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
                return Amounts(tokens, Decimal(cost["amount"] if cost else 0))
            case "model.failed" | "model.aborted":
                self._reserved.pop(key, None)
            case "tool.requested":
                self._reserved.pop(key, None)
                return Amounts(tool_calls=1)
            case "run.completed" | "run.failed" | "run.cancelled":
                self.forget(event.run_id)
            case _:
                pass
        return Amounts()

    def reserve(self, run_id: RunId, address: str, amounts: Amounts) -> None:
        """Keep what a call is expected to spend, until the log says what it did."""
        self._reserved[run_id, address] = amounts

    def reserved(self, *, run_id: RunId | None = None, tag: tuple[str, str] = ("", "")) -> Amounts:
        """Return what is kept for calls of a run, or of all runs with a tag."""
        total = Amounts()
        for (other, _), amounts in self._reserved.items():
            marks = self._marks.get(other, {})
            if other == run_id or (tag[0] and marks.get(tag[0]) == tag[1]):
                total += amounts
        return total

    def forget(self, run_id: RunId) -> None:
        """Keep nothing any more for a run that has ended."""
        for key in [key for key in self._reserved if key[0] == run_id]:
            del self._reserved[key]
        self._runs.pop(run_id, None)
