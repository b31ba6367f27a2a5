"""A graph as a tool: whoever calls it starts a run of it, once, and is told its output."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from midstream.engine.nodes.subgraphs import OPTIONAL
from midstream.engine.signature import Parameter
from midstream.engine.tools.tool import Confirm, OnError, Tool, ToolContext, make_tool
from midstream.events.payloads import Effect

_CALL = "midstream_call"


class GraphToolOptions(TypedDict, total=False):
    """Options of a tool, as of `midstream.tool`."""

    timeout: float | None
    confirm: Confirm
    confirm_timeout: float | None
    on_error: OnError
    concurrency: int | None


class AsTool:
    """What makes a tool of a graph; see `Graph`."""

    name: str

    @property
    def inputs(self) -> Mapping[str, Parameter]:
        """See `Graph.inputs`."""
        raise NotImplementedError

    def check(self) -> None:
        """See `Graph.check`."""
        raise NotImplementedError

    def as_tool(
        self,
        *,
        name: str = "",
        description: str = "",
        effect: Effect = "idempotent",
        **options: Unpack[GraphToolOptions],
    ) -> Tool:
        """Return a tool that runs this graph, for `ctx.llm`, agents and nodes.

        Each call is a run of its own, see `Context.subrun`: one run however often the call is repeated after a crash, so
        that it may be repeated. What it fails with is told as a tool's error is.

        Args:
            name: Its name; empty takes the graph's.
            description: For the model.
            effect: What it does to the world, where another attempt than that of the same run is made.
            **options: See `midstream.tool`.

        Raises:
            GraphError: The graph is wrong.
            ConfigError: An input has a type that JSON Schema cannot describe, or an option is wrong.
        """
        self.check()
        return _graph_tool(
            self,
            self.inputs,
            name=name or self.name,
            description=description or f"Run {self.name}.",
            effect=effect,
            **options,
        )


def _graph_tool(
    graph: Any,
    inputs: Mapping[str, Parameter],
    *,
    name: str,
    description: str,
    effect: Effect,
    **options: Unpack[GraphToolOptions],
) -> Tool:
    """Return the tool that runs a graph; see `Graph.as_tool`."""

    async def call(**given: Any) -> Any:
        asked: ToolContext = given.pop(_CALL)
        return await asked.ctx.subrun(graph, key=asked.key, inputs=given)

    made: Any = call
    parameters = [_parameter(one) for one in inputs.values()]
    context = inspect.Parameter(_CALL, inspect.Parameter.KEYWORD_ONLY, annotation=ToolContext)
    made.__signature__ = inspect.Signature([*parameters, context])
    made.__annotations__ = {one.name: one.annotation for one in (*parameters, context)}
    return make_tool(made, name=name, description=description, effect=effect, **options)


def _parameter(one: Parameter) -> inspect.Parameter:
    required = one.default is inspect.Parameter.empty
    optional = one.default is OPTIONAL
    annotation = one.annotation | None if optional and one.annotation is not Any else one.annotation
    default = inspect.Parameter.empty if required else None if optional else one.default
    return inspect.Parameter(
        one.name, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=default
    )
