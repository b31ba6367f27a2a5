"""What every vendor's failures have in common: statuses, headers, and the transport below the SDK.

Decided by class, status and code, never by the words of a message.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Any

from midstream.adapters.sealing import CHARACTERS_PER_TOKEN
from midstream.errors import (
    AdapterError,
    AuthenticationError,
    BadRequestError,
    CallTimeoutError,
    ConnectionFailedError,
    MalformedAnswerError,
    OverloadedError,
    PermanentError,
    QuotaError,
    RateLimitError,
    TransientError,
    UnavailableError,
)

Kind = type[AdapterError]

TRANSPORT: Mapping[str, Kind] = {
    "TimeoutException": CallTimeoutError,
    "ConnectTimeout": CallTimeoutError,
    "ReadTimeout": CallTimeoutError,
    "WriteTimeout": CallTimeoutError,
    "PoolTimeout": CallTimeoutError,
    "RequestError": ConnectionFailedError,
    "TransportError": ConnectionFailedError,
    "NetworkError": ConnectionFailedError,
    "ConnectError": ConnectionFailedError,
    "ReadError": ConnectionFailedError,
    "WriteError": ConnectionFailedError,
    "CloseError": ConnectionFailedError,
    "ProxyError": ConnectionFailedError,
    "ProtocolError": ConnectionFailedError,
    "RemoteProtocolError": ConnectionFailedError,
    "StreamError": ConnectionFailedError,
    "StreamClosed": ConnectionFailedError,
    "StreamConsumed": ConnectionFailedError,
    "RequestNotRead": ConnectionFailedError,
    "ResponseNotRead": ConnectionFailedError,
    "DecodingError": MalformedAnswerError,
    "SSEError": MalformedAnswerError,
    "HTTPStatusError": UnavailableError,
    "HTTPError": ConnectionFailedError,
    "LocalProtocolError": PermanentError,  # a header that cannot be sent
    "UnsupportedProtocol": PermanentError,
    "InvalidURL": PermanentError,
    "TooManyRedirects": PermanentError,
    "CookieConflict": PermanentError,
}
"""Every exception of httpx and httpx2, which come through both SDKs when a connection breaks in mid-stream."""

BODY: Mapping[str, Kind] = {
    "JSONDecodeError": MalformedAnswerError,
    "UnicodeDecodeError": MalformedAnswerError,
    "AssertionError": MalformedAnswerError,  # what both SDKs raise on an empty stream
}

_STATUS: Mapping[int, Kind] = {
    401: AuthenticationError,
    402: QuotaError,
    403: AuthenticationError,
    408: CallTimeoutError,
    409: TransientError,
    425: TransientError,
    429: RateLimitError,
    499: TransientError,
    503: OverloadedError,
    529: OverloadedError,
}

_REMEDY: Mapping[Kind, str] = {
    AuthenticationError: "check the key and what it may use",
    QuotaError: "the account needs credit or a higher limit; waiting does not help",
    BadRequestError: "change the request; the same one is refused again",
}


_SINCE_1970 = 1e9
"""From here on, a number of seconds is a moment and no span."""
_MILLISECONDS = 1e11
"""From here on, a moment is in milliseconds."""


@dataclass(frozen=True, slots=True)
class Call:
    """Which request failed, and when.

    Attributes:
        provider: As in the model's name.
        model: Without the provider.
        size: Characters of the conversation.
        now: In seconds since 1970, against which a date in `retry-after` is read.
        window: The context of the model, in tokens; None where it is not known.
    """

    provider: str
    model: str
    size: int = 0
    now: float = 0.0
    window: int | None = None

    def near_the_window(self, part: float) -> bool:
        """Tell whether so large a part of the window is taken, by the estimate of what was sent."""
        return self.window is not None and self.size / CHARACTERS_PER_TOKEN >= part * self.window


def of_status(status: int) -> Kind:
    """Return the error for an HTTP status."""
    if status in _STATUS:
        return _STATUS[status]
    return UnavailableError if status >= 500 else BadRequestError


def by_name(error: BaseException, *tables: Mapping[str, Kind]) -> Kind | None:
    """Return the entry for the class of the error, or for the nearest class that it derives from."""
    for class_ in type(error).__mro__:
        for table in tables:
            if class_.__name__ in table:
                return table[class_.__name__]
    return None


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Return how long the provider asks to wait, in seconds, or None.

    `retry-after-ms` is finer and is read first; `retry-after` is a number of seconds or a date.
    """
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        given = headers.get(name)
        if given is None:
            continue
        try:
            seconds: float | None = float(given) * unit
        except ValueError:
            seconds = _until(given, now)
        if seconds is not None and 0 <= seconds < float("inf"):
            return seconds
    return None


def given_back(headers: Mapping[str, str], now: float) -> float | None:
    """Return in how many seconds a limit that is used up is given back, where a gateway says that and no `retry-after`.

    Source: openrouter.ai/docs/api-reference/limits; `x-ratelimit-reset` was recorded in milliseconds since 1970.
    """
    if headers.get("x-ratelimit-remaining", "").strip() != "0":
        return None
    try:
        value = float(headers.get("x-ratelimit-reset", ""))
    except ValueError:
        return None
    if not 0 <= value < float("inf"):
        return None
    moment = value / 1000 if value >= _MILLISECONDS else value
    return max(0.0, moment - now) if moment >= _SINCE_1970 else moment


def made(kind: Kind, error: BaseException, call: Call, code: str = "") -> AdapterError:
    """Return an error of the kind, with what the provider said of it."""
    response = getattr(error, "response", None)
    headers: Mapping[str, str] = getattr(response, "headers", None) or {}
    status: int | None = getattr(response, "status_code", None)
    request_id = headers.get("x-request-id") or headers.get("request-id")
    said = " ".join(str(error).split())[:500] or type(error).__name__
    found = ", ".join(str(item) for item in (status, code) if item)
    message = f"{call.provider} failed for {call.model!r}{f' ({found})' if found else ''}: {said}"
    if kind in _REMEDY:
        message += f"; {_REMEDY[kind]}"
    about: dict[str, Any] = {
        "provider": call.provider,
        "model": call.model,
        "status": status,
        "request_id": request_id,
    }
    if issubclass(kind, TransientError):
        about["retry_after"] = retry_after(headers, call.now)
        if about["retry_after"] is None and issubclass(kind, RateLimitError):
            about["retry_after"] = given_back(headers, call.now)
    return kind(message, **about)


def foreign() -> tuple[type[BaseException], ...]:
    """Return the exceptions that come through an SDK without being its own: the transport's, and those of reading."""
    found: list[type[BaseException]] = [json.JSONDecodeError, UnicodeDecodeError, AssertionError]
    for library in ("httpx", "httpx2"):  # whichever the SDK has loaded
        module = sys.modules.get(library)
        found += _classes(module, ("HTTPError", "StreamError", "InvalidURL", "CookieConflict"))
    found += _classes(sys.modules.get("aiohttp"), ("ClientError",))  # Google's SDK may send with it
    return tuple(found)


def _classes(module: object, names: Iterable[str]) -> list[type[BaseException]]:
    return [getattr(module, name) for name in names if hasattr(module, name)]


def _until(date: str, now: float) -> float | None:
    try:
        when = parsedate_to_datetime(date)
    except (TypeError, ValueError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, when.timestamp() - now)
