"""Saying how good a step was: at any time, from any process, once, without a look at the rest of the run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from hashlib import sha256
from typing import Any, get_args

import orjson

from midstream.engine.driving.host import Host
from midstream.errors import ConcurrencyError, ConfigError, RunNotFoundError, StepNotFoundError
from midstream.events.experience_facts import FeedbackAdded, FeedbackKind, FeedbackSource
from midstream.events.ids import RunId
from midstream.events.patience import append_patiently

_TYPES = frozenset(("feedback.added",))
_CLOSE = 3
_LISTED = 8


async def add_feedback(
    host: Host,
    run_id: RunId,
    *,
    step: str | None,
    kind: FeedbackKind,
    text: str = "",
    score: float | None = None,
    by: str = "",
    source: FeedbackSource = "person",
    id: str = "",
) -> str:
    """Record feedback, and return its id; see `Run.feedback`."""
    _check(kind, text, score, source)
    actor = actor_of(by, source)
    wanted = FeedbackAdded(
        id=id or _id(step, kind, text, score, actor),
        kind=kind,
        score=score,
        text=text,
        source=source,
    )
    draft = host.draft(wanted, step, actor=actor)
    while True:
        head = await host.store.head(run_id)
        if head is None:
            raise RunNotFoundError(run_id)
        if await _is_there(host, run_id, step, actor, draft.data):
            return wanted.id
        await _check_step(host, run_id, step)
        if run_id in host.live:  # in line with what its driver records
            await host.append(run_id, wanted, step, actor=actor)
            return wanted.id
        try:
            await append_patiently(host.store, run_id, [draft], expected=head.seq)
        except ConcurrencyError:
            continue
        return wanted.id


def actor_of(by: str, source: FeedbackSource) -> str:
    """Return who an event is recorded as from: `user:ann`, `program:ci`, or without a name."""
    who = "user" if source == "person" else "program"
    return f"{who}:{by}" if by else who


def _check(kind: str, text: str, score: float | None, source: str) -> None:
    if kind not in get_args(FeedbackKind):
        raise ConfigError(
            f"feedback of kind {kind!r} is none of {', '.join(get_args(FeedbackKind))}"
        )
    if source not in get_args(FeedbackSource):
        raise ConfigError(f"the source of feedback is 'person' or 'program', not {source!r}")
    if score is not None and not (math.isfinite(score) and 0 <= score <= 1):
        raise ConfigError(f"a score is a number from 0 (wrong) to 1 (right), not {score!r}")
    if kind == "score" and score is None:
        raise ConfigError("feedback of kind 'score' needs score=, from 0 (wrong) to 1 (right)")
    if kind == "correction" and not text.strip():
        raise ConfigError("a correction needs text=: what would have been right")


def _id(step: str | None, kind: str, text: str, score: float | None, actor: str) -> str:
    """Return what feedback is recognised by where its author gives no id: all that it says."""
    said = orjson.dumps([step, kind, text, score, actor])
    return sha256(said).hexdigest()[:16]


async def _is_there(
    host: Host, run_id: RunId, step: str | None, actor: str, data: Mapping[str, Any]
) -> bool:
    """Say whether this feedback is recorded.

    Raises:
        ConfigError: Other feedback has its id.
    """
    for event in await host.store.from_others(run_id, _TYPES):
        if event.data["id"] != data["id"]:
            continue
        if (event.address, event.actor, event.data) == (step, actor, data):
            return True
        raise ConfigError(
            f"run {run_id!r} has other feedback with the id {data['id']!r} (event {event.seq}); "
            "give this one another id, or none"
        )
    return False


async def _check_step(host: Host, run_id: RunId, step: str | None) -> None:
    """Refuse a step that the run does not have.

    Raises:
        StepNotFoundError: It does not; the message names the nearest ones.
    """
    if step is None:
        return
    live = host.live.get(run_id)
    if live is not None:
        state = live.runner.state
        if step in state.activations or step in state.calls:
            return
    if step and await host.store.newest_of(run_id, step) is not None:
        return
    # Slow, and nobody is in a hurry to be refused; it also knows the steps that a fork shares with its parent.
    state = await host.load(run_id)
    there = [*state.activations, *state.calls]
    if step not in there:
        raise StepNotFoundError(run_id, step, nearest(step, there))


def nearest(step: str, there: Iterable[str]) -> tuple[str, ...]:
    """Return the steps that are most like one that is not there, else the first ones."""
    steps = list(there)
    own = [name for name in steps if step and (name.startswith(step) or step.startswith(name))]
    close = get_close_matches(step, steps, n=_CLOSE, cutoff=0.5)
    return tuple(dict.fromkeys((*own[:_CLOSE], *close))) or tuple(steps[:_LISTED])
