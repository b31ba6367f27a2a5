"""A model that answers from a list: for tests, examples, and runs without a provider."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from hashlib import sha256

from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.repair import close_open, seal
from midstream.adapters.view import Segment, View
from midstream.errors import BadRequestError
from midstream.events.content import Message, assistant
from midstream.events.payloads import FinishReason, Usage

Answer = str | Message | ModelResponse | Exception
"""What a script holds: a text, a whole message, a response, or an error to raise."""

Script = Sequence[Answer] | Callable[[Sequence[Message]], Answer | Awaitable[Answer]]
"""Answers in the order in which they are asked for, or a function of the conversation so far.

A list starts anew in another process; where a run is to be resumed by another process, use a function."""

_CHARACTERS_PER_TOKEN = 4
_CHUNK = 8


class ScriptedAdapter:
    """Answers by script; the conversation it is told is the neutral one.

    Args:
        scripts: One script for each model's name.
        provider: The provider's name it answers for.
        latency: Seconds before each answer.
        stream_delay: Seconds between two pieces of a streamed answer.
    """

    def __init__(
        self,
        scripts: dict[str, Script],
        *,
        provider: str = "scripted",
        latency: float = 0.0,
        stream_delay: float = 0.0,
    ) -> None:
        self._scripts = dict(scripts)
        self._used = dict.fromkeys(scripts, 0)
        self._provider = provider
        self._latency = latency
        self._stream_delay = stream_delay
        self.requests: list[ModelRequest] = []
        """Every request that was sent, in order."""

    @property
    def provider(self) -> str:
        """See `Adapter.provider`."""
        return self._provider

    def capabilities(self, model: str) -> Capabilities:
        """See `Adapter.capabilities`."""
        return Capabilities()

    def begin(self, model: str) -> View:
        """See `Adapter.begin`."""
        return View(model)

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        if segment.empty:
            return view.unchanged()
        messages, open_calls, changes = seal(view.open, segment)
        head = dict(view.head)
        if segment.system is not None:
            head["system"] = segment.system
        if segment.tools is not None:
            head["tools"] = [tool.name for tool in segment.tools]
        encoded = b"".join(
            message.__pydantic_serializer__.to_json(message, exclude_defaults=True)
            for message in messages
        )
        return view.grown(
            messages,
            encoded=encoded,
            head=head if head != view.head else None,
            open_calls=open_calls,
            changes=changes,
        )

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        messages, changes = close_open(view.open)
        body = {**view.head, "messages": [*view.tape.list(), *messages], "settings": dict(settings)}
        return ModelRequest(view.model, body, changes, sha256(view.digest).hexdigest(), view.size)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """See `Adapter.complete`."""
        self.requests.append(request)
        if self._latency:
            await asyncio.sleep(self._latency)
        answer = await self._answer(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """See `StreamingAdapter.stream`."""
        response = await self.complete(request)
        text = response.message.text
        for start in range(0, len(text), _CHUNK):
            if self._stream_delay:
                await asyncio.sleep(self._stream_delay)
            yield Delta(text=text[start : start + _CHUNK])
        for call in response.message.tool_calls:
            yield Delta(tool=call.name)
        yield response

    async def close(self) -> None:
        """See `Adapter.close`."""

    async def _answer(self, request: ModelRequest) -> ModelResponse | Exception:
        script = self._scripts.get(request.model)
        if script is None:
            known = ", ".join(sorted(self._scripts)) or "none"
            return BadRequestError(
                f"no script for model {request.model!r}; scripted are: {known}",
                provider=self._provider,
                model=request.model,
            )
        messages: list[Message] = request.body["messages"]
        if callable(script):
            given = script(messages)
            answer = await given if isinstance(given, Awaitable) else given
        else:
            place = self._used[request.model]
            if place >= len(script):
                return BadRequestError(
                    f"the script of model {request.model!r} has {len(script)} answers and was asked for another one",
                    provider=self._provider,
                    model=request.model,
                )
            self._used[request.model] = place + 1
            answer = script[place]
        return self._response(request, answer)

    def _response(self, request: ModelRequest, answer: Answer) -> ModelResponse | Exception:
        if isinstance(answer, ModelResponse | Exception):
            return answer
        message = assistant(answer) if isinstance(answer, str) else answer
        usage = Usage(
            input_tokens=request.size // _CHARACTERS_PER_TOKEN,
            output_tokens=len(message.text) // _CHARACTERS_PER_TOKEN,
        )
        finish: FinishReason = "tool_calls" if message.tool_calls else "stop"
        return ModelResponse(message=message, usage=usage, finish=finish)
