"""Each hazard of the catalogue has a test that carries its number, or a reason why it has none."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.adapters.corpus import SHARED

HAZARDS = 132
TESTS = Path(__file__).parents[1]
WITHOUT: dict[int, str] = {}
"""The numbers that no test carries, and why."""


def numbers_of(test: ast.FunctionDef | ast.AsyncFunctionDef) -> set[int]:
    said = ast.get_docstring(test) or ""
    found = re.findall(r"_h(\d{3})(?=_|$)", test.name) + re.findall(r"H-(\d{3})", said)
    return {int(number) for number in found}


def carried() -> set[int]:
    found: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
                "test_"
            ):
                found |= numbers_of(node)
    return found


def test_each_hazard_has_a_test_with_its_number_or_a_reason() -> None:
    numbers = carried()
    assert sorted(set(range(1, HAZARDS + 1)) - numbers - WITHOUT.keys()) == []
    assert sorted(numbers & WITHOUT.keys()) == [], "there is a test: take the reason away"
    assert max(numbers) <= HAZARDS


def test_the_catalogue_is_as_long_as_is_said_here() -> None:
    source = SHARED / "references" / "conversion-hazards.md"
    if not source.exists():
        return
    found = [int(n) for n in re.findall(r"^### H-(\d{3})", source.read_text(), re.MULTILINE)]
    assert found == list(range(1, HAZARDS + 1))
