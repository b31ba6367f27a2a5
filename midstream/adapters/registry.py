"""From a model's name to the adapter that can ask it: `openai:gpt-4o` is model `gpt-4o` of provider `openai`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module

from midstream.adapters.base import Adapter
from midstream.errors import ConfigError

Factory = Callable[[], Adapter]

_COMPATIBLE = (
    *("mistral", "deepseek", "groq", "openrouter", "xai"),
    *("ollama", "vllm", "llamacpp", "compatible"),
)

KNOWN: Mapping[str, str] = {
    "anthropic": "midstream.adapters.anthropic:AnthropicAdapter",
    "gemini": "midstream.adapters.gemini:GeminiAdapter",
    "openai": "midstream.adapters.openai:OpenAIAdapter",
    "openai-responses": "midstream.adapters.responses:ResponsesAdapter",
    **{name: f"midstream.adapters.compatible:{name}" for name in _COMPATIBLE},
}
"""The adapters of this release, by provider: where each is, imported only when it is asked for."""


def split(name: str, known: Mapping[str, object] = KNOWN) -> tuple[str, str]:
    """Return the provider and the model of a name; the model may hold further colons.

    Args:
        name: As in `openai:gpt-4o`.
        known: The providers there are, by name.

    Raises:
        ConfigError: The name has no provider, no model, or a provider that is not known.
    """
    listed = ", ".join(sorted(known)) or "none"
    provider, colon, model = name.partition(":")
    if not colon or not provider or not model:
        raise ConfigError(
            f"model {name!r} does not say whose it is; write 'provider:model', "
            f"as in 'openai:gpt-4o'; known providers are: {listed}"
        )
    if provider not in known:
        raise ConfigError(
            f"model {name!r} is of provider {provider!r}, which is not known; known are: {listed}; "
            "give the engine an adapter of that name to add one"
        )
    return provider, model


def resolve(name: str, known: Mapping[str, str] = KNOWN) -> tuple[Factory, str]:
    """Return what makes the adapter for the name, and the model's name without its provider.

    Args:
        name: As in `openai:gpt-4o`.
        known: Where the adapters are, as `module:class`, by provider.

    Raises:
        ConfigError: See `split`.
    """
    provider, model = split(name, known)
    return _factory(known[provider]), model


def make_adapter(provider: str, known: Mapping[str, str] = KNOWN) -> Adapter:
    """Return a new adapter of the provider, with its key and address from the environment.

    Args:
        provider: As in a model's name.
        known: Where the adapters are, as `module:class`, by provider.

    Raises:
        ConfigError: There is no such provider.
    """
    if provider not in known:
        raise ConfigError(
            f"provider {provider!r} is not known; known are: {', '.join(sorted(known))}; "
            "hand the engine an adapter of that name to add one"
        )
    return _factory(known[provider])()


def _factory(place: str) -> Factory:
    module, _, attribute = place.partition(":")
    factory: Factory = getattr(import_module(module), attribute)
    return factory
