"""A function beside a node's own, which is asked for something about it: whether it runs, or what its items are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from midstream.engine.nodes.templates import Expression, is_template
from midstream.engine.signature import Parameter, is_async, parameters_of
from midstream.errors import GraphError


@dataclass(frozen=True, slots=True)
class Asked:
    """A function beside a node's own, with its parameters: its `when`, or the `over` of a map."""

    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    name: str = ""


def asked(
    where: str,
    function: Callable[..., Any] | Asked | str,
    find: Callable[[str], Callable[..., Any]] | None = None,
) -> Asked:
    """Return a function that is asked for something about a node.

    Args:
        where: What is asked, for errors, as in `node 'plan': when`.
        function: It; a text is a template, or the name of a registered function.
        find: Finds registered functions.

    Raises:
        GraphError: It is async, or a parameter cannot be bound by name.
    """
    if isinstance(function, Asked):
        return function
    if isinstance(function, str):
        code = (
            Expression(function, where) if find is None or is_template(function) else find(function)
        )
        return replace(asked(where, code), name=function)
    if where.endswith("when") and is_async(function):
        raise GraphError(f"{where} must be a plain function: what it says is recorded, not awaited")
    return Asked(function, parameters_of(function, where))
