"""What no lesson may be, whoever wrote it: long, an order to the model, a secret, a link, or without evidence."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from midstream.events.envelope import Event
from midstream.events.experience_facts import Evidence, LessonKind, Trust

LONGEST = 60
"""Words of a lesson, both parts together."""

_CHARACTERS = 600
_ORDERS = re.compile(
    r"\b(ignore|disregard|forget|override|bypass)\b.{0,40}\b(instruction|prompt|rule|above|previous|earlier|prior|everything|all)"
    r"|\bsystem[\s_-]*(prompt|message|instruction)"
    r"|\b(you are now|act as|pretend (to be|you)|jailbreak|developer mode)\b"
    r"|<\s*/?\s*(system|assistant|user|tool|instructions?)\b"
    r"|(^|\n)\s*(system|assistant|user|tool|human)\s*:"
    r"|\[/?(INST|SYS)\]|<\|",
    re.IGNORECASE,
)
_SECRETS = re.compile(
    r"\b(sk|pk|rk)[-_][A-Za-z0-9_-]{12,}"
    r"|\b(ghp|gho|ghs|github_pat|xox[abpr]|glpat)[-_][A-Za-z0-9_-]{10,}"
    r"|\bA(KIA|SIA)[A-Z0-9]{12,}|\bAIza[A-Za-z0-9_-]{20,}"
    r"|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
    r"|-----BEGIN"
    r"|\b(password|passwd|secret|api[_\s-]?key|token)\b\s*[:=]\s*\S+"
    r"|\b[A-Fa-f0-9]{32,}\b",
    re.IGNORECASE,
)
_LINK = re.compile(r"\w+://|\bwww\.|\]\(", re.IGNORECASE)
_INVISIBLE = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)


class LessonDraft(NamedTuple):
    """A lesson before it has passed the gates.

    Attributes:
        kind: See `LessonKind`.
        when: The situation.
        do: The advice.
        cause: Why.
        evidence: What it rests on.
        confidence: From 0 to 1.
        node: The node that it is for, or empty.
        relation: `same`, `refines` or `contradicts`, as its author sees it, or empty.
        other: The lesson that this is about.
    """

    kind: LessonKind
    when: str
    do: str
    cause: str = ""
    evidence: tuple[Evidence, ...] = ()
    confidence: float = 0.5
    node: str = ""
    relation: str = ""
    other: str = ""


_CHECKS: tuple[tuple[Callable[[str], object], str], ...] = (
    (_INVISIBLE.search, "it has characters that cannot be seen"),
    (_ORDERS.search, "it gives orders to the model"),
    (_SECRETS.search, "it looks as if it held a secret"),
    (_LINK.search, "it has a link"),
    (lambda text: "```" in text, "it has a block of code"),
)


def refusal(when: str, do: str, *, curated: bool = False) -> str:
    """Return why a lesson must not be kept, or an empty text where it may.

    Args:
        when: The situation.
        do: The advice.
        curated: It is a skill: a person wrote its file, so it may be long, and have links and code.
    """
    if not when.strip() or not do.strip():
        return "it says no situation" if not when.strip() else "it says nothing to do"
    text = f"{when}\n{do}"
    checks = _CHECKS[:3] if curated else _CHECKS
    for found, reason in checks:
        if found(text):
            return reason
    if not curated and (len(text.split()) > LONGEST or len(text) > _CHARACTERS):
        return f"it has more than {LONGEST} words or {_CHARACTERS} characters"
    return ""


def uncited(draft: LessonDraft, events: Mapping[int, Event]) -> str:
    """Return why the evidence of a draft does not hold, or an empty text where it does."""
    if not draft.evidence:
        return "it cites no event"
    missing = [one.seq for one in draft.evidence if one.seq not in events]
    return f"it cites event {missing[0]}, which it was not shown" if missing else ""


_ORDER: tuple[Trust, ...] = ("person", "verified", "model", "external")


def least(trusts: Sequence[Trust]) -> Trust:
    """Return the least trusted of several; without any, text from outside."""
    return _ORDER[max(map(_ORDER.index, trusts), default=len(_ORDER) - 1)]


def trust_of(event: Event, *, tainted: bool) -> Trust:
    """Return on whose word an event rests.

    Args:
        event: The event.
        tainted: Text from outside was in the run before it: a model may repeat what it was told.
    """
    data: Mapping[str, Any] = event.data
    match event.type:
        case "feedback.added":
            return "person" if data.get("source", "person") == "person" else "verified"
        case "question.answered":
            return "person"
        case "node.failed" if data["kind"] == "timeout":
            return "verified"  # the engine's own words
        case "reflection.made" | "model.responded":
            return "external" if tainted else "model"
        case _:
            return "external"


_OUTSIDE = frozenset(("tool.completed", "tool.failed"))


def trusts(events: Sequence[Event]) -> dict[int, Trust]:
    """Return on whose word each event of a run rests, by seq."""
    found: dict[int, Trust] = {}
    tainted = False
    for event in events:
        tainted = tainted or event.type in _OUTSIDE
        tainted = tainted or (event.type == "run.created" and bool(event.data.get("inputs")))
        found[event.seq] = trust_of(event, tainted=tainted)
    return found
