"""What happens while an agent works, as typed events: told from its log, and from what a model is writing right now."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from midstream.events.content import Message, ResultPart
from midstream.events.envelope import Event
from midstream.events.payloads import Cost, ToolCompleted, Usage


@dataclass(frozen=True, slots=True)
class AgentEvent:
    """Something that happened while an agent worked.

    Attributes:
        seq: The newest event of the run that it was told from; whoever attaches `after` it misses nothing.
        step: The address of what it is about, or empty for the run.
    """

    seq: int
    step: str


@dataclass(frozen=True, slots=True)
class RunStarted(AgentEvent):
    """The run is in the log, or has been taken over by another driver.

    Attributes:
        run_id: The run.
        resumed: It was taken over.
    """

    run_id: str
    resumed: bool = False


@dataclass(frozen=True, slots=True)
class AgentStarted(AgentEvent):
    """An agent begins to work.

    Attributes:
        agent_type: What kind of agent it is, or empty.
        task: What it is to do.
        tools: The names of its tools.
    """

    agent_type: str
    task: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class MemoryLoaded(AgentEvent):
    """A memory was asked.

    Attributes:
        memory: Its name.
        messages: What the model is reminded of.
    """

    memory: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class ModelStarted(AgentEvent):
    """A model is asked; whatever was shown of an earlier attempt of this step is void.

    Attributes:
        model: Who is asked.
        attempt: Which attempt, from 1.
    """

    model: str
    attempt: int


@dataclass(frozen=True, slots=True)
class TextDelta(AgentEvent):
    """More text of an answer; those of one attempt, one after the other, are the text that is recorded.

    Attributes:
        text: The text.
        attempt: Of which attempt.
    """

    text: str
    attempt: int


@dataclass(frozen=True, slots=True)
class ModelFinished(AgentEvent):
    """A model answered.

    Attributes:
        message: The answer.
        usage: Its tokens.
        cost: What it cost, or None where no price is known.
        finish: Why it stopped.
    """

    message: Message
    usage: Usage
    cost: Cost | None
    finish: str


@dataclass(frozen=True, slots=True)
class ModelFailed(AgentEvent):
    """An attempt to ask a model came to nothing.

    Attributes:
        kind: The kind of error, or why it was abandoned.
        text: The error.
        retry_at: When it is tried again, in seconds since 1970; None where it is not, or at once.
    """

    kind: str
    text: str
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class AwaitingPerson(AgentEvent):
    """A person is asked, and the agent waits.

    Attributes:
        question: The id by which `Run.answer` answers it.
        kind: `confirm`, `edit` or `free`.
        text: The question.
        show: What it is about.
        editable: The arguments that may be changed.
        answer_schema: JSON Schema of the answer, or None.
        deadline: Until when it can be answered, in seconds since 1970; None for ever.
    """

    question: str
    kind: str
    text: str
    show: JsonValue
    editable: tuple[str, ...]
    answer_schema: Mapping[str, JsonValue] | None
    deadline: float | None


@dataclass(frozen=True, slots=True)
class PersonAnswered(AgentEvent):
    """A question has ended.

    Attributes:
        outcome: `answered`, `expired` or `withdrawn`.
        approved: Yes or no, where that was asked.
        by: Who answered, or empty.
    """

    outcome: str
    approved: bool | None
    by: str


@dataclass(frozen=True, slots=True)
class ToolStarted(AgentEvent):
    """A tool is called.

    Attributes:
        name: Its name.
        arguments: With what.
        attempt: Which attempt, from 1.
    """

    name: str
    arguments: Mapping[str, JsonValue]
    attempt: int


@dataclass(frozen=True, slots=True)
class ToolFinished(AgentEvent):
    """A call of a tool ended, or an attempt of it did.

    Attributes:
        name: Its name.
        result: What it returned, as JSON.
        parts: What it returned, as content.
        error: What it failed with, or empty.
        retry_at: When it is tried again, in seconds since 1970; None where it is not.
    """

    name: str
    result: JsonValue
    parts: tuple[ResultPart, ...]
    error: str
    retry_at: float | None


@dataclass(frozen=True, slots=True)
class Conclusion(AgentEvent):
    """The agent has come to an end of its task, or hands back calls of tools.

    Attributes:
        text: What it said.
        calls: How many calls it hands back.
    """

    text: str
    calls: int


@dataclass(frozen=True, slots=True)
class RunEnded(AgentEvent):
    """The run has ended.

    Attributes:
        status: `completed`, `failed` or `cancelled`.
        output: Its output.
        error: What it failed with, or why it was cancelled.
    """

    status: str
    output: JsonValue
    error: str


class Teller:
    """Tells typed events from recorded ones, and from pieces of what models are writing.

    A piece may come before the event that its call was recorded with is read, and after the one that it ended with: it is
    shown in between, or not at all.
    """

    def __init__(self) -> None:
        self._seq = 0
        self._names: dict[str, str] = {}
        self._open: dict[str, tuple[int, str]] = {}
        self._early: dict[str, list[tuple[int, str]]] = {}
        self._ended: dict[str, int] = {}

    def piece(self, step: str, attempt: int, text: str) -> Iterator[AgentEvent]:
        """Tell a piece of an answer."""
        if not text or attempt <= self._ended.get(step, 0):
            return
        if step not in self._open or self._open[step][0] < attempt:
            self._early.setdefault(step, []).append((attempt, text))
        elif self._open[step][0] == attempt:
            yield self._shown(step, text)

    def event(self, event: Event) -> Iterator[AgentEvent]:
        """Tell a recorded event."""
        self._seq = event.seq
        tell = _TOLD.get(event.type)
        if tell is not None:
            yield from tell(self, event.address or "", event)

    def _shown(self, step: str, text: str) -> TextDelta:
        attempt, shown = self._open[step]
        self._open[step] = (attempt, shown + text)
        return TextDelta(self._seq, step, text, attempt)

    def model_requested(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a model is asked, and what was written meanwhile."""
        attempt = event.data.get("attempt", 1)
        self._open[step] = (attempt, "")
        yield ModelStarted(self._seq, step, event.data["model"], attempt)
        for number, text in self._early.pop(step, ()):
            yield from self.piece(step, number, text)

    def model_responded(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a model answered, and first what of its text was not shown."""
        message = Message.model_validate(event.data["message"])
        attempt, shown = self._open.get(step, (1, ""))
        if message.text.startswith(shown) and (rest := message.text[len(shown) :]):
            yield TextDelta(self._seq, step, rest, attempt)
        self._end(step, attempt)
        data = event.data
        cost = data.get("cost")
        yield ModelFinished(
            self._seq,
            step,
            message,
            Usage.model_validate(data.get("usage", {})),
            None if cost is None else Cost.model_validate(cost),
            data.get("finish", "stop"),
        )

    def model_ended(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that an attempt came to nothing."""
        self._end(step, self._open.get(step, (1, ""))[0])
        kind = event.data.get("kind") or event.data.get("reason", "")
        retry_at = event.data.get("retry_at")
        yield ModelFailed(self._seq, step, kind, event.data.get("message", ""), retry_at)

    def _end(self, step: str, attempt: int) -> None:
        self._open.pop(step, None)
        self._ended[step] = attempt

    def tool_requested(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a tool is called."""
        self._names[step] = event.data["name"]
        arguments = event.data.get("arguments", {})
        yield ToolStarted(
            self._seq, step, event.data["name"], arguments, event.data.get("attempt", 1)
        )

    def tool_ended(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a call of a tool ended."""
        data = event.data
        failed = event.type == "tool.failed"
        parts = ToolCompleted(parts=data.get("parts", ())).parts
        error = (data.get("message") or data["kind"]) if failed else ""
        name = self._names.get(step, "")
        yield ToolFinished(
            self._seq, step, name, data.get("result"), parts, error, data.get("retry_at")
        )

    def asked(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a person is asked."""
        data = event.data
        yield AwaitingPerson(
            self._seq,
            step,
            data["id"],
            data["kind"],
            data["text"],
            data.get("show"),
            tuple(data.get("editable", ())),
            data.get("answer_schema"),
            data.get("deadline"),
        )

    def answered(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that a question has ended; only its first end counts."""
        if step in self._names:
            return
        self._names[step] = "ended"
        outcome = event.type.partition(".")[2]
        data = event.data
        yield PersonAnswered(self._seq, step, outcome, data.get("approved"), data.get("by", ""))

    def run_began(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that the run is in the log, or was taken over."""
        yield RunStarted(self._seq, "", event.run_id, event.type == "run.resumed")

    def agent_began(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that an agent begins."""
        data = event.data
        tools = tuple(data.get("tools", ()))
        yield AgentStarted(self._seq, step, data.get("agent_type", ""), data.get("task", ""), tools)

    def remembered(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell what a memory gave."""
        messages = tuple(Message.model_validate(one) for one in event.data.get("messages", ()))
        yield MemoryLoaded(self._seq, step, event.data["memory"], messages)

    def concluded(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell what an agent concluded."""
        yield Conclusion(self._seq, step, event.data.get("text", ""), event.data.get("calls", 0))

    def run_ended(self, step: str, event: Event) -> Iterator[AgentEvent]:
        """Tell that the run has ended."""
        data: Mapping[str, Any] = event.data
        failures = (f"{one['kind']}: {one['message']}" for one in data.get("failures", ()))
        error = data.get("reason", "") or "; ".join(failures)
        status = event.type.partition(".")[2]
        yield RunEnded(self._seq, "", status, data.get("output"), error)


_TOLD: Mapping[str, Callable[[Teller, str, Event], Iterator[AgentEvent]]] = {
    "run.created": Teller.run_began,
    "run.resumed": Teller.run_began,
    "run.completed": Teller.run_ended,
    "run.failed": Teller.run_ended,
    "run.cancelled": Teller.run_ended,
    "agent.started": Teller.agent_began,
    "agent.concluded": Teller.concluded,
    "memory.read": Teller.remembered,
    "model.requested": Teller.model_requested,
    "model.responded": Teller.model_responded,
    "model.failed": Teller.model_ended,
    "model.aborted": Teller.model_ended,
    "tool.requested": Teller.tool_requested,
    "tool.completed": Teller.tool_ended,
    "tool.failed": Teller.tool_ended,
    "question.asked": Teller.asked,
    "question.answered": Teller.answered,
    "question.expired": Teller.answered,
    "question.withdrawn": Teller.answered,
}
