"""`midstream demo`: a run is killed in the middle of a tool loop, resumed, moved to another provider, and checked.

The two lives of the run are processes of their own, `midstream start` and `midstream resume`. This process follows the
log, ends the first one with SIGKILL when it sees one of two parallel tools completed and the other in flight, and
appends the migration while the second one is in the middle of the loop.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from importlib import import_module

from midstream.cli.demo_checks import SLOW, conclude
from midstream.cli.demo_stage import KEYS, Demo, broken, ending, folder_for, spawn, stand_in
from midstream.cli.demo_story import Story
from midstream.cli.drive import log_to_stderr
from midstream.cli.opening import engine
from midstream.cli.settings import SETTINGS
from midstream.engine.engine import Engine
from midstream.errors import ConfigError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.subscribe import subscribe
from midstream.projections.run_state import RunState

GRAPH = "midstream.cli.demo_graph:restock"
FROM = "openai:gpt-4o"
TO = "anthropic:claude-sonnet-4-5"
PRODUCT = "blue kettle"
_SEEN = 0.4
"""Seconds in which a driver has seen what others append. One that has not would abandon its next call and make it anew,
which ends in the same sentences."""


async def demonstrate(*, live: bool, keep: bool) -> int:
    """Run the demo.

    Args:
        live: Ask the vendors.
        keep: Keep what tools and processes wrote.
    """
    log_to_stderr()
    missing = [name for name in KEYS if not os.environ.get(name)]
    if live and missing:
        raise ConfigError(f"--live needs {' and '.join(missing)}; export it, or leave --live away")
    run_id = RunId(f"demo-{secrets.token_hex(3)}")
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(folder_for(run_id, keep=keep))
        server = None if live else stack.enter_context(stand_in())
        opened = await stack.enter_async_context(engine(new=True))
        events = await stack.enter_async_context(aclosing(_events(opened, run_id)))
        demo = Demo(run_id, folder, server, opened, Story(events))
        await stack.enter_async_context(ending(demo))
        return await _play(demo)


async def _play(demo: Demo) -> int:
    story = demo.story
    _introduce(demo)
    warming = asyncio.create_task(asyncio.to_thread(_warm))
    story.heading(f"1  A process starts the run on {FROM}")
    first = await spawn(
        demo, "start", GRAPH, "-i", f"product={PRODUCT}", "--run-id", demo.run_id, "--model", FROM
    )
    if not await story.play_until(_half_done, first):
        raise broken(demo, "the first process ended before it could be killed", first)
    first.kill()
    await first.wait()
    demo.anchor = await demo.opened.store.head(demo.run_id)
    story.say(f"⚡ kill -9 {first.pid}: {SLOW} is in flight, and its result is lost", "bold red")

    await warming
    story.heading("2  Another process takes it over, once the lease of the dead one has run out")
    second = await spawn(demo, "resume", demo.run_id, "--graph", GRAPH)
    if not await story.play_until(_taken_over, second):
        raise broken(demo, "the second process ended before it had taken over", second)

    story.heading(f"3  In the middle of the tool loop, the run is moved to {TO}")
    plan = await demo.opened.run(demo.run_id).migrate(TO, dry_run=True, by="demo")
    story.plan(plan)
    await plan.apply()
    await asyncio.sleep(_SEEN)
    demo.gate.touch()
    if not await story.play_until(lambda state: state.over, second):
        raise broken(demo, "the second process ended before the run did", second)
    await second.wait()
    return await conclude(demo)


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
    slow = [call for call in tools if call.request["name"] == SLOW]
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


async def _events(opened: Engine, run_id: RunId) -> AsyncGenerator[Event, None]:
    """Iterate over the events of a run that another process is about to start."""
    while await opened.store.head(run_id) is None:  # noqa: ASYNC110  # a run that is not there cannot be watched
        await asyncio.sleep(0.05)
    async with aclosing(subscribe(opened.store, run_id)) as events:
        async for event in events:
            yield event
