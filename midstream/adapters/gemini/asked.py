"""How a request of Gemini asks, in neutral words, and what has none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from midstream.adapters.answer import mapping, text
from midstream.adapters.gemini.declared import json_schema
from midstream.adapters.gemini.parts import camel
from midstream.adapters.output import SETTING
from midstream.adapters.wire import is_array, is_object

NAMES: Mapping[str, str] = {
    "temperature": "temperature",
    "topP": "top_p",
    "maxOutputTokens": "max_tokens",
    "stopSequences": "stop",
    "seed": "seed",
}
_CHOICES: Mapping[str, str] = {"AUTO": "auto", "ANY": "required", "NONE": "none"}
BUDGETS: Mapping[str, int] = {"minimal": 512, "low": 1_024, "medium": 8_192, "high": 24_576}
"""Tokens to think with. Source: ai.google.dev/gemini-api/docs/openai, thinking."""
_MODEL_SAYS = ("model", "contents", "systemInstruction")


def settings_of(body: Mapping[str, Any]) -> tuple[dict[str, JsonValue], dict[str, Any]]:
    """Return the settings of a request, and the fields that they do not say, as the service spells them."""
    left = {key: value for key, value in camel(body).items() if key not in _MODEL_SAYS}
    config = camel(left.pop("generationConfig", None))
    settings: dict[str, JsonValue] = {}
    for key, name in NAMES.items():
        value = config.pop(key, None)
        if value is not None:
            settings[name] = value
    thinking = camel(config.get("thinkingConfig"))
    effort = _effort(thinking)
    if effort:
        settings["reasoning_effort"] = effort
    if effort or not thinking:
        config.pop("thinkingConfig", None)
    wanted = _output(config)
    if wanted is not None:
        settings[SETTING] = wanted
    choice, rest = _choice(camel(left.pop("toolConfig", None)))
    if choice:
        settings["tool_choice"] = choice
    besides = {**left, "generationConfig": config, "toolConfig": rest}
    return settings, {key: value for key, value in besides.items() if value not in (None, {}, [])}


def _output(config: dict[str, Any]) -> dict[str, JsonValue] | None:
    """Take what an answer must be out of the fields, or leave them where neutral words cannot say it."""
    if config.get("responseMimeType") != "application/json":
        return None
    schema = config.get("responseJsonSchema")
    given = json_schema(config.get("responseSchema")) if schema is None else schema
    if given is not None and not is_object(given):
        return None
    for key in ("responseMimeType", "responseJsonSchema", "responseSchema"):
        config.pop(key, None)
    return {"name": "answer"} if given is None else {"name": "answer", "schema": given}


def _effort(thinking: Mapping[str, Any]) -> str:
    """Return how much the model is to think; a budget of tokens as the nearest level that `ask` gives one for."""
    level = text(thinking.get("thinkingLevel")).lower()
    if level in BUDGETS:
        return level
    budget = thinking.get("thinkingBudget")
    if not isinstance(budget, int) or budget < 0:  # -1 leaves it to the model
        return ""
    if budget == 0:
        return "none"
    return next((name for name, most in BUDGETS.items() if budget <= most), "high")


def _choice(config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return which tools may be called, and what of the field neutral words cannot say."""
    calling = camel(config.get("functionCallingConfig"))
    mode, names = text(calling.get("mode")).upper(), calling.get("allowedFunctionNames")
    named = [name for name in names if isinstance(name, str)] if is_array(names) else []
    rest = {key: value for key, value in config.items() if key != "functionCallingConfig"}
    if mode == "ANY" and len(named) == 1:
        return named[0], rest
    if mode in _CHOICES and not named:
        return _CHOICES[mode], rest
    whole = mapping(config.get("functionCallingConfig"))
    return "", {**rest, "functionCallingConfig": dict(whole)} if whole else rest
