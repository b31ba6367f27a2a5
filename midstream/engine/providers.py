"""Which adapter answers for a model's name; adapters are made once, when a run first asks for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from midstream.adapters.base import Adapter
from midstream.adapters.scripted import Script, ScriptedAdapter
from midstream.errors import ConfigError

Maker = Callable[[str], Adapter]
"""Makes the adapter of a provider, or raises `ConfigError`."""


class Providers:
    """Adapters by provider.

    Args:
        adapters: Those that were handed in.
        scripts: Scripted answers by model, with or without its provider; with any, no provider is ever called.
    """

    def __init__(
        self,
        adapters: Mapping[str, Adapter] | None = None,
        *,
        scripts: Mapping[str, Script] | None = None,
    ) -> None:
        self._adapters: dict[str, Adapter] = dict(adapters or {})
        self._scripts = None if scripts is None else dict(scripts)

    @property
    def scripted(self) -> bool:
        """Answers are scripted, and a model's name needs no provider."""
        return self._scripts is not None

    async def ready(self, model: str) -> None:
        """Make the adapter of a model in a thread, where that has not been done: loading a vendor's SDK takes its time.

        Raises:
            ConfigError: See `adapter`.
        """
        provider, colon, _ = model.partition(":")
        if colon and self._scripts is None and provider not in self._adapters:
            made = await asyncio.to_thread(self._made, provider)
            self._adapters.setdefault(provider, made)

    def adapter(self, model: str) -> tuple[Adapter, str]:
        """Return who answers for `provider:model`, and the model's name without the provider.

        Raises:
            ConfigError: The name has no provider, or one that nobody answers for.
        """
        provider, colon, name = model.partition(":")
        if not colon:
            if self._scripts is None:
                raise ConfigError(
                    f"model {model!r} names no provider; write it as 'openai:gpt-4o' or 'anthropic:claude-sonnet-4-5'"
                    if model
                    else "no model is named: pass model= to the call, the node, the run, or the engine"
                )
            provider, name = "scripted", model
        found = self._adapters.get(provider)
        if found is None:
            found = self._adapters[provider] = self._made(provider)
        return found, name

    def _made(self, provider: str) -> Adapter:
        if self._scripts is not None:
            own = {
                model.partition(":")[2] or model: script
                for model, script in self._scripts.items()
                if model.partition(":")[0] in (provider, model)
            }
            return ScriptedAdapter(own, provider=provider)
        from midstream.adapters.registry import make_adapter  # vendors only where they are used

        return make_adapter(provider)

    async def close(self) -> None:
        """Close every adapter."""
        for adapter in self._adapters.values():
            await adapter.close()
        self._adapters.clear()
