"""Would the vendor take this request? One question, answered without the vendor."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, assert_never

from midstream.testing.json_reading import strings
from midstream.testing.judge_anthropic import anthropic_violations
from midstream.testing.judge_gemini import gemini_violations
from midstream.testing.judge_openai import openai_violations
from midstream.testing.judge_responses import responses_violations
from midstream.testing.violations import Violation, WireDialect, violation
from midstream.testing.wire_schema import schema_violations

_SURROGATE = re.compile("[\ud800-\udfff]")


def judge(
    dialect: WireDialect,
    request: Mapping[str, Any],
    *,
    api_version: str | None = None,
    model: str = "",
) -> tuple[Violation, ...]:
    """Say why the vendor would refuse a request; empty when it would take it.

    First the official SDK's request type, read strictly, then what the services demand beyond their types:
    see `RULES`. Nothing here asks whether the model exists or the account may use it.

    Args:
        dialect: The wire format of the request.
        request: The body as it is sent: plain JSON values.
        api_version: The `anthropic-version` header; what only a newer version refuses is let pass without it.
        model: Whom a request of Gemini asks, which its address says; what only newer models refuse is let pass without it.

    Returns:
        The violations: those of the type first, then in the order of the messages.
    """
    found = [*schema_violations(dialect, request), *_surrogates(request)]
    if dialect == "openai-chat":
        found += openai_violations(request)
    elif dialect == "openai-responses":
        found += responses_violations(request)
    elif dialect == "anthropic":
        found += anthropic_violations(request, api_version)
    elif dialect == "gemini":
        found += gemini_violations(request, model)
    else:
        assert_never(dialect)
    return tuple(dict.fromkeys(found))


def _surrogates(request: Mapping[str, Any]) -> Iterator[Violation]:
    for path, text in strings(request):
        if _SURROGATE.search(text):
            yield violation("surrogate", path, "an unpaired UTF-16 surrogate; replace it by U+FFFD")
