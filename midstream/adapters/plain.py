"""Ordinary turns by the short way: a text of the user, texts and calls of an answer, results that are a text each.

Most of what is told is of this kind, and needs none of the questions that are asked of the rest. A turn that is not wholly so
goes the long way; either way says the same, and a law holds that.

Fields are read from the `__dict__` of what is told: as attributes of a model they cost several times as much, and reading is
most of what is done here. What one turn leaves behind for the next is remembered once, after the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from midstream.adapters.imitation import LAST, MARK
from midstream.adapters.telling import Telling
from midstream.adapters.view import Segment
from midstream.adapters.wire import quick
from midstream.events.content import Block, Text, ToolCall, ToolResult

Fields = Mapping[str, Any]
"""Of a piece of content."""
NEEDED = "the service needs a turn of the user here"
"""Why something was said for the user."""


class Plain(Telling):
    """Tells ordinary turns; each dialect says how they sound, or leaves them to the long way."""

    __slots__ = ("_named", "_waiting", "_wired", "plain")

    returns_own = False
    """An answer of the service itself goes back in a way of its own, which is never the short one."""
    question: ClassVar[bytes] = b""
    """What the user says, with `%b` where its text stands."""
    saying: ClassVar[bytes] = b""
    """An answer that is a text, with `%b` where that stands."""
    filler: ClassVar[bytes] = b""
    """What has to stand between two answers, where something has."""

    def begin(self) -> None:
        """See `Sealing.begin`."""
        super().begin()
        self.plain = False
        self._named: dict[str, bytes] = {}  # names of tools that the provider takes, in JSON
        self._waiting: tuple[str, ...] = ()  # ids of the open calls, as they were said
        # As the provider knows them, in JSON without the quotes: none where as they are, None where the long way told them.
        self._wired: list[bytes] | None = None
        self.look()

    def look(self) -> None:
        """See whether the next turn may go the short way."""
        self.plain = self.is_plain()
        if self.plain:
            self._waiting, self._wired = tuple([call.id for call in self.open]), None
            self.remember()  # from here on the state is this pencil's own, to be written to

    def is_plain(self) -> bool:
        """Tell whether nothing waits and nothing was renamed, so that an ordinary turn is told as it always is."""
        return False

    def plain_call(self, id_: bytes, name: bytes, arguments: str) -> bytes:
        """Return a call as JSON; nothing where it has to go the long way.

        Args:
            id_: What the provider knows it as, in JSON without the quotes.
            name: Of the tool, in JSON.
            arguments: As the model wrote them.
        """
        raise NotImplementedError

    def plain_answer(self, told: list[bytes], texts: list[bytes], calls: list[bytes]) -> None:
        """Tell texts, in JSON, and after them calls, as `plain_call` returned them; they are `open` by now."""
        raise NotImplementedError

    def plain_result(self, place: int, id_: bytes, text: bytes, failed: bool) -> bytes:
        """Return the result of the open call at a place as JSON; nothing where it has to go the long way.

        Args:
            place: Of the call among those that are open.
            id_: What the provider knows it as, in JSON without the quotes.
            text: The result, in JSON.
            failed: The tool failed.
        """
        raise NotImplementedError

    def plain_results(self, told: list[bytes], results: list[bytes]) -> None:
        """Tell the results of the open calls, as `plain_result` returned them."""
        told += results

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
        question, saying, told = self.question, self.saying, list[bytes]()
        last, by_text = self.told_last(), False
        left: Segment | None = None
        for left in segments:
            try:
                (turn,) = left.messages
            except ValueError:  # none, or several
                break
            message: Fields = turn.__dict__
            if (
                left.system is not None
                or left.tools is not None
                or message["unsaid"]
                or message["dialect"] == dialect
            ):
                break
            role, parts = message["role"], message["parts"]
            if self.open or len(parts) != 1 or type(parts[0]) is not Text:
                self.seq = left.seq
                if not (
                    self._plain_returned(parts, told)
                    if role == "tool"
                    else self._plain_said(message, told, own, again=last == role)
                ):
                    break
                by_text = by_text and role == "tool"
                last = role
                continue
            said: Fields = parts[0].__dict__
            text: str = said["text"]
            if said["hints"] or said["citations"] or said["phase"] or not text or text.isspace():
                break
            if role == "user" and (LAST not in text or MARK not in text):
                told.append(question % quick(text))
            elif role == "assistant" and not (
                (own or message["native"] is not None) and _is_kept(message, own)
            ):
                if last == role:
                    self.seq = left.seq
                    self._fill(told)
                told.append(saying % quick(text))
                by_text = True
            else:
                break
            last = role
        else:
            left = None
        self.write(told)
        self.settle("results" if last == "tool" else last, by_text=by_text)
        return left

    def _plain_said(self, message: Fields, told: list[bytes], own: str, *, again: bool) -> bool:
        """Tell an answer of texts and calls; False where it has to go the long way.

        Args:
            message: The answer.
            told: What was told the short way.
            own: See `_is_kept`.
            again: An answer was told last.
        """
        parts: Any = message["parts"]
        if message["role"] != "assistant" or self.open or not parts or _is_kept(message, own):
            return False
        texts: list[bytes] = []
        calls: list[bytes] = []
        ids: list[str] = []
        fit, named = self.speech.ids, self._named
        for part in parts:
            said: Fields = part.__dict__
            if type(part) is ToolCall:
                id_: str = said["id"]
                name = named.get(said["name"]) or self._taken(said["name"])
                if said["hints"] or said["form"] != "json" or len(id_) > fit.longest or not name:
                    return False
                word = fit.words and id_.isidentifier() and id_.isascii()
                wire = id_.encode() if word else self._fit(id_)
                call = wire and self.plain_call(wire, name, said["arguments"])
                if not call:
                    return False
                calls.append(call)
                ids.append(id_)
            elif type(part) is Text and not calls:
                text: str = said["text"]
                if (
                    said["hints"]
                    or said["citations"]
                    or said["phase"]
                    or not text
                    or text.isspace()
                ):
                    return False
                texts.append(quick(text))
            else:
                return False
        if len(ids) > 1 and len(set(ids)) < len(ids):
            return False
        if again:
            self._fill(told)
        self.open, self._wired = parts[len(texts) :], []
        self.state["calls"] = self._waiting = tuple(ids)
        self.plain_answer(told, texts, calls)
        return True

    def _taken(self, name: str) -> bytes:
        """Return the name of a tool in JSON; nothing where the provider takes it not as it is."""
        if not self.speech.names.holds(name):
            return b""
        self._named[name] = told = quick(name)
        return told

    def _fit(self, id_: str) -> bytes:
        """Return the id of a call in JSON without the quotes; nothing where the provider takes it not as it is."""
        return quick(id_)[1:-1] if self.speech.ids.holds(id_) else b""

    def _plain_returned(self, parts: Sequence[Block], told: list[bytes]) -> bool:
        """Tell the results of the open calls; False where it has to go the long way."""
        waiting, wired = self._waiting, self._wired
        if not waiting or len(parts) != len(waiting):
            return False
        if wired is None:
            wired = [quick(id_)[1:-1] for id_ in self.state["calls"]]
        results: list[bytes] = []
        for place, part in enumerate(parts):
            said: Fields = part.__dict__
            id_ = waiting[place]
            if type(part) is not ToolResult or said["hints"] or said["id"] != id_:
                return False
            shown = said["parts"]
            if len(shown) != 1 or type(shown[0]) is not Text:
                return False
            inner: Fields = shown[0].__dict__
            text: str = inner["text"]
            if inner["hints"] or inner["citations"] or inner["phase"] or not text or text.isspace():
                return False
            wire = (
                wired[place] if wired else id_.encode() if id_.isidentifier() else quick(id_)[1:-1]
            )
            result = self.plain_result(place, wire, quick(text), said["is_error"])
            if not result:
                return False
            results.append(result)
        if len(waiting) > 1 and len(set(waiting)) < len(waiting):
            return False
        self.plain_results(told, results)
        self.open = self._waiting = ()
        return True

    def _fill(self, told: list[bytes]) -> None:
        """Tell what has to stand between two answers."""
        if self.filler:
            # What `repair` notes of a whole turn.
            self.noted.append(("filler_inserted", "repair", self.seq, None, NEEDED))
            told.append(self.filler)


def _is_kept(message: Fields, own: str) -> bool:
    """Tell whether an answer may go back as it came: to the provider that it came from, if it is `own`."""
    if message["native"] is not None and not message["dialect"]:
        return True
    if not own or message["origin"] is None:
        return False
    origin: str = message["origin"]
    return origin.partition(":")[0] == own
