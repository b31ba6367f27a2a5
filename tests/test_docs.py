"""What the documentation says is so: its programs run, its links lead somewhere, its lists are whole."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import midstream
from midstream import errors
from midstream.events import PAYLOADS

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\s*$")
COMMENT = re.compile(r"^ *<!-- (?P<text>.*?) -->\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        page: Where it stands, from the root.
        line: The line of its fence.
        language: What follows the fence.
        text: What it holds.
        remark: The comment on the line before it, or empty.
        output: What the block after it holds, where that is marked `output`; else None.
    """

    page: str
    line: int
    language: str
    text: str
    remark: str
    output: str | None = None

    @property
    def id(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    lines = page.read_text(encoding="utf-8").splitlines()
    place = 0
    while place < len(lines):
        opening = FENCE.match(lines[place])
        if opening is None:
            place += 1
            continue
        indent = opening["indent"]
        end = lines.index(f"{indent}```", place + 1)
        before = next((line for line in reversed(lines[:place]) if line.strip()), "")
        remark = COMMENT.match(before)
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[place + 1 : end])
        yield Block(
            page.relative_to(ROOT).as_posix(),
            place + 1,
            opening["language"],
            text,
            remark["text"] if remark else "",
        )
        place = end + 1


def all_blocks() -> Iterator[Block]:
    for page in PAGES:
        found = list(blocks(page))
        for place, block in enumerate(found):
            following = found[place + 1] if place + 1 < len(found) else None
            output = following.text if following and following.remark == "output" else None
            yield Block(block.page, block.line, block.language, block.text, block.remark, output)


BLOCKS = list(all_blocks())
PROGRAMS = [b for b in BLOCKS if b.language == "python" and not b.remark.startswith("not run: ")]
SESSIONS = [b for b in BLOCKS if b.language == "console" and b.remark == "run"]


def environment() -> dict[str, str]:
    """The installed package and no other; the checkout where none is installed."""
    kept = {name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")}
    kept["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), kept.get("PATH", "")))
    kept["PYTHONPATH"] = str(Path(midstream.__file__).parent.parent)
    kept["COLUMNS"] = "120"
    return kept


@pytest.mark.parametrize("block", PROGRAMS, ids=lambda block: block.id)
def test_a_program_in_the_docs_runs(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(block.text, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", program.name],
        cwd=tmp_path,
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"{block.id}\n{done.stderr}"
    if block.output is not None:
        assert done.stdout == block.output


@pytest.mark.timeout(400)  # each line is a process of its own
@pytest.mark.parametrize("block", SESSIONS, ids=lambda block: block.id)
def test_a_session_in_the_docs_runs(block: Block, tmp_path: Path) -> None:
    for line in block.text.splitlines():
        if not line.startswith("$ "):
            continue
        done = subprocess.run(
            [f"{sys.executable} -m midstream.cli {line.removeprefix('$ midstream ')}"]
            if line.startswith("$ midstream ")
            else [line.removeprefix("$ ")],
            shell=True,
            cwd=tmp_path,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{block.id}: {line}\n{done.stdout}{done.stderr}"


def test_a_block_that_is_not_run_says_why() -> None:
    skipped = [b for b in BLOCKS if b.language == "python" and b not in PROGRAMS]
    assert [b.id for b in skipped if len(b.remark.removeprefix("not run: ")) < 10] == []


def test_every_output_follows_a_program() -> None:
    outputs = [b.text for b in BLOCKS if b.remark == "output"]
    assert sorted(outputs) == sorted(b.output for b in PROGRAMS if b.output is not None)


def prose(page: Path) -> str:
    """The page without its fenced blocks and code spans."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), flags=re.M)
    words = (re.sub(r"[^\w\s-]", "", heading.lower()) for heading in headings)
    return {text.strip().replace(" ", "-") for text in words}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_inside_the_docs_lead_somewhere(page: Path) -> None:
    broken: list[str] = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert broken == []


def test_every_page_can_be_reached_from_the_index() -> None:
    index = ROOT / "docs" / "index.md"
    seen, pending = {index}, [index]
    while pending:
        page = pending.pop()
        for link in re.findall(r"\]\(([^)\s#]+)(?:#[^)]*)?\)", prose(page)):
            target = (page.parent / link).resolve()
            if target.suffix == ".md" and target.exists() and target not in seen:
                seen.add(target)
                pending.append(target)
    docs = {page for page in PAGES if (ROOT / "docs") in page.parents}
    assert {page.relative_to(ROOT).as_posix() for page in docs - seen} == set()


def test_a_sentence_has_a_line_of_its_own() -> None:
    joined = [
        f"{page.relative_to(ROOT)}: {line}"
        for page in PAGES
        if page.name != "events.md"
        for line in prose(page).splitlines()
        if re.search(r"[a-z)]{2}\. [A-Z]", line) and not line.lstrip().startswith(("|", "<!--"))
    ]
    assert joined == []


def error_classes() -> set[str]:
    return {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.MidstreamError)
    }


def test_the_docs_tell_of_every_error() -> None:
    text = (ROOT / "docs" / "errors.md").read_text(encoding="utf-8")
    told = set(re.findall(r"`(\w+Error)`", text))
    assert told == error_classes()


def test_the_glossary_is_sorted() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\*\*(.+?)\*\*", text, flags=re.M)
    assert words == sorted(words, key=str.lower)


def test_the_reference_of_events_is_what_the_code_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "event_reference.py"],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    page = ROOT / "docs" / "events.md"
    assert page.read_text(encoding="utf-8") == done.stdout.decode(), (
        "run `python scripts/event_reference.py --write`"
    )


def test_the_reference_of_commands_is_what_help_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "cli_reference.py"],
        env=environment(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    page = ROOT / "docs" / "commands.md"
    assert page.read_text(encoding="utf-8") == done.stdout.decode(), (
        "run `python scripts/cli_reference.py --write`"
    )


def test_the_reference_of_events_lists_every_fact() -> None:
    text = (ROOT / "docs" / "events.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `([a-z]+\.[a-z_]+)`$", text, flags=re.M)) == set(PAYLOADS)


def test_the_changelog_has_the_current_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[(.+?)\]", text, flags=re.M)
    assert newest is not None
    assert newest[1] == midstream.__version__


def test_decisions_are_numbered_without_a_gap() -> None:
    names = sorted(path.name for path in (ROOT / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]


def tracked() -> list[Path]:
    """The files of the repository, or of the source distribution where there is no repository."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, timeout=30
        )
        return [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return [path for path in ROOT.rglob("*") if path.is_file()]


# Written in pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "the address of a package registry": "|".join(
        re.escape(first + second)
        for first, second in (
            ("pypi", ".org"),
            ("python", "hosted.org"),
            ("registry.npm", "js"),
            ("registry.yarn", "pkg"),
            ("proxy.go", "lang"),
            ("crates", ".io"),
            ("index", "-url ="),
        )
    ),
    "a path of somebody's machine": r"(?<![\w.:/-])/(?:root|home|work|Users|tmp)" + r"/[\w.-]+",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_holds(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    found: list[str] = []
    for path in tracked():
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue
        found += [f"{path.relative_to(ROOT)}: {hit[0]}" for hit in pattern.finditer(text)]
    assert found == []
