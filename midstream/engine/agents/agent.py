"""Agents: a model, its tools and a memory at work on a task, turn by turn, until it concludes.

An agent is no second engine. It is one node that asks a model in a loop; what it did, waits for and concluded is in the
log of its run, and whoever follows it reads that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import JsonValue

from midstream.adapters.output import SETTING
from midstream.engine.agents import memory as memories
from midstream.engine.agents.memory import Memory, ThreadMemory
from midstream.engine.models.model_calls import Models
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.claims import digest_of
from midstream.engine.requests.asking import Question, Reply
from midstream.engine.requests.structured import Output
from midstream.engine.requests.structured import output as output_of
from midstream.engine.tools.tool import Tool, make_tool
from midstream.engine.tools.toolbox import Toolbox
from midstream.errors import ConfigError
from midstream.events import payloads
from midstream.events.content import Message, assistant, user
from midstream.events.ids import Address
from midstream.events.values import plain

ITERATIONS = 10
"""How often an agent's model may be asked, unless told otherwise."""


@dataclass(frozen=True)
class Agent:
    """A kind of agent, by name: a resumed run finds its tools and its memory by it.

    Attributes:
        name: Its name, recorded as `agent_type`.
        system: What it is told about itself.
        model: `provider:model`, or empty for the run's or the engine's.
        tools: What it may call.
        memory: What it is reminded of and keeps; a text is the name of a thread.
        output: What its conclusion must be; see `Context.llm`.
        max_iterations: How often its model may be asked.
        settings: `temperature` and so on; see `midstream.adapters.base.Settings`.
        experience: It is told what earlier runs taught; see `Context.llm`.
    """

    name: str = ""
    system: str | None = None
    model: str = ""
    tools: Iterable[Tool | Callable[..., Any]] = ()
    memory: Memory | str | None = None
    output: Any = None
    max_iterations: int = ITERATIONS
    settings: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    experience: bool | str | None = None

    def __post_init__(self) -> None:
        if self.max_iterations < 1:
            raise ConfigError(
                f"agent {self.name!r}: max_iterations must be 1 or more, not {self.max_iterations!r}"
            )
        # An iterator could be used once only.
        object.__setattr__(self, "tools", tuple(self.tools))

    @property
    def toolbox(self) -> Toolbox:
        """Its tools, by name.

        Raises:
            ConfigError: Two of them have one name.
        """
        return Toolbox(self.tools, name=f"agent {self.name or 'without a name'}")

    def changed(self, **given: Any) -> Agent:
        """Return it with what was given in place of its own; what is None, empty or not given stays, but for False."""
        kept: dict[str, Any] = {n: value for n, value in given.items() if value or value is False}
        return replace(self, **kept)

    def remembering(self) -> Memory | None:
        """Return its memory, or None where it has none."""
        return ThreadMemory(self.memory) if isinstance(self.memory, str) else self.memory


def messages_of(
    task: str | Message | Sequence[Message] | None, before: Sequence[Message]
) -> tuple[Message, ...]:
    """Return what an agent or a model is told: what was said before, then its task.

    Raises:
        ConfigError: There is nothing to be told.
        NotRecordableError: It is not text.
    """
    if task is None:
        said = tuple(before)
    elif isinstance(task, str):
        plain(task, "task")
        said = (*before, user(task))
    else:
        said = (*before, *((task,) if isinstance(task, Message) else task))
    if not said:
        raise ConfigError("there is nothing to be told; pass a task, a prompt or messages")
    return said


def text_of(messages: Sequence[Message]) -> str:
    """Return the last words that the user said, for the log and for memories."""
    return next((one.text for one in reversed(messages) if one.role == "user"), "")


def question_of(
    agent: Agent,
    messages: Sequence[Message],
    *,
    model: str,
    execute: bool,
    turns: int,
    thread: str | None,
) -> Question:
    """Return what the model of an agent is asked.

    Raises:
        ConfigError: Two tools have one name, or the form of its conclusion has no schema.
        NotRecordableError: A setting is not JSON.
    """
    settings = {name: plain(value, f"setting {name!r}") for name, value in agent.settings.items()}
    wanted: Output[Any] | None = None if agent.output is None else output_of(agent.output)
    if wanted is not None:
        settings[SETTING] = wanted.setting
    tools = {tool.name: tool for tool in agent.toolbox}
    return Question(
        tuple(messages),
        agent.model or model,
        agent.system,
        tools,
        thread,
        settings,
        turns,
        output=wanted,
        execute=execute,
        experience=agent.experience,
    )


async def work(
    desk: Desk,
    models: Models,
    agent: Agent,
    said: Sequence[Message],
    *,
    model: str,
    execute: bool,
    thread: str | None = "",
) -> Reply:
    """Have an agent work on a task, or go on where its records end, and return what it concluded.

    Raises:
        AdapterError: The provider refused or failed for good.
        LimitError: The model still calls tools after as many turns as it may take.
        OutputError: The conclusion is not of the form that was asked for.
        ToolError: A tool failed whose failures are not the model's to mend.
    """
    task = text_of(said)
    told = [one.model_dump(mode="json", exclude_defaults=True) for one in said]
    what = f"agent:{digest_of([agent.name, agent.system, told])}"
    base = desk.claims.next_in_lane(what, desk.claims.lane())
    memory = agent.remembering()
    _began(desk, agent, base, task, memory)
    before: tuple[Message, ...] = ()
    if memory is not None:
        before = await memories.read(desk, memory, base, task, agent.name)
    question = question_of(
        agent,
        (*before, *said),
        model=model,
        execute=execute,
        turns=agent.max_iterations,
        thread=thread,
    )
    reply = await models.ask(desk, question)
    _concluded(desk, base, reply)
    if memory is not None and not reply.tool_calls:
        kept = (user(task), assistant(reply.text))
        await memories.write(desk, memory, base, task, agent.name, kept)
    return reply


def _began(desk: Desk, agent: Agent, base: Address, task: str, memory: Memory | None) -> None:
    if desk.call(base) is None:
        began = payloads.AgentStarted(
            agent_type=agent.name,
            task=task,
            tools=agent.toolbox.names,
            memory="" if memory is None else memory.name,
            max_iterations=agent.max_iterations,
        )
        desk.recorder.add(began, base)


def _concluded(desk: Desk, base: Address, reply: Reply) -> None:
    step = Address(f"{base}/conclusion#1")
    if desk.call(step) is None:
        calls = len(reply.tool_calls)
        concluded = payloads.AgentConcluded(
            step=reply.step, text=reply.text, turns=reply.turns, calls=calls
        )
        desk.recorder.add(concluded, step)


def handed_back(spec: Mapping[str, Any]) -> Tool:
    """Return a tool that a model is told of, and that is not called here."""

    def call_it_yourself() -> None:
        raise NotImplementedError(f"calls of {spec['name']!r} are handed back")

    made = make_tool(call_it_yourself, name=str(spec["name"]))
    return replace(
        made, description=str(spec.get("description", "")), schema=spec.get("parameters", {})
    )
