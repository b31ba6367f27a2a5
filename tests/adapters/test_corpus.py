"""What the services took and answered: read without an error, equal at home, valid and complete elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any, Literal

import pytest

from midstream.adapters.convert import answered, convert
from midstream.adapters.dialect import NAMES, dialect
from tests.adapters.corpus import answer_of, exchanges
from tests.adapters.rules import violations
from tests.adapters.said import missing

_RULES: dict[str, Any] = {"openai-chat": "openai", "anthropic": "anthropic"}
DIALECTS = [name for name in _RULES if find_spec(NAMES[name].rpartition(".")[0])]

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
            refused.update(violations(_RULES[target], there.request))
            back = convert(there.request, source=target, target=name)
            assert missing(dialect(name).read(body), dialect(name).read(back.request)) == []
    assert not refused


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(1800)
def test_a_recorded_answer_is_read(name: str, every: Every) -> None:
    for row in accepted(name, every):
        answer = answer_of(row)
        if answer is not None:
            assert answered(answer, dialect(name), row["model"] or "").role == "assistant"
