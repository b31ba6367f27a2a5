"""Asking a model once, outside of any run, and finding the JSON in what it answers."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from midstream.adapters.view import Segment
from midstream.engine.host import Host
from midstream.errors import CallTimeoutError
from midstream.events.content import user

_LONGEST = 50_000
_TRIES = 20


async def ask_once(
    host: Host, model: str, system: str, prompt: str, *, timeout: float = 120.0
) -> str:
    """Return what a model answers; nothing of it is recorded.

    Args:
        host: Knows who answers.
        model: `provider:model`.
        system: The instruction.
        prompt: What is asked.
        timeout: Seconds for the whole answer.

    Raises:
        AdapterError: The provider refused or failed.
        ConfigError: Nobody answers for the model.
    """
    await host.providers.ready(model)
    adapter, name = host.providers.adapter(model)
    view = adapter.render(adapter.begin(name), Segment(0, (user(prompt),), system))
    try:
        async with asyncio.timeout(timeout):
            response = await adapter.complete(adapter.request(view, {}))
    except TimeoutError as error:
        message = f"no whole answer within {timeout} s"
        raise CallTimeoutError(message, provider=adapter.provider, model=name) from error
    return response.message.text


def json_in(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in a text, fenced or not, or None; a text of any length takes bounded work."""
    decoder = json.JSONDecoder()
    text = text[:_LONGEST]
    place = -1
    for _ in range(_TRIES):
        place = text.find("{", place + 1)
        if place < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found  # pyright: ignore[reportUnknownVariableType]  # JSON: its keys are text
    return None
