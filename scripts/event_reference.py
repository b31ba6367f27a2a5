"""Writes docs/events.md from the classes and docstrings of the payloads, so that the page cannot say something else.

python scripts/event_reference.py            prints the page
python scripts/event_reference.py --write    writes it
"""

from __future__ import annotations

import inspect
import re
import sys
import typing
from pathlib import Path

from pydantic import BaseModel

from midstream.events.envelope import Event
from midstream.events.experience_facts import Evidence, Offer
from midstream.events.flow_facts import Call
from midstream.events.payloads import PAYLOADS, Change, Cost, Failure, Usage
from midstream.events.routing_facts import Refused, Tried

PAGE = Path(__file__).parent.parent / "docs" / "events.md"

GROUPS = {
    "run": "The run",
    "graph": "The graph",
    "limit": "Limits",
    "node": "Nodes",
    "edge": "Edges",
    "model": "Models",
    "tool": "Tools",
    "value": "Values",
    "subrun": "Runs that a run starts",
    "timer": "Time",
    "route": "Routing",
    "breaker": "Breakers",
    "endpoint": "Endpoints",
    "question": "People",
    "agent": "Agents",
    "budget": "Budgets",
    "memory": "Memory",
    "context": "Conversations that are too long",
    "message": "Conversations that somebody goes on with",
    "reflection": "Reflection",
    "plan": "Plans",
    "feedback": "Feedback",
    "lesson": "Lessons",
    "experience": "Experience",
    "subject": "Subjects",
    "note": "The host",
}

PARTS: tuple[type[BaseModel], ...] = (
    *(Usage, Cost, Change, Failure, Call, Refused, Tried),
    *(Offer, Evidence),
)

HEAD = """# Events

<!-- Written by scripts/event_reference.py from the code; change the docstrings there, and run it with --write. -->

An event is an envelope around a payload.
The payload is stored as JSON, and fields that have their default are not written.
A default is therefore part of the version of a payload's shape, and changing one is a new version with an upcaster.
Times that a payload holds are seconds since 1970.
What each word means is in the [glossary](glossary.md).
"""


def page() -> str:
    """Return the whole page."""
    lines = [HEAD, "## The envelope\n", *_fields(_explained(Event)), ""]
    tags = list(PAYLOADS)
    for group, title in GROUPS.items():
        lines.append(f"## {title}\n")
        for tag in tags:
            if tag.partition(".")[0] == group:
                lines += _payload(tag)
    unknown = {tag.partition(".")[0] for tag in tags} - GROUPS.keys()
    assert not unknown, f"add a title for {unknown}"
    lines.append("## What payloads are made of\n")
    for part in PARTS:
        lines += _model(f"### `{part.__name__}`\n", part)
    lines.append(
        "Messages and their parts are in `midstream.events.content`; "
        "the conversation in [architecture](architecture.md) says how they fit together."
    )
    return "\n".join(lines).rstrip() + "\n"


def _payload(tag: str) -> list[str]:
    model = PAYLOADS[tag]
    version = "" if model.version == 1 else f", version {model.version}"
    return _model(f"### `{tag}`\n", model, f"`{model.__name__}`{version}. ")


def _model(title: str, model: type[BaseModel], before: str = "") -> list[str]:
    explained = _explained(model)
    rows: dict[str, str] = {}
    hints = typing.get_type_hints(model, include_extras=False)
    for name, field in model.model_fields.items():
        if name == "type":
            continue
        said = explained.get(name, "")
        kind = _kind(hints[name])
        default = (
            ""
            if field.is_required()
            else f", by default {_shown(field.get_default(call_default_factory=True))}"
        )
        rows[f"`{name}` ({kind}{default})"] = said
    first = inspect.cleandoc(model.__doc__ or "").partition("\n\nAttributes:")[0]
    return [title, before + _one_line(first), "", *_table(rows)]


def _table(rows: dict[str, str]) -> list[str]:
    if not rows:
        return []
    return [*(f"* {name}" + (f": {said}" if said else "") for name, said in rows.items()), ""]


def _fields(explained: dict[str, str]) -> list[str]:
    return [f"* `{name}`: {said}" for name, said in explained.items()]


def _explained(cls: type) -> dict[str, str]:
    """Return what the docstring's `Attributes:` say, by name."""
    text = inspect.cleandoc(cls.__doc__ or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for entry in re.split(r"\n(?=    \w)", "\n" + text):
        name, colon, said = entry.strip().partition(": ")
        if colon and name.isidentifier():
            found[name] = _one_line(said)
    return found


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _kind(hint: object) -> str:
    text = hint.__name__ if isinstance(hint, type) and not typing.get_args(hint) else str(hint)
    text = re.sub(r"typing\.(?:Literal|Annotated)\[(.*)\]", r"\1", text)
    text = re.sub(r"typing\.Mapping|collections\.abc\.Mapping", "mapping", text)
    text = re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", text)
    text = text.replace("JsonValue", "JSON")
    return "JSON" if "TypeAliasType" in text or "Union" in text else text


def _shown(value: object) -> str:
    if isinstance(value, BaseModel):
        return "zeros" if isinstance(value, Usage) else "empty"
    return "empty" if value in ("", (), {}) else "null" if value is None else repr(value)


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page(), encoding="utf-8")
    else:
        sys.stdout.write(page())
