"""What a rendering notes while it tells: each loss and repair, with the event and the part that it is about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from midstream.adapters.changes import Loss, Repair, Severity, told_of
from midstream.adapters.places import Places
from midstream.adapters.readable import has_thought
from midstream.adapters.sealing import Sealing
from midstream.adapters.view import View
from midstream.adapters.wire import is_object
from midstream.events.content import Block, Document, Message, Reasoning, Text, ToolResult

_NOTHING: tuple[Any, ...] = (None, "", [], {}, False)
"""Values of fields that say nothing."""
_WHOLE = frozenset(
    ("image_dropped", "document_dropped", "audio_dropped", "opaque_dropped", "reasoning_dropped")
)
"""Losses of a part with all that it carries."""

_NOWHERE = Places()
"""Before a segment is told; nothing has a place in it, and nothing is put into it."""


class Noting(Sealing):
    """Notes what is lost and what is repaired.

    Args:
        view: See `Sealing`.
        seq: See `Sealing`.
        dialect: In which it is told.
    """

    __slots__ = (
        "_hinted",
        "_phased",
        "_since",
        "dialect",
        "inside",
        "places",
        "told_now",
        "went_back",
    )

    def __init__(self, view: View, seq: int, dialect: str) -> None:
        super().__init__(view, seq)
        self.dialect = dialect
        self.places = _NOWHERE
        self.told_now: Sequence[Block] = ()  # the parts of the message that is told
        self.inside: int | None = None  # the place of the result that is told, in its message
        self.went_back = False  # the message was told with all that this dialect knows of it
        self._hinted: set[int] = set()
        self._phased: set[int] = set()
        self._since = 0

    def loss(self, kind: Loss, detail: str, part: int | None = None) -> None:
        """Note something that the provider is not told."""
        self._note(kind, "loss", detail, part)

    def repair(self, kind: Repair, detail: str, part: int | None = None) -> None:
        """Note something that the provider is told in another form."""
        self._note(kind, "repair", detail, part)

    def _note(self, kind: str, severity: Severity, detail: str, part: int | None) -> None:
        """Note a change with the place, in its segment, of the part of what is told now that it is about."""
        place = None
        if self.inside is not None:
            detail = detail if part is None else f"{detail} (part {part} of a result)"
            place = self.places.of(self.told_now[self.inside])
        elif part is not None and part < len(self.told_now):
            place = self.places.of(self.told_now[part])
        self.noted.append((kind, severity, self.seq, place, detail))

    def results_of(self, message: Message) -> Iterator[ToolResult]:
        """Yield the results in a message; what is noted meanwhile is noted of them."""
        for place, part in enumerate(message.parts):
            if isinstance(part, ToolResult):
                self.inside = place
                yield part
        self.inside = None

    def lost_since(self, place: int) -> bool:
        """Tell whether something was lost since so many notes were made."""
        return any(change.severity == "loss" for change in told_of(self.noted[place:]))

    def hinted(self, block: dict[str, Any], part: Block, place: int | None) -> dict[str, Any]:
        """Return the block with the fields that only this dialect has; those of other dialects are noted as lost."""
        if not part.hints:
            return block
        self._hinted.add(id(part))
        degraded = block.get("type") == "text" and not isinstance(part, Text)
        self._unhinted(part, place, "" if degraded else self.dialect)
        return block if degraded else overlaid(block, part.hints.get(self.dialect, {}))

    def begin_message(self, message: Message) -> None:
        """Tell of this message from here on; see `end_message`."""
        self.told_now, self.went_back = message.parts, False
        self._hinted, self._phased = set(), set()
        self._since = len(self.noted)

    def end_message(self) -> None:
        """Note the fields of one dialect that stand nowhere in what was told of the message, and of its phases."""
        for place, part in enumerate(self.told_now):
            if isinstance(part, ToolResult):
                self.inside = place
                self._note_hints(part, None)
                for at, inner in enumerate(part.parts):
                    self._note_hints(inner, at)
                self.inside = None
            elif (part.hints or isinstance(part, Text)) and not self._lost_whole(place):
                self._note_hints(part, place)
        self.told_now = ()

    def _note_hints(self, part: Block, place: int | None) -> None:
        if id(part) not in self._hinted:
            self._unhinted(part, place, self.dialect if self.went_back else "")
        if self.went_back or not isinstance(part, Text) or id(part) in self._phased:
            return
        if part.phase and part.text.strip():
            self.loss("hint_dropped", f"the phase {part.phase!r}", place)

    def _lost_whole(self, place: int) -> bool:
        """Tell whether a part was lost, and all that it carries with it."""
        at = self.places.of(self.told_now[place])
        notes = told_of(self.noted[self._since :])
        return any(note.part == at and note.kind in _WHOLE for note in notes)

    def phased(self, text: Text) -> None:
        """Note that the provider is told what a text is for."""
        self._phased.add(id(text))

    def _unhinted(self, part: Block, place: int | None, own: str) -> None:
        for dialect, fields in (part.hints or {}).items():
            said = [key for key, value in fields.items() if value not in _NOTHING]
            if said and dialect != own:
                self.loss("hint_dropped", f"{', '.join(said)} of {dialect}", place)

    def uncited(self, text: Text, part: int | None) -> None:
        """Note that the provider is not told where a text comes from."""
        if text.citations:
            self.loss("citations_dropped", f"{len(text.citations)} of a text", part)

    def cited_nowhere(self, message: Message) -> None:
        """Note that the provider is not told where the texts of a message come from."""
        for place, part in enumerate(message.parts):
            if isinstance(part, Text):
                self.uncited(part, place)

    def unthought(self, message: Message, part: Reasoning, place: int) -> None:
        """Note that the provider is not told what a model thought, where there is anything of it."""
        if has_thought(part):
            self.loss("reasoning_dropped", f"of {message.origin or 'nobody'}", place)

    def unnamed(self, document: Document, block: Mapping[str, Any], part: int | None) -> None:
        """Note that the provider is not told what a document is called, where its block has no place for that."""
        if document.name.strip() and document.name not in block.values():
            self.loss("hint_dropped", f"the name {document.name[:60]!r}", part)

    def named(self, name: str, longest: int, part: int | None) -> str:
        """Return the name of a document as far as the provider takes it; says what it does not."""
        if len(name) > longest:
            self.loss("hint_dropped", f"the name after {longest} characters", part)
        return name[:longest]


def overlaid(block: Mapping[str, Any], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block with the fields put into it, objects into objects."""
    told = dict(block)
    for key, value in fields.items():
        before = told.get(key)
        told[key] = overlaid(before, value) if is_object(before) and is_object(value) else value
    return told
