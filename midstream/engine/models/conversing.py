"""What a node does that holds a conversation: hear what is said, go on with what was imported, answer as before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from midstream.engine.models.continuing import declared_tools, imported_head
from midstream.engine.models.model_calls import Models
from midstream.engine.recording.calls import Desk
from midstream.engine.requests.asking import DEADLINE, Question, Reply
from midstream.engine.retry import MODEL_RETRY, Retry
from midstream.engine.tools.tool import Tool
from midstream.events.content import Message
from midstream.events.ids import Address


class Conversing:
    """The part of a `Context` that conversations need.

    Args:
        desk: Where its calls are made.
        models: Asks models.
        model: Of calls that name none.
    """

    def __init__(self, desk: Desk, models: Models, model: str) -> None:
        self._desk = desk
        self._models = models
        self._model = model
        self._heard = 0

    async def listen(self) -> Message | None:
        """Wait for the next message that somebody adds with `Run.say`, and return it; None where nobody will say more.

        Each activation hears every message of the run, in order, from the first one on.
        """
        desk, place = self._desk, self._heard
        self._heard += 1
        answers = desk.recorder.answers
        while answers is not None and len(desk.state.said) <= place:
            if not answers.say(desk.recorder):
                await answers.halt("somebody would have to say something")
        await desk.until(lambda: len(desk.state.said) > place)
        said = desk.state.said[place].message
        return None if said is None else Message.model_validate(said)

    async def go_on(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        *,
        max_turns: int = 10,
        timeout: float = DEADLINE,
        retry: Retry = MODEL_RETRY,
    ) -> Reply | None:
        """Go on with the conversation that was imported into this activation: settle its calls, and ask until it is answered.

        Args:
            tools: The code of its tools; what calls of the others returned has to be settled, see `Run.settle`.
            max_turns: How often the model may be asked.
            timeout: Seconds for one attempt of one turn.
            retry: How often a turn is tried.

        Returns:
            The last answer, or None where nothing was imported.
        """
        desk = self._desk
        first = imported_head(desk.state, desk.activation)
        if first is None:
            return None
        asked = desk.state.calls[first].request
        question = Question(
            (),
            asked["model"],
            tools=declared_tools(desk.state, first, tuple(tools)),
            settings=asked.get("settings", {}),
            turns=max_turns,
            deadline=timeout,
            retry=retry,
        )
        return await self._models.go_on(desk, question, Address(first), desk.claims.lane())

    async def answer(
        self, message: Message, tools: Iterable[Tool | Callable[..., Any]] = ()
    ) -> Reply:
        """Ask the model of this activation's conversation, as it was asked before: with its tools and its settings.

        Args:
            message: What is said.
            tools: See `go_on`.
        """
        state = self._desk.state
        heads = state.heads.get(self._desk.activation, {}).values()
        known = max(heads, key=lambda name: state.calls[name].first_seq, default=None)
        settings: Mapping[str, Any] = {}
        if known is not None:
            settings = state.calls[known].request.get("settings", {})
        declared = declared_tools(state, known, tuple(tools))
        question = Question((message,), self._model, tools=declared, settings=settings)
        return await self._models.ask(self._desk, question)
