"""Dataclasses with slots that take a third of the time to make: a process has a hundred of them before it does anything.

`dataclasses.dataclass` writes the text of each method of each class and has it compiled. Only the text of `__init__` differs
enough to be worth that: comparing, hashing, showing and refusing to be changed are functions that know their fields. A
frozen object is also made quicker, since it fills its slots itself. Checkers see `dataclasses.dataclass`, and what is made
behaves as by it: fields, `replace`, patterns, pickles, equality (that of the tuples of fields, as up to Python 3.12), and what
inherits from it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Mapping
from dataclasses import MISSING, FrozenInstanceError, field
from functools import partial
from operator import attrgetter
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(
        *, frozen: bool = False, eq: bool = True, slots: bool = False
    ) -> Callable[[type], type]:
        """Make a class a dataclass; see `dataclasses.dataclass`.

        Args:
            frozen: Its objects are not changed.
            eq: They are equal where their fields are.
            slots: Must be true: for others, there is `dataclasses.dataclass`.
        """
        if not slots:
            raise TypeError(
                "this makes classes with slots=True; for others take dataclasses.dataclass"
            )
        return partial(_made, frozen=frozen, eq=eq)


__all__ = ["dataclass", "field"]


class _New:
    """Stands where a field was not given that is made anew for each object."""

    def __repr__(self) -> str:
        return "<factory>"


_NEW: Any = _New()


def _made(cls: type, *, frozen: bool, eq: bool) -> type:
    own = dict(cls.__dict__)
    # Told only what it insists on: that what is frozen does not inherit from what is not, nor the other way round.
    inherited = any(
        getattr(base, "__dataclass_params__").frozen  # noqa: B009  # no checker knows it
        for base in cls.__mro__[1:]
        if dataclasses.is_dataclass(base)
    )
    begin: Callable[[Any], Any] = dataclasses.dataclass(
        init=False, repr=False, eq=False, slots=True, frozen=frozen and inherited
    )
    made = begin(cls)
    fields = dataclasses.fields(made)
    methods: dict[str, Any] = {"__repr__": _repr_of([f.name for f in fields if f.repr])}
    if "__init__" not in own:
        methods["__init__"] = _init_of(made, fields, frozen=frozen)
    if eq:
        compared = _values_of([f.name for f in fields if f.compare])
        methods["__eq__"] = _eq_of(compared)
        hashed = [f.name for f in fields if (f.compare if f.hash is None else f.hash)]
        methods["__hash__"] = _hash_of(_values_of(hashed)) if frozen else None
        if own.get("__hash__") is not None:
            del methods["__hash__"]
    if frozen:
        methods |= _frozen(made, frozenset([f.name for f in fields]))
    for name, method in methods.items():
        if name not in own or name == "__hash__":
            if method is not None:
                method.__qualname__ = f"{made.__qualname__}.{name}"
            setattr(made, name, method)
    parameters = made.__dataclass_params__  # what a class that inherits from it is compared with
    parameters.init = parameters.repr = True
    parameters.eq, parameters.frozen = eq, frozen
    return cast("type", made)


def _init_of(
    cls: type, fields: tuple[dataclasses.Field[Any], ...], *, frozen: bool
) -> Callable[..., None]:
    """Return `__init__`: the one method whose text is worth compiling."""
    known: dict[str, Any] = {"_new": _NEW, "_set": object.__setattr__}
    places: list[str] = []
    named: list[str] = []
    lines: list[str] = []
    for each in fields:
        name, value = each.name, each.name
        if each.default_factory is not MISSING:
            known[f"_make_{name}"] = each.default_factory
            made = f"_make_{name}()"
            value = f"{made} if {name} is _new else {name}" if each.init else made
            default = "=_new"
        elif each.default is not MISSING:
            known[f"_of_{name}"] = each.default
            default = f"=_of_{name}"
            value = name if each.init else f"_of_{name}"
        else:
            default = ""
            if not each.init:
                continue
        if each.init:
            (named if each.kw_only else places).append(name + default)
        if not frozen:
            lines.append(f"  self.{name} = {value}")
        elif (slot := getattr(getattr(cls, name, None), "__set__", None)) is not None:
            known[f"_set_{name}"] = slot
            lines.append(f"  _set_{name}(self, {value})")
        else:
            lines.append(f"  _set(self, {name!r}, {value})")
    if hasattr(cls, "__post_init__"):
        lines.append("  self.__post_init__()")
    takes = ", ".join(["self", *places, *(["*", *named] if named else [])])
    text = f"def made({', '.join(known)}):\n def __init__({takes}):\n"
    text += ("\n".join(lines) or "  pass") + "\n return __init__"
    found: dict[str, Any] = {}
    # As a function of the class's module, so that whoever reads its annotations finds what they name.
    exec(text, sys.modules[cls.__module__].__dict__, found)
    init = found["made"](**known)
    init.__annotations__ = {f.name: f.type for f in fields if f.init}
    init.__annotations__["return"] = None
    return init  # type: ignore[no-any-return]


def _values_of(names: list[str]) -> Callable[[Any], tuple[Any, ...]]:
    """Return what reads these fields."""
    if len(names) > 1:
        return attrgetter(*names)
    return lambda one: tuple([getattr(one, name) for name in names])


def _eq_of(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any, object], bool]:
    def __eq__(self: Any, other: object) -> bool:  # noqa: N807  # it becomes the method
        if other.__class__ is self.__class__:
            return values(self) == values(other)
        return NotImplemented

    return __eq__


def _hash_of(values: Callable[[Any], tuple[Any, ...]]) -> Callable[[Any], int]:
    def __hash__(self: Any) -> int:  # noqa: N807
        return hash(values(self))

    return __hash__


def _repr_of(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:  # noqa: N807
        told = ", ".join([f"{name}={getattr(self, name)!r}" for name in names])
        return f"{self.__class__.__qualname__}({told})"

    return recursive_repr()(__repr__)


def _frozen(cls: Any, names: frozenset[str]) -> Mapping[str, Callable[..., Any]]:
    def above(self: Any) -> Any:
        return cast("object", super(cls, self))

    def __setattr__(self: Any, name: str, value: Any) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        above(self).__setattr__(name, value)

    def __delattr__(self: Any, name: str) -> None:  # noqa: N807
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        above(self).__delattr__(name)

    return {
        "__setattr__": __setattr__,
        "__delattr__": __delattr__,
        "__getstate__": _getstate,
        "__setstate__": _setstate,
    }


def _getstate(self: Any) -> list[Any]:
    return [getattr(self, f.name) for f in dataclasses.fields(self)]


def _setstate(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
