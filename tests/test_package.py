"""What is promised of the package as a package: what an import costs, what is exported, what is explained, what ships."""

from __future__ import annotations

import ast
import importlib
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import midstream

HERE = Path(midstream.__file__).parent
ROOT = Path(__file__).parent.parent
WHEEL = os.environ.get("MIDSTREAM_WHEEL", "")

HEAVY = (
    "openai",
    "anthropic",
    "aiosqlite",
    "sqlite3",
    "typer",
    "rich",
    "genai_prices",
    "httpx",
    "pytest",
    "hypothesis",
    "yaml",
    "jinja2",
    "pydantic_settings",
    "opentelemetry",
)

LONGEST = 400
LONGER = {
    "errors.py": (860, "one table: the tree of errors"),
    "engine/engine.py": (690, "one handle: the verbs of an engine, most of their lines docstrings"),
    "engine/runs/run.py": (580, "one handle: the verbs of a run, most of their lines docstrings"),
}
"""Modules over the limit: how long they may be, and why they are not two."""

ROOMS = ("adapters", "engine", "events", "projections", "testing")
PACKAGES = ("midstream", *(f"midstream.{room}" for room in ROOMS))


FILES = sorted(path.relative_to(HERE).as_posix() for path in HERE.rglob("*.py"))


def said_by(code: str) -> str:
    """Return what a fresh process prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    return done.stdout.strip()


def loaded_by(statement: str) -> set[str]:
    names: list[str] = json.loads(
        said_by(f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))")
    )
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("package", PACKAGES)
def test_an_import_loads_no_vendor_no_driver_and_no_command_line(package: str) -> None:
    assert loaded_by(f"import {package}") & set(HEAVY) == set()


def test_opening_a_file_loads_the_driver_and_no_vendor() -> None:
    loaded = loaded_by("import midstream.events.sqlite")
    assert "aiosqlite" in loaded
    assert loaded & {"openai", "anthropic", "typer", "rich"} == set()


def test_the_engine_loads_no_facts_of_tools_people_or_time_before_they_are_used() -> None:
    told = said_by(
        "from midstream import Engine, Graph, Context; import json, sys; print(json.dumps([*sys.modules]))"
    )
    facts = {name for name in json.loads(told) if name.endswith("_facts")}
    assert facts == {f"midstream.events.{one}_facts" for one in ("model", "node", "run")}


@pytest.mark.parametrize("state", ["enable", "disable"])
def test_an_import_leaves_the_collector_as_it_was(state: str) -> None:
    told = said_by(f"import gc; gc.{state}(); from midstream import Engine; print(gc.isenabled())")
    assert told == str(state == "enable")


def test_who_makes_something_after_an_import_does_not_wait_for_the_collector() -> None:
    told = said_by(
        "import gc; from midstream import Engine; print(gc.get_count()[0] < gc.get_threshold()[0])"
    )
    assert told == "True"


def order(name: str) -> tuple[int, str]:
    """Constants, then classes, then functions; the order that ruff keeps."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


@pytest.mark.parametrize("package", PACKAGES)
def test_exports_are_sorted_and_exist(package: str) -> None:
    module = importlib.import_module(package)
    names: list[str] = module.__all__
    assert names == sorted(set(names), key=order)
    assert [name for name in names if not hasattr(module, name)] == []


def described(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each public name that a module defines at its top, and whether a docstring explains it."""
    for here, following in zip(tree.body, [*tree.body[1:], None], strict=True):
        match here:
            case (
                ast.ClassDef(name=name)
                | ast.FunctionDef(name=name)
                | ast.AsyncFunctionDef(name=name)
            ):
                yield name, ast.get_docstring(here) is not None
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                match following:
                    case ast.Expr(value=ast.Constant(value=str())):
                        yield name, True
                    case _:
                        yield name, False
            case _:
                pass


def exported_beside(file: str) -> set[str]:
    """What the room of a module exports."""
    room = f"midstream.{file.partition('/')[0]}"
    return set(importlib.import_module(room).__all__) if room in PACKAGES[1:] else set()


@pytest.mark.parametrize("file", FILES)
def test_every_public_name_has_a_docstring(file: str) -> None:
    tree = ast.parse((HERE / file).read_text())
    assert ast.get_docstring(tree)
    functions = {
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
    }
    wanted = functions | exported_beside(file)
    # of an overloaded function, the implementation has the docstring
    explained = {name for name, has in described(tree) if has}
    public = {name for name, _ in described(tree) if name in wanted and not name.startswith("_")}
    assert public - explained == set()


def test_no_module_is_long_without_a_reason() -> None:
    lengths = {file: len((HERE / file).read_text().splitlines()) for file in FILES}
    too_long = {
        name: lines for name, lines in lengths.items() if lines > LONGER.get(name, (LONGEST, ""))[0]
    }
    assert too_long == {}


def test_no_exception_to_the_length_of_modules_is_left_over() -> None:
    for path in (HERE / name for name in LONGER):
        assert not path.exists() or len(path.read_text().splitlines()) > LONGEST


def test_the_package_says_that_it_is_typed() -> None:
    assert (HERE / "py.typed").is_file()


@pytest.mark.skipif(not WHEEL, reason="no wheel was built; .ci/run builds one")
def test_the_wheel_holds_the_package_and_nothing_else() -> None:
    names = zipfile.ZipFile(WHEEL).namelist()
    rooms = {name.partition("/")[0] for name in names}
    assert "midstream/py.typed" in names
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {room for room in rooms if not room.endswith(".dist-info")} == {"midstream"}
    assert {name for name in names if name.startswith("midstream/") and name.endswith(".py")} == {
        str(path.relative_to(ROOT)) for path in (ROOT / "midstream").rglob("*.py")
    }


@pytest.mark.skipif(not WHEEL, reason="no wheel was built; .ci/run builds one")
def test_the_tests_meet_the_wheel_and_not_the_checkout() -> None:
    assert ROOT / "midstream" != HERE
