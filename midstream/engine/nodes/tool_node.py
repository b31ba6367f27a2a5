"""A tool as the function of a node: it is called as a node calls a tool, recorded and with its retries."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from midstream.engine.signature import annotations_of
from midstream.engine.tools.tool import Tool, ToolContext

_CONTEXT = "midstream_context"
_TOOL = "midstream_tool"


def tool_function(tool: Tool) -> Callable[..., Any]:
    """Return a function with the parameters of a tool that calls it through the context of a node."""

    async def call(**arguments: Any) -> Any:
        context = arguments.pop(_CONTEXT)
        return await context.tool(tool, **arguments)

    hints = annotations_of(tool.function)
    parameters = [
        parameter.replace(annotation=hints.get(name, Any), kind=parameter.KEYWORD_ONLY)
        for name, parameter in inspect.signature(tool.function).parameters.items()
        if hints.get(name) is not ToolContext
    ]
    context = inspect.Parameter(
        _CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation="midstream.Context"
    )
    made: Any = call
    made.__name__, made.__doc__ = tool.name, tool.description
    made.__signature__ = inspect.Signature([*parameters, context])
    made.__annotations__ = {p.name: p.annotation for p in parameters}
    if "return" in hints:
        made.__annotations__["return"] = hints["return"]
    setattr(made, _TOOL, tool)
    return call


def as_function(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return what a node calls: of a tool, the function that calls it through the node's context."""
    return tool_function(function) if isinstance(function, Tool) else function


def stands_for(made: Any, code: Any) -> None:
    """Say of which tool or function another function is made."""
    setattr(made, _TOOL, code)


def code_of(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the tool or the function that a function was made of, or the function itself."""
    found: Callable[..., Any] = getattr(function, _TOOL, function)
    return found
