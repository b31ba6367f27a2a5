"""Making a segment tellable to any provider: every call has one result, right after it, in the order of the calls.

A repair looks at the segment and at the calls that are open before it, never at what comes later, so that a view that was
told once is told the same for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from midstream.adapters.changes import hints_lost, loss, repair
from midstream.adapters.places import Places
from midstream.adapters.view import Segment
from midstream.events.content import Message, Text, ToolCall, ToolResult
from midstream.events.payloads import Change

NO_RESULT = "This call was interrupted; there is no result."
"""What a model is told of a call that never got a result."""


def seal(
    open_calls: Sequence[ToolCall], segment: Segment, places: Places | None = None
) -> tuple[tuple[Message, ...], tuple[ToolCall, ...], tuple[Change, ...]]:
    """Return the messages to tell, the calls that are open after them, and what was repaired.

    Args:
        open_calls: The calls of the last answer that have no result yet.
        segment: What comes next.
        places: Where its parts stood, if they were put in other places before.
    """
    at = Places(segment.messages) if places is None else places
    if len(segment.messages) == 1 and _fits(open_calls, segment.messages[0]):
        return segment.messages, segment.messages[0].tool_calls, ()
    told: list[Message] = []
    changes: list[Change] = []
    pending = tuple(open_calls)
    waiting: list[Message] = []  # results of the pending calls, as they come
    for message in segment.messages:
        if message.role == "tool":
            waiting.append(message)
            continue
        told += _results(pending, waiting, segment.seq, changes, at)
        pending, waiting = message.tool_calls, []
        told.append(message)
    if waiting:
        told += _results(pending, waiting, segment.seq, changes, at)
        pending = ()
    return tuple(told), pending, tuple(changes)


def _fits(open_calls: Sequence[ToolCall], message: Message) -> bool:
    """Tell whether the message is all that has to come next: the results of the open calls in their order, or anything else."""
    if message.role != "tool":
        return not open_calls
    ids = [part.id if isinstance(part, ToolResult) else None for part in message.parts]
    wanted = [call.id for call in open_calls]
    return bool(ids) and ids == wanted and len(set(ids)) == len(ids)


def close_open(open_calls: Sequence[ToolCall]) -> tuple[tuple[Message, ...], tuple[Change, ...]]:
    """Return the results that close calls which are still open when the model is asked."""
    changes: list[Change] = []
    return tuple(_results(tuple(open_calls), [], 0, changes, Places())), tuple(changes)


def _results(
    calls: Sequence[ToolCall],
    messages: Sequence[Message],
    seq: int,
    changes: list[Change],
    at: Places,
) -> list[Message]:
    """Return one message with a result for each call, in their order, then what belongs to none of them, as text."""
    given = [part for message in messages for part in message.parts if isinstance(part, ToolResult)]
    by_id: dict[str, ToolResult] = {}
    for result in given:
        if result.id in by_id:
            detail = f"a later result for call {result.id!r} counts"
            changes.append(loss("duplicate_dropped", seq, detail, at.of(by_id[result.id])))
        by_id[result.id] = result
    ordered: list[ToolResult] = []
    for call in calls:
        if call.id in by_id:
            result = by_id.pop(call.id)
        else:
            detail = f"no result for call {call.id!r} of {call.name!r}"
            changes.append(repair("result_synthesised", seq, detail))
            result = ToolResult(
                id=call.id, name=call.name, parts=(Text(text=NO_RESULT),), is_error=True
            )
        ordered.append(result)
    told = [Message(role="tool", parts=tuple(ordered))] if ordered else []
    for orphan in by_id.values():
        detail = f"a result for call {orphan.id!r}, which nobody made"
        changes.append(repair("orphan_result_degraded", seq, detail, at.of(orphan)))
        changes += _lost_with(orphan, seq, at.of(orphan))
        told.append(_as_turn(orphan, at))
    return told


def _lost_with(orphan: ToolResult, seq: int, place: int | None) -> list[Change]:
    """Return what becomes of that which only the result of a call can carry."""
    lost = hints_lost(orphan, seq, place)
    for part in orphan.parts:
        if isinstance(part, Text):
            lost += hints_lost(part, seq, place)
            cited = len(part.citations)
            lost += [loss("citations_dropped", seq, f"{cited} of a text", place)] if cited else []
    return lost


def _as_turn(orphan: ToolResult, at: Places) -> Message:
    """Return a turn of the user that says what came of a call."""
    failed = "Failed result" if orphan.is_error else "Result"
    said = Text(text=f"{failed} of tool {orphan.name} (call {orphan.id}): {orphan.text}")
    at.stands_for(said, orphan)
    media = [part for part in orphan.parts if not isinstance(part, Text)]
    return Message(role="user", parts=(said, *media))
