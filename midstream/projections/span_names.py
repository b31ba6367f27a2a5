"""What OpenTelemetry calls things, by edition of its conventions, and what facts say in these words.

The conventions of GenAI left the main repository after version 1.41 and have been renamed in part since, so the names are
kept here and not taken from a package of constants, all of which are marked as deprecated.
Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/ (1.41), and for `latest`
https://github.com/open-telemetry/semantic-conventions-genai
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

Edition = Literal["1.41", "latest", "both"]
"""Which names: those that were published last, those of the repository that goes on, or both side by side."""

Value = str | bool | int | float | Sequence[str]
"""What an attribute may be."""

SCHEMA_URL = "https://opentelemetry.io/schemas/1.41.0"
"""The edition that most names are of."""

RENAMED: Mapping[str, str] = {
    "gen_ai.usage.cache_creation.input_tokens": "gen_ai.usage.cache_write.input_tokens",
}
"""Names of 1.41 that `latest` has others for."""

_PROVIDERS: Mapping[str, str] = {
    "openai-responses": "openai",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "xai": "x_ai",
}
"""Ours that the conventions have another name for."""

_SETTINGS: Mapping[str, str] = {
    "max_tokens": "gen_ai.request.max_tokens",
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}

_USAGE: Mapping[str, str] = {
    "input_tokens": "gen_ai.usage.input_tokens",
    "output_tokens": "gen_ai.usage.output_tokens",
    "cache_read_tokens": "gen_ai.usage.cache_read.input_tokens",
    "cache_write_tokens": "gen_ai.usage.cache_creation.input_tokens",
    "reasoning_tokens": "gen_ai.usage.reasoning.output_tokens",
}


def named(attributes: Mapping[str, Value], edition: Edition) -> dict[str, Value]:
    """Return attributes of 1.41 by the names of an edition."""
    if edition == "1.41":
        return dict(attributes)
    found = {RENAMED.get(name, name): value for name, value in attributes.items()}
    return found if edition == "latest" else {**attributes, **found}


def asked(data: Mapping[str, Any]) -> dict[str, Value]:
    """Return what `model.requested` says."""
    provider, _, model = str(data["model"]).partition(":")
    found: dict[str, Value] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(provider, provider),
        "gen_ai.request.model": model,
    }
    settings: Mapping[str, Any] = data.get("settings") or {}
    for name, value in settings.items():
        if name in _SETTINGS and isinstance(value, int | float) and not isinstance(value, bool):
            found[_SETTINGS[name]] = value
    stop: Any = settings.get("stop")
    if stop:
        found["gen_ai.request.stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
    if "output_schema" in settings:
        found["gen_ai.output.type"] = "json"
    optional = {
        "midstream.thread": data.get("thread"),
        "midstream.purpose": data.get("purpose"),
        "midstream.asked": data.get("asked"),
    }
    return found | {name: value for name, value in optional.items() if value}


def answered(data: Mapping[str, Any]) -> dict[str, Value]:
    """Return what `model.responded` says."""
    found: dict[str, Value] = {"gen_ai.response.finish_reasons": [data.get("finish", "stop")]}
    for name, key in (
        ("gen_ai.response.id", "response_id"),
        ("gen_ai.response.model", "served"),
    ):
        if data.get(key):
            found[name] = data[key]
    usage: Mapping[str, int] = data.get("usage") or {}
    for key, name in _USAGE.items():
        if key in ("input_tokens", "output_tokens") or usage.get(key):
            found[name] = usage.get(key, 0)
    if data.get("cost"):
        found["midstream.cost.amount"] = float(data["cost"]["amount"])
        found["midstream.cost.currency"] = data["cost"].get("currency", "USD")
    return found


def counted(changes: Sequence[Mapping[str, Any]]) -> dict[str, Value]:
    """Return how many losses and repairs there are."""
    losses = sum(change.get("severity") == "loss" for change in changes)
    return {"midstream.losses": losses, "midstream.repairs": len(changes) - losses}


def flat(data: Mapping[str, Any], prefix: str, names: Sequence[str]) -> dict[str, Value]:
    """Return some fields of a fact, where they say something, as attributes of ours."""
    found: dict[str, Value] = {}
    for name in names:
        value: Any = data.get(name)
        if isinstance(value, bool | int | float) or (isinstance(value, str) and value):
            found[f"{prefix}.{name}"] = value
    return found
