"""Every failure that comes through Google's SDK has a place in a table."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import httpx2
import pytest
from google.genai import errors as of_google

from midstream import errors
from midstream.adapters.failures import Call, foreign
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.gemini.translate import AIOHTTP, CLASSES, REASONS, STATUSES, translate
from midstream.errors import ConfigError

CALL = Call("gemini", "gemini-2.5-flash", 0, 1_000_000.0)
RPC = "type.googleapis.com/google.rpc."


def failure(status: int, name: str, *details: dict[str, Any], **headers: str) -> BaseException:
    """Return what the SDK raises for an answer."""
    body = {"error": {"code": status, "message": "m", "status": name, "details": list(details)}}
    request = httpx2.Request("POST", "http://127.0.0.1/")
    response = httpx2.Response(status, json=body, headers=headers, request=request)
    try:
        sdk: Any = of_google.APIError
        sdk.raise_for_response(response)
    except of_google.APIError as error:
        return error
    raise AssertionError("the SDK was content")


def reason(name: str) -> dict[str, Any]:
    return {"@type": f"{RPC}ErrorInfo", "reason": name, "domain": "googleapis.com"}


def test_every_exception_of_the_sdk_is_in_the_table() -> None:
    found = {
        value.__name__
        for value in vars(of_google).values()
        if isinstance(value, type)
        and issubclass(value, Exception)
        and not issubclass(value, Warning)
    }

    assert found - CLASSES.keys() == set()
    assert len(found) > 6


@pytest.mark.parametrize(
    ("status", "name", "kind"),
    [
        (400, "INVALID_ARGUMENT", errors.BadRequestError),
        (400, "FAILED_PRECONDITION", errors.BadRequestError),
        (401, "UNAUTHENTICATED", errors.AuthenticationError),
        (403, "PERMISSION_DENIED", errors.AuthenticationError),
        (404, "NOT_FOUND", errors.BadRequestError),
        (429, "RESOURCE_EXHAUSTED", errors.RateLimitError),
        (499, "CANCELLED", errors.TransientError),
        (500, "INTERNAL", errors.UnavailableError),
        (503, "UNAVAILABLE", errors.OverloadedError),
        (504, "DEADLINE_EXCEEDED", errors.CallTimeoutError),
        (418, "TEAPOT", errors.BadRequestError),
        (503, "INVALID_ARGUMENT", errors.OverloadedError),
        (302, "", errors.BadRequestError),
    ],
)
def test_h114_the_status_and_its_name_decide(
    status: int, name: str, kind: type[errors.AdapterError]
) -> None:
    found = translate(failure(status, name), CALL)

    assert found is not None
    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize(("name", "kind"), list(REASONS.items()))
def test_h114_the_reason_in_the_details_decides_over_the_status(
    name: str, kind: type[errors.AdapterError]
) -> None:
    """A wrong key comes as 400 `INVALID_ARGUMENT`."""
    assert type(translate(failure(400, "INVALID_ARGUMENT", reason(name)), CALL)) is kind


@pytest.mark.parametrize(
    ("details", "headers", "seconds"),
    [
        ([{"@type": f"{RPC}RetryInfo", "retryDelay": "34.074824224s"}], {}, 34.074824224),
        ([{"@type": f"{RPC}RetryInfo", "retryDelay": "7s"}, reason("X")], {}, 7.0),
        ([{"@type": f"{RPC}RetryInfo", "retryDelay": "soon"}], {}, None),
        ([{"@type": f"{RPC}QuotaFailure"}], {}, None),
        ([{"@type": f"{RPC}RetryInfo", "retryDelay": "9s"}], {"retry-after": "2"}, 2.0),
        ([], {}, None),
    ],
)
def test_h115_how_long_to_wait_is_in_the_body(
    details: list[dict[str, Any]], headers: dict[str, str], seconds: float | None
) -> None:
    found = translate(failure(429, "RESOURCE_EXHAUSTED", *details, **headers), CALL)

    assert isinstance(found, errors.RateLimitError)
    assert found.retry_after == seconds


def test_h116_an_argument_refused_near_the_window_is_refused_for_its_length() -> None:
    long = Call("gemini", "gemini-2.5-flash", 4 * 1_000_000, window=1_048_576)
    error = failure(400, "INVALID_ARGUMENT")

    assert type(translate(error, long)) is errors.ContextWindowError
    assert type(translate(error, CALL)) is errors.BadRequestError
    wrong_key = failure(400, "INVALID_ARGUMENT", reason("API_KEY_INVALID"))
    assert type(translate(wrong_key, long)) is errors.AuthenticationError


def test_every_name_of_an_error_has_a_kind() -> None:
    """Source: google/rpc/code.proto; OK is none."""
    assert len(STATUSES) == 16


def test_what_aiohttp_raises_is_known_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The SDK sends with it then; its classes are told apart by their module, since Google has a `ClientError`, too."""
    module = ModuleType("aiohttp")
    client_error = type("ClientError", (Exception,), {"__module__": "aiohttp.client_exceptions"})
    leaf = type("ServerTimeoutError", (client_error, TimeoutError), {"__module__": "aiohttp.x"})
    reset = type("ClientOSError", (client_error, OSError), {"__module__": "aiohttp.x"})
    monkeypatch.setattr(module, "ClientError", client_error, raising=False)
    monkeypatch.setitem(sys.modules, "aiohttp", module)

    assert client_error in foreign()
    assert type(translate(leaf(), CALL)) is errors.CallTimeoutError
    assert type(translate(reset(), CALL)) is errors.ConnectionFailedError
    assert AIOHTTP["ClientError"] is errors.ConnectionFailedError


def test_what_is_no_failure_of_a_provider_is_left_alone() -> None:
    assert translate(KeyError("bug"), CALL) is None
    found = translate(of_google.UnknownApiResponseError("m"), CALL)
    assert type(found) is errors.MalformedAnswerError


def test_without_the_sdk_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.genai", None)
    monkeypatch.setitem(sys.modules, "google", None)

    with pytest.raises(ConfigError, match=r"pip install 'midstream\[gemini\]'"):
        GeminiAdapter(api_key="k")
