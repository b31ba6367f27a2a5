"""The adapters of endpoints: made when they are first asked, shared by whoever has the same key and place."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

from midstream.adapters.base import Adapter
from midstream.adapters.registry import KNOWN, resolve
from midstream.adapters.routing.route import Endpoint
from midstream.errors import ConfigError

_Place = tuple[str, str | None, str | None, float | None]


class Connections:
    """Adapters by endpoint.

    Args:
        adapters: Those that were handed in, by endpoint or provider; they stay the caller's to close.
        env: Where keys are; None for the environment of the process.
    """

    def __init__(
        self, adapters: Mapping[str, Adapter] | None = None, env: Mapping[str, str] | None = None
    ) -> None:
        self._given = dict(adapters or {})
        self._made: dict[_Place, Adapter] = {}
        self._env = env

    def providers(self) -> tuple[str, ...]:
        """Return the providers there are."""
        return tuple(dict.fromkeys((*KNOWN, *self._given)))

    def adapter(self, endpoint: Endpoint) -> Adapter:
        """Return who speaks to an endpoint.

        Raises:
            ConfigError: Its key is not set, or it needs a key or a place and its provider was handed in.
        """
        given = self._given.get(endpoint.name) or self._given.get(endpoint.provider)
        if given is not None:
            return given
        place = _place(endpoint)
        found = self._made.get(place)
        if found is None:
            found = self._made[place] = self._make(endpoint)
        return found

    def made(self, endpoint: Endpoint) -> bool:
        """Say whether there is one already."""
        given = endpoint.name in self._given or endpoint.provider in self._given
        return given or _place(endpoint) in self._made

    def _make(self, endpoint: Endpoint) -> Adapter:
        env = os.environ if self._env is None else self._env
        options: dict[str, object] = {}
        if endpoint.key_env is not None:
            key = env.get(endpoint.key_env)
            if not key:
                raise ConfigError(
                    f"endpoints.{endpoint.name}: {endpoint.key_env} is not set in the environment; export it, "
                    "or name another variable as key_env"
                )
            options["api_key"] = key
        if endpoint.base_url is not None:
            options["base_url"] = endpoint.base_url
        if endpoint.manner.timeout.connect is not None:
            options["connect"] = endpoint.manner.timeout.connect
        factory, _ = resolve(endpoint.full_model)
        return factory(**options)

    async def keep(self, endpoints: Collection[Endpoint]) -> None:
        """Close what none of these needs any more."""
        needed = {_place(endpoint) for endpoint in endpoints}
        for place in [place for place in self._made if place not in needed]:
            await self._made.pop(place).close()

    async def close(self) -> None:
        """Close what was made here."""
        await self.keep(())


def _place(endpoint: Endpoint) -> _Place:
    return (endpoint.provider, endpoint.key_env, endpoint.base_url, endpoint.manner.timeout.connect)
