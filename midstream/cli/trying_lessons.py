"""`midstream experience trial`: a lesson tried at the step that taught it, after its price was told."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import BAD, OK, REFUSED
from midstream.cli.given import graph_of
from midstream.cli.opening import engine
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS
from midstream.cli.trying import agreed, money
from midstream.engine.experience.trial import Judge, Trial
from midstream.errors import ConfigError


async def trial(
    lesson: str,
    *,
    place: str,
    judge: str,
    model: str,
    times: int,
    passing: int,
    limit: str,
    move: bool,
    yes: bool,
    tenant: str,
    by: str,
) -> int:
    """Try a lesson; 1 if it did not help."""
    log_to_stderr()
    code, said = graph_of(place), judge_of(judge)
    async with engine(graphs=(code,)) as opened:
        estimates = await opened.experience.trial_estimate(
            lesson, times=times, passing=passing, judge=said, model=model, tenant=tenant
        )
        for one in estimates:
            say(str(one))
        if not yes and not agreed(estimates):
            say("nothing was tried; pass --yes to do it")
            return REFUSED
        done = await opened.experience.trial(
            lesson,
            times=times,
            passing=passing,
            judge=said,
            model=model,
            limit=money(limit),
            move=move,
            tenant=tenant,
            by=by,
        )
    if SETTINGS.get().as_json:
        put_json(_row(done))
    else:
        put(str(done))
    return OK if done.passed else BAD


def _row(done: Trial) -> dict[str, Any]:
    return {
        "lesson": done.lesson,
        "verdict": done.verdict,
        "moved": done.moved,
        "cost": f"{done.cost:f}",
        "tests": list(done.tests),
    }


def judge_of(place: str) -> Judge | None:
    """Return the function that `MODULE:FUNCTION` names, or None for an empty text.

    Raises:
        ConfigError: There is no such function.
    """
    if not place:
        return None
    module, colon, name = place.partition(":")
    try:
        found: Any = getattr(import_module(module), name) if colon else None
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"--judge {place!r} cannot be imported: {error}") from error
    judge: Judge = found
    if not callable(judge):
        raise ConfigError(f"--judge {place!r} names no function; write it as MODULE:FUNCTION")
    return judge
