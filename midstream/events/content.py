"""What is said: messages and their parts, in no vendor's words.

An assistant turn is an ordered list of parts, because the order of text, reasoning and calls means something and is lost
in formats that keep them in separate fields. What only its issuer can read (a signature, an encrypted body) is kept as it
came, with its origin.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

Role = Literal["system", "user", "assistant", "tool"]


class Content(BaseModel):
    """A frozen piece of content; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )


class Block(Content):
    """A part of a message; its `type` is always written, because it tells the parts apart."""

    @model_serializer(mode="wrap")
    def _with_type(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tag: str = self.type  # type: ignore[attr-defined]  # every part has it
        return {"type": tag, **serialize(self)}


class Text(Block):
    """Plain text."""

    type: Literal["text"] = "text"
    text: str


class Reasoning(Block):
    """What a model thought before it answered.

    Attributes:
        text: What can be read of it; empty where the provider hides it.
        proof: What only its issuer can read and wants back unchanged: a signature or an encrypted body.
        redacted: The provider hid the text, and `proof` is all there is.
    """

    type: Literal["reasoning"] = "reasoning"
    text: str = ""
    proof: str | None = None
    redacted: bool = False


class Image(Block):
    """An image, by its bytes or by an address that the provider can fetch.

    Attributes:
        media_type: As in `image/png`.
        data: The bytes in base64, or None where `url` is given.
        url: The address, or None where `data` is given.
    """

    type: Literal["image"] = "image"
    media_type: str = "image/png"
    data: str | None = None
    url: str | None = None


class ToolCall(Block):
    """A model's wish to have a tool called.

    Attributes:
        id: The provider's id of the call, unique in its turn; other providers may be told a mapped one.
        name: The tool's name.
        arguments: The JSON text as the model wrote it, byte for byte; it may be invalid.
    """

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: str = "{}"

    def parsed(self) -> Mapping[str, JsonValue] | None:
        """Return the arguments as an object, or None where they are not a JSON object."""
        try:
            value = orjson.loads(self.arguments or "{}")
        except orjson.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None


class ToolResult(Block):
    """What came of a tool call.

    Attributes:
        id: The `ToolCall.id` it answers.
        name: The tool's name.
        parts: The result; text, images.
        is_error: The call failed, and the parts say how.
    """

    type: Literal["tool_result"] = "tool_result"
    id: str
    name: str
    parts: tuple[Annotated[Text | Image, Field(discriminator="type")], ...] = ()
    is_error: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Refusal(Block):
    """The model declined, in its own field of the answer."""

    type: Literal["refusal"] = "refusal"
    text: str


class Opaque(Block):
    """A block that this release does not know, kept as it came.

    Attributes:
        dialect: Whose wire format it belongs to, such as `anthropic`.
        data: The block.
    """

    type: Literal["opaque"] = "opaque"
    dialect: str
    data: JsonValue


Part = Annotated[
    Text | Reasoning | Image | ToolCall | ToolResult | Refusal | Opaque, Field(discriminator="type")
]


class Message(Content):
    """One turn of a conversation.

    Attributes:
        role: Who speaks; results of tools speak as `tool`.
        parts: What is said, in order.
        origin: `provider:model` of the model that said it, or None where no model did.
        native: The provider's own JSON of this message, kept only where the parts do not say the same byte for byte; a
            list where it was several messages there.
        dialect: The wire format of the request that it was read from; empty where it was said in a run.
        unsaid: What `native` says and the parts do not, as paths such as `content[0].cache_control`.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    origin: str | None = None
    native: JsonValue = None
    dialect: str = ""
    unsaid: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text parts, joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls in this message, in order."""
        return tuple(part for part in self.parts if isinstance(part, ToolCall))


class ToolSpec(Content):
    """What a model is told of a tool.

    Attributes:
        name: The tool's name, any text; targets that allow fewer characters are told an alias.
        description: What it does, for the model.
        parameters: The JSON Schema of its arguments, as its author wrote it.
        hosted: The dialect whose service runs the tool itself, such as `anthropic`; empty for a tool of the caller. Other
            dialects are not told of it.
        native: The provider's own JSON of it, kept only where the fields above do not say the same.
        dialect: The wire format of the request that it was read from, or empty.
        unsaid: What `native` says and the fields above do not.
    """

    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    hosted: str = ""
    native: JsonValue = None
    dialect: str = ""
    unsaid: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Segment:
    """What one event adds to a conversation; sealed, so that nothing later changes how it is told.

    Attributes:
        seq: The event it comes from; 0 where it is not in the log yet.
        messages: What is said, in order. Results of tools come first, in the order of their calls.
        system: The instruction from here on, or None where it does not change.
        tools: What the model may call from here on, or None where that does not change.
    """

    seq: int
    messages: tuple[Message, ...] = ()
    system: str | None = None
    tools: tuple[ToolSpec, ...] | None = None


def system(text: str) -> Message:
    """Return an instruction."""
    return Message(role="system", parts=(Text(text=text),))


def user(text: str) -> Message:
    """Return a message of the user."""
    return Message(role="user", parts=(Text(text=text),))


def assistant(text: str, *calls: ToolCall) -> Message:
    """Return a model's turn: text, then calls."""
    parts: tuple[Text | ToolCall, ...] = (Text(text=text),) if text else ()
    return Message(role="assistant", parts=(*parts, *calls))
