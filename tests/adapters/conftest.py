"""What was counted while recorded exchanges were checked is printed at the end."""

from __future__ import annotations

import pytest

from tests.adapters.corpus import COUNTED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how many recorded exchanges were checked, and for what."""
    if COUNTED:
        terminalreporter.section("recorded exchanges")
    for what, number in sorted(COUNTED.items()):
        terminalreporter.line(f"{number:>7,}  {what}")
