"""Reasoning that a server leaves in the text of an answer, between tags: told from what is said, also while it comes.

Only the beginning of an answer is looked at, since further on a tag may be what the answer is about. A streamed answer is
split by the same steps as a whole one, so both give the same parts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from midstream.adapters.base import Delta
from midstream.events.content import Message, Part, Reasoning, Text


@dataclass(frozen=True, slots=True)
class Tags:
    """How a model's thoughts stand in its text.

    Attributes:
        open: Before them.
        close: After them.
        begun: The model's template has said `open` in the prompt, so that answers begin with thoughts, and mostly without it.
    """

    open: str = "<think>"
    close: str = "</think>"
    begun: bool = False


class Splitter:
    """Tells thoughts from text, piece by piece; white space around the thoughts is of neither."""

    def __init__(self, tags: Tags) -> None:
        self._tags = tags
        self._place: Literal["before", "inside", "behind", "text"] = "before"
        self._held = ""  # may still turn out to be a tag, or white space that is of no use
        self._thought = False

    def add(self, text: str) -> list[Delta]:
        """Take a piece of the text, and return what is known of it by now."""
        self._held += text
        found: list[Delta] = []
        while self._held:
            before = self._place
            found += self._step()
            if self._place == before:
                break
        return [delta for delta in found if delta.text or delta.reasoning]

    def end(self) -> list[Delta]:
        """Return what was held back, at the end of the text."""
        held, self._held = self._held, ""
        if self._place == "inside" or (self._place == "before" and self._tags.begun):
            thought = self._told(held.rstrip())
            return [thought] if thought.reasoning else []
        return [Delta(text=held)] if held and self._place != "behind" else []

    def _step(self) -> list[Delta]:
        match self._place:
            case "before":
                return self._before()
            case "inside":
                return self._inside()
            case "behind":
                self._held = self._held.lstrip()
                self._place = "text" if self._held else "behind"
                return []
            case "text":
                held, self._held = self._held, ""
                return [Delta(text=held)]

    def _before(self) -> list[Delta]:
        said = self._held.lstrip()
        if said.startswith(self._tags.open):
            self._place, self._held = "inside", said.removeprefix(self._tags.open)
        elif not self._tags.open.startswith(said):
            self._place = "inside" if self._tags.begun else "text"
        return []

    def _inside(self) -> list[Delta]:
        thought, closed, behind = self._held.partition(self._tags.close)
        if closed:
            self._place, self._held = "behind", behind
            return [self._told(thought.rstrip())]
        sure = self._held[: len(self._held) - _overlap(self._held, self._tags.close)].rstrip()
        self._held = self._held[len(sure) :]
        return [self._told(sure)]

    def _told(self, thought: str) -> Delta:
        thought = thought if self._thought else thought.lstrip()
        self._thought = self._thought or bool(thought)
        return Delta(reasoning=thought)


def split(text: str, tags: Tags) -> tuple[str, str]:
    """Return the thoughts and the text of a whole answer."""
    splitter = Splitter(tags)
    found = [*splitter.add(text), *splitter.end()]
    return "".join(delta.reasoning for delta in found), "".join(delta.text for delta in found)


def parted(message: Message, tags: Tags, native: dict[str, object]) -> Message:
    """Return the answer with the thoughts of its text as reasoning; it goes back to its server as it came.

    Args:
        message: As it was read.
        tags: How thoughts stand in it.
        native: Its wire form.
    """
    place = next((at for at, part in enumerate(message.parts) if isinstance(part, Text)), None)
    if place is None:
        return message
    part = message.parts[place]
    assert isinstance(part, Text)
    thought, said = split(part.text, tags)
    if said == part.text:
        return message
    told: list[Part] = [Reasoning(text=thought)] if thought else []
    told += [part.model_copy(update={"text": said})] if said else []
    parts = (*message.parts[:place], *told, *message.parts[place + 1 :])
    return message.model_copy(update={"parts": parts, "native": native})


def pieces(item: Delta, splitter: Splitter) -> list[Delta]:
    """Return a piece of an answer with the thoughts of its text as reasoning."""
    if not item.text:
        return [item]
    rest = replace(item, text="")
    return [*([rest] if rest != Delta() else []), *splitter.add(item.text)]


def _overlap(text: str, tag: str) -> int:
    """Return how many characters at the end of the text may be the beginning of the tag."""
    most = min(len(text), len(tag) - 1)
    return next((size for size in range(most, 0, -1) if tag.startswith(text[-size:])), 0)
