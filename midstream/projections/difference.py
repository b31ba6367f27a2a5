"""Where two JSON values differ, place by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING: Final = _Nothing()
"""What stands where one of the two has no value."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A place where two values differ.

    Attributes:
        path: As in `messages.0.parts.1.text`; empty for the values as a whole.
        left: The first value there, or `NOTHING`.
        right: The second one, or `NOTHING`.
    """

    path: str
    left: Any
    right: Any

    def __str__(self) -> str:
        return f"{self.path or 'value'}: {shown(self.left)} → {shown(self.right)}"


def differences(left: Any, right: Any, path: str = "") -> Iterator[Difference]:
    """Iterate over the places where two values differ, in the order of the first one."""
    match left, right:
        case Mapping(), Mapping():
            for key in dict.fromkeys((*left, *right)):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
                yield from differences(
                    left.get(key, NOTHING),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # JSON
                    right.get(key, NOTHING),  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]  # JSON
                    f"{path}.{key}" if path else str(key),  # pyright: ignore[reportUnknownArgumentType]  # JSON
                )
        case ((list() | tuple()), (list() | tuple())):
            yield from _in_lists(left, right, path)  # pyright: ignore[reportUnknownArgumentType]  # JSON
        case _:
            if type(left) is not type(right) or left != right:
                yield Difference(path, left, right)


def _in_lists(left: Sequence[Any], right: Sequence[Any], path: str) -> Iterator[Difference]:
    for place in range(max(len(left), len(right))):
        yield from differences(
            left[place] if place < len(left) else NOTHING,
            right[place] if place < len(right) else NOTHING,
            f"{path}.{place}" if path else str(place),
        )


def shown(value: Any, longest: int = 200) -> str:
    """Return a value for people, cut where it is longer than that."""
    text = repr(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"
