"""The port: what every adapter does, whoever writes it.

Rendering and parsing are pure; `complete` (and `stream`) is the one place where an adapter talks to the outside. An
adapter sends each request once: repeating is the engine's business, and so is the deadline over the whole call.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import JsonValue

from midstream.adapters.changes import Note
from midstream.adapters.told_body import Body
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import encode
from midstream.events.content import Message
from midstream.events.payloads import Change, FinishReason, Usage

Settings = Mapping[str, JsonValue]
"""How to ask: `temperature`, `top_p`, `max_tokens`, `stop`, `seed`, `tool_choice` (`auto`, `none`, `required` or a tool's
name), `parallel_tool_calls`, `reasoning_effort`, `output_schema` (what the answer must be, see `midstream.adapters.output`),
`native` (fields that only one dialect has, see `midstream.adapters.native`). What a model does not take is dropped, and the
request says so."""

Structured = Literal["native", "tool", "text"]
"""How a model is held to a form of its answer: by the service, by a tool that it must call, by words."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can be told and asked, as data.

    Attributes:
        context_window: In tokens; None where it is not known.
        max_output: In tokens; None where it is not known.
        images: It takes images.
        documents: It takes documents.
        audio: It takes audio.
        tools: It can call tools.
        reasoning: It gives its reasoning back in a form it wants returned.
        settings: The settings it takes.
        structured: How it is held to a form of its answer.
    """

    context_window: int | None = None
    max_output: int | None = None
    images: bool = True
    documents: bool = True
    audio: bool = False
    tools: bool = True
    reasoning: bool = False
    settings: frozenset[str] = frozenset(
        ("temperature", "top_p", "max_tokens", "stop", "tool_choice", "parallel_tool_calls")
    )
    structured: Structured = "native"


@dataclasses.dataclass(frozen=True)
class ModelRequest:
    """One request, ready to be sent.

    Attributes:
        model: The model's name without its provider.
        told: The request in wire form; see `body`.
        changes: Settings that were dropped or clamped.
        digest: Over the body, in hex.
        size: Characters of the conversation in wire form, for estimates.
        names: What stands in the body for a tool's name that the provider would refuse, and the name.
        output_tool: The tool that the model is made to call, whose arguments are the answer; empty for none.
    """

    model: str
    told: Mapping[str, Any]
    changes: tuple[Change, ...] = ()
    digest: str = ""
    size: int = 0
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    output_tool: str = ""

    @cached_property
    def body(self) -> dict[str, Any]:
        """The request in wire form; the messages are listed for who looks at it, and are not needed to send it."""
        return dict(self.told)

    def chunks(self, **more: JsonValue) -> list[bytes]:
        """Return the body as JSON, ready to be sent, in pieces to be joined; what was encoded for the view is not again.

        Args:
            **more: Fields to add, such as `stream`, or None to leave one out.
        """
        if isinstance(self.told, Body):
            return self.told.chunks(more)
        fields = {**self.told, **more}
        return [encode({key: fields[key] for key in fields if more.get(key, key) is not None})]


@dataclass(frozen=True, slots=True)
class ModelResponse:
    """One whole answer.

    Attributes:
        message: What the model said.
        usage: Its tokens.
        finish: Why it stopped.
        response_id: The provider's id of the answer, or empty.
        served: The model as the provider names it, or empty.
    """

    message: Message
    usage: Usage = field(default_factory=Usage)
    finish: FinishReason = "stop"
    response_id: str = ""
    served: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of an answer while it is being written; never recorded.

    Attributes:
        text: More text, or empty.
        reasoning: More reasoning, or empty.
        tool: The name of a tool whose call begins, or empty.
        restart: What was shown until now does not count: the answer begins anew.
    """

    text: str = ""
    reasoning: str = ""
    tool: str = ""
    restart: bool = False


class Adapter(Protocol):
    """One provider."""

    @property
    def provider(self) -> str:
        """As in a model's name: `openai` in `openai:gpt-4o`."""
        ...

    def capabilities(self, model: str) -> Capabilities:
        """Return what the model can be told and asked."""
        ...

    def begin(self, model: str) -> View:
        """Return the view of an empty conversation."""
        ...

    def render(self, view: View, segment: Segment) -> View:
        """Return the view with the segment told; pure.

        What comes out is valid for the provider whatever the segment holds, and begins with what the view was. `changes`
        lists what was lost or repaired, with the seq of the segment.
        """
        ...

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """Return the request that asks for the next turn of the view; pure.

        Calls that are still open are closed in the request, so that it is valid; the view stays as it is.
        """
        ...

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """Send once and return the whole answer; the caller sets the deadline, by cancelling.

        Raises:
            TransientError: Worth another try.
            PermanentError: The same request cannot succeed.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...


@runtime_checkable
class BulkAdapter(Protocol):
    """A further protocol, for adapters that render many segments quicker than one after the other."""

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """Return what `render` would make of the segments one after the other; `changes` has those of all of them."""
        ...


def rendered(adapter: Adapter, view: View, segments: Iterable[Segment]) -> View:
    """Return the view with all segments told, in the quickest way that the adapter has; `changes` has those of all of them."""
    if isinstance(adapter, BulkAdapter):
        return adapter.render_all(view, segments)
    noted: list[Note | Change] = []
    for segment in segments:
        view = adapter.render(view, segment)
        noted += view.noted
    return replace(view, noted=tuple(noted))


@runtime_checkable
class StreamingAdapter(Protocol):
    """A second protocol, for adapters that can show an answer while it is written."""

    def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """Send once and iterate over pieces of the answer; the last item is the whole answer.

        A stream that ends without the provider's terminal event raises `MalformedAnswerError`.
        """
        ...
