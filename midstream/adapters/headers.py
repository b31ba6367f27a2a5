"""The headers of answers, for whoever wants to read limits from them: heard below the SDKs, which do not show them.

An SDK's HTTP client calls `heard` for each answer. Whoever sends a request with `listening()` open is given the headers of what
came back, also of a failure and of a stream.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_HEARD: ContextVar[dict[str, str] | None] = ContextVar("midstream_headers", default=None)


@contextmanager
def listening() -> Generator[dict[str, str]]:
    """Collect the headers of answers that come while this is open, by name in lower case."""
    found: dict[str, str] = {}
    token = _HEARD.set(found)
    try:
        yield found
    finally:
        _HEARD.reset(token)


async def heard(response: Any) -> None:
    """Take the headers of an answer; a hook of httpx."""
    found = _HEARD.get()
    if found is not None:
        found.update({name.lower(): value for name, value in response.headers.items()})


def tell(headers: dict[str, str]) -> None:
    """Take headers from an adapter that has no hook to hang on."""
    found = _HEARD.get()
    if found is not None:
        found.update({name.lower(): value for name, value in headers.items()})


def http_client(sdk: Any, connect: float | None) -> Any:
    """Return an HTTP client for a vendor's SDK, with its own defaults and an ear for headers.

    Args:
        sdk: The vendor's module.
        connect: Seconds for the connection; None for the SDK's own.
    """
    timeout = sdk.DEFAULT_TIMEOUT
    if connect is not None:
        timeout = sdk.Timeout(timeout.read, connect=connect)
    return sdk.DefaultAsyncHttpxClient(event_hooks={"response": [heard]}, timeout=timeout)
