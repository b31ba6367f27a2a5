"""That a tool failed, said in its text: for dialects that have no flag for it."""

from __future__ import annotations

ERROR = "Error:\n"
"""Before the text of a failed tool, where it does not say so itself: the dialect has no flag for it.

Tools write `Error: ` and rarely this, so that what was put there can be taken away again when the conversation is read.
"""
_SAYS_SO = (ERROR, "Error: ")


def says_error(text: str) -> bool:
    """Tell whether a tool's text says by itself that it failed."""
    return text.startswith(_SAYS_SO)
