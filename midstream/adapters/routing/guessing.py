"""What to say of a name that is not known."""

from __future__ import annotations

import difflib


def guess(name: str, known: tuple[str, ...]) -> str:
    """Return what to say of a name that is not known: the nearest one, and all."""
    near = difflib.get_close_matches(name, known, 1, 0.6)
    meant = f"did you mean {near[0]!r}? " if near else ""
    return f"{meant}known: {', '.join(sorted(known)) or 'none'}"
