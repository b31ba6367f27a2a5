"""Names that a package exports and imports only when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazily(names: dict[str, Any], modules: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` of a package; what was found is kept in the package.

    Args:
        names: Its `globals()`.
        modules: The module of the package that has each name.
    """
    package: str = names["__name__"]

    def found(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        names[name] = value = getattr(import_module(f"{package}.{modules[name]}"), name)
        return value

    return found
