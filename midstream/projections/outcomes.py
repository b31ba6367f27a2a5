"""Signals: what the events of a run say about how well its steps went, and how much each of them counts.

Silence is not success: a step that nobody and nothing has judged has no outcome.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from midstream.events.envelope import Event
from midstream.events.ids import activation_of


class Signal(NamedTuple):
    """One judgement.

    Attributes:
        step: The step that it is about, or empty for the run.
        outcome: From 0 (wrong) to 1 (right).
        weight: How much it counts, from 0 to 1.
        seq: The event that says so.
        kind: `feedback`, `refused`, `failed`, `replanned`, `limited`, `bad_arguments`, `mended`.
        text: What it says in words, or empty.
    """

    step: str
    outcome: float
    weight: float
    seq: int
    kind: str
    text: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How well something went.

    Attributes:
        value: From 0 to 1: the mean of the signals by weight.
        weight: That of the strongest signal.
        signals: What it was computed from.
    """

    value: float
    weight: float
    signals: tuple[Signal, ...]


_FEEDBACK = {"positive": 1.0, "negative": 0.0, "correction": 0.2, "score": 0.5}
"""What feedback without a score is worth; a correction says that it was nearly right."""


def signals(events: Iterable[Event]) -> tuple[Signal, ...]:
    """Return every judgement in the events of a run, in order; feedback with the same id counts once."""
    found: list[Signal] = []
    seen: set[str] = set()
    for event in events:
        made = _signal(event)
        if made is None:
            continue
        if event.type == "feedback.added":
            if event.data["id"] in seen:
                continue
            seen.add(event.data["id"])
        found.append(made)
    return tuple(found)


def _signal(event: Event) -> Signal | None:
    data, step = event.data, event.address or ""
    match event.type:
        case "feedback.added":
            score = data.get("score")
            value = float(score if score is not None else _FEEDBACK[data["kind"]])
            return Signal(step, value, 1.0, event.seq, "feedback", data.get("text", ""))
        case "question.answered" if data.get("approved") is False:
            text = data.get("value")
            said = text if isinstance(text, str) else ""
            return Signal(step, 0.1, 0.7, event.seq, "refused", said)
        case "run.failed":
            return Signal("", 0.2, 0.4, event.seq, "failed", _failures(data))
        case "plan.revised":
            return Signal("", 0.2, 0.4, event.seq, "replanned", data.get("reason", ""))
        case "budget.exceeded" | "limit.reached":
            return Signal("", 0.2, 0.4, event.seq, "limited")
        case "tool.failed" if data["kind"] == "bad_arguments":
            return Signal(step, 0.3, 0.3, event.seq, "bad_arguments", data.get("message", ""))
        case "model.requested" if _mends(event):
            return Signal(step, 0.3, 0.3, event.seq, "mended")
        case _:
            return None


def _failures(data: Mapping[str, Any]) -> str:
    return "; ".join(f"{one['address']}: {one['kind']}" for one in data.get("failures", ()))


def _mends(event: Event) -> bool:
    """Say whether a further turn tells the model that its answer was not of the form that was asked for.

    Further turns carry results of tools, never words of the user, unless an answer is to be mended.
    """
    later = "/turn#" in (event.address or "") and event.data.get("attempt", 1) == 1
    return later and any(said["role"] == "user" for said in event.data.get("messages", ()))


def outcome_of(found: Iterable[Signal], step: str = "") -> Outcome | None:
    """Return how well a step went, or the run; None where nobody has said anything.

    A step is judged by what is said of it, of its activation and what belongs to it, and of the run as a whole; a run by
    everything that is said in it.

    Args:
        found: The signals of the run.
        step: A step, or empty for the run.
    """
    about = [one for one in found if not step or _concerns(one.step, step)]
    total = sum(one.weight for one in about)
    if not total:
        return None
    value = sum(one.weight * one.outcome for one in about) / total
    return Outcome(value, max(one.weight for one in about), tuple(about))


def _concerns(said_of: str, step: str) -> bool:
    if not said_of or said_of in (step, activation_of(step)):
        return True
    # `…/llm:3fa9#1/memory#1` is judged with the call it was read for, and with that call's turns.
    call = step.rpartition("/memory#")[0] or step
    return said_of == call or said_of.startswith(f"{call}/")
