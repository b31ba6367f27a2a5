"""The facts of agents: that one began and what it concluded, and what it was reminded of and has kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.content import Message
from midstream.events.fact import Fact


class AgentStarted(Fact):
    """An agent begins to work on a task: a model and the tools that it may call, in turns.

    Attributes:
        agent_type: What kind of agent it is, or empty.
        task: What it is to do, as text.
        tools: The names of its tools.
        memory: The name of its memory, or empty.
        max_iterations: How often its model may be asked.
    """

    type: Literal["agent.started"] = "agent.started"
    agent_type: str = ""
    task: str = ""
    tools: tuple[str, ...] = ()
    memory: str = ""
    max_iterations: int = 10


class AgentConcluded(Fact):
    """An agent has come to an end of its task, or hands back the calls that it wants to have made.

    Attributes:
        step: The model call that said it.
        text: What it said.
        turns: How often its model was asked.
        calls: How many tool calls it hands back.
    """

    type: Literal["agent.concluded"] = "agent.concluded"
    step: str
    text: str = ""
    turns: int = 1
    calls: int = 0


class MemoryRead(Fact):
    """A memory was asked, and this is what it gave.

    Attributes:
        memory: Its name.
        query: What it was asked about.
        messages: What is told to the model, before the task.
        items: What was offered, by whatever names the memory has for it.
    """

    type: Literal["memory.read"] = "memory.read"
    memory: str
    query: str = ""
    messages: tuple[Message, ...] = ()
    items: Mapping[str, JsonValue] = Field(default_factory=dict)


class MemoryWritten(Fact):
    """A memory has kept something.

    Attributes:
        memory: Its name.
        messages: What was said and is to be remembered.
        items: What it was kept as, by whatever names the memory has for it.
    """

    type: Literal["memory.written"] = "memory.written"
    memory: str
    messages: tuple[Message, ...] = ()
    items: Mapping[str, JsonValue] = Field(default_factory=dict)
