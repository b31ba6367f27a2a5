"""`midstream demo`: a run is killed in the middle of a tool loop, resumed, moved to another provider, and checked.

The two lives of the run are processes of their own, `midstream start` and `midstream resume`. This process follows the
log, ends the first one with SIGKILL when it sees one of two parallel tools completed and the other in flight, and
appends the migration while the second one is in the middle of the loop.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from midstream.cli.demo_graph import EFFECTS, FACTS, GATE
from midstream.cli.demo_story import Story
from midstream.cli.drive import log_to_stderr
from midstream.cli.exits import BAD, OK
from midstream.cli.opening import engine
from midstream.cli.output import put_json, shown
from midstream.cli.settings import SETTINGS, command
from midstream.engine.engine import Engine
from midstream.errors import ConfigError, MidstreamError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import Head
from midstream.events.subscribe import subscribe
from midstream.projections.run_state import RunState
from midstream.testing.provider_server import ProviderServer

GRAPH = "midstream.cli.demo_graph:restock"
FROM = "openai:gpt-4o"
TO = "anthropic:claude-sonnet-4-5"
PRODUCT = "blue kettle"
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_LEASE = 2.0
_SEEN = 0.4
"""Seconds in which a driver has seen what others append. One that has not would abandon its next call and make it anew,
which ends in the same sentences."""
_SLOW = "units_in_stock"


@dataclass
class Demo:
    """What one demonstration works with.

    Attributes:
        run_id: The run.
        folder: Where tools and processes write.
        server: The stand-in for both providers; None with `--live`.
        opened: This process's engine over the store.
        story: Tells it.
        anchor: The head of the log when the first process was killed.
    """

    run_id: RunId
    folder: Path
    server: ProviderServer | None
    opened: Engine
    story: Story
    anchor: Head | None = None
    processes: list[asyncio.subprocess.Process] = field(
        default_factory=list[asyncio.subprocess.Process]
    )

    @property
    def effects(self) -> Path:
        """Where the tools note what they did."""
        return self.folder / "effects.jsonl"

    @property
    def gate(self) -> Path:
        """What the slow tool waits for."""
        return self.folder / "gate"


async def demonstrate(*, live: bool, keep: bool) -> int:
    """Run the demo.

    Args:
        live: Ask the vendors.
        keep: Keep what tools and processes wrote.
    """
    log_to_stderr()
    missing = [name for name in _KEYS if not os.environ.get(name)]
    if live and missing:
        raise ConfigError(f"--live needs {' and '.join(missing)}; export it, or leave --live away")
    run_id = RunId(f"demo-{secrets.token_hex(3)}")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(_folder(run_id, keep=keep))
        server = None if live else stack.enter_context(_stand_in())
        opened = await stack.enter_async_context(engine(new=True))
        events = await stack.enter_async_context(aclosing(_events(opened, run_id)))
        demo = Demo(run_id, folder, server, opened, Story(events))
        await stack.enter_async_context(_ending(demo))
        return await _play(demo)


async def _play(demo: Demo) -> int:
    story = demo.story
    _introduce(demo)
    warming = asyncio.create_task(asyncio.to_thread(_warm))
    story.heading(f"1  A process starts the run on {FROM}")
    first = await _spawn(
        demo, "start", GRAPH, "-i", f"product={PRODUCT}", "--run-id", demo.run_id, "--model", FROM
    )
    if not await story.play_until(_half_done, first):
        raise _broken(demo, "the first process ended before it could be killed", first)
    first.kill()
    await first.wait()
    demo.anchor = await demo.opened.store.head(demo.run_id)
    story.say(f"⚡ kill -9 {first.pid}: {_SLOW} is in flight, and its result is lost", "bold red")

    await warming
    story.heading("2  Another process takes it over, once the lease of the dead one has run out")
    second = await _spawn(demo, "resume", demo.run_id, "--graph", GRAPH)
    if not await story.play_until(_taken_over, second):
        raise _broken(demo, "the second process ended before it had taken over", second)

    story.heading(f"3  In the middle of the tool loop, the run is moved to {TO}")
    plan = await demo.opened.run(demo.run_id).migrate(TO, dry_run=True, by="demo")
    story.plan(plan)
    await plan.apply()
    await asyncio.sleep(_SEEN)
    demo.gate.touch()
    if not await story.play_until(lambda state: state.over, second):
        raise _broken(demo, "the second process ended before the run did", second)
    await second.wait()
    return await _conclude(demo)


def _warm() -> None:
    """Import what this process will need while the first one starts."""
    for name in ("openai", "anthropic", "genai_prices"):
        import_module(name)


def _introduce(demo: Demo) -> None:
    settings, story = SETTINGS.get(), demo.story
    if demo.server is None:
        story.say("Live: both vendors are asked, and charge for it.", "bold")
    else:
        story.say(
            "Offline: both providers are played by a stand-in on this machine. The vendors' own SDKs talk to it over HTTP;",
        )
        story.say(
            "it computes each answer from the history in the request alone, and refuses what the vendors would refuse."
        )
    story.say(f"Log: {settings.db.absolute()}, run {demo.run_id}")


def _half_done(state: RunState) -> bool:
    """One of two parallel tools has completed, the other is in flight."""
    tools = [call for call in state.calls.values() if call.kind == "tool"]
    slow = [call for call in tools if call.request["name"] == _SLOW]
    others = [call for call in tools if call not in slow]
    return (
        bool(slow and others)
        and slow[0].status == "open"
        and all(call.status == "completed" for call in others)
    )


def _taken_over(state: RunState) -> bool:
    """A second driver is in the middle of the loop, with the lost call begun again."""
    return state.epoch > 1 and any(
        call.kind == "tool" and call.status == "open" and call.epoch == state.epoch
        for call in state.calls.values()
    )


async def _conclude(demo: Demo) -> int:
    story, state = demo.story, demo.story.state
    story.heading("What came of it")
    output = shown(state.output)
    story.say(output, "bold")
    story.console.print()
    good = [
        story.check("the last sentences state all five numbers", good=_states_facts(output)),
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


def _states_facts(text: str) -> bool:
    found = {float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)}
    return found.issuperset(FACTS)


def _not_repeated(demo: Demo) -> bool:
    """Say what the tools really did, by their own notes."""
    rows = _effects(demo.effects)
    times = {name: [row for row in rows if row["tool"] == name] for name in _names(rows)}
    keys = {row["key"] for row in times.get(_SLOW, ())}
    once = all(len(done) == 1 for name, done in times.items() if name != _SLOW)
    twice = len(times.get(_SLOW, ())) == 2 and len(keys) == 1
    counted = ", ".join(f"{name} {len(done)}×" for name, done in times.items())
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
    counted = ", ".join(f"{model} {times}×" for model, times in asked.items())
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


async def _events(opened: Engine, run_id: RunId) -> AsyncGenerator[Event, None]:
    """Iterate over the events of a run that another process is about to start."""
    while await opened.store.head(run_id) is None:  # noqa: ASYNC110  # a run that is not there cannot be watched
        await asyncio.sleep(0.05)
    async with aclosing(subscribe(opened.store, run_id)) as events:
        async for event in events:
            yield event


async def _spawn(demo: Demo, verb: str, *words: str) -> asyncio.subprocess.Process:
    """Start a process that drives the run."""
    db = str(SETTINGS.get().db.absolute())
    arguments = (verb, *words, "--lease", f"{_LEASE:g}")
    with (demo.folder / f"{verb}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "midstream.cli",
            "--db",
            db,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(demo),
        )
    demo.processes.append(process)
    demo.story.say(f"process {process.pid}: {command(*arguments)}", "dim")
    return process


def _environment(demo: Demo) -> Mapping[str, str]:
    found = {**os.environ, EFFECTS: str(demo.effects), GATE: str(demo.gate)}
    if demo.server is not None:
        here = "127.0.0.1"
        found |= {
            "OPENAI_BASE_URL": demo.server.openai_url,
            "ANTHROPIC_BASE_URL": demo.server.anthropic_url,
            **dict.fromkeys(_KEYS, "offline-demo"),
            "NO_PROXY": here,
            "no_proxy": here,
        }
    return found


def _broken(demo: Demo, what: str, process: asyncio.subprocess.Process) -> MidstreamError:
    logs = sorted(demo.folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
    said = logs[-1].read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    return MidstreamError(
        f"{what} (exit {process.returncode}): {' | '.join(said) or 'it said nothing'}"
    )


@asynccontextmanager
async def _ending(demo: Demo) -> AsyncIterator[None]:
    """Leave no process behind, however this ends."""
    try:
        yield
    finally:
        for process in demo.processes:
            if process.returncode is None:
                process.kill()
        for process in demo.processes:
            await asyncio.shield(process.wait())


def _stand_in() -> ProviderServer:
    from midstream.cli.demo_answers import answer

    return ProviderServer(answer)


@contextmanager
def _folder(run_id: str, *, keep: bool) -> Iterator[Path]:
    """Make a directory for what tools and processes write, beside the log where it is to be kept."""
    if not keep:
        with tempfile.TemporaryDirectory(prefix="midstream-") as name:
            yield Path(name)
        return
    kept = SETTINGS.get().db.absolute().parent / run_id
    kept.mkdir()
    yield kept
