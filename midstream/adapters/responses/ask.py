"""How to ask: the settings of a request in the words of Responses, and that nothing is kept on the server.

`include` asks for reasoning in the encrypted form that can be sent back; a model that does not reason refuses it.
Source: developers.openai.com/api/reference, Responses; recorded 400s for what reasoning models refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midstream.adapters.base import Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.openai.ask import json_schema
from midstream.adapters.output import OutputSchema, told
from midstream.adapters.responses.offers import Offers, Tool
from midstream.adapters.responses.render import Teller
from midstream.adapters.settings import Wishes
from midstream.events.payloads import Change

LEAST_OUTPUT = 16
"""`Expected a value >= 16`."""


def asked(
    settings: Settings, telling: Teller, model: str, family: Family
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the settings as the model takes them, and what was dropped or put into range for that."""
    wishes = Wishes(settings, family.capabilities.settings, model)
    body: dict[str, Any] = {"store": False}
    if family.capabilities.reasoning:
        body["include"] = ["reasoning.encrypted_content"]
    effort = wishes.effort(family.efforts)
    if effort is not None:
        body["reasoning"] = {"effort": effort}
    if "default_none" in family.traits and effort not in (None, "none"):
        for name in ("temperature", "top_p"):
            if settings.get(name) is not None:
                wishes.drop(name, f"{model} does not take it while it reasons")
    limit = wishes.integer("max_tokens", LEAST_OUTPUT, family.capabilities.max_output)
    if limit is not None:
        body["max_output_tokens"] = limit
        _warned(wishes, limit, effort, family)
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = wishes.number(name, 0, high)
        if value is not None:
            body[name] = value
    _choices(wishes, telling, body)
    wanted = wishes.output()
    if wanted is not None:
        _output(wanted, wishes, telling, family, body)
    return body, tuple(wishes.changes)


def _warned(wishes: Wishes, limit: int, effort: str | None, family: Family) -> None:
    silent = effort == "none" or (effort is None and "default_none" in family.traits)
    if family.capabilities.reasoning and not silent:
        wishes.tight(limit)


def _output(
    wanted: OutputSchema, wishes: Wishes, telling: Teller, family: Family, body: dict[str, Any]
) -> None:
    """Say what the answer must be, in the way that holds the model most."""
    how = family.capabilities.structured
    if wanted.schema is None and family.capabilities.tools:
        body["text"] = {"format": {"type": "json_object"}}
        if not telling.speaks_of(b"json"):  # the service refuses to be asked without the word
            wishes.note("output_as_text", f"{wanted.name!r} is told in words, too")
            telling.tell(told(wanted))
    elif how == "native":
        body["text"] = {"format": {"type": "json_schema", **json_schema(wanted, wishes)}}
    elif how == "tool" and family.capabilities.tools:
        name = telling.ask_by_tool(wanted)
        about = {"description": wanted.description} if wanted.description else {}
        tool = {"name": name, **about, "parameters": wanted.object_schema, "strict": False}
        tools: list[dict[str, Any]] = telling.head.get("tools") or []
        telling.set_head("tools", [*tools, {"type": "function", **tool}])
        body["tool_choice"] = "required" if tools else {"type": "function", "name": name}
    else:
        wishes.note("output_as_text", f"{wanted.name!r} is told in words")
        telling.tell(told(wanted))


def _choices(wishes: Wishes, telling: Teller, body: dict[str, Any]) -> None:
    """Say which tools may be called; without tools there is nothing to say."""
    offers = Offers.of(telling.state)
    told: list[dict[str, Any]] = telling.head.get("tools") or []
    parallel, choice = wishes.flag("parallel_tool_calls"), wishes.text("tool_choice")
    tools = offers.all(told)
    if not tools and choice not in (None, "auto", "none"):
        wishes.note("setting_mapped", f"tool_choice={choice!r} without tools says nothing")
        choice = None
    if not told:
        return
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    if not offers.sayable:
        gone = ", ".join(offers.withheld)
        wishes.note("setting_mapped", f"that {gone} may not be called cannot be said here")
    named = choice not in (None, "auto", "none", "required")
    if named:
        chosen = _named(telling.aliases.get(str(choice), str(choice)), told, offers)
        if chosen is not None:
            body["tool_choice"] = chosen
            return
        wishes.note("setting_mapped", f"tool_choice={choice!r} cannot be named; left to the model")
    if choice == "none":
        body["tool_choice"] = choice
    elif choice in ("auto", "required") or offers.offered is not None:
        mode = offers.choice("required" if choice == "required" else "auto")
        if mode != "auto" or choice == "auto":
            body["tool_choice"] = mode


def _named(name: str, told: Sequence[Tool], offers: Offers) -> dict[str, Any] | None:
    """Return `tool_choice` for one tool, or None where there is no such tool at the beginning."""
    if name in offers.withheld:
        return None
    kind = next((tool["type"] for tool in told if tool.get("name") == name), None)
    return {"type": kind, "name": name} if kind in ("function", "custom") else None
