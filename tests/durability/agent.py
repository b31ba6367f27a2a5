"""An agent with parallel tools, one that reads, one unsafe, and one unsafe that a person approves and may change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midstream import RETRY_CALL, Message, Tool, ToolContext, UnknownCall, tool
from midstream.events.content import ToolCall, ToolResult, assistant

from .world import World

TOLD = "look here; dig here; pay there"
"""What it says in the end, where the person has changed the place."""


def tools_of(world: World) -> list[Tool]:
    """Return a tool that reads, an unsafe one, and an unsafe one that a person approves and may change."""

    async def look(place: str, ctx: ToolContext) -> str:
        await world.act("look", ctx.key, ctx.attempt)
        return f"look {place}"

    async def dig(place: str, ctx: ToolContext) -> str:
        await world.act("dig", ctx.key, ctx.attempt)
        return f"dig {place}"

    async def pay(place: str, ctx: ToolContext) -> str:
        await world.act("pay", ctx.key, ctx.attempt)
        return f"pay {place}"

    async def find_out(unknown: UnknownCall) -> Any:
        done = world.did(unknown.key)
        return f"{unknown.tool} {unknown.arguments['place']}" if done else RETRY_CALL

    return [
        tool(effect="read")(look),
        tool(effect="unsafe", on_unknown=find_out)(dig),
        tool(effect="unsafe", on_unknown=find_out, confirm=True, editable=["place"])(pay),
    ]


def model(world: World) -> Any:
    async def answer(messages: Sequence[Message]) -> Message:
        await world.act("model", str(len(messages)))
        if messages[-1].role == "user":
            names = ("look", "dig", "pay")
            calls = (ToolCall(id=n, name=n, arguments='{"place":"here"}') for n in names)
            return assistant("all at once", *calls)
        results = [part for part in messages[-1].parts if isinstance(part, ToolResult)]
        return assistant("; ".join(part.text.rpartition("\n")[2] for part in results))

    return answer
