"""Speaking to an MCP server: its tools, and calling them; needs the extra `midstream[mcp]`.

A client opens cancel scopes, so it lives in a task of its own, which opens and closes it. One that died is begun anew by the
next call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import orjson

from midstream.errors import ConfigError, ToolError
from midstream.events.content import Audio, Document, Image, ResultPart, Text

Elicit = Callable[[str, Mapping[str, Any]], Awaitable[Any]]
"""Asks a person for what a server wants to know: a message and a JSON Schema; None stands for a refusal."""

PATIENCE = 30.0
"""Seconds in which a server has to say what it offers."""
_ELICIT: ContextVar[Elicit | None] = ContextVar("midstream_mcp_elicit", default=None)


@dataclass(frozen=True, slots=True)
class McpTool:
    """What a server says of one of its tools.

    Attributes:
        name: Its name.
        description: For a model.
        schema: JSON Schema of its arguments.
        read_only: It changes nothing; None where nothing is said.
        destructive: It may destroy something; None where nothing is said.
        idempotent: Calling it again with the same arguments changes nothing more; None where nothing is said.
    """

    name: str
    description: str
    schema: Mapping[str, Any]
    read_only: bool | None = None
    destructive: bool | None = None
    idempotent: bool | None = None

    @property
    def digest(self) -> str:
        """sha256 of what a model is told of it, in hex: another one means that it is another tool."""
        told = (self.name, self.description, self.schema)
        return sha256(orjson.dumps(told, option=orjson.OPT_SORT_KEYS)).hexdigest()


class McpClient:
    """One server.

    Args:
        target: The address of an HTTP server, the parameters of a stdio server, or a server object in this process.
        name: Of the server, for messages.
        mode: As the SDK's client takes it: `auto`, `legacy`, or a version of the protocol.
        timeout: Seconds in which it has to be there and to list its tools; how long a tool may take is the tool's to say.
    """

    def __init__(
        self, target: Any, name: str, mode: str = "auto", timeout: float = PATIENCE
    ) -> None:
        self.name = name
        self._timeout = timeout
        self._target = target
        self._mode = mode
        self._task: asyncio.Task[None] | None = None
        self._client: asyncio.Future[Any] | None = None
        self._closing = asyncio.Event()
        self._elicits: list[Elicit] = []

    async def tools(self) -> tuple[McpTool, ...]:
        """Return what the server offers now.

        Raises:
            ConfigError: It cannot be reached.
        """
        try:
            async with asyncio.timeout(self._timeout):
                client = await self._ready()
                listed = await client.list_tools(cache_mode="bypass")
        except TimeoutError as error:
            await self.close()
            raise ConfigError(
                f"MCP server {self.name!r} cannot be reached: no answer within {self._timeout} s; "
                "start it, check its address, or give a longer timeout="
            ) from error
        except Exception as error:  # a transport raises what it likes
            await self.close()
            raise ConfigError(
                f"MCP server {self.name!r} cannot be reached: {_said(error)}; start it, or check its address"
            ) from error
        return tuple(_tool(one) for one in listed.tools)

    async def call(
        self, name: str, arguments: Mapping[str, Any], elicit: Elicit
    ) -> tuple[ResultPart, ...]:
        """Call a tool and return its result.

        Raises:
            ToolError: It failed, or the server did.
        """
        token = _ELICIT.set(elicit)
        self._elicits.append(elicit)
        try:
            client = await self._ready()
            result = await client.call_tool(name, dict(arguments))
        except Exception as error:  # a transport raises what it likes
            await self.close()
            raise ToolError(
                f"MCP server {self.name!r} failed while it ran {name!r}: {_said(error)}",
                tool=name,
                kind="mcp_server",
            ) from error
        finally:
            self._elicits.remove(elicit)
            _ELICIT.reset(token)
        parts = tuple(_part(block) for block in result.content)
        if result.is_error:
            text = "".join(part.text for part in parts if isinstance(part, Text))
            raise ToolError(text or f"{name!r} failed", tool=name, kind="mcp_tool")
        return parts

    async def close(self) -> None:
        """Let go of the server; a stdio server ends."""
        task, self._task, self._client = self._task, None, None
        if task is None:
            return
        self._closing.set()
        await asyncio.wait([task], timeout=5)
        if not task.done():
            task.cancel()
            await asyncio.wait([task])

    async def _ready(self) -> Any:
        if self._task is None or self._task.done() or self._client is None:
            self._closing = asyncio.Event()
            self._client = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._live(self._client, self._closing))
        return await asyncio.shield(self._client)

    async def _live(self, ready: asyncio.Future[Any], closing: asyncio.Event) -> None:
        try:
            from mcp import Client  # an extra: only where it is used
        except ImportError:
            ready.set_exception(ConfigError("MCP needs the extra: pip install 'midstream[mcp]'"))
            return
        try:
            async with Client(
                self._target, mode=self._mode, elicitation_callback=self._elicited
            ) as client:
                ready.set_result(client)
                await closing.wait()
        except BaseException as error:
            cancelled = isinstance(error, asyncio.CancelledError)
            if cancelled:
                ready.cancel()
                raise
            if not ready.done():
                ready.set_exception(error)

    async def _elicited(self, context: Any, params: Any) -> Any:
        from mcp.types import ElicitResult

        elicit = _ELICIT.get() or (self._elicits[-1] if self._elicits else None)
        schema: Mapping[str, Any] | None = getattr(params, "requested_schema", None)
        if elicit is None or schema is None:  # an address to visit is nothing that a run can do
            return ElicitResult(action="decline")
        answer = await elicit(params.message, schema)
        if answer is None:
            return ElicitResult(action="decline")
        return ElicitResult(action="accept", content=answer)


def _tool(one: Any) -> McpTool:
    hints = one.annotations
    return McpTool(
        one.name,
        one.description or "",
        one.input_schema,
        None if hints is None else hints.read_only_hint,
        None if hints is None else hints.destructive_hint,
        None if hints is None else hints.idempotent_hint,
    )


def _part(block: Any) -> ResultPart:
    match block.type:
        case "text":
            return Text(text=block.text)
        case "image":
            return Image(media_type=block.mime_type, data=block.data)
        case "audio":
            return Audio(media_type=block.mime_type, data=block.data)
        case "resource_link":
            kind = block.mime_type or "application/octet-stream"
            return Document(media_type=kind, url=str(block.uri), name=block.name)
        case _:
            return _resource(block.resource)


def _resource(resource: Any) -> ResultPart:
    kind = resource.mime_type or "application/octet-stream"
    text = getattr(resource, "text", None)
    if text is not None:
        return Text(text=text)
    return Document(media_type=kind, data=resource.blob, name=str(resource.uri))


def _said(error: BaseException) -> str:
    """Return what went wrong; of a group, the first thing."""
    found: Any = error
    while hasattr(found, "exceptions"):
        found = found.exceptions[0]
    return f"{type(found).__name__}: {found}"
