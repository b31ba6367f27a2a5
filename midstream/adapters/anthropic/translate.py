"""Failures of the Anthropic SDK to ours, one table.

The service gives no code for a conversation that is too long: it is a 400 of type `invalid_request_error` like many others.
It is taken for one where the estimate of what was sent is near the window of the model, see `NEAR`.
Source: `anthropic._exceptions` and its subclasses in `anthropic.types`, platform.claude.com/docs/en/api/errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.failures import BODY, TRANSPORT, Call, Kind, by_name, made, of_status
from midstream.adapters.wire import is_object
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

NEAR = 0.7
"""The part of the window from which on a refused request counts as too long; the estimate is that rough."""

CLASSES: Mapping[str, Kind] = {
    "AnthropicError": PermanentError,
    "APIError": UnavailableError,
    "APIStatusError": UnavailableError,  # its status decides
    "BadRequestError": BadRequestError,
    "AuthenticationError": AuthenticationError,
    "PaymentRequiredError": QuotaError,
    "PermissionDeniedError": AuthenticationError,
    "NotFoundError": BadRequestError,
    "RequestTimeoutError": CallTimeoutError,
    "ConflictError": TransientError,
    "PreconditionFailedError": BadRequestError,
    "ContentTooLargeError": BadRequestError,
    "RequestTooLargeError": BadRequestError,
    "UnprocessableEntityError": BadRequestError,
    "RateLimitError": RateLimitError,
    "ContractSpendLimitReachedError": QuotaError,
    "EnforcedSpendLimitReachedError": QuotaError,
    "RequestHeaderFieldsTooLargeError": BadRequestError,
    "ClientClosedRequestError": TransientError,
    "InternalServerError": UnavailableError,  # its status decides
    "HTTPNotImplementedError": UnavailableError,
    "ServiceUnavailableError": OverloadedError,
    "GatewayTimeoutError": UnavailableError,
    "DeadlineExceededError": UnavailableError,
    "OverloadedError": OverloadedError,
    "APIConnectionError": ConnectionFailedError,
    "APITimeoutError": CallTimeoutError,
    "APIResponseValidationError": MalformedAnswerError,
    "APIWebhookValidationError": PermanentError,
    "RetryableError": TransientError,
    "CredentialsError": AuthenticationError,
    "IdentityTokenFileError": AuthenticationError,
    "WorkloadIdentityError": AuthenticationError,
    "MutuallyExclusiveAuthError": AuthenticationError,
    "MissingDependencyError": PermanentError,
    "StreamAlreadyConsumed": PermanentError,
    "ToolsetUsageError": PermanentError,  # of the SDK's own tool loop, which is not used
}
"""By the name of the class or of the nearest one it derives from; the newest SDK has some fifty leaves for single causes."""

TYPES: Mapping[str, Kind] = {
    "invalid_request_error": BadRequestError,
    "authentication_error": AuthenticationError,
    "billing_error": QuotaError,
    "permission_error": AuthenticationError,
    "not_found_error": BadRequestError,
    "request_too_large": BadRequestError,
    "rate_limit_error": RateLimitError,
    "timeout_error": UnavailableError,
    "api_error": UnavailableError,
    "overloaded_error": OverloadedError,
    "conflict_error": TransientError,
}
"""The type in the body, which decides where an error comes in the middle of an answer that began with 200."""

_BY_STATUS = frozenset(("APIStatusError", "InternalServerError", "HTTPStatusError"))


def translate(error: BaseException, call: Call) -> AdapterError | None:
    """Return our error for one of the SDK or of what lies below it; None where it is none of them."""
    kind = by_name(error, CLASSES, BODY, TRANSPORT)
    if kind is None:
        return None
    type_ = _type(error)
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None and status < 400:
        kind = TYPES.get(type_, UnavailableError) if hasattr(error, "body") else kind
    elif status is not None and type(error).__name__ in _BY_STATUS:
        kind = of_status(status)
    if type_ == "billing_error":
        kind = QuotaError
    if status == 400 and type_ == "invalid_request_error" and call.near_the_window(NEAR):
        kind = ContextWindowError
    return made(kind, error, call, _code(error) or type_)


def _type(error: BaseException) -> str:
    found = _error(error).get("type")
    return found if isinstance(found, str) else ""


def _code(error: BaseException) -> str:
    found = getattr(error, "error_code", None)
    return found if isinstance(found, str) else ""


def _error(error: BaseException) -> Mapping[str, Any]:
    body: Any = getattr(error, "body", None)
    found: Any = body.get("error") if is_object(body) else None
    return found if is_object(found) else {}
