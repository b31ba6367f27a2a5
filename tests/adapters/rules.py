"""Would the service take this request? Our own judge, and a second one from outside where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from midstream.testing import WireDialect, judge

Dialect = Literal["openai", "openai-responses", "anthropic", "gemini"]
_DIALECTS: dict[str, WireDialect] = {
    "openai": "openai-chat",
    "openai-responses": "openai-responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
_OUTSIDE = {
    "openai": "validate_openai_chat",
    "openai-responses": "validate_openai_responses",
    "anthropic": "validate_anthropic",
}


def violations(dialect: Dialect, body: Mapping[str, Any], model: str = "") -> list[str]:
    """Return what the service would refuse in a request; empty when it is valid.

    Args:
        dialect: Its wire format.
        body: The request.
        model: Whom it asks, where the body does not say.
    """
    plain = json.loads(json.dumps(body, allow_nan=False))
    version = "2026-10-21" if dialect == "anthropic" else None
    judged = judge(_DIALECTS[dialect], plain, api_version=version, model=model)
    found = [str(item) for item in judged]
    if dialect == "openai-responses":
        found += _unpaired(plain["input"])
    outside = _outside()
    if outside is None or dialect not in _OUTSIDE:
        return found
    others: list[Any] = getattr(outside, _OUTSIDE[dialect])(plain)
    return found + [str(item) for item in others if item.severity == "error"]


def _unpaired(items: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what Responses refuses of the order of items: each call has one output, and reasoning has a follower."""
    open_calls: dict[str, str] = {}
    for place, item in enumerate(items):
        kind, call_id = str(item.get("type")), item.get("call_id")
        if kind in ("function_call", "custom_tool_call"):
            if call_id in open_calls:
                yield f"/input/{place}: call {call_id!r} is made twice"
            open_calls[str(call_id)] = f"{kind}_output"
        elif kind.endswith("_call_output") and open_calls.pop(str(call_id), None) != kind:
            yield f"/input/{place}: {kind} for {call_id!r}, which is not open"
        elif item.get("role") in ("user", "system", "developer") and open_calls:
            yield f"/input/{place}: no output for {sorted(open_calls)}"
        before = items[place - 1] if place else {}
        if before.get("type") == "reasoning" and item.get("role", "assistant") != "assistant":
            yield f"/input/{place}: reasoning without its follower"
    if open_calls or (items and items[-1].get("type") == "reasoning"):
        yield f"/input: it ends with open calls or reasoning, {sorted(open_calls)}"


@cache
def _outside() -> Any:
    """Return the validator that knows the recorded refusals, or None where it is not installed."""
    shared = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared"))
    source = shared / "tools" / "validate_wire.py"
    if not source.exists():
        return None
    spec = importlib.util.spec_from_file_location("validate_wire", source)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["validate_wire"] = module
    spec.loader.exec_module(module)
    return module
