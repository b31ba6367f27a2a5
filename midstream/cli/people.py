"""`questions` and `answer`: what runs ask people, and what people say."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import OK
from midstream.cli.given import inputs_of, json_of
from midstream.cli.naming import find_run
from midstream.cli.opening import engine, reading
from midstream.cli.output import printable, put, put_json, say
from midstream.cli.settings import SETTINGS, command
from midstream.cli.spans import span
from midstream.cli.wishes import say_who_drives
from midstream.engine.people.answers import OpenQuestion, open_questions
from midstream.engine.recording.snapshots import load_run
from midstream.errors import ConfigError
from midstream.events.store import OPEN, RunQuery


async def questions(wanted: str) -> int:
    """List the questions that wait for an answer, of one run or of all."""
    async with reading() as store:
        if wanted:
            infos = [await find_run(store, wanted)]
        else:
            infos = list(await store.runs(RunQuery(status=OPEN)))
        found: list[OpenQuestion] = []
        for info in infos:
            found += open_questions(info.run_id, await load_run(store, info.run_id))
    for question in found:
        if SETTINGS.get().as_json:
            put_json(asdict(question))
        else:
            put(_line(question, time.time()))
    if not found and not SETTINGS.get().as_json:
        say("nobody is asked anything")
    return OK


def _line(question: OpenQuestion, now: float) -> str:
    show = "" if question.show is None else f"  {printable(str(question.show)):.300}"
    left = "" if question.deadline is None else f"  {_left(question.deadline - now)}"
    say_so = {"free": "--value JSON", "confirm": "--yes", "edit": "--yes"}[question.kind]
    how = command("answer", question.run_id, question.id, *say_so.split())
    return f"{question.id}  {question.run_id}  {printable(question.text)}{show}{left}\n  {how}"


def _left(seconds: float) -> str:
    return f"expires in {span(seconds)}" if seconds > 0 else "has expired"


async def answer(
    wanted: str,
    question: str,
    *,
    approved: bool | None,
    value: str | None,
    arguments: Sequence[str],
    by: str,
) -> int:
    """Answer a question of a run; see `Run.answer`."""
    log_to_stderr()
    if approved is None and value is None:
        raise ConfigError("answer takes --yes or --no, or --value JSON")
    given: dict[str, Any] = {"approved": approved}
    if value is not None:
        given["value"] = json_of(value, "--value")
    if arguments:
        given["arguments"] = inputs_of(arguments, "")
    async with engine() as opened:
        info = await find_run(opened.store, wanted)
        await opened.run(info.run_id).answer(question, **given, by=by)
    if SETTINGS.get().as_json:
        put_json({"run_id": info.run_id, "question": question, "answered": True})
    else:
        say(f"answered: {question}")
        say_who_drives(info)
    return OK
