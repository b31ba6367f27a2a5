"""How a call can fail, and what follows from it: one table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from midstream.adapters.base import ModelResponse
from midstream.errors import (
    AdapterError,
    AuthenticationError,
    BadOutputError,
    BadRequestError,
    CallTimeoutError,
    ConnectionFailedError,
    ContextWindowError,
    MalformedAnswerError,
    OutputError,
    OverloadedError,
    PermanentError,
    QuotaError,
    RateLimitError,
    RefusedError,
    UnavailableError,
)

Kind = Literal[
    "rate_limited",
    "overloaded",
    "timeout",
    "server_error",
    "auth",
    "quota",
    "context_too_long",
    "refused",
    "bad_output",
    "bad_request",
]
"""The kinds of failure that routing tells apart."""

KINDS: tuple[Kind, ...] = get_args(Kind)
"""All of them."""

OK = "ok"
ABANDONED = "abandoned"

Effect = Literal["counts", "opens", "alive", "none"]


@dataclass(frozen=True, slots=True)
class Rule:
    """What follows from a kind of failure.

    Attributes:
        again: The same endpoint may be asked again in the same request.
        falls: Others are asked, whatever the group says; else only where its `fall_on` names the kind.
        breaker: `counts` towards opening; `opens` it at once; shows that the endpoint is `alive`.
        bigger: Only others with a larger context window are asked.
    """

    again: bool
    falls: bool
    breaker: Effect
    bigger: bool = False


TABLE: Mapping[Kind, Rule] = {
    "rate_limited": Rule(again=True, falls=True, breaker="none"),
    "overloaded": Rule(again=True, falls=True, breaker="counts"),
    "timeout": Rule(again=True, falls=True, breaker="counts"),
    "server_error": Rule(again=True, falls=True, breaker="counts"),
    "auth": Rule(again=False, falls=True, breaker="opens"),
    "quota": Rule(again=False, falls=True, breaker="opens"),
    "context_too_long": Rule(again=False, falls=True, breaker="alive", bigger=True),
    "refused": Rule(again=False, falls=False, breaker="alive"),
    "bad_output": Rule(again=False, falls=False, breaker="alive"),
    "bad_request": Rule(again=False, falls=False, breaker="alive"),
}
"""The rule for each kind. A limit of rate says neither that an endpoint is well nor that it is not: it only asks for time."""

ALIVE = frozenset(kind for kind, rule in TABLE.items() if rule.breaker == "alive")
"""Kinds that show that an endpoint is well."""

_KIND_OF: tuple[tuple[type[AdapterError], Kind], ...] = (
    (RateLimitError, "rate_limited"),
    (OverloadedError, "overloaded"),
    (CallTimeoutError, "timeout"),
    (UnavailableError, "server_error"),
    (ConnectionFailedError, "server_error"),
    (MalformedAnswerError, "server_error"),
    (AuthenticationError, "auth"),
    (QuotaError, "quota"),
    (ContextWindowError, "context_too_long"),
    (RefusedError, "refused"),
    (BadOutputError, "bad_output"),
    (OutputError, "bad_output"),
    (BadRequestError, "bad_request"),
)


def kind_of(error: AdapterError) -> Kind:
    """Return the kind of a failure, by its class; a transient one that is no other is a `server_error`."""
    for class_, kind in _KIND_OF:
        if isinstance(error, class_):
            return kind
    return "bad_request" if isinstance(error, PermanentError) else "server_error"


def refuses(response: ModelResponse) -> bool:
    """Say whether the model declined to answer, or a filter stopped it."""
    return response.finish in ("refusal", "content_filter")
