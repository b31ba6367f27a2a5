"""Skills: curated lessons in Markdown files with front matter, known by name, each version by its digest."""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from midstream.engine.experience.gates import refusal
from midstream.errors import ConfigError
from midstream.events.experience_facts import LessonDrafted, LessonMoved
from midstream.events.ids import NODE_NAME
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import ExperienceState

_FRONT = re.compile(
    r"\A---[ \t]*\r?\n(?P<front>.*?)\r?\n---[ \t]*(?:\r?\n|\Z)(?P<content>.*)\Z", re.DOTALL
)
_FIELDS = frozenset(("name", "when", "graph", "node"))
_LONGEST = 100_000


@dataclass(frozen=True, slots=True)
class Skill:
    """A skill as its file has it.

    Attributes:
        name: By which its versions are told to be of one skill.
        when: When it is of use.
        content: What a model is told.
        graph: Only for this graph, or empty.
        node: Only for this node, or empty.
    """

    name: str
    when: str
    content: str
    graph: str = ""
    node: str = ""

    @property
    def digest(self) -> str:
        """Of all that the file says, in hex."""
        said = "\0".join((self.name, self.when, self.graph, self.node, self.content))
        return sha256(said.encode()).hexdigest()

    @property
    def id(self) -> str:
        """Of this version, as in `S-cite-sources@1f3a9c2d`."""
        return f"S-{self.name}@{self.digest[:8]}"


def read_skill(text: str, place: str) -> Skill:
    """Return the skill that a file's text describes.

    Args:
        text: Front matter between two lines of `---` with a `key: value` on each line, then Markdown.
        place: The file, for errors.

    Raises:
        ConfigError: It is not of that form, or must not be told to a model.
    """
    found = _FRONT.match(text.removeprefix("\ufeff"))
    if found is None:
        raise ConfigError(
            f"{place}: no front matter; begin the file with lines of '---', 'name: …', 'when: …' and '---'"
        )
    fields: dict[str, str] = {}
    for line in found["front"].splitlines():
        key, colon, value = line.partition(":")
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if not colon or key.strip() not in _FIELDS:
            raise ConfigError(
                f"{place}: {line!r} is none of {', '.join(sorted(_FIELDS))}, as in 'name: value'"
            )
        fields[key.strip()] = value.strip().strip("\"'")
    return _checked(fields, found["content"].strip(), place)


def _checked(fields: dict[str, str], content: str, place: str) -> Skill:
    name, when = fields.get("name", ""), fields.get("when", "")
    if not NODE_NAME.fullmatch(name) or not when:
        raise ConfigError(f"{place}: 'name' (letters, digits, '.', '-', '_') and 'when' are needed")
    if len(content) > _LONGEST:
        raise ConfigError(f"{place}: {len(content)} characters are more than {_LONGEST}")
    refused = refusal(when, content, curated=True)
    if refused:
        raise ConfigError(f"{place}: {refused}")
    return Skill(name, when, content, fields.get("graph", ""), fields.get("node", ""))


def read_folder(folder: str | Path) -> tuple[Skill, ...]:
    """Return the skills of a folder: its `*.md` files, and `SKILL.md` in the folders of it; blocks.

    Raises:
        ConfigError: There is no such folder, a file cannot be read, or two skills have one name.
    """
    root = Path(folder)
    if not root.is_dir():
        raise ConfigError(
            f"{str(root)!r} is no folder; give the folder that holds the skills' Markdown files"
        )
    files = sorted({*root.glob("*.md"), *root.glob("*/SKILL.md")})
    if not files:
        raise ConfigError(f"{str(root)!r} holds no skill; write one as NAME.md or NAME/SKILL.md")
    found: dict[str, Skill] = {}
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{str(file)!r} cannot be read: {error}") from error
        skill = read_skill(text, str(file))
        if skill.name in found:
            raise ConfigError(f"{str(file)!r}: another file describes the skill {skill.name!r}")
        found[skill.name] = skill
    return tuple(found.values())


def facts_of_skills(state: ExperienceState, skills: tuple[Skill, ...]) -> list[Fact]:
    """Return what is to be recorded so that these versions of skills are in force, and no older ones of them."""
    facts: list[Fact] = []
    for skill in skills:
        versions = [
            one for one in state.lessons.values() if one.name == skill.name and one.kind == "skill"
        ]
        current = next((one for one in versions if one.id == skill.id), None)
        older = next(
            (one for one in versions if one.status == "active" and one.id != skill.id), None
        )
        if current is None:
            facts.append(
                LessonDrafted(
                    id=skill.id,
                    kind="skill",
                    when=skill.when,
                    do=skill.content,
                    graph=skill.graph,
                    node=skill.node,
                    confidence=1.0,
                    trust="person",
                    origin="skill",
                    name=skill.name,
                    digest=skill.digest,
                    supersedes=older.id if older is not None else "",
                )
            )
        if current is None or current.status != "active":
            facts.append(LessonMoved(id=skill.id, status="active", reason="imported"))
        if current is not None and older is not None:
            facts.append(LessonMoved(id=older.id, status="superseded", reason=f"by {skill.id}"))
    return facts
