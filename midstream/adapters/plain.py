"""Ordinary turns by the short way: a text of the user, texts and calls of an answer, results that are a text each.

Most of what is told is of this kind, and needs none of the questions that are asked of the rest. A turn that is not wholly so
goes the long way; either way says the same, and a law holds that.

Fields are read from the `__dict__` of what is told: as attributes of a model they cost several times as much, and reading is
most of what is done here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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

    def plain_answer(self, origin: str | None, texts: list[str], calls: list[Fields]) -> bool:
        """Tell the texts of an answer and the calls after them, whose ids and names are accepted; see `plain_question`."""
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
        if message["unsaid"] or message["dialect"] == self.speech.dialect:
            return False
        self.seq = segment.seq
        role = message["role"]
        if role == "tool":
            return self._plain_returned(message["parts"])
        if self.open:
            return False
        if role == "assistant":
            return self._plain_said(message)
        return role == "user" and self._plain_asked(message["parts"])

    def _plain_asked(self, parts: Sequence[Block]) -> bool:
        text = _text(parts[0]) if len(parts) == 1 else ""
        return text != "" and self.plain_question(text)

    def _plain_said(self, message: Fields) -> bool:
        if message["native"] is not None and not message["dialect"]:
            return False  # its own provider may take it as it came
        texts: list[str] = []
        calls: list[Fields] = []
        for part in message["parts"]:
            if type(part) is ToolCall:
                calls.append(part.__dict__)
                continue
            text = _text(part)
            if calls or not text:
                return False
            texts.append(text)
        if not (texts or calls) or (calls and not self._acceptable(calls)):
            return False
        if not self.plain_answer(message["origin"], texts, calls):
            return False
        self.open = message["parts"][len(texts) :]
        return True

    def _acceptable(self, calls: list[Fields]) -> bool:
        """Tell whether the provider takes the calls under their own ids and names."""
        ids, names = self.speech.ids, self.speech.names
        for call in calls:
            if call["form"] != "json" or call["hints"]:
                return False
            if not ids.holds(call["id"]) or not names.holds(call["name"]):
                return False
        return len(calls) == 1 or len({call["id"] for call in calls}) == len(calls)

    def _plain_returned(self, parts: Sequence[Block]) -> bool:
        calls = self.open
        if not parts or len(parts) != len(calls):
            return False
        results: list[Returned] = []
        for place, part in enumerate(parts):
            said = part.__dict__
            if type(part) is not ToolResult or said["id"] != calls[place].__dict__["id"]:
                return False
            shown = said["parts"]
            text = _text(shown[0]) if len(shown) == 1 and not said["hints"] else ""
            if not text:
                return False
            results.append((text, said["is_error"]))
        if len(results) > 1 and len({call.id for call in calls}) < len(results):
            return False
        if not self.plain_results(results):
            return False
        self.open = ()
        return True


def _text(part: Block) -> str:
    """Return a text that has something to read and nothing beside it; else an empty one."""
    said = part.__dict__
    if type(part) is not Text or said["hints"] or said["citations"]:
        return ""
    text: str = said["text"]
    return "" if text.isspace() else text
