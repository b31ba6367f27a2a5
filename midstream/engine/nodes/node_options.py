"""Options of a node that can be checked before anything else is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from math import isfinite
from typing import Any

from midstream.engine.signature import Parameter
from midstream.errors import GraphError
from midstream.events.ids import NODE_NAME


def check_options(where: str, name: str, options: Mapping[str, Any]) -> None:
    """Refuse what no node can have.

    Raises:
        GraphError: Its name or an option is wrong.
    """
    if not NODE_NAME.fullmatch(name):
        raise GraphError(
            f"{where.rpartition(': ')[0]}: node name {name!r} must begin with a letter and hold letters, digits, '.', "
            "'-', '_'; pass name=… where the function has none"
        )
    for option in ("timeout", "idle_timeout", "total_timeout"):
        seconds = options.get(option)
        if seconds is not None and not (seconds > 0 and isfinite(seconds)):
            raise GraphError(
                f"node {name!r}: {option} must be more than 0 seconds and finite, not {seconds!r}; "
                "leave it out for no limit"
            )
    join = options.get("join", "all")
    if join not in ("all", "any", "reduce") and (type(join) is not int or join < 1):
        raise GraphError(
            f"{where}: join must be 'all', 'any', 'reduce' or a number from 1, not {join!r}"
        )
    if "initial" in options and join != "reduce":
        raise GraphError(f"{where}: initial is where a reduction begins; pass join='reduce'")
    inputs = options.get("inputs")
    if inputs not in (None, "each", "merge", "completed", "named", "unpack", "none"):
        raise GraphError(
            f"{where}: inputs must be 'each', 'merge', 'completed', 'named', 'unpack' or 'none', not {inputs!r}"
        )
    if join == "reduce" and inputs not in (None, "completed"):
        raise GraphError(f"{where}: it reduces what it waits for, so inputs= has no meaning")


def taking(
    where: str, parameters: tuple[Parameter, ...], take: Mapping[str, str]
) -> tuple[Parameter, ...]:
    """Return the parameters with the nodes that they take by another name.

    Raises:
        GraphError: There is no such parameter.
    """
    if not take:
        return parameters
    known = [parameter.name for parameter in parameters if parameter.source]
    for name in take:
        if name not in known:
            raise GraphError(
                f"{where} has no parameter {name!r} for take to fill; it takes {', '.join(known) or 'none'}"
            )
    return tuple(
        replace(one, source=take[one.name], named=True) if one.name in take else one
        for one in parameters
    )
