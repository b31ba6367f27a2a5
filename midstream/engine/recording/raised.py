"""What a node raised, as the log tells it."""

from __future__ import annotations

import traceback
from typing import Any

from midstream.errors import AdapterError, LimitError, NodeError, NotRecordableError, ToolError

_FRAMES = 5


def first_of(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first single exception of a group."""
    first: Any = group.exceptions[0]
    # Not isinstance(): the checkers would take the group's type parameter for unknown.
    found: BaseException = first_of(first) if issubclass(type(first), BaseExceptionGroup) else first
    return found


def kind_of_error(error: BaseException) -> str:
    """Return the kind under which an error is recorded, and retried."""
    match error:
        case AdapterError():
            return error.kind
        case NodeError():
            return error.kind
        case ToolError():
            return f"tool_{error.kind}"
        case LimitError(limit="depth"):
            return "limit"
        case NotRecordableError():
            return "not_recordable"
        case TimeoutError():
            return "timeout"
        case _:
            return type(error).__name__


def traceback_of(error: BaseException) -> str:
    """Return where it was raised, without the engine's own frames."""
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    own = [
        frame for frame in frames if "midstream/engine/" not in frame.filename.replace("\\", "/")
    ]
    return "".join(traceback.format_list(own)).encode("utf-8", "replace").decode()
