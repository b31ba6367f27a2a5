"""Where each part of a segment stands, however it is moved before it is told: so that a report names the part as it was said."""

from __future__ import annotations

from collections.abc import Iterable

from midstream.events.content import Block, Message, ToolResult


class Places:
    """The places of the parts of a segment, counted through all its messages, from 0.

    What the result of a tool holds stands where the result does.
    """

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._of: dict[int, int] = {}
        parts = [part for message in messages for part in message.parts]
        for place, part in enumerate(parts):
            self._of[id(part)] = place
            for inner in part.parts if isinstance(part, ToolResult) else ():
                self._of[id(inner)] = place

    def of(self, part: Block) -> int | None:
        """Return the place of a part, or None for one that nobody said."""
        return self._of.get(id(part))

    def stands_for(self, told: Block, part: Block) -> None:
        """Note that one part is told in the place of another; it must live as long as this object."""
        place = self.of(part)
        if place is not None:
            self._of[id(told)] = place
