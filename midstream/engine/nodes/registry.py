"""The functions and tools that a graph knows by name, so that nodes can be made of them in any process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, TypeVar

from midstream.engine.nodes.node import Node, Runs
from midstream.engine.nodes.tool_node import as_function, code_of
from midstream.engine.nodes.validating import VALIDATE, validation_of
from midstream.engine.signature import name_of, parameters_of
from midstream.engine.tools.tool import Tool
from midstream.errors import GraphError

Function = TypeVar("Function", bound=Callable[..., Any])
Code: TypeAlias = Callable[..., Any] | Runs
"""What a node can be made of: a function, or a graph."""

Registered = TypeVar("Registered", bound=Code)


class Registry:
    """What a graph's nodes can be made of by name; see `Graph`."""

    name: str
    nodes: dict[str, Node]

    def __init__(self) -> None:
        self._functions: dict[str, Code] = {}
        self._named: dict[str, Code | None] = {}

    def _took_in(self, code: Code) -> None:
        """Hear that nodes may be made of this."""

    @property
    def registered(self) -> Mapping[str, Runs]:
        """The graphs that nodes may be made of by name."""
        return {code.name: code for code in self._functions.values() if not callable(code)}

    @property
    def registered_names(self) -> Mapping[str, str]:
        """The names under which graphs are registered, and theirs."""
        graphs = ((name, code) for name, code in self._functions.items() if not callable(code))
        return {name: code.name for name, code in graphs}

    def register(self, function: Registered, *, name: str | None = None) -> Registered:
        """Let nodes be made of a function or a graph by its name, also in running nodes and in graphs as data.

        Functions of nodes are registered under the names of their nodes, and under their own where those are unique.
        A tool becomes a node that calls it as `Context.tool` does, recorded and with its retries.

        Raises:
            GraphError: The name is that of another function.
        """
        chosen = name_of(function) if name is None else name
        known = self._functions.get(chosen)
        if known is not None and known is not function and not _same_tool(known, function):
            raise GraphError(f"graph {self.name!r} has another function {chosen!r}; pass name=…")
        self._functions.setdefault(chosen, function)
        self._took_in(function)
        return function

    def function(self, function: Function) -> Function:
        """Register the decorated function under its own name; see `register`."""
        return self.register(function)

    @property
    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """What was registered, by name; without the functions of nodes."""
        return {name: code for name, code in self._functions.items() if callable(code)}

    def function_named(self, name: str) -> Callable[..., Any]:
        """Return a registered function; see `code_named`.

        Raises:
            GraphError: There is none, several nodes have functions of this name, or it is a graph.
        """
        found = self.code_named(name)
        if not callable(found):
            raise GraphError(f"graph {self.name!r}: {name!r} is a graph, and a function is wanted")
        return found

    def code_named(self, name: str) -> Code:
        """Return a registered function or graph.

        Raises:
            GraphError: There is none, or several nodes have functions of this name.
        """
        found = self._functions.get(name)
        if found is None and name in self.nodes:
            found = self.nodes[name].code_of()
        if found is None:
            found = self._named.get(name)
        if found is None and name.startswith(VALIDATE):
            return validation_of(as_function(self.function_named(name.removeprefix(VALIDATE))))
        if found is None:
            why = "several nodes have functions" if name in self._named else "there is no function"
            known = ", ".join(sorted({*self._functions, *self._named, *self.nodes}))
            raise GraphError(
                f"graph {self.name!r}: {why} {name!r}; there are {known or 'none'}: register it with "
                f"{self.name}.register(function, name=…) wherever the graph is built"
            )
        return found

    def name_of_function(self, function: Code) -> str:
        """Return the name under which a function or a graph is registered.

        Raises:
            GraphError: It is not.
        """
        name = name_of(function)
        for known, code in self._functions.items():
            if code is function:
                return known
        if self._named.get(name) is function:
            return name
        node = next(
            (node.name for node in self.nodes.values() if code_of(node.code_of()) is function), None
        )
        if node is None:
            raise GraphError(
                f"graph {self.name!r} does not know the function {name!r}: register it with {self.name}.register(…) "
                "wherever the graph is built, so that another process finds it too"
            )
        return node

    def known_functions(self) -> tuple[str, ...]:
        """Return the names under which there is a function, in order."""
        shared = {name for name, code in self._named.items() if code is None}
        return tuple(sorted({*self._functions, *self._named, *self.nodes} - shared))

    def told(self, functions: Iterable[str]) -> str:
        """Return functions in words, one a line: name, parameters, what is said of it."""
        lines: list[str] = []
        for name in functions:
            code = as_function(self.function_named(name))
            takes = [
                f"{p.name}: {_type_name(p.annotation)}{'' if p.required else ' (optional)'}"
                for p in parameters_of(code, f"function {name!r}", rest=True)
                if p.source
            ]
            doc = (getattr(code, "__doc__", None) or "").strip().partition("\n")[0]
            lines.append(f"- {name}({', '.join(takes)}){f': {doc}' if doc else ''}")
        return "\n".join(lines)


def _type_name(annotation: Any) -> str:
    if annotation is Any:
        return "any"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation)


def _same_tool(one: Any, other: Any) -> bool:
    """Say whether both are tools of the same function, as where a function was made a tool twice, or was none before."""
    if not isinstance(one, Tool) and not isinstance(other, Tool):
        return False
    first, second = (tool.function if isinstance(tool, Tool) else tool for tool in (one, other))
    return first is second
