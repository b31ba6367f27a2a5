"""Neutral conversation to the Chat Completions of a server that is not OpenAI: what OpenAI would be told, put as the server takes it.

A repair looks at what was said before it only, so that a view that was told once is told the same for ever: what has to stand
between two messages is said before the second.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from midstream.adapters.capabilities import Family
from midstream.adapters.compatible.profile import Profile
from midstream.adapters.compatible.thinking import Tags, split
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.openai.parse import THOUGHTS
from midstream.adapters.openai.render import EMPTY, NAMES, Teller
from midstream.adapters.telling import Declared, Speech, spoken_by
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import is_array
from midstream.events.content import Message, Refusal, ToolResult

NOTED = "Noted."
"""What the model is made to have said where the server wants an answer and there is none."""
THOUGHTLESS = " "
"""Stands for the reasoning of an answer that has none, where the server demands some."""
_KNOWN = frozenset(("role", "content", "tool_calls", "name", *THOUGHTS))
_BESIDE_CALLS: Mapping[str, dict[str, Any]] = {
    "absent": {},
    "null": {"content": None},
    "empty": {"content": ""},
}


def render(view: View, segment: Segment, profile: Profile) -> View:
    """See `Adapter.render`."""
    return ProfiledTeller(view, segment.seq, profile).segment(segment)


def render_all(view: View, segments: Iterable[Segment], profile: Profile) -> View:
    """See `midstream.adapters.base.BulkAdapter`."""
    return ProfiledTeller(view, 0, profile).segments(segments)


def closing(view: View, profile: Profile) -> ProfiledTeller:
    """Return what a request must add to the view to be valid; an answer to it is rendered after the same."""
    telling = ProfiledTeller(view, 0, profile)
    telling.close()
    if telling.tail in ("", "system", "assistant"):
        telling.filled("user", "nobody has asked for an answer")
    return telling


class ProfiledTeller(Teller):
    """Says messages as one server takes them."""

    __slots__ = ("profile",)

    def __init__(self, view: View, seq: int, profile: Profile) -> None:
        family: Family = profile.family(view.model)
        speech = Speech(profile.provider, profile.provider, profile.ids, NAMES)
        super().__init__(view, seq, profile.provider, family, speech)
        self.profile = profile

    @property
    def degrades(self) -> bool:
        """See `Frame.degrades`."""
        return self.profile.instructions != "anywhere"

    @property
    def tail(self) -> str:
        """The role of what was said last."""
        tail: str = self.state.get("tail", "")
        return tail

    def is_plain(self) -> bool:
        """See `Plain.is_plain`: what a server wants of a turn depends on the one before."""
        return False

    def tell(self, message: Message) -> None:
        """See `Frame.tell`; to a model of one call at a time, the calls of an answer one after the other, each with its result."""
        if "one_call" not in self.family.traits or message.role not in ("assistant", "tool"):
            self._tell_one(message)
            return
        for piece in self._one_by_one(message):
            self.begin_message(piece)
            self._tell_one(piece)
            self.end_message()

    def _one_by_one(self, message: Message) -> Iterator[Message]:
        if message.role == "assistant":
            later = message.tool_calls[1:]
            if later:
                self.repair("calls_parted", f"{1 + len(later)} calls of one answer")
            kept = tuple(part for part in message.parts if all(part is not call for call in later))
            self.remember(later=later, speaker=message.origin)
            yield message.model_copy(update={"parts": kept, "native": None}) if later else message
            return
        later = self.state.get("later", ())
        for place, result in enumerate(message.parts):
            if place:
                call = later[place - 1]
                yield Message(role="assistant", parts=(call,), origin=self.state.get("speaker"))
            yield Message(role="tool", parts=(result,))

    def _tell_one(self, message: Message) -> None:
        start = len(self.items)
        super().tell(message)
        told, self.items = self.items[start:], self.items[:start]
        own = spoken_by(message, self.profile.provider, "openai")
        for item in told:
            self._say(self._fitted(item, own=own))
        if message.role == "assistant" and not own:
            for place, part in enumerate(message.parts):
                if isinstance(part, Refusal) and part.text.strip():
                    self.repair("refusal_as_text", "the server has no field for it", place)
        if message.role == "assistant":
            self.remember(called=tuple(call.name for call in message.tool_calls))

    def filled(self, role: str, reason: str) -> None:
        """Say something for whoever has to speak here."""
        self.repair("filler_inserted", reason)
        self._append({"role": role, "content": EMPTY if role == "user" else NOTED})

    def _tool(self, tool: Declared) -> dict[str, Any]:
        told = super()._tool(tool)
        if not self.profile.strict and told["function"].pop("strict", False):
            self.repair("strict_dropped", f"of tool {tool.spec.name!r}")
        return told

    def _instruction(self, message: Message) -> None:
        tail = self.tail
        for text in self._texts(message):
            leading = tail in (("",) if self.profile.instructions == "first" else ("", "system"))
            tail = "system" if leading or self.profile.instructions == "anywhere" else "user"
            if tail == "user":
                self.repair("instruction_degraded", "told as a turn of the user")
            self.items.append(
                {"role": tail, "content": text if tail == "system" else INSTRUCTION + text}
            )

    def _results(self, message: Message) -> None:
        start = len(self.items)
        super()._results(message)
        if not self.profile.names_results:
            return
        results = [part for part in message.parts if isinstance(part, ToolResult)]
        names: Sequence[str] = self.state.get("called", ())
        for item, _, name in zip(self.items[start:], results, names, strict=False):
            item["name"] = self.alias(name)

    def _fitted(self, item: dict[str, Any], *, own: bool) -> dict[str, Any]:
        """Return a message with the fields that the server knows, in the form that it wants."""
        if self.profile.flat:
            item = self._joined(item)
        if item["role"] != "assistant":
            return item
        if not own:
            item = self._foreign(item)
        if "tool_calls" in item and item.get("content") is None:
            bare = {key: value for key, value in item.items() if key != "content"}
            item = {**bare, **_BESIDE_CALLS[self.profile.call_content]}
        return self._thoughtful(item)

    def _joined(self, item: dict[str, Any]) -> dict[str, Any]:
        content = item.get("content")
        if not is_array(content) or any(part.get("type") != "text" for part in content):
            return item
        self.repair("texts_joined", f"{len(content)} texts of the {item['role']}")
        return {**item, "content": "\n\n".join(str(part.get("text")) for part in content)}

    def _thoughtful(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an answer with its reasoning, as the server wants that back."""
        found = item.keys() & set(THOUGHTS)
        if self.profile.tags is not None and self.profile.thoughts == "never":
            item = self._thoughtless(item, self.profile.tags)
        if found and self.profile.thoughts == "never":
            self.loss("reasoning_dropped", "the server takes none back")
            return {key: value for key, value in item.items() if key not in found}
        if found or self.profile.thoughts != "needed" or "thinks" not in self.family.traits:
            return item
        self.repair("reasoning_placeholder", "an answer without this server's reasoning")
        return {**item, THOUGHTS[0]: THOUGHTLESS}

    def _thoughtless(self, item: dict[str, Any], tags: Tags) -> dict[str, Any]:
        """Return an answer without the thoughts that stand in its text."""
        content = item.get("content")
        thought, said = split(content, tags) if isinstance(content, str) else ("", content)
        if not thought:
            return item
        self.loss("reasoning_dropped", "the server takes none back")
        return {**item, "content": said}

    def _foreign(self, item: dict[str, Any]) -> dict[str, Any]:
        """Return an answer without the fields that only OpenAI has."""
        told = {key: value for key, value in item.items() if key in _KNOWN}
        refusal, said = item.get("refusal"), told.get("content")
        if refusal and is_array(said):
            told["content"] = [*said, {"type": "text", "text": refusal}]
        elif refusal:
            told["content"] = f"{said}\n\n{refusal}" if said else refusal
        return told

    def _say(self, item: dict[str, Any]) -> None:
        """Say a message, and before it what has to stand between it and the one before."""
        role, tail = item["role"], self.tail
        if role == "assistant" and tail in ("assistant", "system"):  # as a request would
            self.filled("user", "nobody has asked for an answer")
        elif self.profile.after_tool and tail == "tool" and role in ("user", "system"):
            self.filled("assistant", "results are followed by an answer")
        elif self.profile.alternating and role in ("user", "assistant"):
            other = "assistant" if role == "user" else "user"
            if tail == role or (role == "user" and tail == "tool"):
                self.filled(other, "the server wants the user and the model to take turns")
            elif role == "assistant" and tail == "":
                self.filled("user", "the server wants the user to begin")
        self._append(item)

    def _append(self, item: dict[str, Any]) -> None:
        self.items.append(item)
        self.remember(tail=item["role"])
