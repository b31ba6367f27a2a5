"""What a query may ask of one run beyond its line in the list: models, nodes, errors, money, what was said."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.projections.fold import fold
from midstream.projections.usage import USAGE, UsageState

_ENDS = frozenset(("run.completed", "run.failed", "run.cancelled"))
_CLOSED = frozenset(("question.answered", "question.expired", "question.withdrawn"))
_SETTLED = frozenset(("tool.completed", "tool.failed", "tool.retried"))
_MARKS = {
    "feedback.added": "feedback",
    "model.switched": "migration",
    "note.added": "note",
    "tool.requested": "tool",
}


@dataclass(slots=True)
class RunFacts:
    """One run, as far as it has been read.

    Attributes:
        needles: Texts that are looked for, in any case.
        usage: What it has used.
        models: Those that were asked, in order; the newest is the last.
        nodes: Those that ran.
        tools: Those that were called.
        errors: Kinds of what failed.
        types: Of its events.
        feedback: Kinds of it.
        scores: Those that it was given.
        marks: What it has; see `FOLDED_MARKS`. Questions and unknown outcomes are in `questions` and `unknown`.
        questions: Those that wait, by id.
        unknown: Tool calls whose outcome nobody knows, by address.
        found: Those of the needles that were found.
        ended_at: When it ended, in microseconds since 1970; 0 before that.
    """

    needles: tuple[str, ...] = ()
    usage: UsageState = field(default_factory=UsageState)
    models: dict[str, None] = field(default_factory=dict[str, None])
    nodes: set[str] = field(default_factory=set[str])
    tools: set[str] = field(default_factory=set[str])
    errors: set[str] = field(default_factory=set[str])
    types: set[str] = field(default_factory=set[str])
    feedback: set[str] = field(default_factory=set[str])
    scores: list[float] = field(default_factory=list[float])
    marks: set[str] = field(default_factory=set[str])
    questions: dict[str, None] = field(default_factory=dict[str, None])
    unknown: dict[str, None] = field(default_factory=dict[str, None])
    found: set[str] = field(default_factory=set[str])
    ended_at: int = 0
    _asked: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def model(self) -> str:
        """The newest model that was asked, or empty."""
        return next(reversed(self.models), "")

    @property
    def tokens(self) -> int:
        """Read and written."""
        return self.usage.total.input_tokens + self.usage.total.output_tokens

    @property
    def cost(self) -> Decimal:
        """In US dollars."""
        return self.usage.total.cost

    def add(self, event: Event) -> None:
        """Take in the next event."""
        fold(USAGE, (event,), self.usage)
        self.types.add(event.type)
        if event.type in _ENDS:
            self.ended_at = event.at
        if event.address is not None and event.type == "node.scheduled":
            self.nodes.add(node_of(event.address))
        self._note(event)
        self._wait(event)
        self._look(event)

    def _note(self, event: Event) -> None:
        data = event.data
        if (mark := _MARKS.get(event.type)) is not None:
            self.marks.add(mark)
        if event.type.endswith(".failed") and "kind" in data:
            self.errors.add(data["kind"])
            self.marks.add("error")
        if data.get("attempt", 1) > 1:
            self.marks.add("retry")
        match event.type:
            case "model.requested":
                self.models.pop(data["model"], None)
                self.models[data["model"]] = None
            case "tool.requested":
                self.tools.add(data["name"])
            case "feedback.added":
                self.feedback.add(data["kind"])
                self.scores += [data["score"]] if data.get("score") is not None else []
            case "memory.read" if any(not one.get("why") for one in _offers(data)):
                self.marks.add("lesson")
            case _:
                pass
        if any(change.get("severity") == "loss" for change in data.get("changes", ())):
            self.marks.add("loss")

    def _wait(self, event: Event) -> None:
        address = event.address or ""
        if event.type == "question.asked":
            self.questions[event.data["id"]] = None
            self._asked[address] = event.data["id"]
        elif event.type in _CLOSED:
            self.questions.pop(self._asked.get(address, ""), None)
        elif event.type == "tool.unknown":
            self.unknown[address] = None
        elif event.type in _SETTLED:
            self.unknown.pop(address, None)
        elif event.type in _ENDS:
            self.questions.clear()
            self.unknown.clear()

    def _look(self, event: Event) -> None:
        wanted = [needle for needle in self.needles if needle not in self.found]
        if not wanted:
            return
        for text in _texts(event.data):
            folded = text.casefold()
            self.found |= {needle for needle in wanted if needle.casefold() in folded}


def _offers(data: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    items: Mapping[str, Any] = data.get("items") or {}
    return items.get("offers") or ()


def _texts(value: Any) -> Iterator[str]:
    stack: list[Any] = [value]
    while stack:
        one = stack.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            stack += one.values()  # pyright: ignore[reportUnknownArgumentType, reportUnknownMemberType]  # JSON
        elif isinstance(one, list | tuple):
            stack += one  # pyright: ignore[reportUnknownArgumentType]  # JSON
