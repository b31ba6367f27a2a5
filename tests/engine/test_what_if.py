"""What-if: chosen steps happen, the log answers for the others, and no more is done than was asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Run, tool
from midstream.adapters.base import ModelResponse
from midstream.adapters.scripted import Script, ScriptedAdapter
from midstream.engine.debugging.what_if import Changed
from midstream.engine.driving.fork import TRIED
from midstream.engine.people.answers import OpenQuestion
from midstream.errors import BudgetError, ConfigError, RateLimitError
from midstream.events.content import Message, assistant
from midstream.events.envelope import REPLAY
from midstream.events.memory import MemoryStore
from midstream.events.payloads import Cost, Usage
from tests.conftest import MakeEngine
from tests.engine.stage import Door, calling, history, until
from tests.engine.stage import call as wish
from tests.projections.logs import NoWait, eventful, model, price


class Said:
    """A model that remembers what it was asked."""

    def __init__(self, name: str = "") -> None:
        self.asked: list[str] = []
        self._name = name

    def __call__(self, said: Sequence[Message]) -> str:
        self.asked.append(said[-1].text)
        return f"<{self._name}{said[-1].text}>"


def trip() -> Graph:
    """Return three nodes in a row, each of which asks a model; the last one only a little of what the second said."""
    graph = Graph("trip")

    @graph.node
    async def research(city: str, ctx: Context) -> str:
        return (await ctx.llm(f"sights in {city}", model="s:m", thread=None)).text

    @graph.node
    async def plan(research: str, ctx: Context) -> str:
        return (await ctx.llm(f"a day from {research}", model="s:m", thread=None)).text

    @graph.node
    async def publish(plan: str, ctx: Context) -> str:
        return (await ctx.llm(f"publish {plan[:3]}", model="s:m", thread=None)).text

    return graph


def priced(provider: str, name: str, usage: Usage, at: float) -> Cost:
    return Cost(amount={"m": "1", "n": "0.25"}[name], source="ours 1")


async def test_only_the_chosen_step_happens_where_nothing_after_it_changes(
    make_engine: MakeEngine,
) -> None:
    small, large = Said(), Said()
    engine = await make_engine(models={"s:m": small, "s:n": large}, pricing=priced)
    run = await engine.start(trip(), run_id="r", city="Rome")
    output = await run
    small.asked.clear()
    found = await run.replay(live=["plan"], models={"plan": "s:n"}, times=2)
    assert small.asked == []
    assert large.asked == ["a day from <sights in Rome>"] * 2
    assert [one.output for one in found.tries] == [output] * 2
    assert [(one.status, one.live, one.from_log) for one in found.tries] == [
        ("completed", 1, 1)
    ] * 2
    assert [one.cost for one in found.tries] == [Decimal("0.25")] * 2
    assert all(one.same for one in found.tries)
    assert found.original.cost == 2
    assert found.cost == Decimal("0.5")


async def test_tries_are_forks_that_can_be_looked_at(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"s:m": Said(), "s:n": Said("n ")})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    found = await run.replay(live=["plan#1"], models={"s:m": "s:n"}, times=2)
    assert sorted(one.run_id for one in found.tries) == ["r~1", "r~2"]
    fork = engine.run("r~1")
    assert (await fork.state()).tags[TRIED] == "r"
    answers = [event for event in await history(fork) if event.type == "model.responded"]
    assert [event.actor == REPLAY for event in answers] == [False, False, False]
    assert (await engine.verify("r~1")).sound
    assert found.tries[0].diff is not None
    assert found.tries[0].diff.first is not None
    assert found.tries[0].diff.first.step.startswith("plan#1/llm:")
    assert [info.run_id for info in await engine.runs(tags={TRIED: "r"})] != []
    assert (await fork.replay()).identical


async def test_a_call_that_the_log_answered_says_so(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"s:m": Said()})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    found = await run.replay(live=["plan"])
    events = await history(engine.run(found.tries[0].run_id))
    told = {e.address: e.actor for e in events if e.type == "model.responded"}
    assert [actor for step, actor in told.items() if step and step.startswith("publish")] == [
        REPLAY
    ]
    assert (await engine.run(found.tries[0].run_id).replay()).identical


@pytest.mark.parametrize(("changed", "asked"), [("live", 2), ("stop", 1)])
async def test_what_is_asked_something_else_happens_or_ends_the_try(
    make_engine: MakeEngine, changed: Changed, asked: int
) -> None:
    small, large = Said(), Said("n ")
    engine = await make_engine(models={"s:m": small, "s:n": large})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    small.asked.clear()
    found = await run.replay(live=["research"], models={"*": "s:n"}, changed=changed)
    one = found.tries[0]
    if changed == "live":
        assert small.asked == ["a day from <n sights in Rome>"]
        assert (one.status, one.live, one.from_log) == ("completed", 2, 1)
    else:
        assert small.asked == []
        assert (one.status, one.live) == ("stopped", 1)
        assert "plan#1/llm:" in one.stopped
    assert len(large.asked) + len(small.asked) == asked


def errand(done: list[str]) -> Graph:
    """Return a node whose model looks something up and sends it, and one that sends once more."""

    @tool(effect="read")
    async def look(what: str) -> str:
        """Look something up."""
        done.append(f"look {what}")
        return f"seen {what}"

    @tool
    async def send(what: str) -> str:
        """Send something."""
        done.append(f"send {what}")
        return "sent"

    graph = Graph("errand")

    @graph.node
    async def work(ctx: Context) -> str:
        return (await ctx.llm("do it", model="s:m", tools=[look, send])).text

    @graph.node
    async def again(work: str, ctx: Context) -> str:
        return str(await ctx.tool(send, what=work))

    return graph


def doing(what: str) -> Script:
    def answer(said: Sequence[Message]) -> Message:
        if len(said) == 1:
            return calling(
                wish("c1", "look", '{"what": "it"}'), wish("c2", "send", f'{{"what": "{what}"}}')
            )
        return assistant("done")

    return answer


async def test_a_tool_with_an_effect_is_answered_from_the_log_and_one_that_reads_happens(
    make_engine: MakeEngine,
) -> None:
    done: list[str] = []
    engine = await make_engine(models={"s:m": doing("it")})
    run = await engine.start(errand(done), run_id="r")
    assert await run == "sent"
    done.clear()
    found = await run.replay(live=["work"])
    assert done == ["look it"]
    assert (found.tries[0].status, found.tries[0].same) == ("completed", True)


async def test_a_tool_with_an_effect_is_never_called_with_anything_new_unless_it_is_named(
    make_engine: MakeEngine,
) -> None:
    done: list[str] = []
    engine = await make_engine(models={"s:m": doing("it"), "s:n": doing("that")})
    run = await engine.start(errand(done), run_id="r")
    await run
    done.clear()
    found = await run.replay(live=["work"], models={"work": "s:n"})
    assert done == ["look it"]
    assert found.tries[0].status == "stopped"
    assert "live='tool:send'" in found.tries[0].stopped
    done.clear()
    named = await run.replay(live=["work", "tool:send"], models={"work": "s:n"})
    assert sorted(done) == ["look it", "send done", "send that"]
    assert named.tries[0].status == "completed"


async def asked_by(run: Run) -> tuple[OpenQuestion, ...]:
    """Return what a run asks people, once it does."""
    async for event in run.events():
        if event.type == "question.asked":
            break
    return await run.questions()


async def test_clocks_chance_waits_and_people_say_what_they_said(make_engine: MakeEngine) -> None:
    graph = Graph("told")

    @graph.node
    async def ask(ctx: Context) -> list[Any]:
        told: list[Any] = [await ctx.now(), await ctx.random(), await ctx.uuid()]
        await ctx.sleep(0.01)
        told.append(await ctx.ask("how?"))
        told.append((await ctx.llm(f"go {told}", model="s:m")).text)
        return told

    said = Said()
    engine = await make_engine(models={"s:m": said})
    run = await engine.start(graph, run_id="r")
    asked = await asked_by(run)
    await run.answer(asked[0].id, value="so", by="alice")
    output = await run
    found = await run.replay(live=["ask"])
    assert found.tries[0].output == output
    assert len(said.asked) == 2
    other = await run.replay(live=["ask"], prompts={"ask": "come"})
    assert other.tries[0].output[:4] == output[:4]
    assert other.tries[0].output[4] == "<come>"


async def test_a_try_that_would_ask_somebody_stops(make_engine: MakeEngine) -> None:
    graph = Graph("asking")

    @graph.node
    async def work(ctx: Context) -> str:
        said = (await ctx.llm("how?", model="s:m")).text
        return str(await ctx.ask(said))

    engine = await make_engine(models={"s:m": Said(), "s:n": Said("n ")})
    run = await engine.start(graph, run_id="r")
    asked = await asked_by(run)
    await run.answer(asked[0].id, value="so")
    await run
    found = await run.replay(live=["work"], models={"*": "s:n"})
    assert found.tries[0].status == "stopped"
    assert "would ask a person '<n how?>'" in found.tries[0].stopped


async def test_a_failure_in_the_log_is_answered_as_a_failure(make_engine: MakeEngine) -> None:
    graph = Graph("failing")

    @graph.node
    async def first(ctx: Context) -> str:
        return (await ctx.llm("one", model="s:m")).text

    @graph.node(output=True)
    async def second(first: str, ctx: Context) -> str:
        try:
            return (await ctx.llm("two", model="s:bad", thread=None)).text
        except RateLimitError:
            return f"{first}, and no more"

    bad: list[Any] = [RateLimitError("wait") for _ in range(10)]
    engine = await make_engine(models={"s:m": Said(), "s:bad": bad}, clock=NoWait())
    run = await engine.start(graph, run_id="r")
    output = await run
    left = len(bad)
    found = await run.replay(live=["first"])
    assert found.tries[0].output == output
    assert (found.tries[0].live, found.tries[0].from_log) == (1, 1)
    assert len(bad) == left


async def test_migrations_are_made_where_they_were_made(make_engine: MakeEngine) -> None:
    door, small, large = Door(), Said(), Said("n ")
    graph = Graph("moved")

    @graph.node
    async def first(ctx: Context) -> str:
        return (await ctx.llm("one", model="s:m")).text

    @graph.node
    async def second(first: str, ctx: Context) -> str:
        await door()
        return (await ctx.llm("two", model="s:m", thread=None)).text

    engine = await make_engine(models={"s:m": small, "s:n": large})
    run = await engine.start(graph, run_id="r")
    await door.reached()
    await (await run.migrate("s:n", dry_run=True)).apply()
    door.open()
    assert await run == "<n two>"
    found = await run.replay(live=["first"])
    assert (found.tries[0].live, found.tries[0].from_log, found.tries[0].same) == (1, 1, True)
    assert large.asked == ["two"]


async def test_what_is_not_kept_leaves_no_trace(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"s:m": Said()})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    before = [info.run_id for info in await engine.runs()]
    found = await run.replay(live=["plan"], keep=False, times=3)
    assert [one.status for one in found.tries] == ["completed"] * 3
    assert [info.run_id for info in await engine.runs()] == before


async def test_a_fork_can_be_tried_and_a_try_forked(make_engine: MakeEngine) -> None:
    small = Said()
    engine = await make_engine(models={"s:m": small, "s:n": Said("n ")})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    fork = await run.fork(set={"research": "zoo"})
    await fork
    small.asked.clear()
    for keep in (True, False):
        found = await fork.replay(live=["plan"], models={"*": "s:n"}, keep=keep)
        assert found.tries[0].status == "completed"
    assert small.asked == ["publish <n "] * 2
    tried = engine.run(found.tries[0].run_id)
    free = await tried.fork(at="plan#1")
    assert await free == "<publish <n >"
    assert (await free.state()).rehearsal is None


async def test_a_limit_is_compared_with_the_estimate_and_then_held(
    make_engine: MakeEngine,
) -> None:
    small = Said("other ")
    engine = await make_engine(models={"s:m": small}, pricing=priced)
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    small.asked.clear()
    with pytest.raises(BudgetError, match=r"about \$3\.0000"):
        await run.replay(live=["plan"], times=3, limit=2.5)
    assert small.asked == []
    found = await run.replay(live=["research"], prompts={"research": "x"}, limit=Decimal(1))
    assert found.tries[0].status == "stopped"
    assert "limit of $1 is spent" in found.tries[0].stopped
    assert small.asked == ["x"]


async def test_a_limit_needs_prices(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"s:m": Said()})
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    with pytest.raises(ConfigError, match="no price is known"):
        await run.replay(live=["plan"], limit=1)


async def test_the_estimate_is_by_the_tokens_of_the_log(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"s:m": Said(), "s:n": Said()}, pricing=priced)
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    found = await run.estimate(live=["plan"], models={"plan": "s:n"}, times=4)
    assert (found.calls, found.later, found.least, found.most) == (4, 4, Decimal(1), Decimal(5))
    assert found.sources == ("ours 1",)
    assert "an estimate by ours 1" in str(found)
    stopping = await run.estimate(live=["plan"], models={"plan": "s:n"}, changed="stop")
    assert stopping.least == stopping.most == Decimal("0.25")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"live": ["moon"]}, "no step 'moon'; it has research, plan, publish"),
        ({"live": ["tool:moon"]}, "no step 'tool:moon'"),
        ({"live": ["plan"], "times": 0}, "times must be 1 or more"),
        ({"live": ["plan"], "changed": "never"}, "changed must be"),
        ({"live": ["plan"], "models": {"moon": "s:m"}}, "'moon' is no step and no model"),
        ({"live": ["plan"], "models": {"plan": "nobody:m"}}, "nobody"),
    ],
)
async def test_what_cannot_be_tried_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine, options: dict[str, Any], said: str
) -> None:
    adapters = {"s": ScriptedAdapter({"m": Said()}, provider="s")}
    engine = await make_engine(adapters=adapters)
    run = await engine.start(trip(), run_id="r", city="Rome")
    await run
    with pytest.raises(ConfigError, match=said):
        await run.replay(**options)
    assert [info.run_id for info in await engine.runs()] == ["r"]


async def test_providers_of_what_does_not_happen_need_not_be_known(make_engine: MakeEngine) -> None:
    graph = Graph("two")

    @graph.node
    async def first(ctx: Context) -> str:
        return (await ctx.llm("one", model="s:m")).text

    @graph.node
    async def second(first: str, ctx: Context) -> str:
        return (await ctx.llm(f"two {first}", model="elsewhere:m", thread=None)).text

    here = {"s": ScriptedAdapter({"m": Said(), "n": Said("n ")}, provider="s")}
    there = {**here, "elsewhere": ScriptedAdapter({"m": Said()}, provider="elsewhere")}
    earlier = await make_engine(adapters=there, graphs=[graph])
    await (await earlier.start(graph, run_id="r"))
    later = await make_engine(adapters=here, graphs=[graph], recover=False)
    run = later.run("r")
    found = await run.replay(live=["first"])
    assert (found.tries[0].status, found.tries[0].from_log) == ("completed", 1)
    other = await run.replay(live=["first"], models={"*": "s:n"})
    assert other.tries[0].status == "stopped"
    assert "nobody answers for 'elsewhere:m' here" in other.tries[0].stopped


async def test_whoever_takes_a_try_over_does_no_more_than_was_asked_for(
    make_engine: MakeEngine,
) -> None:
    done: list[str] = []
    door = Door()
    first = await make_engine(models={"s:m": doing("it")})
    graph = errand(done)
    await (await first.start(graph, run_id="r"))
    done.clear()

    async def slow(said: Sequence[Message]) -> Message:
        await door()
        return assistant("never said")

    held = await make_engine(models={"s:m": slow}, graphs=[graph], recover=False)
    waiting = asyncio.create_task(held.run("r").replay(live=["work"]))
    await door.reached()
    await held.__aexit__(None, None, None)
    waiting.cancel()
    await asyncio.wait([waiting])
    third = await make_engine(models={"s:m": doing("that")}, graphs=[graph], recover=False)
    fork = third.run("r~1")
    await fork.resume()
    await until(lambda: "r~1" not in third._host.live)  # type: ignore[union-attr]
    assert (await fork.state()).status == "cancelled"
    assert done in (["look it"], [])


async def test_branches_find_the_answers_that_were_theirs(make_engine: MakeEngine) -> None:
    graph = Graph("branches")

    @graph.node
    async def first(ctx: Context) -> str:
        return (await ctx.llm("one", model="s:m")).text

    @graph.node
    async def second(first: str, ctx: Context) -> list[str]:
        replies = await asyncio.gather(
            *(ctx.llm("same", model="s:count", thread=None) for _ in range(4))
        )
        return [reply.text for reply in replies]

    numbers = iter(range(100))

    def script(said: Sequence[Message]) -> str:
        return str(next(numbers))

    engine = await make_engine(models={"s:m": Said(), "s:count": script})
    run = await engine.start(graph, run_id="r")
    output = await run
    found = await run.replay(live=["first"])
    assert found.tries[0].output == output
    assert next(numbers) == 4


@settings(max_examples=15, deadline=None)
@given(data=st.data())
async def test_a_try_with_a_model_that_answers_as_before_ends_as_the_run(
    data: st.DataObject,
) -> None:
    asked: list[int] = []

    def again(said: Sequence[Message]) -> ModelResponse:
        asked.append(1)
        found: ModelResponse = model(said)
        return found

    scripts: dict[str, Script] = {"p:m": again, "p:n": lambda said: "n"}
    async with Engine(MemoryStore(), models=scripts, pricing=price, clock=NoWait()) as engine:
        run = await engine.start(eventful(), run_id="r", fail=False)
        output = await run
        calls = [
            event.address or ""
            for event in await history(run)
            if event.type == "model.requested" and event.data["model"] == "p:m"
        ]
        live = data.draw(st.lists(st.sampled_from(calls), min_size=1, unique=True))
        keep = data.draw(st.booleans())
        asked.clear()
        found = await run.replay(live=live, keep=keep)
        assert (found.tries[0].status, found.tries[0].output) == ("completed", output)
        later = {
            one for one in calls if any(one == name or one.startswith(f"{name}/") for name in live)
        }
        # Of two parallel branches, the one that happens may now answer last, and is then told last.
        raced = any(name.startswith("left") for name in live)
        assert len(asked) >= len(later) if raced else len(asked) == len(later)
