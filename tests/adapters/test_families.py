"""What a model takes is data, and the caller's word on it counts before what is known here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from midstream.adapters import Adapter, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import Capabilities, rendered
from midstream.adapters.capabilities import (
    Family,
    anthropic_family,
    gemini_family,
    openai_family,
    responses_family,
)
from midstream.adapters.estimate import fits
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.events.content import Image, Message, Text, ToolSpec, user
from tests.adapters.conversations import PNG

PICTURE = Message(role="user", parts=(Text(text="what is it?"), Image(data=PNG)))
EACH = pytest.mark.parametrize(
    ("make", "model", "known"),
    [
        (OpenAIAdapter, "gpt-4o", openai_family),
        (ResponsesAdapter, "gpt-4o", responses_family),
        (AnthropicAdapter, "claude-sonnet-4-5", anthropic_family),
        (GeminiAdapter, "gemini-2.5-flash", gemini_family),
    ],
    ids=["openai-chat", "openai-responses", "anthropic", "gemini"],
)
Make = Callable[..., Adapter]


@EACH
def test_a_model_takes_what_the_caller_says(
    make: Make, model: str, known: Callable[[str], Family]
) -> None:
    blind = Capabilities(context_window=50, images=False, tools=False, settings=frozenset())
    own = Family("house-", blind)
    adapter = make(api_key="k", families=[own])
    assert adapter.capabilities("house-1") == blind
    assert adapter.capabilities(model) == known(model).capabilities
    view = adapter.render(
        adapter.begin("house-1"), Segment(1, (PICTURE,), tools=(ToolSpec(name="f"),))
    )
    assert {change.kind for change in view.changes} == {"image_dropped", "tool_dropped"}
    assert adapter.render(adapter.begin(model), Segment(1, (PICTURE,))).changes == ()
    request = adapter.request(view, {"temperature": 0.5})
    assert [change.kind for change in request.changes] == ["setting_dropped"]
    assert fits(adapter, adapter.render(view, Segment(2, (user("x" * 999),)))) is False


@EACH
def test_a_family_is_made_of_one_that_is_known(
    make: Make, model: str, known: Callable[[str], Family]
) -> None:
    base = known(model)
    wider = replace(
        base,
        pattern="tuned-",
        capabilities=replace(base.capabilities, context_window=9_000_000, max_output=7),
    )
    adapter = make(api_key="k", families=[wider])
    view = rendered(adapter, adapter.begin("tuned-1"), (Segment(1, (PICTURE,)),))
    request = adapter.request(view, {"max_tokens": 100})
    assert view.changes == ()
    assert [change.kind for change in request.changes] == ["setting_clamped"]
    assert adapter.capabilities("tuned-1").context_window == 9_000_000
