"""Whom a node's configuration names as its model: by a wrapper, a group, a pool or a client, in that order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.errors import GraphError

_WRAPPERS = (
    ("llm_wrapper", ""),
    ("task_group", "group"),
    ("polling_pool", "pool"),
    ("llm_client", ""),
)


def model_of(config: Mapping[str, Any]) -> str:
    """Return the model that a node's configuration names, or an empty text for the engine's default.

    `llm_wrapper` wins over `task_group`, that over `polling_pool`, and that over `llm_client`.

    Args:
        config: As in `{"task_group": "fast", "llm_client": "openai:gpt-4o"}`.
    """
    for key, kind in _WRAPPERS:
        name = str(config.get(key) or "")
        if name:
            return f"{kind}:{name}" if kind and not name.startswith(f"{kind}:") else name
    return ""


def model_named(where: str, options: dict[str, Any]) -> str:
    """Take whatever names a model out of a node's options, and return the model.

    Raises:
        GraphError: It is named in two ways.
    """
    model = str(options.pop("model", "") or "")
    config = {key: options.pop(key) for key, _ in _WRAPPERS if key in options}
    if not config:
        return model
    found = model_of(config)
    if model and found:
        named = next(key for key, value in config.items() if value)
        raise GraphError(
            f"{where} names its model twice: model={model!r} and {named}={config[named]!r}; leave one away"
        )
    return model or found
