"""Failures of the google-genai SDK to ours, one table.

Source: `google.genai.errors`; ai.google.dev/gemini-api/docs/troubleshooting; google.rpc.Code and google/rpc/error_details.proto.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.answer import mapping, text
from midstream.adapters.failures import BODY, TRANSPORT, Call, Kind, by_name, made, of_status
from midstream.adapters.wire import is_array, is_object
from midstream.errors import (
    AdapterError,
    AuthenticationError,
    BadRequestError,
    CallTimeoutError,
    ConnectionFailedError,
    ContextWindowError,
    MalformedAnswerError,
    OverloadedError,
    PermanentError,
    QuotaError,
    RateLimitError,
    TransientError,
    UnavailableError,
)

CLASSES: Mapping[str, Kind] = {
    "APIError": UnavailableError,  # bare for statuses that are neither 4xx nor 5xx
    "ClientError": BadRequestError,  # its status decides
    "ServerError": UnavailableError,  # its status decides
    "UnknownApiResponseError": MalformedAnswerError,
    "UnknownFunctionCallArgumentError": PermanentError,  # of the SDK's own calling, not used
    "UnsupportedFunctionError": PermanentError,
    "FunctionInvocationError": PermanentError,
    "ContinuationInterruptedError": ConnectionFailedError,  # of another API of the SDK, not used
    "TimeoutError": CallTimeoutError,
    "ConnectionError": ConnectionFailedError,
}

AIOHTTP: Mapping[str, Kind] = {
    "ClientError": ConnectionFailedError,
    "ServerTimeoutError": CallTimeoutError,
    "ContentTypeError": MalformedAnswerError,
    "ClientPayloadError": ConnectionFailedError,
    "InvalidURL": PermanentError,
    "NonHttpUrlClientError": PermanentError,
    "TooManyRedirects": PermanentError,
    "ClientConnectorCertificateError": PermanentError,
    "ClientConnectorSSLError": ConnectionFailedError,
}
"""Where aiohttp is installed, the SDK sends with it; a class that is not here is of its nearest ancestor's kind."""

STATUSES: Mapping[str, Kind] = {
    "CANCELLED": TransientError,
    "UNKNOWN": UnavailableError,
    "INVALID_ARGUMENT": BadRequestError,
    "DEADLINE_EXCEEDED": CallTimeoutError,
    "NOT_FOUND": BadRequestError,
    "ALREADY_EXISTS": BadRequestError,
    "PERMISSION_DENIED": AuthenticationError,
    "UNAUTHENTICATED": AuthenticationError,
    "RESOURCE_EXHAUSTED": RateLimitError,
    "FAILED_PRECONDITION": BadRequestError,
    "ABORTED": TransientError,
    "OUT_OF_RANGE": BadRequestError,
    "UNIMPLEMENTED": BadRequestError,
    "INTERNAL": UnavailableError,
    "UNAVAILABLE": OverloadedError,
    "DATA_LOSS": UnavailableError,
}
"""By the name of the error; an HTTP status that says otherwise about trying again wins."""

REASONS: Mapping[str, Kind] = {
    "API_KEY_INVALID": AuthenticationError,
    "API_KEY_SERVICE_BLOCKED": AuthenticationError,
    "API_KEY_HTTP_REFERRER_BLOCKED": AuthenticationError,
    "API_KEY_IP_ADDRESS_BLOCKED": AuthenticationError,
    "ACCESS_TOKEN_EXPIRED": AuthenticationError,
    "SERVICE_DISABLED": AuthenticationError,
    "CONSUMER_SUSPENDED": AuthenticationError,
    "BILLING_DISABLED": QuotaError,
}
"""By the reason in the error's details: a key that is wrong comes as 400 `INVALID_ARGUMENT`."""

NEAR = 0.75
"""Of the window: an argument that is refused near it, by our estimate, is refused for its length; no code says so."""
_DELAY = re.compile(r"(\d+(?:\.\d+)?)s")


def translate(error: BaseException, call: Call) -> AdapterError | None:
    """Return our error for one of the SDK or of what lies below it; None where it is none of them."""
    own = {**CLASSES, **AIOHTTP} if _package(error) == "aiohttp" else CLASSES
    kind = by_name(error, own, BODY, TRANSPORT)
    if kind is None:
        return None
    found = _error(error)
    code, name = getattr(error, "code", None), text(found.get("status"))
    status = code if isinstance(code, int) else None
    if status is not None and found:
        kind = _of(status, name, found)
    if name == "INVALID_ARGUMENT" and kind is BadRequestError and call.near_the_window(NEAR):
        kind = ContextWindowError
    ours = made(kind, error, call, _reason(found) or name)
    ours.status = ours.status or status
    if isinstance(ours, TransientError) and ours.retry_after is None:
        ours.retry_after = _retry_delay(found)
    return ours


def _of(status: int, name: str, error: Mapping[str, Any]) -> Kind:
    reason = _reason(error)
    if reason in REASONS:
        return REASONS[reason]
    by_status = of_status(status)
    kind = STATUSES.get(name, by_status)
    return (
        kind
        if issubclass(kind, TransientError) == issubclass(by_status, TransientError)
        else by_status
    )


def _error(error: BaseException) -> Mapping[str, Any]:
    details = mapping(getattr(error, "details", None))
    inner = details.get("error")
    return inner if is_object(inner) else details


def _details(error: Mapping[str, Any], kind: str) -> Iterator[Mapping[str, Any]]:
    given = error.get("details")
    for item in given if is_array(given) else ():
        if text(mapping(item).get("@type")).endswith(f"google.rpc.{kind}"):
            yield mapping(item)


def _reason(error: Mapping[str, Any]) -> str:
    return next((text(item.get("reason")) for item in _details(error, "ErrorInfo")), "")


def _retry_delay(error: Mapping[str, Any]) -> float | None:
    """Return how long the service asks to wait, in seconds: `retryDelay` is a text such as `34.07s`."""
    for item in _details(error, "RetryInfo"):
        found = _DELAY.fullmatch(text(item.get("retryDelay")))
        if found:
            return float(found[1])
    return None


def _package(error: BaseException) -> str:
    return type(error).__module__.partition(".")[0]
