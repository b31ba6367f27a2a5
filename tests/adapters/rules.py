"""Would the service take this request? Our own judge, and a second one from outside where it is installed."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from midstream.testing import WireDialect, judge

_DIALECTS: dict[str, WireDialect] = {"openai": "openai-chat", "anthropic": "anthropic"}
_OUTSIDE = {"openai": "validate_openai_chat", "anthropic": "validate_anthropic"}


def violations(dialect: Literal["openai", "anthropic"], body: Mapping[str, Any]) -> list[str]:
    """Return what the service would refuse in a request; empty when it is valid."""
    plain = json.loads(json.dumps(body, allow_nan=False))
    version = "2026-10-21" if dialect == "anthropic" else None
    found = [str(item) for item in judge(_DIALECTS[dialect], plain, api_version=version)]
    outside = _outside()
    if outside is None:
        return found
    others: list[Any] = getattr(outside, _OUTSIDE[dialect])(plain)
    return found + [str(item) for item in others if item.severity == "error"]


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
