"""A wire format as a set of pure functions: enough to convert, without an SDK and without a key."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from importlib import import_module
from typing import Any, Protocol

from midstream.adapters.base import Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.imported import Imported
from midstream.adapters.view import Segment, View
from midstream.errors import ConfigError

NAMES: Mapping[str, str] = {
    "openai-chat": "midstream.adapters.openai.wire_format",
    "openai-responses": "midstream.adapters.responses.wire_format",
    "anthropic": "midstream.adapters.anthropic.wire_format",
    "gemini": "midstream.adapters.gemini.wire_format",
}
"""Where each wire format is, imported only when it is asked for."""


class Assembling(Protocol):
    """A streamed answer while it comes."""

    def add(self, event: Any) -> list[Delta]:
        """Take one event and return what it adds for a reader."""
        ...

    def whole(self) -> dict[str, Any]:
        """Return the answer as it would have come in one piece."""
        ...


class Dialect(Protocol):
    """One wire format."""

    @property
    def provider(self) -> str:
        """Whose format it is, as in a model's name."""
        ...

    @property
    def model(self) -> str:
        """What is asked where nobody names a model."""
        ...

    @property
    def streams(self) -> bool:
        """A field `stream` of a request asks for a stream; elsewhere the address does."""
        ...

    def read(self, body: Mapping[str, Any]) -> Imported:
        """Return what a request says."""
        ...

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        ...

    def render_all(self, view: View, segments: Iterable[Segment]) -> View:
        """Render segments one after the other; `changes` has those of all of them."""
        ...

    def requested(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        ...

    def conversation(self, view: View) -> dict[str, Any]:
        """Return the fields of a request that hold the view, and nothing that a request would add to it."""
        ...

    def assembly(self) -> Assembling:
        """Return what puts a streamed answer together."""
        ...

    def parse(self, data: Any, model: str) -> ModelResponse:
        """Return a whole answer of the model."""
        ...


def default_model(provider: str) -> str:
    """Return the model that a provider is asked for where nobody names one.

    Raises:
        ConfigError: No wire format of this release is of that provider.
    """
    for name in NAMES:
        with suppress(ConfigError):
            if dialect(name).provider == provider:
                return dialect(name).model
    raise ConfigError(
        f"provider {provider!r} has no usual model; name one, as in '{provider}:MODEL'"
    )


@cache
def dialect(name: str) -> Dialect:
    """Return the wire format of the name.

    Raises:
        ConfigError: There is none of that name, or not in this release.
    """
    if name not in NAMES:
        raise ConfigError(f"dialect {name!r} is not known; known are: {', '.join(sorted(NAMES))}")
    try:
        module = import_module(NAMES[name])
    except ModuleNotFoundError as error:
        if error.name is None or not NAMES[name].startswith(error.name):
            raise
        raise ConfigError(f"dialect {name!r} is not in this release of midstream") from error
    found: Dialect = module.FORMAT
    return found
