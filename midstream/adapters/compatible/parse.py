"""Answers of compatible servers: OpenAI's, but for what some count or name otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from midstream.adapters.answer import mapping, text, tokens
from midstream.adapters.base import ModelResponse
from midstream.adapters.compatible.profile import Profile
from midstream.adapters.compatible.thinking import parted
from midstream.adapters.openai.parse import parse as parse_openai
from midstream.adapters.openai.parse import wire_of
from midstream.adapters.wire import is_array, without_surrogates
from midstream.errors import UnavailableError
from midstream.events.payloads import FinishReason, Usage

_ENDS: Mapping[str, FinishReason] = {
    "eos": "stop",
    "eos_token": "stop",
    "stop_sequence": "stop",
    "model_length": "length",
}


def parse(data: Any, profile: Profile, model: str, names: Mapping[str, str]) -> ModelResponse:
    """Return the answer; see `midstream.adapters.openai.parse.parse`.

    Raises:
        MalformedAnswerError: There is no choice, no message, or no reason why it ended.
        UnavailableError: The reason why it ended is that the server failed.
    """
    choices = mapping(data).get("choices")
    choice = mapping(choices[0] if is_array(choices) and choices else None)
    reason = text(choice.get("finish_reason"))
    if reason in profile.failed:
        raise UnavailableError(
            f"{profile.provider} failed for {model!r}: its answer ended by {reason!r}",
            provider=profile.provider,
            model=model,
        )
    found = parse_openai(data, provider=profile.provider, model=model, names=names)
    finish = found.finish
    if finish == "other":
        finish = _ENDS.get(reason, finish)
    message = found.message
    if profile.tags is not None:
        raw = without_surrogates(mapping(choice.get("message")))
        wire, _ = wire_of(raw, found.response_id)
        message = parted(message, profile.tags, wire)
    usage = _usage(found.usage, mapping(data), profile)
    return replace(found, message=message, finish=finish, usage=usage)


def _usage(usage: Usage, data: Mapping[str, Any], profile: Profile) -> Usage:
    counts = mapping(data.get("usage"))
    if not counts:
        counts = mapping(mapping(data.get("x_groq")).get("usage"))
        usage = Usage(
            input_tokens=tokens(counts, "prompt_tokens"),
            output_tokens=tokens(counts, "completion_tokens"),
        )
    cached = tokens(counts, "prompt_cache_hit_tokens")  # of DeepSeek
    if cached and not usage.cache_read_tokens:
        usage = usage.model_copy(update={"cache_read_tokens": cached})
    if profile.reasoning_outside and usage.reasoning_tokens:
        whole = usage.output_tokens + usage.reasoning_tokens
        usage = usage.model_copy(update={"output_tokens": whole})
    return usage
