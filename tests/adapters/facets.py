"""What a conversation holds, piece by piece, and how a piece that a wire body does not hold whole has to be reported.

A part has facets: what is said, what it is called, whose hints it carries. A facet is *whole* where its content stands in the
body as what it is, *told otherwise* where it can only be read there as something else, and else *missing*.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from midstream.adapters.readable import document_words
from midstream.adapters.wire import arguments_object, is_array, is_object
from midstream.events.content import (
    Audio,
    Block,
    Document,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Segment,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)
from midstream.events.payloads import Change
from tests.adapters.found import Leaf

Status = Literal["whole", "otherwise", "missing"]
GONE = frozenset(("part_dropped", "duplicate_dropped"))
"""Losses of a whole part, whatever it is."""
MISSING: dict[str, frozenset[str]] = {
    "text": GONE,
    "image": GONE | {"image_dropped"},
    "document": GONE | {"document_dropped"},
    "name": GONE | {"document_dropped", "hint_dropped"},
    "audio": GONE | {"audio_dropped"},
    "call": GONE,
    "refusal": GONE,
    "reasoning": GONE | {"reasoning_dropped"},
    "server tool": GONE | {"server_tool_dropped"},
    "opaque": GONE | {"opaque_dropped"},
    "citation": GONE | {"citations_dropped"},
    "hint": GONE
    | {"hint_dropped", "image_dropped", "document_dropped", "audio_dropped", "opaque_dropped"}
    | {"reasoning_dropped"},
    "tool": frozenset(("tool_dropped",)),
    "instruction": frozenset(),
}
"""What a facet that is nowhere in the body is reported as: losses, all of them."""
OTHERWISE: dict[str, frozenset[str]] = {
    "text": frozenset(("orphan_result_degraded",)),
    "document": frozenset(("part_degraded",)),
    "audio": frozenset(("part_degraded",)),
    "call": frozenset(("part_degraded",)),
    "refusal": frozenset(("refusal_as_text", "part_degraded")),
    "server tool": frozenset(("server_tool_degraded", "part_degraded")),
}
"""What a facet that can be read as something else is reported as."""


Held = tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]


@dataclass(frozen=True)
class Facet:
    """One thing that a conversation holds.

    Attributes:
        seq: The event.
        place: Of its part in the segment, or None for what is not in a message.
        what: As in `MISSING`.
        contents: Any of them says it whole.
        kinds: What a leaf that says it whole is; empty for anything.
        words: What can be read of it elsewhere.
    """

    seq: int
    place: int | None
    what: str
    contents: tuple[str, ...]
    kinds: tuple[str, ...] = ()
    words: tuple[str, ...] = ()

    def status(self, leaves: Iterable[Leaf]) -> Status:
        """Return whether it stands in a body."""
        read = False
        for kind, text in leaves:
            if any(one in text for one in self.contents):
                if not self.kinds or kind in self.kinds:
                    return "whole"
                read = read or self.what != "server tool"  # its ids and names may stand anywhere
            read = read or any(one in text for one in self.words)
        return "otherwise" if read else "missing"


def facets(segment: Segment) -> Iterator[Facet]:
    """Yield all that a segment holds."""
    seq = segment.seq
    if segment.system is not None and segment.system.strip():
        yield Facet(seq, None, "instruction", (_whole(segment.system),), ("words",))
    for tool in segment.tools or ():
        yield Facet(seq, None, "tool", _some(tool.description or tool.name), ("tool",))
    parts = [part for message in segment.messages for part in message.parts]
    for place, part in enumerate(parts):
        yield from _facets(seq, place, part, "words")


def _facets(seq: int, place: int, part: Block, kind: str) -> Iterator[Facet]:
    for fields in (part.hints or {}).values():
        if any(value not in (None, "", [], {}, False) for value in fields.values()):
            yield Facet(seq, place, "hint", tuple(_texts_in(fields)))
    for what, contents, kinds, words in _held(part, kind):
        if contents or words or what in ("image", "document", "audio"):
            yield Facet(seq, place, what, contents, kinds, words)
    for inner in part.parts if isinstance(part, ToolResult) else ():
        yield from _facets(seq, place, inner, "result")


def _held(part: Block, kind: str) -> Iterator[Held]:
    """Yield what a part holds: what it is, what says it whole, where, and what can be read of it elsewhere."""
    match part:
        case Text() if part.text.strip():
            yield "text", _some(part.text), (kind,), ()
            yield from _cited(part)
        case Text():
            yield from _cited(part)
        case Image() | Document() | Audio():
            yield from _media(part)
        case ToolCall():
            yield "call", (_particular(part),), ("call",), ()
        case Refusal():
            yield "refusal", _some(part.text.strip() and part.text), ("refusal",), ()
        case Reasoning():
            held = _some(part.text.strip(), *part.summary, part.proof) or _some(part.item_id)
            yield from (("reasoning", (said,), ("reasoning",), ()) for said in held)
        case ServerTool():
            asked = [word for text in _texts_in(part.input) for word in (text, _escaped(text))]
            read = _some(*asked, part.text.strip())
            yield "server tool", tuple(_texts_in(part.data)), ("kept",), read
        case Opaque():
            yield "opaque", tuple(_texts_in(part.data)), ("kept",), ()
        case _:
            assert isinstance(part, ToolResult), f"{type(part).__name__} is not known here"


def _cited(part: Text) -> Iterator[Held]:
    for cited in part.citations:
        said = _some(cited.ref, cited.title, *_texts_in(cited.native))
        yield "citation", said, ("citation",), ()


def _media(part: Image | Document | Audio) -> Iterator[Held]:
    match part:
        case Image():
            yield "image", _some(part.data, part.url, part.file_id), ("image",), ()
        case Document():
            said = document_words(part) or ""
            plain = said if part.media_type == "text/plain" else None
            kept = _some(part.data, part.url, part.file_id, plain)
            yield "document", kept, ("document",), _some(said.strip())
            yield "name", _some(part.name.strip() and part.name), (), ()
        case Audio():
            heard = _some(part.transcript.strip())
            yield "audio", _some(part.data, part.file_id), ("audio",), heard


def differences(
    held: Sequence[Facet],
    leaves: Sequence[Leaf],
    changes: Sequence[Change],
    unsure: Sequence[Change] = (),
) -> list[str]:
    """Return where a body and a report disagree about what is missing; empty where they agree.

    Args:
        held: What the conversation holds.
        leaves: What stands in the body.
        changes: What is reported.
        unsure: Which of these may be right although what they are about is found: the same was said elsewhere.
    """
    wrong: list[str] = []
    stands = [(facet, facet.status(leaves)) for facet in held]
    for facet, status in stands:
        if status == "whole":
            continue
        allowed = MISSING[facet.what]
        if status == "otherwise":
            allowed = OTHERWISE.get(facet.what, allowed)
        if not any(_about(change, facet) and change.kind in allowed for change in changes):
            wrong.append(f"{status} and not reported: {facet}")
    for change in changes:
        kinds = [
            facet.what
            for facet, status in stands
            if status != "whole" and _about(change, facet)
            if change.kind in MISSING[facet.what] | OTHERWISE.get(facet.what, frozenset[str]())
        ]
        said = [facet.what for facet in held if _about(change, facet)]
        if change.kind == "orphan_result_degraded" and "text" not in said:
            continue  # a result without words: what it shows stands in the turn
        if change.kind == "duplicate_dropped" and not said:
            continue  # nothing came of the call, twice
        if not kinds and _claims(change) and change not in unsure:
            wrong.append(f"reported, and it is there: {change!r}")
    return wrong


def _about(change: Change, facet: Facet) -> bool:
    return change.seq == facet.seq and change.part == facet.place


_CLAIMS = frozenset[str]().union(*MISSING.values(), *OTHERWISE.values())


def _claims(change: Change) -> bool:
    """Tell whether the report says that something of a conversation's content is not there as what it was."""
    if change.part is None and change.kind == "hint_dropped":
        return False  # of the declaration of a tool
    if change.detail.startswith("the phase"):
        return False  # which is one of two words, and stands everywhere
    return change.kind in _CLAIMS


def _some(*given: str | None) -> tuple[str, ...]:
    return tuple(_whole(text) for text in given if text)


def _whole(text: str) -> str:
    return "".join("\ufffd" if "\ud800" <= one <= "\udfff" else one for one in text)


def _particular(call: ToolCall) -> str:
    """Return what is particular of a call: its longest argument, all of what is no JSON object, or else the tool's name."""
    found = None if call.form == "text" else arguments_object(call.arguments)
    if found is None:
        return _whole(call.arguments) or call.name
    return _whole(max(_texts_in(found), key=len, default=call.name))


def _escaped(text: str) -> str:
    """Return a text as it stands in JSON."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _texts_in(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif is_object(value):
        for key, item in value.items():
            if key != "type":
                yield from _texts_in(item)
    elif is_array(value):
        for item in value:
            yield from _texts_in(item)
