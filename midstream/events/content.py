"""What is said: messages and their parts, in no vendor's words.

An assistant turn is an ordered list of parts, because the order of text, reasoning and calls means something and is lost
in formats that keep them in separate fields. What only its issuer can read (a signature, an encrypted body) is kept as it
came, with its origin.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from midstream.events.json_text import read_json

Role = Literal["system", "user", "assistant", "tool"]


class Content(BaseModel):
    """A frozen piece of content; unknown fields are refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )


class Block(Content):
    """A part of a message; its `type` is always written, because it tells the parts apart.

    Attributes:
        hints: Fields of the part that only one dialect has, by dialect: `{"anthropic": {"cache_control": …}}`. They are put
            into the wire form of that dialect, over what is there, and no other dialect is told them.
    """

    hints: dict[str, dict[str, JsonValue]] | None = None

    @model_serializer(mode="wrap")
    def _with_type(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        tag: str = self.type  # type: ignore[attr-defined]  # every part has it
        return {"type": tag, **serialize(self)}


class Citation(Content):
    """Where a part of a text comes from.

    Attributes:
        start: Where the cited part of this text begins, in code points; None where the provider does not say.
        end: Where it ends, in code points, exclusive; None where the provider does not say.
        cited_text: What the source says there, or empty.
        title: Of the source, or empty.
        source: What it is: a page on the web, a document of the conversation, a file, a search result, the result of a tool.
        ref: Its address, its id, or its place among the documents of the conversation.
        native: The provider's own JSON of it, which only a provider of the message's origin gets back.
    """

    start: int | None = None
    end: int | None = None
    cited_text: str = ""
    title: str = ""
    source: Literal["url", "document", "file", "search_result", "tool", "other"] = "url"
    ref: str = ""
    native: JsonValue = None


class Text(Block):
    """Plain text.

    Attributes:
        text: The text.
        citations: Where parts of it come from, in the provider's order.
        phase: What the text is for, where its provider wants that back: `commentary` or `final_answer`; else empty.
        item_id: The provider's id of the item that it stood in, or empty; texts with the same one stood together.
    """

    type: Literal["text"] = "text"
    text: str
    citations: tuple[Citation, ...] = ()
    phase: str = ""
    item_id: str = ""


class Reasoning(Block):
    """What a model thought before it answered; whose it is says the message's origin.

    Attributes:
        text: What can be read of it; empty where the provider hides it.
        summary: The provider's own summaries of it, in order.
        proof: What only its issuer can read and wants back unchanged: a signature or an encrypted body.
        redacted: The provider hid the text, and `proof` is all there is.
        item_id: The provider's id of it, or empty.
    """

    type: Literal["reasoning"] = "reasoning"
    text: str = ""
    summary: tuple[str, ...] = ()
    proof: str | None = None
    redacted: bool = False
    item_id: str = ""


class Image(Block):
    """An image, by its bytes, by an address that the provider can fetch, or by its id in a provider's store.

    Attributes:
        media_type: As in `image/png`.
        data: The bytes in base64, or None where they are not here.
        url: The address, or None.
        file_id: The id under which a provider keeps it, or None.
        provider: Whose id that is, such as `anthropic`; empty where there is none.
    """

    type: Literal["image"] = "image"
    media_type: str = "image/png"
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    provider: str = ""


class Document(Block):
    """A document: a PDF, a text, a table.

    Attributes:
        media_type: As in `application/pdf`.
        data: The bytes in base64, or None where they are not here.
        url: The address, or None.
        file_id: The id under which a provider keeps it, or None.
        provider: Whose id that is, such as `anthropic`; empty where there is none.
        name: Its file name or title, or empty.
        text: What it says as plain text, for whoever cannot be given the document itself; None where nobody has read it.
    """

    type: Literal["document"] = "document"
    media_type: str = "application/pdf"
    data: str | None = None
    url: str | None = None
    file_id: str | None = None
    provider: str = ""
    name: str = ""
    text: str | None = None


class Audio(Block):
    """Something to hear.

    Attributes:
        media_type: As in `audio/wav`; empty where the provider did not say.
        data: The bytes in base64, or None where they are not here.
        file_id: The id under which a provider keeps it, or None.
        provider: Whose id that is; empty where there is none.
        transcript: The words, or empty.
    """

    type: Literal["audio"] = "audio"
    media_type: str = "audio/wav"
    data: str | None = None
    file_id: str | None = None
    provider: str = ""
    transcript: str = ""


class ToolCall(Block):
    """A model's wish to have a tool called.

    Attributes:
        id: The provider's id of the call, unique in its turn; other providers may be told a mapped one.
        name: The tool's name.
        arguments: The JSON text as the model wrote it, byte for byte; it may be invalid. Of a call in form `text`, the text.
        form: `json`, or `text` where the tool takes free text instead of arguments.
        item_id: The provider's second id, of the item that holds the call, where it has two; else empty.
    """

    type: Literal["tool_call"] = "tool_call"
    id: str
    name: str
    arguments: str = "{}"
    form: Literal["json", "text"] = "json"
    item_id: str = ""

    def parsed(self) -> Mapping[str, JsonValue] | None:
        """Return the arguments as an object, or None where they are not a JSON object; free text is `{"input": …}`."""
        if self.form == "text":
            return {"input": self.arguments}
        try:
            value: JsonValue = read_json(self.arguments or "{}")
        except json.JSONDecodeError:
            return None
        return value if isinstance(value, dict) else None


class Refusal(Block):
    """The model declined, in its own field of the answer.

    Attributes:
        text: What it said.
        item_id: The provider's id of the item that it stood in, or empty.
    """

    type: Literal["refusal"] = "refusal"
    text: str
    item_id: str = ""


class ServerTool(Block):
    """A tool that the provider itself called in the middle of an answer, or what came of it.

    A provider that tells the two in one block gives one part, and one that tells them in two gives two with the same `id`.

    Attributes:
        dialect: Whose wire format `data` belongs to, such as `anthropic`.
        name: The tool, such as `web_search`.
        id: The provider's id of the call.
        input: What it was called with; None where the block holds only what came of it.
        text: What can be read of what came of it, such as titles and addresses; for whoever cannot be given `data`.
        data: The block.
    """

    type: Literal["server_tool"] = "server_tool"
    dialect: str
    name: str
    id: str = ""
    input: JsonValue = None
    text: str = ""
    data: JsonValue


class Opaque(Block):
    """A block that this release does not know, kept as it came.

    Attributes:
        dialect: Whose wire format it belongs to, such as `anthropic`.
        data: The block.
    """

    type: Literal["opaque"] = "opaque"
    dialect: str
    data: JsonValue


ResultPart = Annotated[Text | Image | Document | Audio | Opaque, Field(discriminator="type")]
"""What the result of a tool can hold."""


class ToolResult(Block):
    """What came of a tool call.

    Attributes:
        id: The `ToolCall.id` it answers.
        name: The tool's name.
        parts: The result.
        is_error: The call failed, and the parts say how.
    """

    type: Literal["tool_result"] = "tool_result"
    id: str
    name: str
    parts: tuple[ResultPart, ...] = ()
    is_error: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined without a separator."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


Part = Annotated[
    Text
    | Reasoning
    | Image
    | Document
    | Audio
    | ToolCall
    | ToolResult
    | ServerTool
    | Refusal
    | Opaque,
    Field(discriminator="type"),
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
        """The text parts and the words of audio, joined without a separator."""
        return "".join(map(_heard, self.parts))

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
        form: `json`, or `text` where the tool takes free text instead of arguments.
        strict: Whether the provider is to hold the model to the schema; None for what the dialect does by default.
        hosted: The dialect whose service runs the tool itself, such as `anthropic`; empty for a tool of the caller. Other
            dialects are not told of it.
        hints: Fields of the declaration that only one dialect has, by dialect; of a hosted tool, the whole declaration.
        native: The provider's own JSON of it, kept only where the fields above do not say the same.
        dialect: The wire format of the request that it was read from, or empty.
        unsaid: What `native` says and the fields above do not.
    """

    name: str
    description: str = ""
    parameters: dict[str, JsonValue] = Field(default_factory=dict)
    form: Literal["json", "text"] = "json"
    strict: bool | None = None
    hosted: str = ""
    hints: dict[str, dict[str, JsonValue]] | None = None
    native: JsonValue = None
    dialect: str = ""
    unsaid: tuple[str, ...] = ()


def _heard(part: Part) -> str:
    if isinstance(part, Text):
        return part.text
    return part.transcript if isinstance(part, Audio) else ""


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

    @property
    def empty(self) -> bool:
        """It adds nothing."""
        return not self.messages and self.system is None and self.tools is None


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
