"""Tables of short cells."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.cli.columns import put_columns
from midstream.cli.output import printable

TITLES = ("NAME", "COUNT")
RIGHT = frozenset(("COUNT",))


def test_columns_are_aligned_whatever_is_in_them(capsys: pytest.CaptureFixture[str]) -> None:
    put_columns(TITLES, [("a", "1"), ("猫猫", "100"), (("long name", "red"), "20")], RIGHT)
    assert capsys.readouterr().out.splitlines() == [
        "NAME       COUNT",
        "a              1",
        "猫猫         100",
        "long name     20",
    ]


def test_colours_are_for_terminals(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    put_columns(TITLES, [(("a", "red"), "1")], RIGHT)
    assert "\x1b[31ma\x1b[0m" in capsys.readouterr().out
    monkeypatch.setenv("NO_COLOR", "1")
    put_columns(TITLES, [(("a", "red"), "1")], RIGHT)
    assert "\x1b" not in capsys.readouterr().out


@given(st.text())
def test_no_cell_can_steer_a_terminal(text: str) -> None:
    assert "\x1b" not in printable(text)
