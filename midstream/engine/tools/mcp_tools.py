"""Tools of MCP servers as tools here: recorded, approved by people and bounded like any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from midstream.adapters.mcp_client import PATIENCE, McpClient, McpTool
from midstream.engine.fitting import misfits
from midstream.engine.tools.tool import Tool, ToolContext, make_tool
from midstream.engine.tools.toolbox import Toolbox
from midstream.errors import ConfigError, ToolError
from midstream.events.payloads import Effect


class McpServer:
    """An MCP server whose tools agents and nodes may call; an asynchronous context manager.

    What the server says of a tool only sets defaults: a tool is `read` or `idempotent` where the server says so, and a person
    is asked before each call of one that may destroy something, which is assumed where nothing is said. A server cannot make
    a tool less guarded than it was when this was entered: a tool that has changed since is refused until `accept` is called.

    Args:
        target: The address of an HTTP server, `mcp.StdioServerParameters` of a stdio server, or a server in this process.
        name: Of the server; its tools are named `NAME_tool` where `prefix` is set.
        prefix: Put the server's name before the names of its tools.
        options: Options of tools by their names on the server, in place of the defaults; see `midstream.tool`.
        pin: What `digest` was when somebody looked at the tools; another one is refused.
        mode: Of the protocol: `auto`, or `legacy` for a server whose tools ask the client while they run.
        timeout: Seconds in which the server has to be there and to list its tools; a tool's own time is its option `timeout`.
    """

    def __init__(
        self,
        target: Any,
        *,
        name: str = "mcp",
        prefix: bool = False,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        pin: str = "",
        mode: str = "auto",
        timeout: float = PATIENCE,
    ) -> None:
        self.name = name
        self._client = McpClient(target, name, mode, timeout)
        self._prefix = prefix
        self._options = dict(options or {})
        self._pin = pin
        self._known: dict[str, McpTool] = {}
        self.toolbox = Toolbox(name=f"MCP server {name}")
        """Its tools, once it was entered."""

    async def __aenter__(self) -> Self:
        """Connect, and look at the tools."""
        try:
            await self.accept()
            self._check_pin()
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let go of the server."""
        await self._client.close()

    def _check_pin(self) -> None:
        if self._pin and self._pin != self.digest:
            raise ConfigError(
                f"MCP server {self.name!r} has other tools than were looked at (digest {self.digest[:12]}, pinned "
                f"{self._pin[:12]}): {', '.join(self._known)}; look at them, and pin the new digest"
            )

    @property
    def digest(self) -> str:
        """Of all tools as they were accepted, in hex; for `pin`."""
        found = [self._known[name].digest for name in sorted(self._known)]
        return McpTool("", "".join(found), {}).digest

    async def accept(self) -> tuple[str, ...]:
        """Take the tools as the server has them now, and return the names of those that are new, other or gone.

        Raises:
            ConfigError: The server cannot be reached.
        """
        now = {one.name: one for one in await self._client.tools()}
        changed = _changed(self._known, now)
        self._known = now
        self.toolbox = Toolbox((self._made(one) for one in now.values()), name=self.toolbox.name)
        return changed

    async def changes(self) -> tuple[str, ...]:
        """Return the names of tools that are new, other or gone since they were accepted.

        Raises:
            ConfigError: The server cannot be reached.
        """
        return _changed(self._known, {one.name: one for one in await self._client.tools()})

    def _made(self, one: McpTool) -> Tool:
        async def call(*, midstream_call: ToolContext, **arguments: Any) -> Any:
            return await self._call(one, midstream_call, arguments)

        async def described(midstream_call: ToolContext) -> Any:
            return await self._call(one, midstream_call, {})

        given: dict[str, Any] = {
            "effect": _effect(one),
            "confirm": _confirm(one),
            **self._options.get(one.name, {}),
        }
        editable = tuple(given.pop("editable", ()))
        name = f"{self.name}_{one.name}" if self._prefix else one.name
        made = make_tool(described, name=name, description=one.description, **given)
        properties = one.schema.get("properties", {})
        for parameter in editable:
            if parameter not in properties:
                raise ConfigError(
                    f"tool {name!r}: editable names {parameter!r}, but there is no such parameter"
                )
        return replace(
            made,
            function=call,
            schema=dict(one.schema),
            editable=editable,
            checks=_Checks(name, one.schema),
        )

    async def _call(self, one: McpTool, context: ToolContext, arguments: Mapping[str, Any]) -> Any:
        try:
            changed = await self.changes()
        except ConfigError as error:
            raise ToolError(str(error), tool=one.name, kind="mcp_server") from error
        if one.name in changed:
            raise ToolError(
                f"{one.name!r} of MCP server {self.name!r} is not what it was when it was accepted; "
                "somebody has to look at it and accept it",
                tool=one.name,
                kind="mcp_changed",
            )

        async def elicit(message: str, schema: Mapping[str, Any]) -> Any:
            wanted = {"anyOf": [dict(schema), {"type": "null"}]}
            return await context.ctx.ask(message, schema=wanted, show={"tool": one.name})

        return await self._client.call(one.name, arguments, elicit)


class _Checks:
    """Checks arguments against the schema that a server gave."""

    def __init__(self, name: str, schema: Mapping[str, Any]) -> None:
        self._name = name
        self._schema = schema

    def __call__(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        wrong = misfits(self._schema, dict(arguments), "arguments")
        if wrong:
            raise ToolError(
                f"the arguments of {self._name!r} do not fit: {'; '.join(wrong)}",
                tool=self._name,
                kind="bad_arguments",
            )
        return dict(arguments)


def _effect(one: McpTool) -> Effect:
    if one.read_only:
        return "read"
    return "idempotent" if one.idempotent else "unsafe"


def _confirm(one: McpTool) -> bool:
    return not one.read_only and one.destructive is not False


def _changed(before: Mapping[str, McpTool], now: Mapping[str, McpTool]) -> tuple[str, ...]:
    names = {*before, *now}
    return tuple(sorted(name for name in names if before.get(name) != now.get(name)))
