"""The pencil of one rendering: what is added to a view, and what an adapter must remember from segment to segment.

It is changed in place while one segment is told and never afterwards, so that `render` is pure from the outside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import count
from typing import Any

from midstream.adapters.noting import Noting, overlaid
from midstream.adapters.output import OutputSchema, tool_name
from midstream.adapters.pictures import Picture, picture
from midstream.adapters.readable import document_label, document_words, readable, server_tool_words
from midstream.adapters.schema import INPUT, object_schema
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import arguments_text, without_surrogates
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    ServerTool,
    Text,
    ToolCall,
    ToolSpec,
)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """What a provider accepts as the id of a call or the name of a tool; one object for each, equal to no other.

    Attributes:
        pattern: The whole of it.
        longest: In characters; an alias is made to fit it.
        prefix: What a made-up id begins with.
        words: Every identifier of ASCII letters fits that is short enough, which is told without the pattern.
    """

    pattern: re.Pattern[str]
    longest: int
    prefix: str = ""
    words: bool = False

    def holds(self, text: str) -> bool:
        """Tell whether the text can be sent as it is."""
        return len(text) <= self.longest and self.pattern.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Declared:
    """A tool as a provider accepts it.

    Attributes:
        name: What the provider calls it.
        description: For the model.
        schema: Of its arguments.
        spec: As the caller declared it.
    """

    name: str
    description: str
    schema: dict[str, Any]
    spec: ToolSpec


@dataclass(frozen=True, slots=True)
class Speech:
    """How one provider is spoken to.

    Attributes:
        provider: As in a model's name; what came from there goes back as it came.
        dialect: The name of the wire format, as in `Opaque.dialect`.
        ids: What ids of calls must look like.
        names: What names of tools must look like.
        free_text: It knows tools of free text.
        longest_image: Of an image's bytes, in characters of base64; None where the provider does not say.
    """

    provider: str
    dialect: str
    ids: Fit
    names: Fit
    free_text: bool = False
    longest_image: int | None = None


class Telling(Noting):
    """What one segment adds to a view.

    Args:
        view: What was told before.
        seq: The event that is told.
        speech: How it is told.
    """

    __slots__ = ("output_tool", "speech")

    def __init__(self, view: View, seq: int, speech: Speech) -> None:
        super().__init__(view, seq, speech.dialect)
        self.speech = speech
        self.output_tool = ""  # whose arguments are the answer, in this request

    def remember(self, **values: Any) -> None:
        """Keep values for the segments that follow."""
        if self.remembers:
            self.state.update(values)
        else:
            self.state, self.remembers = {**self.state, **values}, True

    def set_head(self, key: str, value: Any) -> None:
        """Set one field of what is sent once."""
        self.head = {**self.head, key: value}

    @property
    def empty(self) -> bool:
        """Nothing has been said in this conversation."""
        return not self.items and not len(self.view.tape)

    @property
    def aliases(self) -> Mapping[str, str]:
        """The names that were changed, and what stands for them."""
        aliases: Mapping[str, str] = self.state.get("aliases", {})
        return aliases

    def alias(self, name: str) -> str:
        """Return what the provider calls the tool; always the same for the same name."""
        known = self.aliases
        if self.state.get("home"):
            return name  # the provider took it
        if name in known:
            return known[name]
        declared = self.state.get("declared", frozenset())
        taken = set(known.values())
        if self.speech.names.holds(name) and name not in taken:
            return name
        stem = re.sub(r"[^a-zA-Z0-9_-]", "_", name)[: self.speech.names.longest - 9] or "tool"
        if not self.speech.names.holds(stem):  # it begins with a digit, which some refuse
            stem = f"_{stem[1:]}"
        made = (f"{stem}_{_digest(name, salt)[:8]}" for salt in count())
        alias = next(found for found in made if found not in taken and found not in declared)
        self.repair("tool_aliased", f"tool {name!r} is told as {alias!r}")
        self.remember(aliases={**known, name: alias})
        return alias

    def wire_ids(self, calls: Sequence[ToolCall]) -> tuple[str, ...]:
        """Return an id for each call that the provider accepts, no two the same; its own where it is one."""
        told: list[str] = []
        for call in calls:
            if self.speech.ids.holds(call.id) and call.id not in told:
                told.append(call.id)
                continue
            made = (
                (self.speech.ids.prefix + _digest(call.id, salt)[:24])[: self.speech.ids.longest]
                for salt in count()
            )
            id_ = next(found for found in made if found not in told)
            self.repair("id_mapped", f"call {call.id!r} is told as {id_!r}")
            told.append(id_)
        self.remember(calls=tuple(told))
        return tuple(told)

    def whole(self, text: str) -> str:
        """Return a text that is not told at once, without half characters; the others are looked at when all is told."""
        told: str = without_surrogates(text)
        if told != text:
            self.repair("unicode_repaired", "half a character became U+FFFD")
        return told

    def verbatim(self, message: Message) -> Any:
        """Return the wire form of a message that no model said, where it came in this dialect; else None."""
        return message.native if message.dialect == self.speech.dialect else None

    def document_as_text(self, document: Document, part: int | None) -> str:
        """Return what can be read of a document that cannot be sent; says so."""
        label, words = document_label(document), document_words(document)
        if words is None or not words.strip():
            self.loss("document_dropped", f"{label}: nobody has read it", part)
            return f"[document: {label}]"
        self.repair("part_degraded", f"document {label} is told as text", part)
        return f"Document {label}:\n\n{words}"

    def audio_as_text(self, audio: Audio, part: int | None) -> str:
        """Return the words of audio that cannot be sent; says so."""
        if not audio.transcript.strip():
            self.loss("audio_dropped", f"{audio.media_type or 'audio'} without a transcript", part)
            return "[audio]"
        self.repair("part_degraded", "audio is told as its transcript", part)
        return audio.transcript

    def server_tool_as_text(self, tool: ServerTool, part: int | None) -> str:
        """Return what can be read of a tool that another provider called itself; says so."""
        said = f"{tool.name} of {tool.dialect}"
        if readable(tool):
            self.repair("server_tool_degraded", said, part)
        else:
            self.loss("server_tool_dropped", f"{said}: nothing of it can be read", part)
        return server_tool_words(tool)

    def wrapped(self, call: ToolCall) -> ToolCall:
        """Return a call of free text as one with arguments, for a provider that knows no free text; says so."""
        if call.form == "json" or self.speech.free_text or self.state.get("home"):
            return call
        self.repair("custom_tool_wrapped", f"the text of call {call.id!r} is told as an argument")
        arguments = arguments_text({INPUT: call.arguments})
        return call.model_copy(update={"arguments": arguments, "form": "json"})

    def picture(
        self, image: Image, *, supported: bool, part: int | None, by_id: bool = True
    ) -> Picture | None:
        """Return the image as it can be sent, or None where it cannot; says so.

        Args:
            image: The image.
            supported: The model takes images.
            part: Its place in the message.
            by_id: The dialect can name a file that its provider keeps.
        """
        files = vendor(self.speech.provider) if by_id else ""
        found = picture(image, files) if supported else "the model takes no images"
        longest = self.speech.longest_image
        if not isinstance(found, str) and longest and len(found.data or "") > longest:
            found = f"{len(found.data or ''):,} characters; the service takes {longest:,}"
        if isinstance(found, str):
            self.loss("image_dropped", found, part)
            return None
        if found.data is not None:
            self.media += len(found.data)
            if found.media_type != image.media_type:
                self.repair(
                    "image_type_corrected", f"{image.media_type} is {found.media_type}", part
                )
        self.images += 1
        return found

    def declared(self, tools: Sequence[ToolSpec]) -> list[Declared]:
        """Return each tool as the provider accepts it; those of another provider's service are left out."""
        fits = self.speech.names.holds
        self.remember(declared=frozenset(tool.name for tool in tools if fits(tool.name)))
        told: dict[str, Declared] = {}
        for tool in tools:
            if tool.unsaid and tool.dialect != self.speech.dialect:
                self.loss("hint_dropped", f"of tool {tool.name!r}: {', '.join(tool.unsaid)}")
            if tool.name in told:
                self.loss("tool_dropped", f"a second tool named {tool.name!r}")
            elif tool.hosted and tool.hosted != self.speech.dialect:
                self.loss(
                    "tool_dropped", f"tool {tool.name!r}, which the service of {tool.hosted} runs"
                )
            else:
                told[tool.name] = self._declared(tool)
        return list(told.values())

    def _declared(self, tool: ToolSpec) -> Declared:
        if tool.hosted:
            return Declared(tool.name, tool.description, {}, tool)
        if tool.form == "text" and not self.speech.free_text:
            self.repair("custom_tool_wrapped", f"tool {tool.name!r} is told as one of an argument")
            schema: dict[str, Any] = {
                "type": "object",
                "properties": {INPUT: {"type": "string"}},
                "required": [INPUT],
            }
            return Declared(self.alias(tool.name), tool.description, schema, tool)
        schema, removed = object_schema(tool.parameters)
        description = tool.description
        if removed:
            self.loss(
                "schema_weakened",
                f"{', '.join(removed)} at the root of the schema of {tool.name!r}",
            )
            exact = arguments_text(tool.parameters)
            description = f"{description}\n\nThe arguments must match: {exact}".strip()
        return Declared(self.alias(tool.name), description, schema, tool)

    def declaration(self, block: dict[str, Any], spec: ToolSpec) -> dict[str, Any]:
        """Return the declaration of a tool with the fields that only this dialect has; see `ToolSpec.hints`."""
        for dialect, fields in (spec.hints or {}).items():
            if dialect != self.speech.dialect:
                self.loss("hint_dropped", f"{', '.join(fields)} of {dialect}, tool {spec.name!r}")
        own = (spec.hints or {}).get(self.speech.dialect, {})
        return dict(own) if spec.hosted else overlaid(block, own)

    def declare(self, tools: list[dict[str, Any]]) -> None:
        """Put the list of tools into the head; says so where one that was told before changes."""
        before = self.head.get("tools", [])
        if tools == before:
            return
        if not self.empty:
            self.repair("prefix_broken", f"{len(before)} tools before, {len(tools)} from here on")
        self.set_head("tools", tools)

    def ask_by_tool(self, wanted: OutputSchema) -> str:
        """Return what the tool is called whose arguments are the answer, in this request only; says so."""
        names = frozenset(self.state.get("declared", frozenset())) | set(self.aliases.values())
        self.output_tool = tool_name(wanted, frozenset(names))
        self.repair("output_as_tool", f"{wanted.name!r} is the call of {self.output_tool!r}")
        return self.output_tool

    def leave_home(self, segment: Segment) -> None:
        """Note that the view is no longer what one provider took, and what its wire format said beside the parts."""
        if self.state.get("home"):
            self.remember(home=False)
        for message in segment.messages:
            if message.unsaid and (
                message.dialect != self.speech.dialect or message.role in ("system", "tool")
            ):
                self.loss("hint_dropped", f"of a {message.role} turn: {', '.join(message.unsaid)}")


@lru_cache(maxsize=256)
def speech_of(
    provider: str,
    dialect: str,
    ids: Fit,
    names: Fit,
    free_text: bool = False,
    longest_image: int | None = None,
) -> Speech:
    """Return how a provider is spoken to; the same object each time."""
    return Speech(provider, dialect, ids, names, free_text, longest_image)


def with_instruction(segment: Segment) -> Segment:
    """Return the segment with its instruction as a message: after results of tools, before all else."""
    if segment.system is None:
        return segment
    messages, place = segment.messages, 0
    while place < len(messages) and messages[place].role == "tool":
        place += 1
    instruction = Message(role="system", parts=(Text(text=segment.system),))
    told = (*messages[:place], instruction, *messages[place:])
    return Segment(segment.seq, told, segment.system, segment.tools)


def vendor(provider: str) -> str:
    """Return whose files a provider's adapter can name; two dialects of one vendor share them."""
    return provider.removesuffix("-responses")


def spoken_by(message: Message, provider: str, dialect: str) -> bool:
    """Tell whether the message came from this provider, so that it can have back what only it can read."""
    if message.dialect not in ("", dialect):
        return False
    return message.origin is not None and message.origin.partition(":")[0] == provider


def _digest(text: str, salt: int) -> str:
    return sha256(f"{text}\0{salt}".encode("utf-8", "surrogatepass")).hexdigest()
