"""Names of models, prices, and estimates."""

from __future__ import annotations

import pytest

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
