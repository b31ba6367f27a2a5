"""Ordinary turns by the short way: a text of the user, texts and calls of an answer, results that are a text each.

Most of what is told is of this kind, and needs none of the questions that are asked of the rest. A turn that is not wholly so
goes the long way; either way says the same, and a law holds that.

Fields are read from the `__dict__` of what is told: as attributes of a model they cost several times as much, and reading is
most of what is done here. What one turn leaves behind for the next is remembered once, after the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from midstream.adapters.imitation import LAST, MARK
from midstream.adapters.telling import Telling
from midstream.adapters.view import Segment
from midstream.events.content import Block, Text, ToolCall, ToolResult

Fields = Mapping[str, Any]
"""Of a piece of content."""
Returned = tuple[str, str, bool]
"""Of a result: what the provider knows the call as, the text, and whether the tool failed."""


class Plain(Telling):
    """Tells ordinary turns; each dialect says how they sound, or leaves them to the long way."""

    returns_own = False
    """An answer of the service itself goes back in a way of its own, which is never the short one."""

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

    def plain_question(self, text: str) -> dict[str, Any]:
        """Return what the user says."""
        raise NotImplementedError

    def plain_saying(self, text: str) -> dict[str, Any]:
        """Return an answer that is a text."""
        raise NotImplementedError

    def plain_answer(self, texts: list[str], calls: list[Fields], last: str) -> bool:
        """Tell texts and the calls after them, whose ids and names are accepted, and before them what `fill` says.

        False where it has to go the long way, and nothing was told.
        """
        raise NotImplementedError

    def plain_results(self, results: list[Returned]) -> bool:
        """Tell the text of the result of each open call, in their order; see `plain_answer`."""
        raise NotImplementedError

    def fill(self) -> None:
        """Say what has to stand between two answers."""

    def told_last(self) -> str:
        """Return what was told last, where that says what has to stand before an answer; `assistant` of an answer."""
        return ""

    def settle(self, last: str, *, by_text: bool) -> None:
        """Remember what was told the short way.

        Args:
            last: What was told last: `user`, `assistant`, `results`, or what `told_last` returned where that was nothing.
            by_text: The newest answer was told as a text without calls.
        """
        raise NotImplementedError

    def plainly(self, segments: Iterator[Segment]) -> Segment | None:
        """Tell segments by the short way; return the first that has to go the long way, or None where all were told."""
        return self._told_plainly(segments) if self.plain else next(segments, None)

    def _told_plainly(self, segments: Iterator[Segment]) -> Segment | None:
        """See `plainly`; most turns are a text, which is looked at here, as calls would cost as much as the looking."""
        dialect, own = self.speech.dialect, self.speech.provider if self.returns_own else ""
        question, saying, tell = self.plain_question, self.plain_saying, self.items.append
        last, by_text = self.told_last(), False
        left: Segment | None = None
        for left in segments:
            messages = left.messages
            if len(messages) != 1 or left.system is not None or left.tools is not None:
                break
            message: Fields = messages[0].__dict__
            role, parts = message["role"], message["parts"]
            if message["unsaid"] or message["dialect"] == dialect:
                break
            if len(parts) != 1 or type(parts[0]) is not Text or self.open:
                self.seq = left.seq
                returned = role == "tool"
                told = (
                    self._plain_returned(parts)
                    if returned
                    else self._plain_said(message, own, last)
                )
                if not told:
                    break
                last, by_text = told, by_text and returned
                continue
            said: Fields = parts[0].__dict__
            text: str = said["text"]
            if said["hints"] or said["citations"] or said["phase"] or not text or text.isspace():
                break
            if role == "user" and (LAST not in text or MARK not in text):
                tell(question(text))
                last = "user"
            elif role == "assistant" and not (
                (own or message["native"] is not None) and _is_kept(message, own)
            ):
                if last == "assistant":
                    self.seq = left.seq
                    self.fill()
                tell(saying(text))
                last, by_text = "assistant", True
            else:
                break
        else:
            left = None
        self.settle(last, by_text=by_text)
        return left

    def _plain_said(self, message: Fields, own: str, last: str) -> str:
        """Tell an answer of texts and calls; return `assistant`, or nothing where it has to go the long way."""
        parts: Sequence[Block] = message["parts"]
        if message["role"] != "assistant" or self.open or not parts or _is_kept(message, own):
            return ""
        texts: list[str] = []
        calls: list[Fields] = []
        ids: list[str] = []
        waiting: list[ToolCall] = []
        fit, accepted = self.speech.ids, self._accepted
        for part in parts:
            said: Fields = part.__dict__
            if type(part) is not ToolCall:
                if calls or type(part) is not Text or _is_more(said):
                    return ""
                texts.append(said["text"])
                continue
            id_, name = said["id"], said["name"]
            if said["hints"] or said["form"] != "json" or len(id_) > fit.longest or id_ in ids:
                return ""
            if not fit.pattern.fullmatch(id_) or not (name in accepted or self._accepts(name)):
                return ""
            calls.append(said)
            ids.append(id_)
            waiting.append(part)
        if not self.plain_answer(texts, calls, last):
            return ""
        self.open = tuple(waiting)
        self.state["calls"] = tuple(ids)
        return "assistant"

    def _accepts(self, name: str) -> bool:
        """Tell whether the provider takes the name of a tool as it is."""
        if not self.speech.names.holds(name):
            return False
        self._accepted.add(name)
        return True

    def _plain_returned(self, parts: Sequence[Block]) -> str:
        """Tell the results of the open calls; return `results`, or nothing where it has to go the long way."""
        calls = self.open
        if not calls or len(parts) != len(calls):
            return ""
        results: list[Returned] = []
        for part, call, id_ in zip(parts, calls, self.state["calls"], strict=True):
            said: Fields = part.__dict__
            if type(part) is not ToolResult or said["hints"] or said["id"] != call.__dict__["id"]:
                return ""
            shown = said["parts"]
            if len(shown) != 1 or type(shown[0]) is not Text:
                return ""
            inner: Fields = shown[0].__dict__
            text = inner["text"]
            if inner["hints"] or inner["citations"] or inner["phase"] or not text or text.isspace():
                return ""
            results.append((id_, text, said["is_error"]))
        if len(calls) > 1 and len({call.id for call in calls}) < len(calls):
            return ""
        if not self.plain_results(results):
            return ""
        self.open = ()
        return "results"


def _is_kept(message: Fields, own: str) -> bool:
    """Tell whether an answer may go back as it came: to the provider that it came from, if it is `own`."""
    if message["native"] is not None and not message["dialect"]:
        return True
    origin: str | None = message["origin"] if own else None
    return origin is not None and origin.partition(":")[0] == own


def _is_more(text: Fields) -> bool:
    """Tell whether a text is more than something to read, or less."""
    said: str = text["text"]
    return bool(text["hints"] or text["citations"] or text["phase"] or not said or said.isspace())
