"""The loop of a question: turns of a model, and the tools that it calls between them, until it answers as it was asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from midstream.adapters.base import Delta
from midstream.engine.models.sending import Flight
from midstream.engine.models.tool_calls import CANNOT, TOLD, call_tool, request_all
from midstream.engine.models.turn import Turn
from midstream.engine.models.turns import Turns
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Desk
from midstream.engine.requests.advice import Advisor
from midstream.engine.requests.asking import (
    DEADLINE,
    Pricing,
    Question,
    Reply,
    TypedReply,
    overridden,
    reply_of,
    typed,
)
from midstream.engine.requests.structured import Unfit, mending, refused
from midstream.engine.spending.spending import Amounts
from midstream.errors import LimitError, OutputError, ToolError
from midstream.events.content import Message, ToolCall, user
from midstream.events.ids import Address, RunId
from midstream.projections.conversation import tool_address
from midstream.projections.run_state import Call

if TYPE_CHECKING:
    from midstream.engine.policies.policing import Policing
    from midstream.engine.spending.budget import Guard

__all__ = ["DEADLINE", "Listener", "Models", "Pricing", "Question", "Reply", "TypedReply"]


Listener = Callable[[str, Delta], None]
"""Is given the address of a model call and a piece of its answer."""


class Models:
    """Asks models on behalf of a run.

    Args:
        providers: Who answers.
        pricing: What it costs.
        run_id: The run.
        listeners: Who is shown what models are writing, by run: only where somebody is, streaming is worth it.
        policing: Lets policies look before each call; None where there are none.
        advisor: Knows what earlier runs taught, or None.
    """

    __slots__ = (
        "_advisor",
        "_listeners",
        "_made",
        "_pricing",
        "_providers",
        "_run_id",
        "guard",
        "policing",
    )

    def __init__(
        self,
        providers: Providers,
        *,
        pricing: Pricing,
        run_id: RunId,
        listeners: Mapping[RunId, Sequence[Listener]],
        policing: Policing | None = None,
        advisor: Advisor | None = None,
    ) -> None:
        self._advisor = advisor
        self.guard: Guard | None = None
        """Stands before the calls of the run, where there are budgets."""
        self.policing = policing
        self._run_id = run_id
        self._listeners = listeners
        self._providers = providers
        self._pricing = pricing
        self._made: Turns | None = None

    @property
    def _turns(self) -> Turns:
        """Made with the first call: most runs that are driven side by side are not at one."""
        made = self._made
        if made is None:
            made = self._made = Turns(
                self._providers,
                pricing=self._pricing,
                show=self._show,
                listening=self._listening,
                policing=self.policing,
            )
        return made

    def _show(self, address: str, piece: Delta) -> None:
        for listener in self._listeners.get(self._run_id, ()):
            listener(address, piece)

    def _listening(self) -> bool:
        return bool(self._listeners.get(self._run_id))

    @property
    def flights(self) -> Mapping[str, Flight]:
        """The calls that are under way, by address."""
        return {} if self._made is None else self._made.flights

    async def ask(self, desk: Desk, question: Question) -> Reply:
        """Ask, let the model call its tools, and return its last answer.

        Raises:
            AdapterError: The provider refused or failed for good.
            LimitError: The model still calls tools after the last turn.
            OutputError: The answer is not of the form that was asked for.
        """
        lane = desk.claims.lane()
        first = desk.claims.claim(desk.state, f"llm:{question.digest()}", lane)
        question = await self._advised(desk, question, first)
        return await self.go_on(desk, overridden(question, desk.state, first), first, lane)

    async def _advised(self, desk: Desk, question: Question, first: Address) -> Question:
        """Look up what earlier runs taught; for a call that is recorded, that was done."""
        if self._advisor is None or desk.call(first) is not None:
            return question
        advice = await self._advisor.advise(
            desk.state,
            run_id=desk.recorder.run_id,
            call=first,
            messages=question.messages,
            wanted=question.experience,
        )
        return replace(question, advice=advice)

    async def go_on(self, desk: Desk, question: Question, first: Address, lane: str) -> Reply:
        """Take the turns of a question, from those that are recorded to its last answer; see `ask`.

        Args:
            desk: Of the activation that asks.
            question: What is asked.
            first: The address of the first turn.
            lane: The parallel branch that asks.
        """
        turn, most, mended = Turn(first, lane), question.turns, False
        answered: list[Call] = []
        while len(answered) < most:
            answered.append(call := await self._turns.take(desk, question, turn))
            wanted, said = _tool_calls(call), tuple[Message, ...]()
            if wanted and question.tools and not question.execute:
                return reply_of(desk.recorder.run_id, answered)
            if wanted and question.tools:
                await self._use_tools(desk, question, wanted, lane)
            elif question.output is None:
                return reply_of(desk.recorder.run_id, answered)
            else:
                reply = reply_of(desk.recorder.run_id, answered)
                try:
                    return typed(reply, question.output.read(reply.message))
                except Unfit as unfit:
                    if mended or reply.finish == "length" or refused(reply.message):
                        raise _bad_output(reply, str(unfit), mended=mended) from None
                    mended, most, said = True, most + 1, (user(mending(str(unfit))),)
            following = Address(f"{first}/turn#{len(answered) + 1}")
            turn = Turn(following, lane, (call.address,), said)
        raise LimitError(
            "turns",
            f"step {first}: the model still calls tools after {question.turns} turns; "
            "raise max_turns, or give it a clearer task",
        )

    async def _use_tools(
        self, desk: Desk, question: Question, calls: Mapping[Address, ToolCall], lane: str
    ) -> None:
        await desk.gate()
        new = {address: Amounts(tool_calls=1) for address in calls if desk.call(address) is None}
        while desk.guard is not None and new and not await desk.guard.passes(desk, new):
            pass
        if (fresh := next((one for one in calls if desk.call(one) is None), None)) is not None:
            await desk.turn(fresh)
        request_all(desk, question.tools, calls, lane=lane)

        asking = asyncio.current_task()

        async def use(address: Address, wanted: ToolCall) -> ToolError | None:
            tool = question.tools.get(wanted.name)
            made = desk.call(address)
            if tool is None or (made is not None and _never_called(made)):
                return None  # refused, and the model is told so
            with desk.branches.branch_of(asking):
                try:
                    await call_tool(
                        desk, tool, wanted.parsed() or {}, address, lane=lane, call_id=wanted.id
                    )
                except ToolError as error:  # recorded, and the model is told so, or the node fails
                    return error if tool.on_error == "fail" and error.kind not in TOLD else None
            return None

        if len(calls) == 1:
            failed = [await use(*next(iter(calls.items())))]
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(use(*each)) for each in calls.items()]
            failed = [task.result() for task in tasks]
        for error in failed:
            if error is not None:
                raise error


def _never_called(made: Call) -> bool:
    """Say whether a call was recorded as one that cannot be made."""
    return made.status == "failed" and (made.outcome or {})["kind"] in CANNOT


def _tool_calls(call: Call) -> dict[Address, ToolCall]:
    parts = (call.outcome or {})["message"].get("parts", ())
    wanted = [ToolCall.model_validate(part) for part in parts if part["type"] == "tool_call"]
    return {Address(tool_address(call.address, place)): one for place, one in enumerate(wanted)}


def _bad_output(reply: Reply, problem: str, *, mended: bool) -> OutputError:
    """Return why an answer is none, and what to do about it."""
    provider, _, model = reply.model.partition(":")
    if refused(reply.message):
        why = "the model refused to answer; say what it may do, or ask another one"
    elif reply.finish == "length":
        why = "the answer was cut off at its limit; raise max_tokens"
    else:
        told = " also after it was told so" if mended else ""
        why = f"{problem},{told}; make the type more lenient, describe its fields, or ask another model"
    return OutputError(
        f"step {reply.step}: the answer of {reply.model} is not of the form that was asked for: {why}",
        provider=provider,
        model=model,
        step=reply.step,
        text=reply.text,
        problem=problem,
    )
