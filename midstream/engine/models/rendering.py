"""Adapters for looking at what was: those there are, and stand-ins for providers that are not known here."""

from __future__ import annotations

from midstream.adapters.base import Adapter
from midstream.adapters.scripted import ScriptedAdapter
from midstream.engine.providers import Providers
from midstream.errors import ConfigError


class Rendering(Providers):
    """Adapters that only render; for providers that are not known here, one that renders nothing that could be compared.

    Args:
        known: The adapters that there are.
    """

    def __init__(self, known: Providers) -> None:
        super().__init__()
        self._known = known
        self._unknown: dict[str, Adapter] = {}

    async def ready(self, model: str) -> None:
        """See `Providers.ready`."""
        try:
            await self._known.ready(model)
        except ConfigError:
            self.adapter(model)  # or it is not even a name

    def adapter(self, model: str) -> tuple[Adapter, str]:
        """See `Providers.adapter`."""
        try:
            return self._known.adapter(model)
        except ConfigError:
            provider, colon, name = model.rpartition(":")
            if not colon:
                raise
            if provider not in self._unknown:
                self._unknown[provider] = ScriptedAdapter({}, provider=provider)
            return self._unknown[provider], name

    def viewed(self, model: str) -> bool:
        """Say whether views for a model can be compared."""
        self.adapter(model)
        return model.rpartition(":")[0] not in self._unknown
