"""How to ask: the settings of a request in the words of Gemini.

Source: ai.google.dev/api/generate-content#generationconfig and ai.google.dev/gemini-api/docs/thinking.
"""

from __future__ import annotations

from typing import Any

from midstream.adapters.base import Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.gemini.asked import BUDGETS
from midstream.adapters.gemini.declared import tools_of
from midstream.adapters.gemini.render import Teller
from midstream.adapters.output import OutputSchema, told
from midstream.adapters.settings import Wishes
from midstream.adapters.wire import is_array
from midstream.events.payloads import Change

_LEAST_PRO = 128
"""Tokens that Gemini 2.5 Pro thinks with at least; it cannot be told not to."""
_STOPS = 5
_SEED = 2**31


def asked(
    settings: Settings, telling: Teller, model: str, family: Family
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the settings as the model takes them, and what was dropped or put into range for that."""
    wishes = Wishes(settings, family.capabilities.settings, model)
    config: dict[str, Any] = {}
    for name, key, high in (("temperature", "temperature", 2), ("top_p", "topP", 1)):
        value = wishes.number(name, 0, high)
        if value is not None:
            config[key] = value
    limit = wishes.integer("max_tokens", 1, family.capabilities.max_output)
    if limit is not None:
        config["maxOutputTokens"] = limit
    stops = wishes.stops(_STOPS, blank=True)
    if stops:
        config["stopSequences"] = stops
    seed = wishes.integer("seed", -_SEED, _SEED - 1)
    if seed is not None:
        config["seed"] = seed
    thinking = _thinking(wishes.effort(family.efforts), family)
    if thinking:
        config["thinkingConfig"] = thinking
        if settings.get("reasoning_effort") != "none":
            wishes.tight(limit)
    body: dict[str, Any] = {"generationConfig": config} if config else {}
    choice = _choice(wishes, telling)
    if choice:
        body["toolConfig"] = {"functionCallingConfig": choice}
    wanted = wishes.output()
    if wanted is not None:
        _output(wanted, wishes, telling, family, body)
    return body, tuple(wishes.changes)


def _output(
    wanted: OutputSchema, wishes: Wishes, telling: Teller, family: Family, body: dict[str, Any]
) -> None:
    """Say what the answer must be, in the way that holds the model most; before Gemini 3 a form and tools exclude each other."""
    tools = telling.head.get("tools")
    can = family.capabilities
    if can.structured == "native" and (not tools or "levels" in family.traits):
        form = {} if wanted.schema is None else {"responseJsonSchema": wanted.object_schema}
        config = {"responseMimeType": "application/json", **form}
        body["generationConfig"] = {**body.get("generationConfig", {}), **config}
    elif wanted.schema is not None and can.tools and can.structured != "text":
        name = telling.ask_by_tool(wanted)
        about = {"description": wanted.description} if wanted.description else {}
        function = {"name": name, **about, "parametersJsonSchema": wanted.object_schema}
        listed: list[Any] = tools if is_array(tools) else [tools] if tools else []
        telling.set_head("tools", [*listed, {"functionDeclarations": [function]}])
        body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY"}}
    else:
        wishes.note("output_as_text", f"{wanted.name!r} is told in words")
        telling.tell(told(wanted))


def _thinking(effort: str | None, family: Family) -> dict[str, Any]:
    if effort is None:
        return {}
    if "levels" in family.traits:
        return {"thinkingLevel": effort.upper()}
    least = _LEAST_PRO if "always_thinks" in family.traits else 0
    budget = least if effort == "minimal" and least else BUDGETS.get(effort, 0)
    return {"thinkingBudget": budget}


def _choice(wishes: Wishes, telling: Teller) -> dict[str, Any] | None:
    """Return which tools may be called; without functions there is nothing to say."""
    wanted = wishes.text("tool_choice")
    names = {tool.name for tool in tools_of(telling.head.get("tools")) if not tool.hosted}
    if not names:
        if wanted not in (None, "auto", "none"):
            wishes.note("setting_mapped", f"tool_choice={wanted!r} without tools says nothing")
        return None
    if wanted is None:
        return None
    if wanted in ("auto", "none", "required"):
        return {"mode": {"auto": "AUTO", "none": "NONE", "required": "ANY"}[wanted]}
    name = telling.aliases.get(wanted, wanted)
    if name in names:
        return {"mode": "ANY", "allowedFunctionNames": [name]}
    wishes.note("setting_mapped", f"tool_choice={wanted!r} is no tool; left to the model")
    return None
