"""How to ask: the settings of a request in the words of Messages.

`max_tokens` is required there. Sampling settings do not exist in version 2026-10-21 of the API. Effort is told as adaptive
thinking, or to models from before it as a budget of tokens.
Source: platform.claude.com/docs, extended-thinking, adaptive-thinking and tool-use; the SDK's request types.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from midstream.adapters.anthropic.render import Teller
from midstream.adapters.base import Settings
from midstream.adapters.capabilities import Family
from midstream.adapters.output import OutputSchema, adapted, told
from midstream.adapters.schema_rules import ANTHROPIC
from midstream.adapters.settings import Wishes
from midstream.events.payloads import Change

DEFAULT_MAX_TOKENS = 16_384
"""What is asked for where the caller does not say, or the most that the model gives."""
_UNKNOWN_MAX_TOKENS = 8_192  # of a model that no family names
_BUDGETS = {"low": 1_024, "medium": 4_096, "high": 16_384}
_LEAST_BUDGET = 1_024


def asked(
    settings: Settings, telling: Teller, model: str, family: Family
) -> tuple[dict[str, Any], tuple[Change, ...]]:
    """Return the settings as the model takes them, and what was dropped or put into range for that."""
    wishes = Wishes(settings, family.capabilities.settings, model)
    body: dict[str, Any] = {"max_tokens": _limit(wishes, family)}
    stops = wishes.stops(None, blank=False)
    if stops:
        body["stop_sequences"] = stops
    effort = wishes.effort(family.efforts)
    if effort is not None and "adaptive" in family.traits:
        body |= _adaptive(effort)
    elif effort in _BUDGETS:
        budget = _budget(_BUDGETS[effort], settings, wishes, telling, family, body)
        if budget:
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
    thinks = body.get("thinking", {}).get("type") == "enabled"
    if "thinking" in body:
        wishes.tight(body["max_tokens"])
    choice = _choice(wishes, telling, forced=not (thinks or "unforced" in family.traits))
    if choice:
        body["tool_choice"] = choice
    wanted = wishes.output()
    if wanted is not None:
        _output(wanted, wishes, telling, family, body)
    return body, tuple(wishes.changes)


def _output(
    wanted: OutputSchema, wishes: Wishes, telling: Teller, family: Family, body: dict[str, Any]
) -> None:
    """Say what the answer must be, in the way that holds the model most; one that thinks cannot be made to call a tool."""
    found = wanted if wanted.strict else replace(wanted, strict=True)  # it knows no other way
    lowered = found.lowered(ANTHROPIC)
    how = family.capabilities.structured
    forced = how != "text" and "unforced" not in family.traits and "thinking" not in body
    if lowered is not None and how == "native":
        if lowered.changed:
            wishes.note("output_schema_adapted", adapted(wanted, lowered))
        form = {"type": "json_schema", "schema": lowered.schema}
        body["output_config"] = {**body.get("output_config", {}), "format": form}
    elif wanted.schema is not None and forced:
        name = telling.ask_by_tool(wanted)
        about = {"description": wanted.description} if wanted.description else {}
        tool = {"name": name, **about, "input_schema": wanted.object_schema}
        tools: list[dict[str, Any]] = telling.head.get("tools") or []
        telling.set_head("tools", [*tools, tool])
        chosen: dict[str, Any] = {"type": "any"} if tools else {"type": "tool", "name": name}
        if body.get("tool_choice", {}).get("disable_parallel_tool_use"):
            chosen["disable_parallel_tool_use"] = True
        body["tool_choice"] = chosen
    else:
        wishes.note("output_as_text", f"{wanted.name!r} is told in words")
        telling.tell_before(told(wanted))


def _limit(wishes: Wishes, family: Family) -> int:
    most = family.capabilities.max_output
    known = family.capabilities.context_window is not None
    default = min(most or DEFAULT_MAX_TOKENS, DEFAULT_MAX_TOKENS if known else _UNKNOWN_MAX_TOKENS)
    return wishes.integer("max_tokens", 1, most) or default


def _adaptive(effort: str) -> dict[str, Any]:
    if effort == "none":
        return {}
    return {"thinking": {"type": "adaptive"}, "output_config": {"effort": effort}}


def _budget(
    budget: int,
    settings: Settings,
    wishes: Wishes,
    telling: Teller,
    family: Family,
    body: dict[str, Any],
) -> int:
    """Return the tokens to think with, below the limit of the answer, or 0 where the model must not think now."""
    if telling.state.get("unthought", False):
        wishes.suspend("the open tool loop was begun without this model's reasoning")
        return 0
    if settings.get("max_tokens") is None:
        most = family.capabilities.max_output or budget + body["max_tokens"]
        body["max_tokens"] = min(most, budget + body["max_tokens"])
    if budget < body["max_tokens"]:
        return budget
    if body["max_tokens"] <= _LEAST_BUDGET:
        wishes.drop("reasoning_effort", f"max_tokens leaves no {_LEAST_BUDGET} tokens to think")
        return 0
    wishes.note("setting_clamped", f"{budget} tokens to think become {body['max_tokens'] - 1}")
    return int(body["max_tokens"]) - 1


def _choice(wishes: Wishes, telling: Teller, *, forced: bool) -> dict[str, Any] | None:
    """Return which tools may be called; without tools there is nothing to say, and the service refuses it."""
    parallel, wanted = wishes.flag("parallel_tool_calls"), wishes.text("tool_choice")
    tools: list[dict[str, Any]] = telling.head.get("tools") or []
    if not tools:
        if wanted not in (None, "auto", "none"):
            wishes.note("setting_mapped", f"tool_choice={wanted!r} without tools says nothing")
        return None
    if wanted == "none":
        return {"type": "none"}
    choice: dict[str, Any] = {"type": "auto"}
    if wanted not in (None, "auto"):
        name = telling.aliases.get(wanted, wanted)
        if not forced:
            wishes.note(
                "setting_mapped", f"tool_choice={wanted!r} is left to the model, which refuses it"
            )
        elif wanted == "required":
            choice = {"type": "any"}
        elif any(tool.get("name") == name for tool in tools):
            choice = {"type": "tool", "name": name}
        else:
            wishes.note("setting_mapped", f"tool_choice={wanted!r} is no tool; left to the model")
    if parallel is False:
        choice["disable_parallel_tool_use"] = True
    return choice if wanted is not None or parallel is False else None
