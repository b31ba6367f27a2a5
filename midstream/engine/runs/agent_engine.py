"""What an engine does without a graph of the user's: one model call, and agents; the part of `Engine` that is about them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from pydantic import JsonValue

from midstream.engine.agents.agent import Agent, messages_of, question_of
from midstream.engine.agents.memory import THREAD, Memory, ThreadMemory
from midstream.engine.driving.host import Host
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.shelf import Shelf
from midstream.engine.requests.asking import DEADLINE, Reply
from midstream.engine.runs.agent_runs import (
    AGENT,
    CALL,
    AgentRun,
    Casts,
    agent_graph,
    call_graph,
    failed_call,
    job_of,
    reply_from,
)
from midstream.engine.runs.run import Run
from midstream.engine.tools.tool import Tool
from midstream.errors import RunFailedError
from midstream.events.content import Message
from midstream.events.ids import new_run_id
from midstream.events.memory import MemoryStore

Prompt = str | Message | Sequence[Message]


class AgentEngine:
    """Calls and agents for an engine; see `Engine`."""

    _casts: Casts

    def _here(self) -> Host:
        raise NotImplementedError

    async def _start(
        self,
        host: Host,
        graph: Graph,
        *,
        inputs: Mapping[str, Any],
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run:
        raise NotImplementedError

    def _know(self, host: Host) -> None:
        """Let runs of agents and of single calls be driven by this host."""
        casts = self._casts
        host.graphs.offer(AGENT, lambda: agent_graph(casts))
        host.graphs.offer(CALL, lambda: call_graph(casts))
        host.checks[AGENT] = lambda run_id, inputs: casts.of(run_id, inputs["job"])
        host.forget = casts.forget

    async def call(
        self,
        prompt: Prompt,
        *,
        model: str = "",
        system: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        output: Any = None,
        timeout: float = DEADLINE,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        trace: bool = True,
        **settings: JsonValue,
    ) -> Reply:
        """Ask a model once; a run of its own, so that it can be looked at, and counted, like any other.

        Args:
            prompt: What is said: a text, a message, or a whole conversation, in which a call of a tool is followed by its
                result.
            model: `provider:model`; empty for the engine's.
            system: The instruction.
            tools: What the model may call; its calls are handed back as `Reply.tool_calls`.
            output: What the answer must be; see `Context.llm`. The reply has it as `output`.
            timeout: Seconds for one attempt.
            run_id: The id of the run; the same id with the same question is asked once.
            tags: Of the run.
            trace: Record it; without, nothing is kept.
            **settings: `temperature`, `max_tokens` and so on; see `midstream.adapters.base.Settings`.

        Raises:
            AdapterError: The provider refused or failed for good.
            OutputError: The answer is not of the form that was asked for.
            RunFailedError: It failed in another way.
        """
        whom = Agent("", system, model, tuple(tools), output=output, settings=settings)
        said = messages_of(prompt, ())
        job = job_of(whom, said, execute=False)
        chosen = run_id or new_run_id()
        self._casts.keep(chosen, whom)
        wanted = question_of(whom, said, model="", execute=False, turns=1, thread=None).output
        async with self._traced(trace) as host:
            inputs = {"job": {**job, "timeout": timeout}}
            graph = host.graphs[CALL]
            run = await self._start(host, graph, run_id=chosen, tags=tags, inputs=inputs)
            try:
                return await reply_from(run, await run, wanted)
            except RunFailedError as error:
                raise await failed_call(run, error) from error

    @asynccontextmanager
    async def _traced(self, trace: bool) -> AsyncGenerator[Host]:
        """Give the host that keeps what happens, or one that forgets it."""
        host = self._here()
        if trace:
            yield host
            return
        scratch = replace(
            host, store=MemoryStore(), graphs=Shelf(), live={}, listeners={}, checks={}
        )
        self._know(scratch)
        try:
            yield scratch
        finally:
            await scratch.close(providers=False)

    def agent(
        self,
        task: Prompt | None,
        *,
        agent_type: Agent | str = "",
        messages: Sequence[Message] = (),
        system: str | None = None,
        model: str = "",
        tools: Iterable[Tool | Callable[..., Any]] = (),
        memory: Memory | str | None = None,
        output: Any = None,
        max_iterations: int = 0,
        auto_execute_tools: bool = True,
        experience: bool | str | None = None,
        user: str = "",
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        **settings: JsonValue,
    ) -> AgentRun:
        """Have an agent work on a task: iterate over what happens, or await what it concludes.

        Another process takes the run over where it knows the tools by name: pass `tools=` or `agents=` to its engine.

        Args:
            task: What it is to do; None where the messages say it.
            agent_type: An `Agent`, or the name of one that the engine was given; its options hold where none are given
                here. Recorded as the tag `agent_type`.
            messages: What was said before.
            system: What it is told about itself.
            model: `provider:model`; empty for the engine's.
            tools: What it may call.
            memory: What it is reminded of and keeps; a text is the name of a thread, recorded as the tag `thread`.
            output: What its conclusion must be; see `Context.llm`.
            max_iterations: How often its model may be asked; 0 for the agent's own limit, or 10.
            auto_execute_tools: Call the tools it calls; else the reply has them as `tool_calls`, and one goes on with a
                new call whose `messages` have the results.
            experience: Tell it what earlier runs taught; see `Context.llm`. None for what the agent, or the engine, says.
            user: For whom it works; recorded as the tag `user`, and told to tools and memories.
            run_id: The run's id; the same id with the same task is the same run.
            tags: Of the run.
            **settings: `temperature`, `max_tokens` and so on; see `midstream.adapters.base.Settings`.

        Raises:
            ConfigError: An option is wrong; nothing was recorded.
            NotRecordableError: A message or a setting is not JSON; nothing was recorded.
        """
        kind = self._casts.named(agent_type)
        whom = kind.changed(
            system=system,
            model=model,
            tools=tuple(tools),
            memory=memory,
            output=output,
            max_iterations=max_iterations,
            experience=experience,
            settings={**kind.settings, **settings},
        )
        said = messages_of(task, messages)
        job = job_of(whom, said, execute=auto_execute_tools)
        wanted = question_of(whom, said, model="", execute=True, turns=1, thread=None).output
        chosen = run_id or new_run_id()
        found = {**_tags(whom, user), **(tags or {})}

        async def begin() -> Run:
            host = self._here()
            self._casts.keep(chosen, whom)
            graph = host.graphs[AGENT]
            return await self._start(host, graph, run_id=chosen, tags=found, inputs={"job": job})

        return AgentRun(begin, wanted)


def _tags(whom: Agent, user: str) -> dict[str, str]:
    memory = whom.remembering()
    thread = memory.thread if isinstance(memory, ThreadMemory) else ""
    found = {"agent_type": whom.name, "user": user, THREAD: thread}
    return {name: value for name, value in found.items() if value}
