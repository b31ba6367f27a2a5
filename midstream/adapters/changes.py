"""What can differ between a conversation and what a provider is told of it: the closed list, in one place."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from midstream.events.content import Block
from midstream.events.payloads import Change

Loss = Literal[
    "audio_dropped",  # the target cannot hear it and there is no transcript; a placeholder says that it was there
    "citations_dropped",  # where a text comes from, in a form that only its issuer takes back
    "duplicate_dropped",  # a result of a call that has a later one in the same segment
    "document_dropped",  # the target cannot be given it and nobody has read it; a placeholder says that it was there
    "hint_dropped",  # a field that only another dialect has
    "image_dropped",  # the target cannot be shown it; a placeholder says that it was there
    "opaque_dropped",  # a block of another dialect or provider
    "part_dropped",  # a part that has no place in a message of its role
    "reasoning_dropped",  # only its issuer can read it, or the target has no field for it
    "schema_weakened",  # a constraint at the root of a tool's schema; the description says it instead
    "server_tool_dropped",  # a tool that another provider called itself, of which nothing can be read
    "setting_dropped",  # the model does not take it
    "tool_dropped",  # a second tool of the same name, or one that another provider runs itself
]
"""Changes after which the target does not know something."""

Repair = Literal[
    "arguments_wrapped",  # arguments that are no JSON object, told as text inside one
    "empty_dropped",  # a text without a character that can be read
    "custom_tool_wrapped",  # a tool of free text, told as one with a single argument
    "document_moved",  # from a tool's result to a message of the user after it
    "error_prefixed",  # the dialect has no flag for a failed tool; its text says so
    "filler_inserted",  # a turn of the user, where the target needs one
    "id_mapped",  # a call id that the target would refuse
    "image_moved",  # from a tool's result to a message of the user after it
    "image_type_corrected",  # the bytes are of another type than was declared
    "instruction_appended",  # an instruction that changed on the way: said where it changed
    "calls_parted",  # several calls of one answer, told one after the other
    "imitation_marked",  # a text of the user that looks like an instruction told as a turn of the user
    "instruction_degraded",  # an instruction told in a turn of the user
    "output_as_text",  # the form of the answer, told in words
    "output_as_tool",  # the form of the answer, as the arguments of a tool that the model must call
    "output_schema_adapted",  # the form of the answer, as far as the service enforces it
    "orphan_result_degraded",  # a result of a call that nobody made, told as a turn of the user
    "limit_tight",  # a limit of the answer that its reasoning counts against, and may use up
    "order_lost",  # text after a call, which the dialect puts before it
    "part_degraded",  # a part told as text
    "prefix_broken",  # the list of tools changed, and with it the beginning of every request
    "reasoning_placeholder",  # an answer without the reasoning that the target wants back: a blank in its place
    "refusal_as_text",
    "reordered",
    "result_synthesised",  # a call that got no result: told so in the place of one
    "server_tool_degraded",  # a tool that another provider called itself, told as what can be read of it
    "setting_clamped",
    "setting_mapped",  # told as the nearest thing that the model takes
    "signature_placeholder",  # a call whose model's signature is not there: the vendor's word for none
    "strict_dropped",  # the schema of a tool, or of the answer, is outside of what the provider can enforce
    "texts_joined",  # several texts of a turn, told as one
    "thinking_suspended",  # the open tool loop was begun by a model whose reasoning cannot be shown
    "tool_aliased",  # a tool's name that the target would refuse
    "tools_appended",  # tools that came on the way: told where they came, so that the beginning stays
    "tools_withheld",  # tools that are offered no longer: the list stays, and the request forbids them
    "turn_split",  # what stood beside the results of tools, told as a turn of its own
    "unicode_repaired",  # half a character, which is not valid in JSON
]
"""Changes after which the target knows the same in another form."""


Severity = Literal["loss", "repair"]
Note = tuple[str, Severity, int, int | None, str]
"""A change as its fields, in their order: what is noted while something is told. Objects are made for who looks at them."""


def told_of(notes: Iterable[Note | Change]) -> tuple[Change, ...]:
    """Return the changes that notes stand for."""
    return tuple(note if isinstance(note, Change) else _change(*note) for note in notes)


def loss(kind: Loss, seq: int, detail: str, part: int | None = None) -> Change:
    """Return the record of something that the target is not told."""
    return _change(kind, "loss", seq, part, detail)


def repair(kind: Repair, seq: int, detail: str, part: int | None = None) -> Change:
    """Return the record of something that the target is told in another form."""
    return _change(kind, "repair", seq, part, detail)


def hints_lost(part: Block, seq: int, place: int | None) -> list[Change]:
    """Return the record of the fields that only one dialect has, of a part that is told as something else."""
    return [
        loss("hint_dropped", seq, f"{', '.join(fields)} of {dialect}", place)
        for dialect, fields in (part.hints or {}).items()
    ]


def _change(kind: str, severity: Severity, seq: int, part: int | None, detail: str) -> Change:
    return Change(kind=kind, severity=severity, seq=seq, part=part, detail=detail)
