"""A function of two values as one of a list of them: what a node with `join="reduce"` calls."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Sequence
from typing import Any

from midstream.engine.nodes.tool_node import stands_for
from midstream.engine.signature import Parameter, is_async
from midstream.errors import GraphError

NONE: Any = object()
"""Where a reduction begins that is given no first value: with the first one that comes."""

_VALUES = "midstream_values"


def reducing(
    where: str,
    function: Callable[..., Any],
    parameters: Sequence[Parameter],
    initial: Any,
    *,
    pure: bool,
) -> tuple[Callable[..., Any], tuple[Parameter, ...]]:
    """Return what folds a list with a function, and its parameters: the list, and what the function takes beside two values.

    Raises:
        GraphError: The function takes fewer than two values.
    """
    free = [parameter for parameter in parameters if parameter.source and not parameter.named]
    if len(free) < 2:
        raise GraphError(
            f"{where} reduces, so its function must take what has come of it so far and the next value, and takes "
            f"{', '.join(one.name for one in free) or 'nothing'}"
        )
    total_name, value_name = free[0].name, free[1].name
    rest = tuple(parameter for parameter in parameters if parameter not in free[:2])
    waits = is_async(function)

    async def fold(**given: Any) -> Any:
        values: list[Any] = list(given.pop(_VALUES))
        if initial is NONE and not values:
            return None
        total = values.pop(0) if initial is NONE else initial
        for value in values:
            taken = {**given, total_name: total, value_name: value}
            if waits or pure:
                made = function(**taken)
                total = await made if inspect.isawaitable(made) else made
            else:
                total = await asyncio.to_thread(function, **taken)
        return total

    stands_for(fold, function)
    values = Parameter(_VALUES, _VALUES, list, inspect.Parameter.empty)
    return fold, (values, *rest)
