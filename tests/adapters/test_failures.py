"""Every exception of the SDKs and of what lies below them has a place in a table."""

from __future__ import annotations

import importlib
import json
import pkgutil
import sys
from collections.abc import Mapping
from types import ModuleType

import anthropic
import httpx2
import openai
import pytest

from midstream import errors
from midstream.adapters.anthropic import translate as of_anthropic
from midstream.adapters.failures import TRANSPORT, Call, of_status, retry_after
from midstream.adapters.openai import translate as of_openai

CALL = Call("p", "claude-sonnet-4-5", 0, 1_000_000.0)


def descendants(root: type[BaseException]) -> set[type[BaseException]]:
    found = set(root.__subclasses__())
    return found | {leaf for class_ in found for leaf in descendants(class_)}


def exceptions_of(module: ModuleType) -> list[type[BaseException]]:
    return [
        value
        for value in list(vars(module).values())
        if isinstance(value, type) and issubclass(value, Exception)
    ]


@pytest.mark.parametrize(
    ("root", "table"),
    [(openai.OpenAIError, of_openai.CLASSES), (anthropic.AnthropicError, of_anthropic.CLASSES)],
)
def test_every_exception_of_an_sdk_is_in_its_table_or_derives_from_one_that_is(
    root: type[Exception], table: Mapping[str, object]
) -> None:
    """Of the leaves for a single cause, only those that a caller treats otherwise have an entry of their own."""
    roots = {"OpenAIError", "AnthropicError", "APIError", "APIStatusError", "InternalServerError"}
    package = sys.modules[root.__module__.partition(".")[0]]
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}.", onerror=str):
        if any(part in info.name for part in ("_error", "_exceptions", ".lib.azure", "._toolsets")):
            importlib.import_module(info.name)
    found = descendants(root)
    assert len(found) > 20
    for class_ in found:
        names = {ancestor.__name__ for ancestor in class_.__mro__}
        assert class_.__name__ in table or names & (table.keys() - roots), class_


@pytest.mark.parametrize("library", ["httpx", "httpx2"])
def test_every_exception_of_the_transport_is_in_the_table(library: str) -> None:
    module = pytest.importorskip(library)
    assert {class_.__name__ for class_ in exceptions_of(module)} - TRANSPORT.keys() == set()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "9"}, 0.25),
        ({"retry-after": "Mon, 12 Jan 1970 13:46:50 GMT"}, 10.0),
        ({"retry-after": "Mon, 12 Jan 1970 13:46:30 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "soon"}, None),
        ({}, None),
    ],
)
def test_h115_every_form_of_retry_after_is_read(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers, 1_000_000.0) == seconds


@pytest.mark.parametrize(
    ("left", "reset", "seconds"),
    [
        ("0", "1500000026", 26.0),
        ("0", "1500000026000", 26.0),
        ("0", "1499999999", 0.0),
        ("0", "7", 7.0),
        ("3", "1500000026", None),
        ("0", "soon", None),
        ("0", "nan", None),
    ],
)
def test_h115_a_gateway_may_say_when_a_limit_is_given_back_instead(
    left: str, reset: str, seconds: float | None
) -> None:
    headers = {"x-ratelimit-remaining": left, "x-ratelimit-reset": reset}
    asked = httpx2.Request("POST", "http://127.0.0.1/")
    answer = httpx2.Response(429, request=asked, json={}, headers=headers)
    error = openai.RateLimitError("m", response=answer, body={})
    found = of_openai.translate(error, Call("p", "m", 0, 1_500_000_000.0))
    assert isinstance(found, errors.RateLimitError)
    assert found.retry_after == seconds


def response(status: int, body: object = None) -> httpx2.Response:
    request = httpx2.Request("POST", "http://127.0.0.1/")
    return httpx2.Response(
        status, request=request, json=body, headers={"x-request-id": "r1", "request-id": "r1"}
    )


def test_h114_an_empty_account_is_not_haste() -> None:
    """429 stands for both; the code tells them apart."""
    body = {"code": "insufficient_quota", "type": "insufficient_quota", "message": "m"}
    error = openai.RateLimitError("m", response=response(429), body=body)
    assert type(of_openai.translate(error, CALL)) is errors.QuotaError
    error = openai.RateLimitError("m", response=response(429), body={})
    found = of_openai.translate(error, CALL)
    assert type(found) is errors.RateLimitError
    assert (found.status, found.request_id) == (429, "r1")


def test_h116_the_words_of_a_refusal_do_not_decide() -> None:
    body = {"type": "error", "error": {"type": "invalid_request_error", "message": "too long"}}
    error = anthropic.BadRequestError("prompt is too long", response=response(400), body=body)
    assert type(of_anthropic.translate(error, CALL)) is errors.BadRequestError
    long = Call("p", "claude-sonnet-4-5", 4 * 190_000, window=200_000)
    assert type(of_anthropic.translate(error, long)) is errors.ContextWindowError
    unknown = Call("p", "claude-of-tomorrow", 10**9)
    assert type(of_anthropic.translate(error, unknown)) is errors.BadRequestError


def test_h112_an_error_event_after_200_is_known_by_its_type() -> None:
    for type_, kind in (
        ("overloaded_error", errors.OverloadedError),
        ("api_error", errors.UnavailableError),
        ("rate_limit_error", errors.RateLimitError),
        ("of_tomorrow", errors.UnavailableError),
    ):
        body = {"type": "error", "error": {"type": type_, "message": "m"}}
        error = anthropic.APIStatusError("m", response=response(200), body=body)
        assert type(of_anthropic.translate(error, CALL)) is kind


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequestError),
        (402, errors.QuotaError),
        (403, errors.AuthenticationError),
        (404, errors.BadRequestError),
        (409, errors.TransientError),
        (413, errors.BadRequestError),
        (418, errors.BadRequestError),
        (429, errors.RateLimitError),
        (500, errors.UnavailableError),
        (503, errors.OverloadedError),
        (504, errors.UnavailableError),
        (529, errors.OverloadedError),
    ],
)
def test_h114_every_status_has_a_class(status: int, kind: type[errors.AdapterError]) -> None:
    assert of_status(status) is kind


def test_what_is_no_failure_of_a_provider_is_left_alone() -> None:
    assert of_openai.translate(KeyError("bug"), CALL) is None
    found = of_openai.translate(json.JSONDecodeError("m", "", 0), CALL)
    assert type(found) is errors.MalformedAnswerError
