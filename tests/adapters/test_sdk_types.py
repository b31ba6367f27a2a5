"""Whatever the vendors' own request types allow is read, goes home as it was, and is told elsewhere without an accident.

The recordings hold what some programs sent; the types of the SDKs hold every field that may be sent.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib import import_module
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream import convert
from midstream.errors import ConversionError

TARGETS = ("openai-chat", "openai-responses", "anthropic", "gemini")
BLOCKS = (
    *("TextBlockParam", "ImageBlockParam", "DocumentBlockParam", "SearchResultBlockParam"),
    *("ThinkingBlockParam", "RedactedThinkingBlockParam", "ToolUseBlockParam"),
    *("ToolResultBlockParam", "ServerToolUseBlockParam", "WebSearchToolResultBlockParam"),
)
SLOW = settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
    print_blob=False,
)


def listed(kind: Any) -> st.SearchStrategy[Any]:
    return st.lists(st.from_type(get_args(kind)[0]), max_size=3)


def items(name: str) -> st.SearchStrategy[Any]:
    """Turns of a request, from the types of the SDK."""
    st.register_type_strategy(object, st.sampled_from(["x", 1, {"a": 1}]))
    # What the SDKs let be any iterable is a list on the wire, not the keys of a mapping.
    st.register_type_strategy(Iterable, listed)
    if name == "anthropic":
        types = import_module("anthropic.types")
        blocks = st.one_of([st.from_type(getattr(types, block)) for block in BLOCKS]).filter(proven)
        content = st.one_of(st.text(max_size=9), st.lists(blocks, min_size=1, max_size=3))
        roles = st.sampled_from(["user", "assistant"])
        return st.fixed_dictionaries({"role": roles, "content": content})
    place = {
        "openai-chat": ("openai.types.chat", "ChatCompletionMessageParam"),
        "openai-responses": ("openai.types.responses", "ResponseInputItemParam"),
    }[name]
    return st.from_type(getattr(import_module(place[0]), place[1]))


def proven(block: Any) -> bool:
    """Say whether thoughts have what proves them: the types let it be empty, the service refuses that."""
    return all(block.get(name, "-") != "" for name in ("signature", "data"))


def _sent(value: Any) -> Any:
    """Return what the SDK makes of a value that is no JSON: a list of what is iterable, the bytes of a file in base64."""
    return list(value) if isinstance(value, Iterable) else "aGk="


def requests(name: str) -> st.SearchStrategy[dict[str, Any]]:
    """Whole requests."""

    def made(turns: list[Any]) -> dict[str, Any]:
        key = "input" if name == "openai-responses" else "messages"
        model = "claude-opus-4-8" if name == "anthropic" else "gpt-5"
        limit = {"max_tokens": 9} if name == "anthropic" else {}
        body: dict[str, Any] = {"model": model, key: turns, **limit}
        return dict(json.loads(json.dumps(body, default=_sent)))

    return st.builds(made, st.lists(items(name), min_size=1, max_size=3))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("source", ["openai-chat", "openai-responses", "anthropic"])
def test_what_the_types_of_a_vendor_allow_is_read_and_goes_home_as_it_was(source: str) -> None:
    @SLOW
    @given(requests(source))
    def law(body: dict[str, Any]) -> None:
        for target in TARGETS:
            try:
                found = convert(body, source=source, target=target)
            except ConversionError:  # what its types allow and nobody can read, said by name
                continue
            if target == source:
                assert found.request == body

    law()
