"""Making a segment tellable to any provider: every call has one result, right after it, in the order of the calls.

A repair looks at the segment and at the calls that are open before it, never at what comes later, so that a view that was
told once is told the same for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from midstream.adapters.view import Segment
from midstream.events.content import Message, Text, ToolCall, ToolResult
from midstream.events.payloads import Change

NO_RESULT = "This call was interrupted; there is no result."
"""What a model is told of a call that never got a result."""


def seal(
    open_calls: Sequence[ToolCall], segment: Segment
) -> tuple[tuple[Message, ...], tuple[ToolCall, ...], tuple[Change, ...]]:
    """Return the messages to tell, the calls that are open after them, and what was repaired.

    Args:
        open_calls: The calls of the last answer that have no result yet.
        segment: What comes next.
    """
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
        told += _results(pending, waiting, segment.seq, changes)
        pending, waiting = message.tool_calls, []
        told.append(message)
    if waiting:
        told += _results(pending, waiting, segment.seq, changes)
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
    return tuple(_results(tuple(open_calls), [], 0, changes)), tuple(changes)


def _results(
    calls: Sequence[ToolCall], messages: Sequence[Message], seq: int, changes: list[Change]
) -> list[Message]:
    """Return one message with a result for each call, in their order, then what belongs to none of them, as text."""
    given = [part for message in messages for part in message.parts if isinstance(part, ToolResult)]
    by_id: dict[str, ToolResult] = {}
    for result in given:
        if result.id in by_id:
            changes.append(
                _repair("duplicate_dropped", seq, f"a second result for call {result.id!r}")
            )
        by_id[result.id] = result
    ordered: list[ToolResult] = []
    for call in calls:
        if call.id in by_id:
            result = by_id.pop(call.id)
        else:
            changes.append(
                _repair(
                    "result_synthesised", seq, f"no result for call {call.id!r} of {call.name!r}"
                )
            )
            result = ToolResult(
                id=call.id, name=call.name, parts=(Text(text=NO_RESULT),), is_error=True
            )
        ordered.append(result)
    told = [Message(role="tool", parts=tuple(ordered))] if ordered else []
    for orphan in by_id.values():
        changes.append(
            _repair(
                "orphan_result_degraded", seq, f"a result for call {orphan.id!r}, which nobody made"
            )
        )
        text = f"Result of tool {orphan.name} (call {orphan.id}): {orphan.text}"
        media = [part for part in orphan.parts if not isinstance(part, Text)]
        told.append(Message(role="user", parts=(Text(text=text), *media)))
    return told


def _repair(kind: str, seq: int, detail: str) -> Change:
    return Change(kind=kind, severity="repair", seq=seq, detail=detail)
