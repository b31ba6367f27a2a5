"""Users' type checkers see what they should."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def marked() -> set[tuple[str, int, str]]:
    """Return file, line and code of each error that must be found."""
    lines = (HERE / "bad.py").read_text().splitlines()
    return {
        ("bad.py", number, line.partition("# wrong: ")[2])
        for number, line in enumerate(lines, 1)
        if "# wrong: " in line
    }


def test_what_users_may_write_type_checks_and_what_they_must_not_does_not(tmp_path: Path) -> None:
    pytest.importorskip("mypy")  # not there when only the lowest versions are tried
    run = subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--no-error-summary"),
            *("--cache-dir", str(tmp_path), "--follow-imports=silent"),
            *(
                "--disable-error-code=untyped-decorator",
                str(HERE / "good.py"),
                str(HERE / "bad.py"),
            ),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=HERE.parent.parent,
    )
    pattern = r"^\S*?(\w+\.py):(\d+): error: .*\[([a-z-]+)\]$"
    found = re.findall(pattern, run.stdout, re.MULTILINE)
    assert {(file, int(line), code) for file, line, code in found} == marked(), run.stdout
