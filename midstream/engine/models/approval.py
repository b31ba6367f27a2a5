"""Having a person approve a tool call: asked before its intent is recorded, so that what was not approved is not in flight."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue

from midstream.engine.people.people import Answered, Wish, confirm
from midstream.engine.recording.calls import Desk, shown
from midstream.engine.tools.tool import Tool
from midstream.errors import ToolError
from midstream.events.ids import Address


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a tool call that somebody was asked about.

    Attributes:
        arguments: What the tool is to be called with.
        edited: The arguments that were changed.
        refusal: What the caller or the model is told, or empty where the call was approved.
    """

    arguments: Mapping[str, Any]
    edited: tuple[str, ...] = ()
    refusal: str = ""


def question_of(address: str) -> Address:
    """Return the address of the question about a tool call."""
    return Address(f"{address}/confirm#1")


async def approved(
    desk: Desk, tool: Tool, arguments: Mapping[str, Any], address: Address, lane: str
) -> Verdict:
    """Ask a person about a call, where its tool wants that, and return what is to be done.

    Raises:
        ToolError: The tool's own function that says whether somebody is to be asked raised something.
    """
    place = question_of(address)
    if desk.call(place) is None and not await _wanted(tool, arguments):
        return Verdict(arguments)
    shown: JsonValue = {"tool": tool.name, "arguments": dict(arguments)}
    asked = Wish(
        "edit" if tool.editable else "confirm",
        f"Call {tool.name}?",
        shown,
        editable_schema(tool),
        tool.editable,
        tool.confirm_timeout,
    )
    answer = await confirm(desk, asked, place, lane)
    if not answer.approved:
        return Verdict(arguments, refusal=_refusal(tool, answer))
    changed = answer.arguments or {}
    return Verdict({**arguments, **changed}, tuple(sorted(changed)))


async def _wanted(tool: Tool, arguments: Mapping[str, Any]) -> bool:
    try:
        tool.check(arguments)
    except ToolError:
        return False  # nobody is asked about a call that cannot be made; its caller is told why
    if not callable(tool.confirm):
        return tool.confirm
    try:
        said = tool.confirm(arguments)
        return bool(await said if inspect.isawaitable(said) else said)
    except Exception as error:  # it is user code; what it raises must not be taken for approval
        raise ToolError(
            f"whether somebody is to approve {tool.name!r} could not be told: {shown(error)}",
            tool=tool.name,
            kind=type(error).__name__,
        ) from error


def editable_schema(tool: Tool) -> Mapping[str, JsonValue] | None:
    """Return JSON Schema of the arguments that may be changed, or None where none may."""
    if not tool.editable:
        return None
    properties: Any = tool.schema.get("properties", {})
    kept: dict[str, JsonValue] = {name: properties[name] for name in tool.editable}
    schema: dict[str, JsonValue] = {
        "type": "object",
        "properties": kept,
        "additionalProperties": False,
    }
    return {**schema, "$defs": tool.schema["$defs"]} if "$defs" in tool.schema else schema


def _refusal(tool: Tool, answer: Answered) -> str:
    if answer.expired:
        return f"the call of {tool.name!r} was not approved: nobody answered in time"
    who = answer.by or "a person"
    why = f": {answer.remark}" if answer.remark is not None else ""
    return f"{who} refused the call of {tool.name!r}{why}"
