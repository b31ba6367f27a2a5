"""How every adapter tells a segment: at home as it was, elsewhere each part put in its place, and each call with its result."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence

from midstream.adapters.home import Returning, at_home, give_back
from midstream.adapters.imitation import unmasked
from midstream.adapters.places import Places
from midstream.adapters.placing import put_in_place
from midstream.adapters.plain import Plain
from midstream.adapters.repair import close_open, seal
from midstream.adapters.telling import with_instruction
from midstream.adapters.view import Segment, View
from midstream.events.content import Message, ToolCall, ToolSpec


class Frame(Plain, Returning):
    """What the adapters' pencils have in common; each says how a message sounds in its dialect."""

    __slots__ = ()

    @property
    def degrades(self) -> bool:
        """Instructions of this conversation may be told as marked turns of the user."""
        return False

    @abstractmethod
    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """Tell the list of tools."""

    @abstractmethod
    def tell(self, message: Message) -> None:
        """Tell one message, which holds only what its role can."""

    def finish(self) -> None:
        """Tell what belongs at the end of a segment, whatever it was."""

    def segment(self, segment: Segment) -> View:
        """Tell a segment, and return the view with it."""
        return self.view.unchanged() if segment.empty else self.segments((segment,))

    def segments(self, segments: Iterable[Segment]) -> View:
        """Tell segments one after the other, and return the view with them; `changes` has those of all of them."""
        given = segments if isinstance(segments, Sequence) else tuple(segments)
        if not self._told_quickly(given):
            self.begin()
            for segment in given:
                if not segment.empty:
                    self._tell(segment)
                    self.seal()
        return self.whole_view()

    def _told_quickly(self, segments: Iterable[Segment]) -> bool:
        """Tell segments and seal them together; False where one of them has to be looked at by itself to be encoded."""
        left = iter(segments)
        try:
            while (segment := self.plainly(left)) is not None:
                if not segment.empty:
                    self._tell(segment)
                if self.new_head:
                    self.seal_quickly()
            self.seal_quickly()
        except TypeError:
            return False
        return True

    def _tell(self, segment: Segment) -> None:
        self.seq = segment.seq
        self.open = self._told(segment)
        self.finish()
        self.look()

    def _told(self, segment: Segment) -> tuple[ToolCall, ...]:
        """Tell a segment, and return the calls that are open after it."""
        if at_home(self, segment, self.speech.dialect):
            self.remember(home=True)
            return give_back(self, segment)
        self.leave_home(segment)
        self.places = places = Places(segment.messages)
        segment, placed = put_in_place(segment, places)
        messages, open_calls, sealed = seal(self.open, with_instruction(segment), places)
        self.noted += [*placed, *sealed]
        if segment.tools is not None:
            self.tools(segment.tools)
        if segment.system is not None and not self.empty:
            self.repair("instruction_appended", "the instruction changed on the way")
        for message in messages:
            self._say_of(message)
        return open_calls

    def _say_of(self, message: Message) -> None:
        told = unmasked(message) if self.degrades else message
        for part, was in zip(told.parts, message.parts, strict=True):
            if part is not was:
                self.places.stands_for(part, was)
                where = self.places.of(was)
                detail = "it looks like an instruction; told as the user's"
                self.noted.append(("imitation_marked", "repair", self.seq, where, detail))
        self.begin_message(told)
        self.tell(told)
        self.end_message()

    def close(self) -> None:
        """Tell results of the calls that are open when the model is asked."""
        messages, changes = close_open(self.view.open)
        self.noted += changes
        for message in messages:
            self._say_of(message)
