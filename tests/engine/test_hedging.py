"""Calls of a run that are raced by a second one: what is recorded, whose answer it is, and what becomes of the other."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream import Budget, Engine, Limits
from midstream.engine.runs.run import Piece
from midstream.errors import RunFailedError
from midstream.events.memory import MemoryStore
from midstream.events.system import ROUTING
from midstream.testing import Answer, Fault, Seen
from tests.engine.test_routed import stage, trip, working

OPENAI, ANTHROPIC = "openai:gpt-4o", "anthropic:claude-sonnet-4-5"


def hedged(**more: Any) -> dict[str, Any]:
    echelon = {"models": [OPENAI, ANTHROPIC]}
    hedge = {"after": 0.05, "extra_calls": 1.0}
    group = {"echelon1": echelon, "hedge": hedge, "rotation_strategy": "round_robin", **more}
    return {"model": "group:fast", "groups": {"fast": group}}


def late(*dialects: str, seconds: float = 30.0) -> Any:
    """Answer as `working` does, but for these too late; the first two requests are in time."""
    came: list[str] = []

    def script(seen: Seen) -> Answer | Fault:
        came.append(seen.dialect)
        answer = working(seen)
        slow = len(came) > 1 and seen.dialect in dialects
        return Answer(answer.text, answer.calls, chunk_delay=seconds) if slow else answer

    return script


async def shape(engine: Engine, run_id: str = "r") -> list[str]:
    """Return what the log says of asking, a word each."""
    words: list[str] = []
    async for event in engine.store.read(run_id):  # type: ignore[arg-type]  # a text
        data = event.data
        if event.type == "route.decided":
            words.append(f"{'hedge' if data.get('hedge') else 'route'} {data['model'][:6]}")
        elif event.type == "model.requested":
            words.append(f"ask {data['model'][:6]}")
        elif event.type in ("model.aborted", "model.failed"):
            words.append(f"{event.type[6:]} {data.get('reason') or data['kind']}")
        elif event.type == "model.responded":
            words.append(f"answer {data['message']['origin'][:6]}")
        elif event.type == "model.switched":
            words.append(f"switch {data['target'][:6]}")
    return words


async def until_raced(engine: Engine) -> None:
    """Wait until a second call is under way."""
    async for event in engine.run("r").events():
        if event.type == "route.decided" and event.data.get("hedge"):
            return


async def settled(engine: Engine, count: int) -> list[str]:
    """Return how calls ended, in order, once so many have; it is recorded beside the run, a moment later."""
    found: list[str] = []
    for _ in range(500):
        found = [
            e.data["outcome"] async for e in engine.store.read(ROUTING) if e.type == "route.settled"
        ]
        if len(found) >= count:
            await asyncio.sleep(0.05)
            return [
                e.data["outcome"]
                async for e in engine.store.read(ROUTING)
                if e.type == "route.settled"
            ]
        await asyncio.sleep(0.01)
    raise AssertionError(f"only {found} have ended")


async def test_who_is_asked_beside_a_late_one_takes_over() -> None:
    async with stage(late("openai-chat"), config=hedged()) as (engine, server):
        run = await engine.start(trip, run_id="r")
        assert (await run).startswith("anthropic")
        words = await shape(engine)
        assert (
            "route openai, ask openai, hedge anthro, aborted hedged, switch anthro, ask anthro, answer anthro"
            in ", ".join(words)
        )
        asked = sum(word.startswith(("route", "hedge")) for word in words)
        ends = await settled(engine, asked)
        assert len(ends) == asked  # each call ends once
        assert "abandoned" in ends
        assert server.refused == []
        report = await run.replay()
        assert report.identical, report


async def test_one_that_is_late_and_still_first_is_heard() -> None:
    async with stage(late("openai-chat", "anthropic", seconds=0.15), config=hedged()) as (
        engine,
        _,
    ):
        run = await engine.start(trip, run_id="r")
        await run
        words = await shape(engine)
        assert any(word.startswith("hedge") for word in words)
        assert (await run.replay()).identical
        # a call that was raced and won is told as if it had been alone
        state = await run.state()
        assert all(call.status == "completed" for call in state.calls.values())


async def test_where_a_late_one_fails_the_other_goes_on_for_it() -> None:
    came: list[str] = []

    def script(seen: Seen) -> Answer | Fault:
        came.append(seen.dialect)
        if len(came) == 1:
            return working(seen)
        if len(came) == 2:
            return Fault.hang(0.6)
        answer = working(seen)
        return Answer(answer.text, answer.calls, chunk_delay=0.9 if len(came) == 3 else 0.0)

    async with stage(
        script, config=hedged(stick_to="none", hedge={"after": 0.2, "extra_calls": 1.0})
    ) as (engine, _):
        run = await engine.start(trip, run_id="r")
        await run
        words = await shape(engine)
        at = words.index("failed connection")
        assert words[at - 1].startswith("hedge")
        assert words[at + 1 : at + 3] in (
            ["switch anthro", "ask anthro"],
            ["switch openai", "ask openai"],
        )
        assert (await run.replay()).identical


async def test_a_second_one_that_fails_leaves_the_first_alone() -> None:
    came: list[str] = []

    def script(seen: Seen) -> Answer | Fault:
        came.append(seen.dialect)
        if len(came) == 1:
            return working(seen)
        if len(came) == 3:
            return Fault.overloaded()
        answer = working(seen)
        return Answer(answer.text, answer.calls, chunk_delay=0.1)

    async with stage(script, config=hedged()) as (engine, _):
        run = await engine.start(trip, run_id="r")
        await run
        words = await shape(engine)
        assert not any(word.startswith(("aborted", "failed")) for word in words)
        assert "overloaded" in await settled(engine, 4)


async def test_a_run_with_a_budget_and_one_without_a_rule_are_not_hedged() -> None:
    config = hedged()
    budgets = [Budget("calls", model_calls=100)]
    async with stage(late("openai-chat", seconds=0.1), config=config, budgets=budgets) as (
        engine,
        _,
    ):
        run = await engine.start(trip, run_id="r")
        await run
        assert not [word for word in await shape(engine) if word.startswith("hedge")]
    del config["groups"]["fast"]["hedge"]
    async with stage(late("openai-chat", seconds=0.1), config=config) as (engine, _):
        await (await engine.start(trip, run_id="r"))
        assert not [word for word in await shape(engine) if word.startswith("hedge")]


async def test_what_is_streamed_is_of_one_of_them_only() -> None:
    async with stage(late("openai-chat"), config=hedged()) as (engine, _):
        run = await engine.start(trip, run_id="r")
        pieces = [piece async for piece in run.stream() if isinstance(piece, Piece)]
        steps = {piece.step for piece in pieces}
        answers = [event async for event in run.events() if event.type == "model.responded"]
        told = {str(event.address): event.data["message"] for event in answers}
        assert steps
        for step in steps:
            whole = "".join(one.delta.text for one in pieces if one.step == step)
            assert whole == "".join(part.get("text", "") for part in told[step]["parts"])


async def test_a_migration_in_the_middle_of_a_race_ends_both() -> None:
    async with stage(late("openai-chat", "anthropic"), config=hedged()) as (engine, _):
        run = await engine.start(trip, run_id="r")
        await until_raced(engine)
        await run.migrate("openai:gpt-4o", when="now")
        async for event in run.events():
            if event.type == "model.aborted":
                break
        await run.cancel()
        raced = {
            event.data["reservation"]
            async for event in run.events()
            if event.type == "route.decided"
        }
        ends = await settled(engine, len(raced))
        assert len(ends) == len(raced)  # each call ends once
        assert ends.count("abandoned") >= 2


async def test_a_second_call_is_durable_before_it_is_sent() -> None:
    """A process that dies in a race knows of both calls, and asks again."""
    store = MemoryStore()
    async with stage(late("openai-chat", "anthropic"), config=hedged(), store=store) as (engine, _):
        await engine.start(trip, run_id="r")
        await until_raced(engine)
    async with stage(working, config=hedged(), store=store) as (engine, _):
        run = await engine.resume("r", graph=trip)
        await run
        assert (await run.replay()).identical


async def test_a_run_that_comes_up_against_its_time_ends_both() -> None:
    async with stage(lambda _: Answer("slow", chunk_delay=30.0), config=hedged()) as (engine, _):
        run = await engine.start(trip, run_id="r", limits=Limits(seconds=0.5))
        with pytest.raises(RunFailedError):
            await run
        assert await settled(engine, 2) == ["abandoned", "abandoned"]
