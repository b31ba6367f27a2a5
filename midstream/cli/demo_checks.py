"""What the demo claims, checked: by the tools' own notes, by what the stand-in received, and by the log."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from midstream.cli.demo_graph import FACTS
from midstream.cli.demo_stage import Demo
from midstream.cli.exits import BAD, OK
from midstream.cli.output import put_json, shown
from midstream.cli.settings import SETTINGS, command
from midstream.testing.provider_server import ProviderServer

SLOW = "units_in_stock"
"""The tool that is in flight when the first process is killed."""


async def conclude(demo: Demo) -> int:
    """Say what came of the run; return the exit code."""
    story, state = demo.story, demo.story.state
    story.heading("What came of it")
    output = shown(state.output)
    story.say(output, "bold")
    story.console.print()
    good = [
        story.check("the last sentences state all five numbers", good=states_facts(output)),
        _not_repeated(demo),
        *(_stand_in_content(demo, demo.server) if demo.server else ()),
        await _log_is_whole(demo),
    ]
    await _cost(demo)
    story.heading("The log is yours now")
    for words in (("show",), ("tail",), ("verify",)):
        story.say(command(*words, demo.run_id))
    fine = all(good) and state.status == "completed"
    if SETTINGS.get().as_json:
        put_json({"run_id": demo.run_id, "status": state.status, "output": output, "fine": fine})
    if not fine:
        story.say(f"The demo did NOT end as it should (run {state.status}).", "bold red")
    return OK if fine else BAD


def states_facts(text: str) -> bool:
    """Return whether a text states all five numbers, in digits."""
    found = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    return found.issuperset(FACTS)


def _not_repeated(demo: Demo) -> bool:
    """Say what the tools really did, by their own notes."""
    rows = _effects(demo.effects)
    times = {name: [row for row in rows if row["tool"] == name] for name in _names(rows)}
    keys = {row["key"] for row in times.get(SLOW, ())}
    once = all(len(done) == 1 for name, done in times.items() if name != SLOW)
    twice = len(times.get(SLOW, ())) == 2 and len(keys) == 1
    counted = ", ".join(f"{name} {len(done)}x" for name, done in times.items())
    return demo.story.check(
        f"by the tools' own notes: {counted}. What had completed before the kill was not called again; only the "
        "call in flight was, with the same idempotency key",
        good=once and twice,
    )


def _names(rows: list[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(row["tool"] for row in rows))


def _effects(file: Path) -> list[dict[str, Any]]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [json.loads(text) for text in lines]


def _stand_in_content(demo: Demo, server: ProviderServer) -> tuple[bool, ...]:
    asked: dict[str, int] = {}
    for seen in server.requests:
        asked[seen.model] = asked.get(seen.model, 0) + 1
    recorded = sum(1 for call in demo.story.state.calls.values() if call.kind == "model")
    counted = ", ".join(f"{model} {times}x" for model, times in asked.items())
    problems = [f"{violation}" for _, found in server.refused for violation in found]
    problems += [str(error) for error in server.script_errors]
    story = demo.story
    return (
        story.check(
            f"asked over HTTP: {counted}; {recorded} model calls are recorded, none was made twice",
            good=len(server.requests) == recorded,
        ),
        story.check(
            f"no request broke a rule of its provider{': ' if problems else ''}{'; '.join(problems)}",
            good=not problems,
        ),
    )


async def _log_is_whole(demo: Demo) -> bool:
    verdict = await demo.opened.verify(demo.run_id, anchor=demo.anchor)
    since = demo.anchor.seq if demo.anchor else 0
    text = f"{verdict.events} events form an unbroken chain, through the head noted at the kill (event {since})"
    return demo.story.check(text if verdict.sound else str(verdict.damage), good=verdict.sound)


async def _cost(demo: Demo) -> None:
    usage = await demo.opened.run(demo.run_id).usage()
    story = demo.story
    story.console.print()
    for model, tally in usage.by_model.items():
        tokens = f"{tally.input_tokens} + {tally.output_tokens} tokens"
        story.say(f"{model:<28} {tally.calls} calls, {tokens:<20} ${tally.cost:.6f}")
    charged = (
        ""
        if demo.server is None
        else " (list prices of the tokens the stand-in counted; nobody is charged)"
    )
    story.say(f"{'total':<28} ${usage.total.cost:.6f}{charged}")
