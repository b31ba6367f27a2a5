"""What the services took and answered: read without an error, equal at home, valid and complete elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from typing import Any, Literal

import httpx2
import pytest
from google.genai.errors import APIError

from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.anthropic.translate import translate as of_anthropic
from midstream.adapters.convert import answered, convert
from midstream.adapters.dialect import dialect
from midstream.adapters.failures import Call
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.gemini.translate import translate as of_gemini
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.openai.translate import translate as of_openai
from midstream.adapters.responses import ResponsesAdapter
from midstream.errors import AdapterError, TransientError
from tests.adapters.corpus import COUNTED, answer_of, exchanges
from tests.adapters.rules import violations
from tests.adapters.said import missing

RULES: dict[str, Any] = {
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
DIALECTS = list(RULES)
ADAPTERS: dict[str, Any] = {
    "openai-chat": OpenAIAdapter,
    "openai-responses": ResponsesAdapter,
    "anthropic": AnthropicAdapter,
    "gemini": GeminiAdapter,
}
TRANSLATE: dict[str, Any] = {
    "openai-chat": of_openai,
    "openai-responses": of_openai,
    "anthropic": of_anthropic,
    "gemini": of_gemini,
}
UNREAD = {"openai-chat": 3, "openai-responses": 5, "anthropic": 0, "gemini": 0}
"""How many recorded answers are listed in docs/conversion.md as not to be read."""

_OF_THE_BODY = frozenset(("content-encoding", "content-length", "transfer-encoding"))
WAITS: dict[str, list[float]] = {
    "openai-chat": [26.0],  # one of OpenRouter's, which says it in `x-ratelimit-reset`
    "openai-responses": [],
    "anthropic": [],
    "gemini": [],
}
"""How long the recorded refusals ask to wait; the others do not say."""
Every = Literal[1, 40]
SAMPLED = [pytest.param(40, id="sampled"), pytest.param(1, id="whole", marks=pytest.mark.soak)]
ONE_BY_ONE: frozenset[str] = frozenset()
"""Recorded requests that do not come home equal, by `source`; each is in docs/conversion.md."""


def accepted(name: str, every: int) -> Iterator[dict[str, Any]]:
    return (row for row in exchanges(name, every=every) if row["status"] == 200)


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(1800)
def test_a_recorded_request_comes_home_equal(name: str, every: Every) -> None:
    for row in accepted(name, every):
        found = convert(row["request_json"], source=name, target=name)
        COUNTED[f"{name}: requests that came home equal"] += 1
        assert found.request == row["request_json"] or str(row["source"]) in ONE_BY_ONE
        assert found.losses == found.repairs == ()


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(3600)
def test_a_recorded_request_is_valid_elsewhere_and_comes_back_whole(
    name: str, every: Every
) -> None:
    refused: Counter[str] = Counter()
    for row in accepted(name, every):
        body = row["request_json"]
        for target in DIALECTS:
            if target == name:
                continue
            there = convert(body, source=name, target=target)
            COUNTED[f"{name}: requests valid elsewhere, and back again with all that was said"] += 1
            refused.update(violations(RULES[target], there.request))
            back = convert(there.request, source=target, target=name)
            assert missing(dialect(name).read(body), dialect(name).read(back.request)) == []
    assert not refused


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(1800)
def test_a_recorded_answer_is_read(name: str, every: Every) -> None:
    """But for those that docs/conversion.md lists: unfinished ones, and errors that came with 200."""
    refused = 0
    for row in accepted(name, every):
        answer = answer_of(row)
        if answer is None:
            continue
        try:
            assert answered(answer, dialect(name), row["model"] or "").role == "assistant"
            COUNTED[f"{name}: answers that were read"] += 1
        except AdapterError:
            refused += 1
            COUNTED[f"{name}: answers that are no whole answers, refused with a typed error"] += 1
    assert refused <= UNREAD[name]


@pytest.mark.parametrize("name", DIALECTS)
def test_a_recorded_refusal_is_of_a_kind_of_its_own(name: str) -> None:
    """H-114, H-115: with the time to wait, where the answer says that in any way."""
    adapter: Any = ADAPTERS[name](api_key="k")
    waits: list[float] = []
    for row in exchanges(name, every=1):
        status = row["status"]
        if status == 200:
            continue
        headers: dict[str, str] = row.get("response_headers") or {}
        kept = {key: value for key, value in headers.items() if key not in _OF_THE_BODY}
        response = httpx2.Response(
            status,
            json=row.get("response_json"),
            headers=kept,
            request=httpx2.Request("POST", "https://x.org"),
        )
        error = _raised(name, adapter, response)
        now = parsedate_to_datetime(headers["date"]).timestamp() if "date" in headers else 0.0
        found = TRANSLATE[name](error, Call(adapter.provider, row["model"] or "", 0, now))
        assert isinstance(found, AdapterError)
        COUNTED[f"{name}: refusals that became an error of their kind"] += 1
        assert isinstance(found, TransientError) == (status in (408, 409, 429) or status >= 500)
        assert found.status == status
        said = isinstance(found, TransientError) and (
            headers.keys() & {"retry-after", "retry-after-ms"}
            or headers.get("x-ratelimit-remaining") == "0"
        )
        if said:
            assert isinstance(found, TransientError)
            assert found.retry_after is not None
            waits.append(found.retry_after)
    assert waits == WAITS[name], "in the order of the recordings"


def _raised(name: str, adapter: Any, response: httpx2.Response) -> BaseException:
    """Return what the vendor's SDK raises for the answer."""
    if name != "gemini":
        error: BaseException = adapter._client._make_status_error_from_response(response)
        return error
    try:
        sdk: Any = APIError
        sdk.raise_error(response.status_code, response.json(), response)
    except APIError as raised:
        return raised
    raise AssertionError("the SDK was content")
