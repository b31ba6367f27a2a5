"""Failures of the OpenAI SDK to ours, one table.

Source: `openai._exceptions`, and the error codes of developers.openai.com/api/docs/guides/error-codes.
"""

from __future__ import annotations

from collections.abc import Mapping

from midstream.adapters.failures import BODY, TRANSPORT, Call, Kind, by_name, made, of_status
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
    UnavailableError,
)

CLASSES: Mapping[str, Kind] = {
    "OpenAIError": PermanentError,
    "APIError": UnavailableError,  # bare only for an error event in a stream
    "APIStatusError": UnavailableError,  # its status decides
    "BadRequestError": BadRequestError,
    "AuthenticationError": AuthenticationError,
    "OAuthError": AuthenticationError,
    "PermissionDeniedError": AuthenticationError,
    "NotFoundError": BadRequestError,
    "ConflictError": UnavailableError,  # its status decides
    "UnprocessableEntityError": BadRequestError,
    "RateLimitError": RateLimitError,
    "InternalServerError": UnavailableError,  # its status decides
    "APIConnectionError": ConnectionFailedError,
    "APITimeoutError": CallTimeoutError,
    "APIResponseValidationError": MalformedAnswerError,
    "LengthFinishReasonError": MalformedAnswerError,  # of the SDK's own parsing, which is not used
    "ContentFilterFinishReasonError": PermanentError,
    "SubjectTokenProviderError": AuthenticationError,
    "InvalidWebhookSignatureError": PermanentError,
    "WebSocketConnectionClosedError": ConnectionFailedError,
    "WebSocketQueueFullError": ConnectionFailedError,
    "MutuallyExclusiveAuthError": AuthenticationError,
    "MissingDependencyError": PermanentError,
    "StreamAlreadyConsumed": PermanentError,
    "APIRemovedInV1": PermanentError,
    "AgentFilePreparationError": PermanentError,  # of the SDK's own agents, which are not used
    "AgentFileStagingError": PermanentError,
    "AgentOutputParseError": PermanentError,
    "AgentTurnResultError": PermanentError,
    "_AmbiguousModuleClientUsageError": PermanentError,
}

CODES: Mapping[str, Kind] = {
    "context_length_exceeded": ContextWindowError,
    "insufficient_quota": QuotaError,
    "billing_hard_limit_reached": QuotaError,
    "billing_not_active": QuotaError,
    "rate_limit_exceeded": RateLimitError,
    "server_overloaded": OverloadedError,
    "overloaded_error": OverloadedError,
    "server_error": UnavailableError,
    "invalid_api_key": AuthenticationError,
    "invalid_request_error": BadRequestError,
}
"""Codes and types that decide, whatever the status: 429 stands for an empty account as well as for haste."""

_BY_STATUS = frozenset(("APIStatusError", "ConflictError", "InternalServerError"))


def translate(error: BaseException, call: Call) -> AdapterError | None:
    """Return our error for one of the SDK or of what lies below it; None where it is none of them."""
    kind = by_name(error, CLASSES, BODY, TRANSPORT)
    if kind is None:
        return None
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    if status is not None and type(error).__name__ in _BY_STATUS | {"HTTPStatusError"}:
        kind = of_status(status)
    codes = [str(getattr(error, name, None) or "") for name in ("code", "type")]
    found = next((code for code in codes if code in CODES), "")
    if found and (status is None or status in (200, 400, 403, 429)):
        kind = CODES[found]
    return made(kind, error, call, found or next((code for code in codes if code), ""))
