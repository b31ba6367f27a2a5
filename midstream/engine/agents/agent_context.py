"""What a node may have agents do: the part of `Context` that is about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from midstream.engine.agents.agent import Agent, messages_of, question_of, work
from midstream.engine.agents.memory import Memory
from midstream.engine.models.model_calls import DEADLINE, Models, Reply
from midstream.engine.recording.calls import Desk
from midstream.engine.tools.tool import Tool
from midstream.events.content import Message


class AgentContext:
    """Agents for a node; see `Context`."""

    _desk: Desk
    _models: Models
    _model: str

    async def agent(
        self,
        task: str | Message | Sequence[Message] | None,
        *,
        agent_type: Agent | str = "",
        messages: Sequence[Message] = (),
        system: str | None = None,
        model: str = "",
        tools: Iterable[Tool | Callable[..., Any]] = (),
        memory: Memory | str | None = None,
        output: Any = None,
        max_iterations: int = 0,
        thread: str | None = "",
        auto_execute_tools: bool = True,
        experience: bool | str | None = None,
        **settings: JsonValue,
    ) -> Reply:
        """Have an agent work on a task, and return what it concluded.

        Args:
            task: What it is to do; None where the messages say it.
            agent_type: An `Agent`, whose options hold where none are given here, or a name.
            messages: What was said before.
            system: What it is told about itself.
            model: See `llm`.
            tools: What it may call.
            memory: What it is reminded of and keeps; a text is the name of a thread.
            output: What its conclusion must be; see `llm`.
            max_iterations: How often its model may be asked; 0 for the agent's own limit, or 10.
            thread: See `llm`.
            auto_execute_tools: Call the tools it calls; else the reply has them as `tool_calls`.
            experience: See `llm`; None for what the agent, or the engine, says.
            **settings: See `llm`.

        Raises:
            AdapterError: The provider refused or failed for good.
            LimitError: It still calls tools after `max_iterations`.
            OutputError: Its conclusion is not of the form that was asked for.
            ToolError: A tool failed whose policy is to fail.
        """
        kind = agent_type if isinstance(agent_type, Agent) else Agent(name=agent_type)
        given = kind.changed(
            system=system,
            model=model,
            tools=tuple(tools),
            memory=memory,
            output=output,
            max_iterations=max_iterations,
            experience=experience,
            settings={**kind.settings, **settings},
        )
        return await work(
            self._desk,
            self._models,
            given,
            messages_of(task, messages),
            model=self._model,
            execute=auto_execute_tools,
            thread=thread,
        )

    async def call(
        self, messages: Sequence[Message], whom: Agent, *, timeout: float = DEADLINE
    ) -> Reply:
        """Ask a model once, in no conversation; the calls of tools that it wants are handed back.

        Args:
            messages: What is said.
            whom: Its instruction, model, tools, settings and form of answer count.
            timeout: Seconds for one attempt.
        """
        question = question_of(
            whom, messages, model=self._model, execute=False, turns=1, thread=None
        )
        return await self._models.ask(self._desk, replace(question, deadline=timeout))
