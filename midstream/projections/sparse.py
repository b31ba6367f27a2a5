"""Fields that most objects never need: each is made when it is first looked at, and takes no room before that."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field
from typing import TYPE_CHECKING, Any, ClassVar

_MAKE = "midstream.make"

A_DICT: Mapping[str, Any] = {_MAKE: dict}
"""The `metadata` of a field without `init` that is an empty dict when it is first looked at."""

A_LIST: Mapping[str, Any] = {_MAKE: list}
"""The same for a list."""


def new_dict() -> dict[Any, Any]:
    """Return an empty dict, as the default of a field; `dict[str, int]()` takes seven times as long."""
    return {}


def new_list() -> list[Any]:
    """Return an empty list; see `new_dict`."""
    return []


class Sparse:
    """A dataclass with slots, some of whose fields are declared as `field(init=False, metadata=A_DICT)`."""

    __slots__ = ()
    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    if not TYPE_CHECKING:  # a checker would take any name for one that exists

        def __getattr__(self, name: str) -> Any:
            """Make a field that nobody has looked at yet."""
            declared = self.__dataclass_fields__.get(name)
            make: Callable[[], Any] | None = (
                None if declared is None else declared.metadata.get(_MAKE)
            )
            if make is None:
                told = f"{type(self).__name__!r} object has no attribute {name!r}"
                raise AttributeError(told, name=name, obj=self)
            made = make()
            setattr(self, name, made)
            return made
