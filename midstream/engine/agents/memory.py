"""Memories of agents: a small protocol, and one that remembers what was said in earlier runs of the same thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from pydantic import JsonValue

from midstream.engine.recording.calls import Desk
from midstream.events import payloads
from midstream.events.content import Message
from midstream.events.envelope import REPLAY
from midstream.events.ids import Address
from midstream.events.store import EventStore, RunQuery
from midstream.events.values import plain

THREAD = "thread"
"""The tag of runs that belong to one thread."""


@dataclass(frozen=True, slots=True)
class Recall:
    """What a memory is asked about, or is to keep.

    Attributes:
        run_id: The run.
        step: The address of the reading or writing, the same in every process: a key for what must not be kept twice.
        task: What the agent is to do.
        agent_type: What kind of agent it is, or empty.
        user: For whom it works, or empty.
        store: The log that the run is in.
    """

    run_id: str
    step: str
    task: str
    agent_type: str
    user: str
    store: EventStore


@dataclass(frozen=True, slots=True)
class Remembered:
    """What a memory gives.

    Attributes:
        messages: What is told to the model, before the task.
        items: What was offered, by whatever names the memory has for it; recorded, so that its worth can be measured.
    """

    messages: tuple[Message, ...] = ()
    items: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


class Memory(Protocol):
    """What an agent is reminded of, and what it keeps.

    Both are recorded: a resumed run is reminded of the same, and nothing is kept again that was. A process that dies
    between an effect and its record repeats the effect, with the same `Recall.step`.
    """

    @property
    def name(self) -> str:
        """By which it is recorded."""
        ...

    async def read(self, about: Recall) -> Remembered:
        """Return what helps with a task."""
        ...

    async def write(
        self, about: Recall, said: Sequence[Message]
    ) -> tuple[Sequence[Message], Mapping[str, JsonValue]]:
        """Keep what was said; return what of it is to stand in the log as remembered, and by which names it was kept."""
        ...


class ThreadMemory:
    """Remembers the tasks and conclusions of earlier runs with the tag `thread=NAME`; the log is where it keeps them.

    Args:
        thread: The name of the thread.
        runs: It looks at no more than so many runs, the newest ones.
    """

    def __init__(self, thread: str, *, runs: int = 20) -> None:
        self.thread = thread
        self._runs = runs

    @property
    def name(self) -> str:
        """See `Memory.name`."""
        return f"thread:{self.thread}"

    async def read(self, about: Recall) -> Remembered:
        """See `Memory.read`."""
        found: list[Message] = []
        query = RunQuery(tags={THREAD: self.thread}, limit=self._runs + 1)
        earlier = [one for one in await about.store.runs(query) if one.run_id != about.run_id]
        for info in reversed(earlier[: self._runs]):
            async for event in about.store.read(info.run_id):
                if event.type == "memory.written" and event.data["memory"] == self.name:
                    found += map(Message.model_validate, event.data.get("messages", ()))
        ids: list[JsonValue] = [str(info.run_id) for info in earlier]
        return Remembered(tuple(found), {"runs": ids})

    async def write(
        self, about: Recall, said: Sequence[Message]
    ) -> tuple[Sequence[Message], Mapping[str, JsonValue]]:
        """See `Memory.write`."""
        return said, {}


def _about(desk: Desk, step: Address, task: str, agent_type: str) -> Recall:
    user = desk.state.tags.get("user", "")
    return Recall(desk.recorder.run_id, step, task, agent_type, user, desk.recorder.store)


async def read(
    desk: Desk, memory: Memory, base: Address, task: str, agent_type: str
) -> tuple[Message, ...]:
    """Ask a memory, or return what its record says it gave."""
    step = Address(f"{base}/memory.read#1")
    if desk.call(step) is None:
        await desk.gate()
        if not _answered(desk, step):
            await _ask(desk, memory, step, task, agent_type)
        await desk.recorded()
    recorded = (desk.state.calls[step].outcome or {}).get("messages", ())
    return tuple(Message.model_validate(one) for one in recorded)


def _answered(desk: Desk, step: Address) -> bool:
    """Say whether the log of the run that is tried answers in place of a memory."""
    answers = desk.recorder.answers
    return answers is not None and answers.give(desk.recorder, step)


async def _ask(desk: Desk, memory: Memory, step: Address, task: str, agent_type: str) -> None:
    """Ask a memory, and record what it gave."""
    given = await desk.effect(memory.read(_about(desk, step, task, agent_type)))
    items = {name: plain(item, f"item {name!r}") for name, item in given.items.items()}
    fact = payloads.MemoryRead(memory=memory.name, query=task, messages=given.messages, items=items)
    desk.recorder.add(fact, step)


async def write(
    desk: Desk,
    memory: Memory,
    base: Address,
    task: str,
    agent_type: str,
    said: Sequence[Message],
) -> None:
    """Have a memory keep what was said, unless its record says that it has."""
    step = Address(f"{base}/memory.written#1")
    if desk.call(step) is not None:
        return
    if desk.recorder.answers is not None:  # nothing is kept of what is only tried
        desk.recorder.add(payloads.MemoryWritten(memory=memory.name), step, actor=REPLAY)
        return
    await desk.intent()
    kept, items = await desk.effect(memory.write(_about(desk, step, task, agent_type), said))
    named = {name: plain(item, f"item {name!r}") for name, item in items.items()}
    fact = payloads.MemoryWritten(memory=memory.name, messages=tuple(kept), items=named)
    desk.recorder.add(fact, step)
    await desk.recorded()
