"""HTML of values: whatever is put into an element is text, unless it was made here."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import NewType

Html = NewType("Html", str)
"""Markup that was made by `el`, or joined of it; everything else is text."""

_KEPT = "\n\t"
_SHOWN = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in _KEPT
} | {
    # Letters that turn the direction of writing around: what is read would not be what is there.
    code: f"\\u{code:04x}"
    for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
}


class _Made(str):
    """Markup, told apart from text by its type."""

    __slots__ = ()


def text(value: object) -> Html:
    """Return a value as escaped text, with what could not be seen in it spelled out."""
    plain = str(value).encode("utf-8", "backslashreplace").decode().translate(_SHOWN)
    return Html(_Made(html.escape(plain)))


def raw(markup: str) -> Html:
    """Return markup that stands in this package; never what comes from a log."""
    return Html(_Made(markup))


def el(name: str, /, *children: object, **attributes: str | int) -> Html:
    """Return an element.

    Args:
        name: Its name, in lower case.
        *children: Markup of `el`, or anything else, which is text; None is left out.
        **attributes: By name, `_` for `-`; a trailing `_` keeps clear of Python's words.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(_Made(f"<{name}{given}>{join(children)}</{name}>"))


def void(name: str, /, **attributes: str | int) -> Html:
    """Return an element that has no content, such as `meta`."""
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{text(value)}"' for key, value in attributes.items()
    )
    return Html(_Made(f"<{name}{given}>"))


def join(children: Iterable[object]) -> Html:
    """Return markup, and texts escaped, one after the other."""
    return Html(
        _Made(
            "".join(
                child if isinstance(child, _Made) else text(child)
                for child in children
                if child is not None
            )
        )
    )
