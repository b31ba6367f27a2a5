"""Tools by name, in scopes: what a service offers everybody, and what a team, a user or a run has beside or instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from midstream.engine.tools.tool import Tool, make_tool
from midstream.errors import ConfigError


class Toolbox:
    """A registry of tools; nothing is global, and a tool is registered where somebody adds it.

    Iterating gives the tools, those of the scopes around it first, so a box can be passed wherever tools are.

    Args:
        tools: What is in it.
        name: Of the scope, for messages.
        around: The scope around it: its tools are here, too, unless one here has the same name.
    """

    def __init__(
        self,
        tools: Iterable[Tool | Callable[..., Any]] = (),
        *,
        name: str = "tools",
        around: Toolbox | None = None,
    ) -> None:
        self.name = name
        self._around = around
        self._own: dict[str, Tool] = {}
        for one in tools:
            self.add(one)

    def __repr__(self) -> str:
        return f"Toolbox({self.name!r}: {', '.join(self.names) or 'empty'})"

    def __iter__(self) -> Iterator[Tool]:
        return iter(self._all().values())

    def __len__(self) -> int:
        return len(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __getitem__(self, name: str) -> Tool:
        """Return the tool of this name, of the nearest scope.

        Raises:
            ConfigError: There is none.
        """
        found = self._all().get(name)
        if found is None:
            raise ConfigError(
                f"there is no tool {name!r} in {self.name!r}; there are: {', '.join(self.names) or 'none'}"
            )
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the tools, those of the scopes around it first."""
        return tuple(self._all())

    def add(self, function: Tool | Callable[..., Any], **options: Any) -> Tool:
        """Add a tool, or make one of a function; see `midstream.tool` for the options.

        Raises:
            ConfigError: This scope has another tool of that name, or an option is wrong.
        """
        made = make_tool(function, **options)
        if self._own.get(made.name, made) is not made:
            raise ConfigError(
                f"{self.name!r} has a tool {made.name!r} already; give one another name, or add it in a scope of its own"
            )
        self._own[made.name] = made
        return made

    def tool(self, function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """Add the decorated function as a tool; see `midstream.tool` for the options."""
        if function is not None:
            return self.add(function)

        def decorate(decorated: Callable[..., Any]) -> Tool:
            return self.add(decorated, **options)

        return decorate

    def scope(self, name: str, tools: Iterable[Tool | Callable[..., Any]] = ()) -> Toolbox:
        """Return a scope inside this one: what is added there is not seen here."""
        return Toolbox(tools, name=name, around=self)

    def only(self, *names: str) -> Toolbox:
        """Return a box of some of these tools.

        Raises:
            ConfigError: There is no tool of such a name.
        """
        return Toolbox([self[name] for name in names], name=self.name)

    def _all(self) -> dict[str, Tool]:
        return self._own if self._around is None else {**self._around._all(), **self._own}
