"""How to ask: the settings of a request in the words of Chat Completions.

Source: developers.openai.com/api/reference, Chat Completions; recorded 400s for what reasoning models refuse.
"""

from __future__ import annotations

from typing import Any

from midstream.adapters.base import Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.openai.render import Teller
from midstream.adapters.output import OutputSchema, adapted, told
from midstream.adapters.schema_rules import OPENAI
from midstream.adapters.settings import Wishes
from midstream.adapters.wire import is_object
from midstream.events.payloads import Change


def asked(
    settings: Settings,
    telling: Teller,
    model: str,
    family: Family,
    *,
    stops: int | None = 4,
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the settings as the model takes them, and what was dropped or put into range for that."""
    wishes = Wishes(settings, family.capabilities.settings, model)
    body: dict[str, Any] = {}
    tools: list[dict[str, Any]] = telling.head.get("tools") or []
    effort = wishes.effort(family.efforts)
    if effort not in (None, "none") and tools and "tools_without_effort" in family.traits:
        wishes.drop("reasoning_effort", f"{model} takes none together with tools")
        effort = None
    if effort is not None:
        body["reasoning_effort"] = effort
    if "default_none" in family.traits and effort not in (None, "none"):
        for name in ("temperature", "top_p", "stop"):
            if settings.get(name) is not None:
                wishes.drop(name, f"{model} does not take it while it reasons")
    limit = wishes.integer("max_tokens", 1, family.capabilities.max_output)
    if limit is not None:
        completion = "completion_limit" in family.traits
        body["max_completion_tokens" if completion else "max_tokens"] = limit
        if completion and effort != "none" and not ("default_none" in family.traits and not effort):
            wishes.tight(limit)
    _sampling(wishes, body, stops)
    _choices(wishes, telling, tools, body)
    wanted = wishes.output()
    if wanted is not None:
        _output(wanted, wishes, telling, family, body)
    return body, tuple(wishes.changes)


def _output(
    wanted: OutputSchema, wishes: Wishes, telling: Teller, family: Family, body: dict[str, Any]
) -> None:
    """Say what the answer must be, in the way that holds the model most."""
    how = family.capabilities.structured
    if wanted.schema is None and family.capabilities.tools:
        body["response_format"] = {"type": "json_object"}
        if not telling.speaks_of(b"json"):  # the service refuses to be asked without the word
            wishes.note("output_as_text", f"{wanted.name!r} is told in words, too")
            telling.tell(told(wanted))
    elif how == "native":
        form = {"type": "json_schema", "json_schema": json_schema(wanted, wishes)}
        body["response_format"] = form
    elif how == "tool" and family.capabilities.tools:
        name = telling.ask_by_tool(wanted)
        about = {"description": wanted.description} if wanted.description else {}
        function = {"name": name, **about, "parameters": wanted.object_schema}
        tools: list[dict[str, Any]] = telling.head.get("tools") or []
        telling.set_head("tools", [*tools, {"type": "function", "function": function}])
        chosen = {"type": "function", "function": {"name": name}}
        body["tool_choice"] = "required" if tools else chosen
    else:
        wishes.note("output_as_text", f"{wanted.name!r} is told in words")
        telling.tell(told(wanted))


def json_schema(wanted: OutputSchema, wishes: Wishes) -> dict[str, Any]:
    """Return the form as OpenAI takes it, held to where it can be; says what was changed."""
    made: dict[str, Any] = {"name": wanted.name}
    if wanted.description:
        made["description"] = wanted.description
    found = wanted.lowered(OPENAI)
    if found is not None:
        if found.changed:
            wishes.note("output_schema_adapted", adapted(wanted, found))
        return {**made, "schema": found.schema, "strict": True}
    if wanted.strict:
        wishes.note("strict_dropped", f"of the answer {wanted.name!r}")
        return {**made, "schema": wanted.object_schema, "strict": False}
    strict = {} if wanted.strict is None else {"strict": False}
    return {**made, "schema": dict(wanted.schema or {}), **strict}


def _sampling(wishes: Wishes, body: dict[str, Any], most: int | None) -> None:
    for name, high in (("temperature", 2), ("top_p", 1)):
        value = wishes.number(name, 0, high)
        if value is not None:
            body[name] = value
    seed = wishes.integer("seed", -(2**63), 2**63 - 1)
    if seed is not None:
        body["seed"] = seed
    stops = wishes.stops(most, blank=True)
    if stops:
        body["stop"] = stops


def _choices(
    wishes: Wishes, telling: Teller, tools: list[dict[str, Any]], body: dict[str, Any]
) -> None:
    """Say which tools may be called; without tools there is nothing to say, and the service refuses it."""
    parallel, choice = wishes.flag("parallel_tool_calls"), wishes.text("tool_choice")
    if not tools:
        if choice not in (None, "auto", "none"):
            wishes.note("setting_mapped", f"tool_choice={choice!r} without tools says nothing")
        return
    if parallel is not None:
        body["parallel_tool_calls"] = parallel
    if choice is None:
        return
    if choice in ("auto", "none", "required"):
        body["tool_choice"] = choice
        return
    name = telling.aliases.get(choice, choice)
    kind = next((tool["type"] for tool in tools if _name(tool) == name), None)
    if kind is not None:
        body["tool_choice"] = {"type": kind, kind: {"name": name}}
    else:
        wishes.note("setting_mapped", f"tool_choice={choice!r} is no tool; left to the model")


def _name(tool: dict[str, Any]) -> str | None:
    """Return the name of a tool of the caller: one of arguments, or one of free text."""
    about = tool.get(tool["type"])
    return about.get("name") if is_object(about) else None
