"""`feedback`: say how good a run or a step was, by options or with one key press for each step."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import OK
from midstream.cli.naming import find_run
from midstream.cli.opening import engine
from midstream.cli.output import put, put_json, say, shown
from midstream.cli.settings import SETTINGS
from midstream.engine.runs.run import Run
from midstream.errors import ConfigError
from midstream.events.experience_facts import FeedbackKind, FeedbackSource
from midstream.projections.conversation import answered
from midstream.projections.run_state import RunState
from midstream.projections.timeline import shortened

KEYS = "+ good, - bad, c correct, 0-9 score, space skip, q quit"
_WIDTH = 120


@dataclass(frozen=True, slots=True)
class Said:
    """Feedback as it was given on the command line, or by a key."""

    kind: FeedbackKind
    text: str = ""
    score: float | None = None


async def feedback(
    wanted: str,
    step: str,
    *,
    good: bool,
    bad: bool,
    correct: str,
    score: float | None,
    text: str,
    by: str,
    program: bool,
    id: str,
) -> int:
    """Record feedback on a run or a step; see `Run.feedback`. Without any, ask for it step by step."""
    log_to_stderr()
    source: FeedbackSource = "program" if program else "person"
    said = _said(good=good, bad=bad, correct=correct, score=score, text=text)
    if said is None and not sys.stdin.isatty():
        raise ConfigError(
            "say one of --good, --bad, --correct TEXT and --score X; without any, a terminal is needed to ask"
        )
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        run = opened.run(info.run_id)
        if said is None:
            await _ask(run, step, by)
            return OK
        found = await _record(run, step or None, said, by=by, source=source, id=id)
        if SETTINGS.get().as_json:
            put_json({"run_id": run.id, "step": step or None, "kind": said.kind, "id": found})
        else:
            say(f"recorded: {said.kind} on {step or 'the run'} {run.id}, as {found}")
    return OK


def _said(*, good: bool, bad: bool, correct: str, score: float | None, text: str) -> Said | None:
    """Return the one thing that the options say, or None where they say nothing.

    Raises:
        ConfigError: They say two.
    """
    kinds = [
        name
        for name, given in (
            ("positive", good),
            ("negative", bad),
            ("correction", bool(correct)),
            ("score", score is not None),
        )
        if given
    ]
    if len(kinds) > 1:
        raise ConfigError("say only one of --good, --bad, --correct TEXT and --score X")
    if not kinds:
        return None
    if correct and text:
        raise ConfigError("--correct has the text already; leave --text away")
    return Said(cast("FeedbackKind", kinds[0]), correct or text, score)  # a kind, by the list above


async def _record(
    run: Run,
    step: str | None,
    said: Said,
    *,
    by: str,
    source: FeedbackSource = "person",
    id: str = "",
) -> str:
    return await run.feedback(
        step, kind=said.kind, text=said.text, score=said.score, by=by, source=source, id=id
    )


async def _ask(run: Run, only: str, by: str) -> None:
    """Show one step after the other, and record what each key says of it."""
    state = await run.state()
    there = {name: text for name, text in _steps(state) if not only or name == only}
    if not there:
        await run.feedback(only, kind="positive", by=by)  # refused, with the steps that exist
    say(f"run {run.id}: {KEYS}")
    for step, text in there.items():
        put(f"{step}  {shortened(text, _WIDTH)}")
        said = _pressed()
        if said is None:
            return
        if isinstance(said, Said):
            await _record(run, step, said, by=by)
            say(f"  {said.kind}{'' if said.score is None else f' {said.score:g}'}")


def _steps(state: RunState) -> Iterator[tuple[str, str]]:
    """Return the steps that somebody can judge, in order, and what came of each: model calls, and ends of activations."""
    found: list[tuple[int, str, str]] = []
    for call in state.calls.values():
        if call.kind == "model" and call.status == "completed":
            text = " ".join(message.text for message in answered(call).messages)
            found.append((call.seq, call.address, text))
    for made in state.activations.values():
        if made.status == "completed":
            found.append((state.seq, made.address, shown(made.output)))
        elif made.status == "failed":
            found.append((state.seq, made.address, str(state.failed_data[made.address]["kind"])))
    return ((step, text) for _, step, text in sorted(found, key=lambda one: one[0]))


def _pressed() -> Said | bool | None:
    """Wait for a key that means something: feedback, False to skip, None to end."""
    while True:
        key = _key()
        if key in ("q", "\x03", "\x04", ""):
            return None
        if key in (" ", "\r", "\n", "s"):
            return False
        if key in ("+", "="):
            return Said("positive")
        if key == "-":
            return Said("negative")
        if key == "c":
            sys.stderr.write("what would have been right: ")
            sys.stderr.flush()
            text = sys.stdin.readline().strip()
            return Said("correction", text) if text else False
        if key.isdecimal():
            return Said("score", score=int(key) / 9)
        say(f"  {KEYS}")


def _key() -> str:
    """Read one key without waiting for the end of a line, where the terminal can do that."""
    try:
        import termios
        import tty
    except ImportError:  # Windows
        import msvcrt

        pressed: Any = msvcrt
        return str(pressed.getwch())
    descriptor = sys.stdin.fileno()
    before = termios.tcgetattr(descriptor)
    try:
        tty.setcbreak(descriptor, termios.TCSADRAIN)  # what was typed ahead counts
        return sys.stdin.read(1)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
