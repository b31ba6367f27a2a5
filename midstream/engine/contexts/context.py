"""What a node may do: everything that leaves the process goes through here, is recorded once, and returns the record."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar, overload

from pydantic import JsonValue

from midstream.adapters.output import SETTING
from midstream.engine.agents.agent_context import AgentContext
from midstream.engine.contexts.steering import Steering
from midstream.engine.contexts.steering_context import SteeringContext
from midstream.engine.models.conversing import Conversing
from midstream.engine.models.model_calls import DEADLINE, Models, Question, Reply, TypedReply
from midstream.engine.models.tool_calls import call_tool
from midstream.engine.nesting.subrun_context import SubrunContext
from midstream.engine.people.people import moment
from midstream.engine.people.people_context import PeopleContext
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.claims import PATCHED, digest_of
from midstream.engine.requests.context_policy import ContextOption, context_policy
from midstream.engine.requests.structured import output as output_of
from midstream.engine.retry import MODEL_RETRY, NEVER, Retry
from midstream.engine.spending.spending import Amounts
from midstream.engine.tools.tool import OnUnknown, Tool, make_tool
from midstream.errors import ConfigError
from midstream.events import payloads
from midstream.events.content import Message, user
from midstream.events.ids import NODE_NAME, Address, RunId
from midstream.events.payloads import Effect, NoteAdded
from midstream.events.values import plain

Value = TypeVar("Value")


class Context(Conversing, PeopleContext, AgentContext, SteeringContext, SubrunContext):
    """The recorded world of one activation.

    Its methods may be called side by side, with `asyncio.gather` or a `TaskGroup`, and finish in any order: each call is
    recorded by what it is. When the run is resumed, a call that has a record returns it at once, and nothing happens again.

    Attributes:
        run_id: The run.
        step: The address of the activation, as in `plan#2`.
        attempt: Which attempt of it, from 1.
    """

    def __init__(
        self, desk: Desk, models: Models, steering: Steering, *, attempt: int, model: str
    ) -> None:
        super().__init__(desk, models, model)
        self._steering = steering
        desk.context = self
        desk.guard = models.guard
        self.run_id: RunId = desk.recorder.run_id
        self.step: Address = desk.activation
        self.attempt = attempt

    @overload
    async def llm(
        self,
        prompt: str | Message | Sequence[Message],
        *,
        output: type[Value],
        model: str = "",
        system: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        thread: str | None = "",
        max_turns: int = 10,
        timeout: float = DEADLINE,
        retry: Retry = MODEL_RETRY,
        experience: bool | str | None = None,
        context: ContextOption | None = None,
        **settings: JsonValue,
    ) -> TypedReply[Value]: ...

    @overload
    async def llm(
        self,
        prompt: str | Message | Sequence[Message],
        *,
        output: None = None,
        model: str = "",
        system: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        thread: str | None = "",
        max_turns: int = 10,
        timeout: float = DEADLINE,
        retry: Retry = MODEL_RETRY,
        experience: bool | str | None = None,
        context: ContextOption | None = None,
        **settings: JsonValue,
    ) -> Reply: ...

    @overload
    async def llm(
        self,
        prompt: str | Message | Sequence[Message],
        *,
        output: Any,
        model: str = "",
        system: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        thread: str | None = "",
        max_turns: int = 10,
        timeout: float = DEADLINE,
        retry: Retry = MODEL_RETRY,
        experience: bool | str | None = None,
        context: ContextOption | None = None,
        **settings: JsonValue,
    ) -> TypedReply[Any]: ...

    async def llm(
        self,
        prompt: str | Message | Sequence[Message],
        *,
        output: Any = None,
        model: str = "",
        system: str | None = None,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        thread: str | None = "",
        max_turns: int = 10,
        timeout: float = DEADLINE,
        retry: Retry = MODEL_RETRY,
        experience: bool | str | None = None,
        context: ContextOption | None = None,
        **settings: JsonValue,
    ) -> Reply:
        """Ask a model; where it calls tools, call them and ask on until it answers.

        Args:
            prompt: What is said.
            output: What the answer must be: a pydantic model, a dataclass, a TypedDict or any other type that pydantic
                knows. The reply has it as `output`. A model that answers otherwise is told what is wrong, once.
            model: `provider:model`; empty for the node's, the run's or the engine's. A migration overrides it.
            system: The instruction; None for the one in force in this conversation.
            tools: What the model may call. Parallel calls run in parallel.
            thread: Which conversation this continues: by default what this node and the nodes it waited for have said;
                a name for one that is shared by whoever names it; None for none at all.
            max_turns: How often the model may be asked.
            timeout: Seconds for one attempt of one turn.
            retry: How often a turn is tried.
            experience: Tell the model what earlier runs taught, looked up by what is said, or by these words; None for
                what the engine does by default.
            context: What is done where the conversation is too long for the model: `fail`, `trim`, `summarise`, or a
                `ContextPolicy`. None for what the run says.
            **settings: `temperature`, `max_tokens` and so on; see `midstream.adapters.base.Settings`.

        Raises:
            AdapterError: The provider refused or failed for good.
            ContextWindowError: The conversation is too long, and nothing is to be done about it.
            LimitError: The model still calls tools after `max_turns`.
            OutputError: The answer is not of the form that was asked for.
            NotRecordableError: The prompt or a setting is not JSON.
        """
        messages = _messages(prompt)
        made = [make_tool(tool) for tool in tools]
        named = {tool.name: tool for tool in made}
        if len(named) != len(made):
            twice = sorted(
                {tool.name for tool in made if [t.name for t in made].count(tool.name) > 1}
            )
            raise ConfigError(
                f"step {self.step}: two tools are named {twice[0]!r}; give one another name"
            )
        recorded = {name: plain(value, f"setting {name!r}") for name, value in settings.items()}
        wanted = None if output is None else output_of(output)
        if wanted is not None:
            recorded[SETTING] = wanted.setting
        question = Question(
            messages,
            model or self._model,
            system,
            named,
            thread,
            recorded,
            max_turns,
            timeout,
            retry,
            wanted,
            context_policy(context),
            experience=experience,
        )
        return await self._models.ask(self._desk, question)

    async def tool(self, tool: Tool | Callable[..., Any], /, **arguments: Any) -> JsonValue:
        """Call a tool, and return its result as JSON data.

        Args:
            tool: A tool, or a function that becomes an `unsafe` one.
            **arguments: What it is called with.

        Raises:
            ToolError: It failed for good, here or when it was recorded.
            NotRecordableError: An argument is not JSON.
        """
        made = make_tool(tool)
        recorded = {
            name: plain(value, f"argument {name!r} of {made.name!r}")
            for name, value in arguments.items()
        }
        lane = self._desk.claims.lane()
        what = f"tool:{made.name}:{digest_of(recorded)}"
        address = self._desk.claims.claim(self._desk.state, what, lane)
        if self._desk.guard is not None and self._desk.call(address) is None:
            wanted = {address: Amounts(tool_calls=1)}
            while not await self._desk.guard.passes(self._desk, wanted):
                pass  # it was paused, and goes on
        return await call_tool(self._desk, made, recorded, address, lane=lane)

    async def do(
        self,
        function: Callable[..., Any],
        /,
        *,
        name: str | None = None,
        effect: Effect = "unsafe",
        timeout: float | None = None,
        retry: Retry = NEVER,
        on_unknown: OnUnknown | None = None,
        **arguments: Any,
    ) -> JsonValue:
        """Call any function as a recorded effect; `tool`, without declaring one.

        Args:
            function: What to call; async, or sync in a thread.
            name: As it is recorded; None takes the function's.
            effect: What it does to the world.
            timeout: Seconds for one attempt.
            retry: How often it is tried.
            on_unknown: See `Tool`.
            **arguments: What it is called with.
        """
        made = make_tool(
            function, name=name, effect=effect, timeout=timeout, retry=retry, on_unknown=on_unknown
        )
        return await self.tool(made, **arguments)

    def heartbeat(self) -> None:
        """Give a sign of life, for a node with `idle_timeout`; whatever is recorded is one by itself."""
        self._desk.touched()

    async def sleep(self, seconds: float) -> None:
        """Wait; the time that has passed while no process was running counts."""
        await self._sleep(f"sleep:{digest_of(seconds)}", self._desk.clock.now() + seconds)

    async def sleep_until(self, when: float | datetime) -> None:
        """Wait until a moment: seconds since 1970, or a `datetime` with a time zone.

        Raises:
            ConfigError: It has no time zone.
        """
        until = moment(when)
        await self._sleep(f"sleep_until:{digest_of(until)}", until)

    async def _sleep(self, what: str, until: float) -> None:
        desk = self._desk
        lane = desk.claims.lane()
        address = desk.claims.next_in_lane(what, lane)
        call = desk.call(address)
        if call is not None and call.status == "completed":
            return
        if call is None:
            await desk.turn(address)
            desk.recorder.add(payloads.TimerSet(until=until, lane=lane), address)
            call = desk.state.calls[address]
        if desk.recorder.answers is not None and desk.recorder.answers.give(desk.recorder, address):
            return  # it was waited for in the run that is tried
        await desk.effect(desk.wait(call.request["until"], unless=None))
        await desk.turn(address)
        desk.recorder.add(payloads.TimerFired(), address)
        await desk.recorded()

    async def now(self) -> float:
        """Return the time in seconds since 1970, as it was read the first time."""
        return float(await self._value("now", self._desk.clock.now))

    async def random(self) -> float:
        """Return a random number from 0 up to 1, as it was drawn the first time."""
        return float(await self._value("random", random.random))

    async def uuid(self) -> str:
        """Return a random UUID (version 4) as text, as it was made the first time."""
        return str(await self._value("uuid", lambda: str(uuid.uuid4())))

    async def patched(self, id: str) -> bool:
        """Say whether this activation takes a path of the code that is newer than some of its runs.

        An activation that had already recorded what comes after this point does what it did: no. Any other one takes the
        new path, and records that it does, so that it says so ever after, on replay too::

            if await ctx.patched("shorter-prompt"):
                prompt = "Summarise."
            else:
                prompt = "Please give a summary."

        Args:
            id: Of the change: a letter, then letters, digits, '.', '-', '_'.

        Raises:
            ConfigError: It is no such name.
        """
        if not NODE_NAME.fullmatch(id):
            raise ConfigError(
                f"patched({id!r}): an id begins with a letter and holds letters, digits, '.', '-', '_'"
            )
        desk = self._desk
        desk.claims.lane()  # nothing of an activation that has ended goes on
        address = Address(f"{desk.activation}/{PATCHED}:{id}#1")
        async with desk.patching:  # one branch decides for all
            if desk.call(address) is None:
                if not desk.takes_new_path(address):
                    return False
                await desk.turn(address)
                desk.recorder.add(payloads.ValueRecorded(value=True), address)
                await desk.recorded()
        return True

    async def note(self, data: Any) -> None:
        """Record data of the host's own in the log."""
        address = self._desk.claims.next_in_lane("note", self._desk.claims.lane())
        if address not in self._desk.state.notes:
            await self._desk.turn(address)
            self._desk.recorder.add(NoteAdded(id=address, data=plain(data, "note")), address)

    async def _value(self, kind: str, draw: Callable[[], JsonValue]) -> Any:
        desk = self._desk
        address = desk.claims.next_in_lane(kind, desk.claims.lane())
        call = desk.call(address)
        if call is None:
            await desk.turn(address)
            answers = desk.recorder.answers
            if answers is None or not answers.give(desk.recorder, address):
                desk.recorder.add(payloads.ValueRecorded(value=draw()), address)
            await desk.recorded()
            call = desk.state.calls[address]
        return (call.outcome or {}).get("value")


def _messages(prompt: str | Message | Sequence[Message]) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        plain(prompt, "prompt")
        return (user(prompt),)
    if isinstance(prompt, Message):
        return (prompt,)
    return tuple(prompt)
