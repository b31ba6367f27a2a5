"""What is done where a conversation is too long for its model: said by a call, a run, a graph or an engine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from pydantic import JsonValue

from midstream.errors import ConfigError

How = Literal["fail", "trim", "summarise"]

INSTRUCTION = (
    "Summarise the conversation below for somebody who has to go on with it and will not see it. Keep what was asked for, "
    "what was decided and why, every fact, name, number and identifier that may still be needed, what was tried and failed, "
    "and what is open. Write no introduction."
)
"""What a model is asked where it summarises."""


@dataclass(frozen=True, slots=True)
class ContextPolicy:
    """What is done where a conversation is too long for its model.

    Attributes:
        how: `fail` raises `ContextWindowError` before anything is asked; `trim` tells a short notice in the place of the
            oldest outputs of tools; `summarise` has a model summarise the beginning, and tells that in its place.
        window: Tokens that the conversation and the answer must fit into; None takes what is known of the model, and where
            nothing is, only a refusal of the provider counts.
        fill: To what part of the window the conversation is cut down, so that not each turn cuts again.
        keep: How many of the newest exchanges are told as they were, if at all possible.
        model: Who summarises, as `provider:model`; empty for the model that is asked.
        lasting: Every model is told the rest only, from the cut on. Otherwise a model that the conversation is not too long
            for is told all of it.
    """

    how: How = "fail"
    window: int | None = None
    fill: float = 0.5
    keep: int = 2
    model: str = ""
    lasting: bool = False

    def __post_init__(self) -> None:
        if self.how not in get_args(How):
            raise ConfigError(
                f"context {self.how!r} is none of {', '.join(map(repr, get_args(How)))}"
            )
        if not 0 < self.fill < 1:
            raise ConfigError(f"context: fill must be between 0 and 1, not {self.fill!r}")
        if self.keep < 0 or (self.window is not None and self.window < 1):
            raise ConfigError("context: keep must be 0 or more, and window 1 or more")

    def data(self) -> dict[str, JsonValue]:
        """Return the policy as it is recorded: what differs from the defaults, and how."""
        found = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {one.name: one.default for one in fields(self)}
        return {k: v for k, v in found.items() if k == "how" or v != plain[k]}


ContextOption = How | ContextPolicy
"""How a policy is given: by its name, or with its details."""


def context_policy(given: ContextOption | Mapping[str, Any] | None) -> ContextPolicy | None:
    """Return the policy that is meant, or None for none.

    Raises:
        ConfigError: It is none.
    """
    if given is None or isinstance(given, ContextPolicy):
        return given
    if isinstance(given, str):
        return ContextPolicy(given)
    return ContextPolicy(**given) if given else None
