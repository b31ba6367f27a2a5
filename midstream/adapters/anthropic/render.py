"""Neutral conversation to Anthropic's Messages.

Instructions from before the first turn are in the head. A later one is an entry of its own where the model takes that, right
before the answer it is meant for, since it must not stand before a turn of the user; elsewhere it is a turn of the user.
Results are one turn of the user, in the order of the calls. Neighbouring turns of one role count as one for the service.
Source: platform.claude.com/docs, handle-tool-calls and preserved-thinking; recorded 400s for what they do not say.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Literal

from midstream.adapters.capabilities import Family
from midstream.adapters.changes import repair
from midstream.adapters.home import Returning, at_home, give_back
from midstream.adapters.pictures import Picture
from midstream.adapters.placing import put_in_place
from midstream.adapters.repair import close_open, seal
from midstream.adapters.telling import Fit, Telling, spoken_by, with_instruction
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import INVALID, arguments_object, is_array, is_object
from midstream.events.content import (
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

DIALECT = "anthropic"
IDS = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 256, "toolu_")
NAMES = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 128)
FILLER = "Continue."
"""What the user says where the service needs a turn of the user and nobody said anything."""
INSTRUCTION = "An instruction from the operator of this conversation, not from the user:\n\n"
"""Before an instruction that has to be told in a turn of the user."""

Tail = Literal["", "user", "results", "assistant", "paused"]
"""How the conversation ends so far; `paused` is a turn that the service itself goes on with."""


def render(view: View, segment: Segment, provider: str, family: Family) -> View:
    """See `Adapter.render`."""
    telling = Teller(view, segment.seq, provider, family)
    if at_home(view, segment, DIALECT):
        telling.remember(home=True)
        return telling.grown(give_back(telling, segment))
    telling.leave_home(segment)
    segment, placed = put_in_place(segment)
    messages, open_calls, sealed = seal(view.open, with_instruction(segment))
    telling.changes += [*placed, *sealed]
    if segment.tools is not None:
        telling.tools(segment.tools)
    if segment.system is not None and not telling.empty:
        telling.changes.append(
            repair("instruction_appended", segment.seq, "the instruction changed on the way")
        )
    for message in messages:
        telling.tell(message)
    return telling.grown(open_calls)


def closing(view: View, provider: str, family: Family) -> Teller:
    """Return what a request must add to the view to be valid; an answer to it is rendered after the same."""
    messages, changes = close_open(view.open)
    telling = Teller(view, 0, provider, family)
    telling.changes += changes
    for message in messages:
        telling.tell(message)
    telling.before_answer()
    return telling


class Teller(Telling, Returning):
    """Says messages in the words of Messages."""

    def __init__(self, view: View, seq: int, provider: str, family: Family) -> None:
        super().__init__(view, seq, ids=IDS, names=NAMES)
        self._provider = provider
        self._family = family

    @property
    def tail(self) -> Tail:
        """How the conversation ends so far."""
        tail: Tail = self.state.get("tail", "")
        return tail

    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """Tell the list of tools."""
        self.declare(
            [
                {
                    "name": name,
                    **({"description": description} if description else {}),
                    "input_schema": schema,
                }
                for name, description, schema in self.declared(tools)
            ]
        )

    def tell(self, message: Message) -> None:
        """Tell one message, which holds only what its role can."""
        match message.role:
            case "system":
                self._instruction(message)
            case "user":
                self._user(message)
            case "assistant":
                self._assistant(message)
            case "tool":
                self._results(message)

    def give_back(self, message: Message) -> None:
        """See `Returning.give_back`."""
        native = message.native
        told: list[dict[str, Any]] = native if is_array(native) else [self._as_read(message)]
        if message.role == "system" and self.empty:
            content = told[0]["content"]
            before = self.head.get("system")
            self.set_head(
                "system", content if before is None else [*_list(before), *_list(content)]
            )
            return
        self.items += told
        blocks = _list(told[-1].get("content") or [])
        calls = message.tool_calls
        if message.role == "assistant":
            first = blocks[0].get("type") if blocks else ""
            thought = first in ("thinking", "redacted_thinking")
            self.remember(
                calls=tuple(call.id for call in calls), unthought=bool(calls) and not thought
            )
            self.remember(tail="paused" if blocks and _paused(blocks) else "assistant")
        elif message.role != "system":
            answered = any(isinstance(part, ToolResult) for part in message.parts)
            self.remember(tail="results" if answered else "user")

    def give_back_tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Returning.give_back_tools`."""
        self.remember(declared=frozenset(tool.name for tool in tools))
        self.declare([as_read(tool) for tool in tools])

    def _as_read(self, message: Message) -> dict[str, Any]:
        if is_object(message.native):
            return message.native
        if message.role == "user":
            return {"role": "user", "content": message.text}
        ids = [call.id for call in message.tool_calls]
        return {"role": message.role, "content": self._blocks(message, ids, own=True)}

    def before_answer(self) -> None:
        """Say what has to stand before an answer: an instruction that waits, and a turn of the user.

        A model of today refuses to go on with its own turn, and an earlier one would continue the text instead of answering.
        """
        waiting: tuple[dict[str, Any], ...] = self.state.get("waiting", ())
        if waiting and self.tail in ("user", "results"):
            self._say("system", list(waiting), self.tail)
            self.remember(waiting=())
        elif waiting:
            self.remember(waiting=())
            self._degraded([block["text"] for block in waiting])
        elif self.tail in ("", "assistant"):
            self.repair("filler_inserted", "the service needs a turn of the user here")
            self._say("user", FILLER, "user")

    def _say(self, role: str, content: Any, tail: Tail) -> None:
        self.items.append({"role": role, "content": content})
        self.remember(tail=tail)

    def _instruction(self, message: Message) -> None:
        texts = [part.text for part in message.parts if isinstance(part, Text)]
        kept = [text for text in texts if text.strip()]
        if len(kept) < len(texts):
            self.repair("empty_dropped", "an instruction without a character that can be read")
        if not kept:
            return
        kept = [self.whole(text) for text in kept]
        blocks = [{"type": "text", "text": text} for text in kept]
        if self.empty:
            self.set_head("system", [*self.head.get("system", ()), *blocks])
        elif "midway" in self._family.traits:
            self.remember(waiting=(*self.state.get("waiting", ()), *blocks))
        else:
            self._degraded(kept)

    def _degraded(self, texts: Sequence[str]) -> None:
        self.repair("instruction_degraded", "told as a turn of the user")
        blocks = [{"type": "text", "text": INSTRUCTION + text} for text in texts]
        self._say("user", blocks, "user")

    def _user(self, message: Message) -> None:
        blocks: list[dict[str, Any]] = []
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    blocks += self._text(part.text, place)
                case Image():
                    blocks.append(self._image(part, place))
                case Opaque(dialect=dialect, data=dict(data)) if dialect == DIALECT:
                    blocks.append(data)
                case Opaque():
                    self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                case Reasoning() | ToolCall() | ToolResult() | Refusal():
                    raise AssertionError("put_in_place() leaves no such part in a turn of the user")
        if not blocks:
            return
        if self.state.get("waiting"):
            self.repair("reordered", "an instruction that waits is told after this turn")
        self._say("user", _short(blocks), "user")

    def _assistant(self, message: Message) -> None:
        calls = message.tool_calls
        own = spoken_by(message, self._provider, DIALECT)
        mapped = len(self.changes)
        ids = self.wire_ids(calls)
        native = message.native.get("content") if is_object(message.native) else None
        if own and is_array(native) and _ids(native) == ids:
            blocks: list[Any] = native
        else:
            blocks = self._blocks(message, ids, own=own)
        if not blocks:
            if not message.parts or not any(c.severity == "loss" for c in self.changes[mapped:]):
                self.repair("empty_dropped", "an answer without content")
            return
        if self.tail or self.state.get("waiting"):  # a conversation may begin with an answer
            self.before_answer()
        thought = blocks[0].get("type") in ("thinking", "redacted_thinking")
        self.remember(unthought=bool(calls) and not thought)
        self._say("assistant", blocks, "paused" if _paused(blocks) else "assistant")

    def _blocks(self, message: Message, ids: Sequence[str], *, own: bool) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        told = iter(ids)
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    blocks += (
                        self._own_text(part.text, place) if own else self._text(part.text, place)
                    )
                case ToolCall():
                    blocks.append(self._call(part, next(told), place))
                case Reasoning(proof=str(proof)) if own and proof:
                    blocks.append(_reasoning(part, proof))
                case Reasoning():
                    self.loss("reasoning_dropped", f"of {message.origin or 'nobody'}", place)
                case Refusal():
                    self.repair("refusal_as_text", "the dialect has no field for it", place)
                    blocks += self._text(part.text, place)
                case Opaque(dialect=dialect, data=dict(data)) if own and dialect == DIALECT:
                    blocks.append(data)
                case Opaque() | Image() | ToolResult():
                    self._not_in_answer(part, place)
        return blocks

    def _not_in_answer(self, part: Opaque | Image | ToolResult, place: int) -> None:
        if isinstance(part, Opaque):
            self.loss("opaque_dropped", f"a block of {part.dialect}", place)
        else:  # results were put in messages of their own
            self.loss("image_dropped", "an answer takes no images", place)

    def _call(self, call: ToolCall, id_: str, part: int) -> dict[str, Any]:
        found = arguments_object(call.arguments)
        if found is None:
            self.repair("arguments_wrapped", f"those of call {call.id!r} are no object", part)
            found = {INVALID: call.arguments}
        return {"type": "tool_use", "id": id_, "name": self.alias(call.name), "input": found}

    def _results(self, message: Message) -> None:
        ids: Sequence[str] = self.state.get("calls", ())
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        blocks: list[dict[str, Any]] = []
        for id_, result in zip(ids, results, strict=True):
            content: list[dict[str, Any]] = []
            for place, part in enumerate(result.parts):
                if isinstance(part, Text):
                    content += self._text(part.text, place) if part.text else []
                else:
                    content.append(self._image(part, place))
            block = {"type": "tool_result", "tool_use_id": id_, "content": _short(content) or ""}
            blocks.append({**block, "is_error": True} if result.is_error else block)
        self._say("user", blocks, "results")

    def _text(self, text: str, part: int) -> list[dict[str, Any]]:
        """Return the text as a block, or nothing where the service would refuse it as empty."""
        if text.strip():
            return [{"type": "text", "text": text}]
        self.repair("empty_dropped", "a text without a character that can be read", part)
        return []

    def _own_text(self, text: str, part: int) -> list[dict[str, Any]]:
        """Return a text that the provider wrote: white space is taken back, an empty text is not."""
        return [{"type": "text", "text": text}] if text else self._text(text, part)

    def _image(self, image: Image, part: int) -> dict[str, Any]:
        told = self.picture(image, supported=self._family.capabilities.images, part=part)
        if told is None:
            return {"type": "text", "text": "[image]"}
        return {"type": "image", "source": _source(told)}


def as_read(tool: ToolSpec) -> dict[str, Any]:
    """Return the tool as it was declared."""
    if is_object(tool.native):
        return tool.native
    return {
        "name": tool.name,
        "description": tool.description,
        "input_schema": tool.parameters,
    }


def _list(content: Any) -> list[dict[str, Any]]:
    return content if is_array(content) else [{"type": "text", "text": content}]


def _reasoning(part: Reasoning, proof: str) -> dict[str, Any]:
    if part.redacted:
        return {"type": "redacted_thinking", "data": proof}
    return {"type": "thinking", "thinking": part.text, "signature": proof}


def _source(told: Picture) -> dict[str, Any]:
    if told.data is None:
        return {"type": "url", "url": told.url}
    return {"type": "base64", "media_type": told.media_type, "data": told.data}


def _short(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a single text as itself."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks


def _paused(blocks: Sequence[Any]) -> bool:
    """Tell whether the service goes on with this turn by itself: it ends with a tool of the service."""
    kind = str(blocks[-1].get("type", ""))
    return kind.endswith("_tool_result") or kind in ("server_tool_use", "mcp_tool_use")


def _ids(blocks: Sequence[Any]) -> tuple[str, ...]:
    return tuple(block["id"] for block in blocks if block.get("type") == "tool_use")
