"""What happened, in words."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import pytest

from midstream.events.payloads import PAYLOADS
from midstream.projections import line
from midstream.projections.timeline import _WORDS, shortened  # pyright: ignore[reportPrivateUsage]  # must be whole
from tests.projections.logs import alien, newer, recorded


def test_every_event_of_a_run_is_one_line() -> None:
    for event in (*recorded(), *recorded(fail=True)):
        told = line(event)
        assert (told.seq, told.type, told.step) == (event.seq, event.type, event.address or "")
        assert "\n" not in told.text
        assert len(told.text) <= 100


def test_every_payload_has_words() -> None:
    assert _WORDS.keys() == PAYLOADS.keys()


def test_the_story_is_in_the_lines() -> None:
    told = [line(event).text for event in recorded()]
    assert any('I look → look({"n": 2}) → look({"n": 0})' in text for text in told)
    assert any("ZeroDivisionError" in text for text in told)
    assert any("rate_limit: wait, tried again" in text for text in told)
    assert any("p:m instead of p:other" in text for text in told)
    failed = [line(event).text for event in recorded(fail=True) if event.type == "run.failed"]
    assert failed[0].startswith("right#1: ValueError: ")


@pytest.mark.parametrize("change", [alien, newer])
def test_an_event_of_a_later_release_is_shown_by_its_data(change: object) -> None:
    for event in recorded():
        strange = change(event)  # type: ignore[operator]  # a function
        assert line(strange).text == str(strange.data)


def test_a_long_text_is_cut() -> None:
    assert shortened("a  b\nc") == "a b c"
    assert shortened("x" * 200) == "x" * 99 + "…"
