"""What the names in a document stand for, and under which names code can be written into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any, TypedDict, Unpack

from midstream.engine.agents.agent import Agent
from midstream.engine.nodes.registry import Registry
from midstream.engine.nodes.tool_node import code_of
from midstream.engine.signature import name_of
from midstream.engine.tools.tool import Tool, make_tool
from midstream.errors import GraphError

_TOLD = (
    "name",
    "function",
    "description",
    "effect",
    "timeout",
    "retry",
    "on_unknown",
    "confirm",
    "editable",
    "confirm_timeout",
    "on_error",
    "concurrency",
)
"""What makes two tools of one function the same."""


class Known(TypedDict, total=False):
    """What the names in a document stand for.

    Attributes:
        functions: Functions and tools by the names that nodes use.
        agents: Agents by name. Of a pipeline also objects whose methods are its actions, or mappings of them.
        actions: Of a pipeline: a function, or the template of an agent's task, by `action` or `agent.action`.
        types: What answers may be, by the names that `schema` uses.
        graphs: Graphs that nodes run, by name.
        imports: Names may be `module:name`, which imports the module; False for documents of others.
    """

    functions: Mapping[str, Callable[..., Any]] | None
    agents: Mapping[str, Any] | None
    actions: Mapping[str, Callable[..., Any] | str] | None
    types: Mapping[str, Any] | None
    graphs: Mapping[str, Any] | None
    imports: bool


_OPTIONS = frozenset(Known.__annotations__)


class Names:
    """What a reader of documents knows by name.

    Args:
        **known: See `Known`.

    Raises:
        GraphError: There is no such option.
    """

    def __init__(self, **known: Unpack[Known]) -> None:
        for name in known.keys() - _OPTIONS:
            raise GraphError(
                f"{name!r} is no option for reading a graph; there are {', '.join(sorted(_OPTIONS))}"
            )
        self.graphs = dict(known.get("graphs") or {})
        self.functions = dict(known.get("functions") or {})
        self.agents: dict[str, Any] = dict(known.get("agents") or {})
        self.actions = dict(known.get("actions") or {})
        self._types = known.get("types") or {}
        self._imports = known.get("imports", True)

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function or a tool.

        Raises:
            GraphError: There is none of this name.
        """
        found = self._find("function", name, self.functions)
        if not callable(found):
            raise GraphError(f"{name!r} is a {type(found).__name__}, not a function or a tool")
        return found  # type: ignore[no-any-return]  # it can be called

    def agent(self, name: str) -> Agent:
        """Return an agent.

        Raises:
            GraphError: There is none of this name.
        """
        found = self._find("agent", name, self.agents)
        if not isinstance(found, Agent):
            raise GraphError(f"{name!r} is a {type(found).__name__}, not an agent")
        return found

    def graph(self, name: str) -> Any:
        """Return a graph.

        Raises:
            GraphError: There is none of this name.
        """
        found = self._find("graph", name, self.graphs)
        if not isinstance(found, Registry):
            raise GraphError(f"{name!r} is a {type(found).__name__}, not a graph")
        return found

    def type(self, name: str) -> Any:
        """Return what an answer must be.

        Raises:
            GraphError: There is none of this name.
        """
        return self._find("type", name, self._types)

    def _find(self, kind: str, name: str, known: Mapping[str, Any]) -> Any:
        if name in known:
            return known[name]
        if ":" in name:
            return self._imported(kind, name)
        near = get_close_matches(name, known, 1)
        meant = f" (did you mean {near[0]!r}?)" if near else ""
        raise GraphError(
            f"there is no {kind} {name!r}; there are {', '.join(sorted(known)) or 'none'}{meant}. "
            f"Pass {kind}s={{{name!r}: …}}, or write it as module:name"
        )

    def _imported(self, kind: str, name: str) -> Any:
        if not self._imports:
            raise GraphError(
                f"{kind} {name!r} would be imported, which this reader does not do; pass {kind}s={{{name!r}: …}}"
            )
        module, _, path = name.partition(":")
        try:
            return found_at(module, path)
        except AttributeError as error:
            raise GraphError(f"{kind} {name!r}: module {module!r} has no {path!r}") from error
        except ModuleNotFoundError as error:
            raise GraphError(f"{kind} {name!r}: cannot import {module!r}: {error}") from error
        except Exception as error:  # the module is the user's code
            raise GraphError(
                f"{kind} {name!r}: importing {module!r} raised {type(error).__name__}: {error}"
            ) from error


def found_at(module: str, path: str) -> Any:
    """Return what a module has at a path of attributes.

    Raises:
        AttributeError: It has nothing there.
        ModuleNotFoundError: There is no such module.
    """
    found: Any = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def import_name(code: Any) -> str:
    """Return the name `module:name` under which a function, a tool or a class can be imported, or nothing."""
    made = code.function if isinstance(code, Tool) else code
    module, path = getattr(made, "__module__", None), getattr(made, "__qualname__", None)
    if not module or not path or "<" in path:
        return ""
    try:
        found = found_at(module, path)
    except (AttributeError, ImportError):
        return ""
    return f"{module}:{path}" if found is code or _same_tool(code, found) else ""


def _same_tool(code: Any, found: Any) -> bool:
    """Say whether what is found makes the same tool."""
    if not isinstance(code, Tool) or not callable(found):
        return False
    other = make_tool(found)
    return all(getattr(code, name) == getattr(other, name) for name in _TOLD)


def shown(code: Callable[..., Any]) -> str:
    """Return how an error names a function."""
    made = code_of(code)
    return getattr(made, "__qualname__", None) or name_of(made)
