"""A node before a node: it takes what that one takes, and says whether it can be what was meant."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

from midstream.engine.signature import annotations_of, name_of, parameters_of
from midstream.errors import NodeError

VALIDATE = "validate:"
"""Before the name of a function: the function that validates what that one takes."""


def validation_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function with the parameters of another one that refuses what is blank, not there, or no number.

    That values are of their types is seen to when they are bound, as it is for the other function.
    """
    name = name_of(function)
    hints = annotations_of(function)
    taken = [
        p.name.lstrip("*")
        for p in parameters_of(function, f"function {name!r}", rest=True)
        if p.source
    ]
    parameters = [
        parameter.replace(annotation=hints.get(parameter.name, Any))
        for parameter in inspect.signature(function).parameters.values()
        if parameter.name in taken
    ]

    async def validate(*rest: Any, **values: Any) -> list[str]:
        given = {f"value {place + 1}": value for place, value in enumerate(rest)} | values
        for parameter, value in given.items():
            problem = _problem(value, typed=parameter in hints)
            if problem:
                raise NodeError(
                    f"{parameter!r} of {name!r} {problem}: mend what gives it",
                    node=name,
                    kind="bad_value",
                )
        return list(given)

    made: Any = validate
    made.__name__ = f"validate_{name}"
    made.__signature__ = inspect.Signature(parameters)
    made.__annotations__ = {p.name: hints[p.name] for p in parameters if p.name in hints}
    return validate


def _problem(value: Any, *, typed: bool) -> str:
    if value is None and not typed:
        return "is not there"
    if isinstance(value, str) and not value.strip():
        return "is blank"
    if isinstance(value, float) and not math.isfinite(value):
        return f"is {value}, which is no number"
    return ""
