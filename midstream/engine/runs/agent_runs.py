"""Agents and single calls as runs of their own: graphs that every engine knows, and what is data in them and what is code.

What a run needs of code (the functions of tools, a memory, a Python type) is found in this process by name: what the run was
begun with here, or the agents and tools that the engine was given.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from midstream.engine.agents.agent import Agent, handed_back, question_of
from midstream.engine.agents.memory import THREAD, Memory, ThreadMemory
from midstream.engine.contexts.context import Context
from midstream.engine.graphs.graph import Graph
from midstream.engine.models.turn import failure
from midstream.engine.requests.asking import Reply, reply_of, typed
from midstream.engine.requests.structured import Output, Unfit
from midstream.engine.runs.run import Run
from midstream.engine.tools.toolbox import Toolbox
from midstream.errors import GraphError, OutputError, RunFailedError
from midstream.events.content import Message
from midstream.events.values import plain
from midstream.projections.run_state import Call, RunState

if TYPE_CHECKING:
    from midstream.engine.agents.events import AgentEvent

AGENT = "midstream.agent"
"""The graph of a run of `Engine.agent`."""

CALL = "midstream.call"
"""The graph of a run of `Engine.call`."""


class Casts:
    """The agents that this process knows: by name, and by the runs that were begun here.

    Args:
        agents: By name.
        tools: For agents that are not known by name.
    """

    def __init__(self, agents: Iterable[Agent], tools: Toolbox) -> None:
        self._named = {agent.name: agent for agent in agents}
        self._tools = tools
        self._begun: dict[str, Agent] = {}

    def named(self, agent_type: str | Agent) -> Agent:
        """Return an agent by name, or one that has nothing but the name."""
        if isinstance(agent_type, Agent):
            return agent_type
        return self._named.get(agent_type) or Agent(name=agent_type)

    def keep(self, run_id: str, agent: Agent) -> None:
        """Know the agent of a run that is begun here."""
        self._begun[run_id] = agent

    def forget(self, run_id: str) -> None:
        """Forget the agent of a run that has ended."""
        self._begun.pop(run_id, None)

    def asked(self, run_id: str, job: Mapping[str, Any]) -> Agent:
        """Return whom a single call asks; its tools are told, and not called."""
        begun = self._begun.get(run_id)
        if begun is not None:
            return begun
        tools = tuple(handed_back(spec) for spec in job["tools"])
        return Agent("", job["system"], job["model"], tools, settings=job["settings"])

    def of(self, run_id: str, job: Mapping[str, Any]) -> Agent:
        """Return the agent of a run.

        Raises:
            GraphError: A tool or a memory of it is not known here.
        """
        if run_id in self._begun:
            return self._begun[run_id]
        known = self.named(job["agent_type"])
        own = Toolbox(known.tools, around=self._tools)
        executes = job.get("execute", True)  # else its tools are told, and called by nobody here
        missing = sorted(set(job["tools"]) - set(own.names)) if executes else []
        thread = job["memory"].partition(":")[2]
        memory: Memory | None = (
            ThreadMemory(thread) if job["memory"].startswith(f"{THREAD}:") else None
        )
        if job["memory"] and memory is None:
            memory = known.remembering()
            if memory is None or memory.name != job["memory"]:
                missing.append(f"memory {job['memory']!r}")
        if missing:
            raise GraphError(
                f"run {run_id!r} of agent {job['agent_type']!r} needs {', '.join(missing)}; known here: "
                f"{', '.join(own.names) or 'no tools'}. Pass tools=[…] or agents=[…] to the engine"
            )
        return Agent(
            job["agent_type"],
            job["system"],
            job["model"],
            own.only(*job["tools"]) if executes else tuple(map(handed_back, job["tools"])),
            memory,
            known.output,
            job["max_iterations"],
            job["settings"],
            job.get("experience"),
        )


def agent_graph(casts: Casts) -> Graph:
    """Return the graph of agents."""
    graph = Graph(AGENT)

    @graph.node(name="agent", output=True)
    async def work(job: dict[str, Any], ctx: Context) -> dict[str, Any]:
        messages = [Message.model_validate(one) for one in job["messages"]]
        reply = await ctx.agent(
            messages,
            agent_type=casts.of(ctx.run_id, job),
            auto_execute_tools=job["execute"],
        )
        return _ended(reply)

    return graph


def call_graph(casts: Casts) -> Graph:
    """Return the graph of single calls."""
    graph = Graph(CALL)

    @graph.node(name="call", output=True)
    async def ask(job: dict[str, Any], ctx: Context) -> dict[str, Any]:
        messages = [Message.model_validate(one) for one in job["messages"]]
        whom = casts.asked(ctx.run_id, job)
        return _ended(await ctx.call(messages, whom, timeout=job["timeout"]))

    return graph


def _ended(reply: Reply) -> dict[str, Any]:
    return {
        "text": reply.text,
        "step": reply.step,
        "turns": reply.turns,
        "finish": reply.finish,
        "calls": len(reply.tool_calls),
    }


def job_of(agent: Agent, messages: tuple[Message, ...], *, execute: bool) -> dict[str, JsonValue]:
    """Return what a run of an agent, or of a single call, is about, as its input.

    Raises:
        ConfigError: Two tools have one name, or the form of the answer has no schema.
        NotRecordableError: A message or a setting is not JSON.
    """
    question = question_of(agent, messages, model="", execute=execute, turns=1, thread=None)
    memory = agent.remembering()
    specs = [tool.spec.model_dump(mode="json") for tool in question.tools.values()]
    told = {} if agent.experience is None else {"experience": agent.experience}
    return {
        **told,
        "messages": plain(question.messages, "messages"),
        "agent_type": agent.name,
        "system": agent.system,
        "model": agent.model,
        "tools": list[JsonValue](question.tools) if execute else list[JsonValue](specs),
        "memory": "" if memory is None else memory.name,
        "max_iterations": agent.max_iterations,
        "settings": dict(question.settings),
        "execute": execute,
    }


async def reply_from(run: Run, output: Mapping[str, Any], wanted: Output[Any] | None) -> Reply:
    """Return what the run of an agent, or of a single call, came to, from its log.

    Raises:
        OutputError: The answer is not of the form that was asked for.
    """
    state = await run.state()
    reply = reply_of(run.id, _turns(state, output["step"], output["turns"]))
    if wanted is None or reply.tool_calls:
        return reply
    try:
        return typed(reply, wanted.read(reply.message))
    except Unfit as unfit:  # another process, which did not know the type, ended the run
        raise OutputError(
            f"step {reply.step} of run {run.id!r}: the answer is not of the form that was asked for: {unfit}",
            provider="",
            model=reply.model,
            step=reply.step,
            text=reply.text,
            problem=str(unfit),
        ) from None


def _turns(state: RunState, last: str, turns: int) -> list[Call]:
    first = last.partition("/turn#")[0]
    names = [first, *(f"{first}/turn#{number}" for number in range(2, turns + 1))]
    return [state.calls[name] for name in names]


async def failed_call(run: Run, error: RunFailedError) -> Exception:
    """Return what the one model call of a run failed with, or the run's own error."""
    calls = (await run.state()).calls.values()
    for call in calls:
        if call.kind == "model" and call.status == "failed":
            return failure(call)
    return error


class AgentRun:
    """An agent at work: iterate over what happens, or await what it concludes; both, several times, if you like.

    Nothing begins before the first of these. Whoever stops iterating leaves a run that goes on, and can come back to it by
    the seq of the last event that was seen.

    Args:
        begin: Starts the run.
        wanted: The form of the conclusion, or None.
    """

    def __init__(self, begin: Callable[[], Awaitable[Run]], wanted: Output[Any] | None) -> None:
        self._begin = begin
        self._wanted = wanted
        self._run: asyncio.Future[Run] | None = None

    async def run(self) -> Run:
        """Start the run, unless that was done, and return it: to answer questions, migrate, cancel.

        Raises:
            GraphError, ConfigError, NotRecordableError, RunExistsError: See `Engine.start`.
        """
        if self._run is None:
            self._run = asyncio.ensure_future(self._begin())
        return await asyncio.shield(self._run)

    def __aiter__(self) -> AsyncGenerator[AgentEvent, None]:
        """Iterate over what happens, from the beginning."""
        return self.events()

    async def events(self, *, after: int = 0) -> AsyncGenerator[AgentEvent, None]:
        """Iterate over what happens; see `Run.agent_events`."""
        async with aclosing((await self.run()).agent_events(after=after)) as events:
            async for event in events:
                yield event

    def __await__(self) -> Generator[Any, None, Reply]:
        """Wait for the conclusion.

        Raises:
            RunFailedError: The run failed.
            RunCancelledError: It was cancelled.
        """
        return self._concluded().__await__()

    async def _concluded(self) -> Reply:
        run = await self.run()
        return await reply_from(run, await run, self._wanted)
