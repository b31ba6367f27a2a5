"""Asking a model once, outside of the conversations of runs."""

from __future__ import annotations

import asyncio

from midstream.adapters.view import Segment
from midstream.engine.providers import Providers
from midstream.errors import CallTimeoutError
from midstream.events.content import user


async def ask_once(
    providers: Providers, model: str, system: str, prompt: str, *, timeout: float = 120.0
) -> str:
    """Return what a model answers; nothing of it is recorded.

    Args:
        providers: Who answers.
        model: `provider:model`.
        system: The instruction.
        prompt: What is asked.
        timeout: Seconds for the whole answer.

    Raises:
        AdapterError: The provider refused or failed.
        ConfigError: Nobody answers for the model.
    """
    await providers.ready(model)
    adapter, name = providers.adapter(model)
    view = adapter.render(adapter.begin(name), Segment(0, (user(prompt),), system))
    try:
        async with asyncio.timeout(timeout):
            response = await adapter.complete(adapter.request(view, {}))
    except TimeoutError as error:
        message = f"no whole answer within {timeout} s"
        raise CallTimeoutError(message, provider=adapter.provider, model=name) from error
    return response.message.text
