"""Names of models, prices, and estimates."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from hypothesis import given
from hypothesis import strategies as st

from midstream.adapters import Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.estimate import fits, tokens
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.prices import cost
from midstream.adapters.registry import KNOWN, make_adapter, resolve
from midstream.errors import ConfigError
from midstream.events.content import Image, Message, user
from midstream.events.payloads import Usage
from tests.adapters.conversations import PNG

AT = 1_790_000_000.0


def test_a_model_is_found_by_its_provider_and_may_hold_colons() -> None:
    assert resolve("openai:ft:gpt-4o:org") == (OpenAIAdapter, "ft:gpt-4o:org")
    assert resolve("anthropic:claude-opus-4-8") == (AnthropicAdapter, "claude-opus-4-8")


@pytest.mark.parametrize("name", ["gpt-4o", "", "openai:", ":gpt-4o", "nobody:gpt-4o"])
def test_a_name_that_says_too_little_is_refused_with_what_is_known(name: str) -> None:
    with pytest.raises(ConfigError, match="anthropic, compatible, deepseek, gemini"):
        resolve(name)
    assert "gemini" in KNOWN


def test_an_adapter_is_made_by_the_name_of_its_provider(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    assert make_adapter("openai").provider == "openai"
    with pytest.raises(ConfigError, match="anthropic, compatible, deepseek, gemini"):
        make_adapter("nobody")


def test_a_price_names_its_list_and_what_has_none_is_none() -> None:
    usage = Usage(input_tokens=1000, output_tokens=100, cache_read_tokens=500)
    found = cost("openai", "gpt-4o", usage, AT)
    assert found is not None
    assert float(found.amount) > 0
    assert found.source.startswith("genai-prices ")
    assert cost("openai", "gpt-of-nobody", usage, AT) is None
    assert cost("nobody", "gpt-4o", usage, AT) is None
    assert cost("openai", "gpt-4o", Usage(input_tokens=1, cache_read_tokens=5), AT) is None


def test_an_image_counts_as_an_image_and_not_as_its_bytes() -> None:
    adapter = OpenAIAdapter(api_key="k")
    shown = Message(role="user", parts=(Image(data=PNG + "A" * 1_000_000),))
    view = adapter.render(adapter.begin("gpt-4o"), Segment(1, (shown,)))
    assert 1600 <= tokens(view) < 1700
    long = adapter.render(adapter.begin("gpt-4o"), Segment(1, (user("word " * 200_000),)))
    assert (fits(adapter, view), fits(adapter, long)) == (True, False)
    assert fits(adapter, adapter.begin("model-of-nobody")) is None


PRICED = [
    ("openai", "gpt-4o"),
    ("openai", "o1-pro"),
    ("anthropic", "claude-sonnet-4-5"),  # dearer beyond 200,000 tokens
    ("gemini", "gemini-2.5-pro"),
    ("deepseek", "deepseek-chat"),  # cheaper at night, once
    ("perplexity", "sonar"),  # a price for each request, too
    ("openai", "gpt-of-nobody"),
]


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    tokens = st.sampled_from([0, 1, 9, 1_000, 200_000, 200_001, 1_000_000])
    read, written, rest = draw(tokens), draw(tokens), draw(tokens)
    less = draw(st.sampled_from([0, 0, 0, 5]))  # more read from a cache than at all
    return Usage(
        input_tokens=max(read + written + rest - less, 0),
        output_tokens=draw(tokens),
        cache_read_tokens=read,
        cache_write_tokens=written,
    )


@given(st.sampled_from(PRICED), st.lists(usages(), min_size=1, max_size=6), st.integers(0, 10**9))
def test_a_price_is_that_of_the_list_to_the_last_digit(
    name: tuple[str, str], used: list[Usage], seconds: int
) -> None:
    provider, model = name
    at = 1_000_000_000.0 + seconds
    for usage in used:
        try:
            told = genai_prices.calc_price(
                genai_prices.Usage(
                    input_tokens=usage.input_tokens,
                    output_tokens=usage.output_tokens,
                    cache_read_tokens=usage.cache_read_tokens or None,
                    cache_write_tokens=usage.cache_write_tokens or None,
                ),
                model,
                provider_id={"gemini": "google"}.get(provider, provider),
                genai_request_timestamp=datetime.fromtimestamp(at, UTC),
            )
        except (LookupError, ValueError):
            wanted = None
        else:
            wanted = format(told.total_price, "f")
        found = cost(provider, model, usage, at)
        assert (None if found is None else found.amount) == wanted


def test_the_list_is_asked_once_for_each_kind_of_call(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    told = genai_prices.calc_price

    def counted(usage: genai_prices.Usage, model_ref: str, **named: Any) -> Any:
        asked.append(model_ref)
        return told(usage, model_ref, **named)

    set_custom_snapshot(DataSnapshot(get_snapshot().providers, from_auto_update=False))
    monkeypatch.setattr(genai_prices, "calc_price", counted)
    try:
        for tokens in range(1, 100):
            cost("openai", "gpt-4o", Usage(input_tokens=tokens), AT)
            cost("openai", "gpt-4o", Usage(input_tokens=9, output_tokens=tokens), AT + tokens)
    finally:
        set_custom_snapshot(None)
    assert asked == ["gpt-4o", "gpt-4o"]


def test_a_newer_list_takes_the_place_of_the_one_that_was_looked_into() -> None:
    usage = Usage(input_tokens=1000)
    before = cost("openai", "gpt-4o", usage, AT)
    set_custom_snapshot(DataSnapshot([], from_auto_update=True))
    try:
        assert cost("openai", "gpt-4o", usage, AT) is None
    finally:
        set_custom_snapshot(None)
    assert before is not None
    assert cost("openai", "gpt-4o", usage, AT) == before
