"""Ordinary turns by the short way: a text of the user, texts and calls of an answer, results that are a text each.

Most of what is told is of this kind, and needs none of the questions that are asked of the rest. A turn that is not wholly so
goes the long way; either way says the same, and a law holds that.

Fields are read from the `__dict__` of what is told: as attributes of a model they cost several times as much, and reading is
most of what is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midstream.adapters.imitation import MARK
from midstream.adapters.telling import Telling
from midstream.adapters.view import Segment
from midstream.events.content import Block, Text, ToolCall, ToolResult

Fields = Mapping[str, Any]
"""Of a piece of content."""
Returned = tuple[str, bool]
"""The text of a result, and whether the tool failed."""


class Plain(Telling):
    """Tells ordinary turns; each dialect says how they sound, or leaves them to the long way."""

    def begin(self) -> None:
        """See `Sealing.begin`."""
        super().begin()
        self.plain = False
        self._accepted: set[str] = set()  # names of tools
        self.look()

    def look(self) -> None:
        """See whether the next turn may go the short way."""
        self.plain = self.is_plain()
        if self.plain:
            self.remember()  # from here on the state is this pencil's own, to be written to

    def is_plain(self) -> bool:
        """Tell whether nothing waits and nothing was renamed, so that an ordinary turn is told as it always is."""
        return False

    def plain_question(self, text: str) -> bool:
        """Tell what the user says; False where it has to go the long way, and nothing was told."""
        raise NotImplementedError

    def plain_saying(self, origin: str | None, text: str) -> bool:
        """Tell an answer that is a text; see `plain_question`."""
        raise NotImplementedError

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """Tell texts and the calls after them, whose ids and names are accepted; see `plain_question`."""
        raise NotImplementedError

    def plain_results(self, results: list[Returned]) -> bool:
        """Tell the text of the result of each open call, in their order; see `plain_question`."""
        raise NotImplementedError

    def plainly(self, segment: Segment) -> bool:
        """Tell a segment by the short way; False where it has to go the long way, and nothing was told."""
        messages = segment.messages
        if len(messages) != 1 or segment.system is not None or segment.tools is not None:
            return False
        message = messages[0].__dict__
        dialect = message["dialect"]
        if message["unsaid"] or (dialect and dialect == self.speech.dialect):
            return False
        self.seq = segment.seq
        role, parts = message["role"], message["parts"]
        if role == "tool":
            return self._plain_returned(parts)
        if self.open:
            return False
        if role == "assistant":
            if message["native"] is not None and not dialect:
                return False  # its own provider may take it as it came
            return self._plain_said(message["origin"], parts)
        if role != "user" or len(parts) != 1:
            return False
        text = _text(parts[0])
        if not text or MARK in text:
            return False
        return self.plain_question(text)

    def _plain_said(self, origin: str | None, parts: Sequence[Block]) -> bool:
        if len(parts) == 1 and type(parts[0]) is Text:
            text = _text(parts[0])
            return text != "" and self.plain_saying(origin, text)
        texts: list[str] = []
        calls: list[Fields] = []
        for part in parts:
            if type(part) is ToolCall:
                call = part.__dict__
                if not self._acceptable(call):
                    return False
                calls.append(call)
                continue
            text = _text(part)
            if calls or not text:
                return False
            texts.append(text)
        if not parts or (len(calls) > 1 and _alike(calls)):
            return False
        if not self.plain_answer(origin, texts, calls):
            return False
        self.open = tuple([part for part in parts if isinstance(part, ToolCall)]) if calls else ()
        return True

    def _acceptable(self, call: Fields) -> bool:
        """Tell whether the provider takes the call under its own id and name."""
        if call["hints"] or call["form"] != "json" or not self.speech.ids.holds(call["id"]):
            return False
        name: str = call["name"]
        if name not in self._accepted:
            if not self.speech.names.holds(name):
                return False
            self._accepted.add(name)
        return True

    def _plain_returned(self, parts: Sequence[Block]) -> bool:
        calls = self.open
        if not parts or len(parts) != len(calls):
            return False
        results: list[Returned] = []
        for place, part in enumerate(parts):
            if type(part) is not ToolResult:
                return False
            said = part.__dict__
            shown = said["parts"]
            if len(shown) != 1 or said["hints"] or said["id"] != calls[place].id:
                return False
            text = _text(shown[0])
            if not text:
                return False
            results.append((text, said["is_error"]))
        if len(results) > 1 and _alike([call.__dict__ for call in calls]):
            return False
        if not self.plain_results(results):
            return False
        self.open = ()
        return True


def _alike(calls: list[Fields]) -> bool:
    """Tell whether two of the calls have the same id."""
    return len({call["id"] for call in calls}) < len(calls)


def _text(part: Block) -> str:
    """Return a text that has something to read and nothing beside it; else an empty one."""
    if type(part) is not Text:
        return ""
    said = part.__dict__
    if said["hints"] or said["citations"] or said["phase"]:
        return ""
    text: str = said["text"]
    return "" if text.isspace() else text
