"""What a node raised, as the log tells it."""

from __future__ import annotations

import traceback
from typing import Any

from midstream.errors import AdapterError, LimitError, NodeError, NotRecordableError, ToolError

_FRAMES = 5


def first_of(error: BaseException) -> BaseException:
    """Return the first single exception of a group; what is no group is one itself."""
    while (inside := _group(error)) is not None:
        error = inside.exceptions[0]
    return error


def holds(error: BaseException, kind: type[BaseException]) -> bool:
    """Say whether an error is of a kind, or a group that has one of it."""
    inside = _group(error)
    return isinstance(error, kind) if inside is None else inside.subgroup(kind) is not None


def _group(error: BaseException) -> BaseExceptionGroup[BaseException] | None:
    # Not isinstance(): the checkers would take the group's type parameter for unknown.
    group: Any = error
    return group if issubclass(type(error), BaseExceptionGroup) else None


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
