"""Migration policies: what they propose, what keeps them from it, and runs that they move on a strict server."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.adapters.base import Capabilities
from midstream.engine.policies.builtin import (
    Capable,
    Cheapest,
    CostLimit,
    ErrorRate,
    Failover,
    LatencyLimit,
    Load,
    Preference,
    Rule,
)
from midstream.engine.policies.policy import Policy, Proposal, Situation, Terms, World
from midstream.engine.policies.reading import policies_of, read_policies
from midstream.engine.policies.trial import try_policies
from midstream.engine.retry import Retry
from midstream.errors import ConfigError
from midstream.events.content import Image, Message, Text
from midstream.events.memory import MemoryStore
from midstream.events.payloads import Cost, Usage
from midstream.projections.run_state import RunState
from midstream.testing import Answer, Fault, Seen
from tests.engine.test_routed import events_of, stage, trip, working

GPT, MINI = "openai:gpt-4o", "openai:gpt-4o-mini"
CLAUDE = "anthropic:claude-sonnet-4-5"


def dime(provider: str, model: str, usage: Usage, at: float) -> Cost:
    """Ten cents for GPT-4o, one for all others."""
    return Cost(amount="0.10" if model == "gpt-4o" else "0.01")


chain = Graph("chain")
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


@chain.node
async def plan(ctx: Context) -> str:
    return (await ctx.llm("plan")).model


@chain.node(name="reasoning.deep")
async def deep(plan: str, ctx: Context) -> str:
    return f"{plan}, {(await ctx.llm('deep', retry=Retry(attempts=4, delay=0.0))).model}"


chain_deep = "reasoning.deep"


@chain.node(after=["reasoning.deep"])
async def draft(ctx: Context) -> str:
    return (await ctx.llm("draft")).model


@chain.node(output=True)
async def final(plan: str, draft: str, ctx: Context) -> list[str]:
    return [plan, draft, (await ctx.llm("final")).model]


async def moved(
    policies: Sequence[Policy],
    script: Any = working,
    *,
    tags: dict[str, str] | None = None,
    **options: Any,
) -> tuple[list[str], list[Any]]:
    """Run the chain; return the models of three nodes, and the switches."""
    async with stage(
        script, config=None, policies=policies, model=GPT, pricing=dime, **options
    ) as (engine, _):
        run = await engine.start(chain, run_id="r", tags=tags)
        return await run, await events_of(engine, "r", "model.switched")


async def test_at_the_cost_limit_the_rest_of_a_run_goes_to_another_model() -> None:
    models, switched = await moved([CostLimit(CLAUDE, Decimal("0.15"))])
    assert models == [GPT, CLAUDE, CLAUDE]
    assert [event.actor for event in switched] == ["policy:cost-limit"]
    data = switched[0].data
    assert data["metrics"]["spent"] == "0.20"
    assert data["metrics"]["at"] == "after_node"
    assert data["estimate"]["tokens"] > 0
    assert data["estimate"]["cost"] == "0.01"
    assert "has spent $0.20" in data["reason"]


async def test_a_budget_of_a_tag_counts_all_runs_that_have_it() -> None:
    store = MemoryStore()
    policy = CostLimit(CLAUDE, Decimal("0.35"), "tag:customer")
    tags = {"customer": "c1"}
    async with stage(
        working, config=None, store=store, policies=[policy], model=GPT, pricing=dime
    ) as (engine, _):
        assert await (await engine.start(chain, tags=tags)) == [GPT, GPT, GPT]
        assert await (await engine.start(chain, tags={"customer": "c2"})) == [GPT, GPT, GPT]
        second = await engine.start(chain, run_id="second", tags=tags)
        assert await second == [CLAUDE] * 3
        (exceeded,) = await events_of(engine, "second", "budget.exceeded")
        assert exceeded.data["metrics"]["per"] == "tag:customer=c1"
        assert exceeded.data["spent"] == "0.40"


async def test_a_tag_that_only_one_run_asks_about_is_counted_from_the_first() -> None:
    policy = CostLimit(CLAUDE, Decimal("0.35"), "tag:customer")
    tags = {"customer": "c1", "team": "blue"}
    by_team = CostLimit(MINI, Decimal("9"), "tag:team")
    async with stage(
        working, config=None, store=MemoryStore(), policies=[by_team], model=GPT, pricing=dime
    ) as (engine, _):
        assert await (await engine.start(chain, tags=tags)) == [GPT] * 3
        asking = await engine.start(chain, run_id="asking", tags=tags, policies=[policy])
        assert await asking == [CLAUDE] * 3
        (exceeded,) = await events_of(engine, "asking", "budget.exceeded")
        assert exceeded.data["spent"] == "0.40"


async def test_the_cheapest_that_is_capable_is_taken() -> None:
    models, _ = await moved([Cheapest((GPT, MINI, CLAUDE))])
    assert models == [MINI, MINI, MINI]


async def test_a_model_that_is_slow_is_left() -> None:
    def slow(seen: Seen) -> Answer:
        return Answer("ok", chunk_delay=0.06 if "openai" in seen.dialect else 0.0)

    models, switched = await moved([LatencyLimit(CLAUDE, 0.05, at_least=2)], slow)
    assert models == [GPT, CLAUDE, CLAUDE]
    assert switched[0].data["metrics"]["seconds"] > 0.05


async def test_a_model_that_fails_too_often_is_left() -> None:
    calls: list[str] = []

    def failing(seen: Seen) -> Answer | Fault:
        calls.append(seen.dialect)
        if "openai" in seen.dialect and len(calls) in (2, 3, 4):
            return Fault.overloaded()
        return Answer("ok")

    policy = ErrorRate(CLAUDE, share=0.5, at_least=4)
    models, switched = await moved([policy], failing)
    assert models == [GPT, CLAUDE, CLAUDE]
    assert switched[0].data["metrics"] == {
        "failed": 3,
        "attempts": 4,
        "from": GPT,
        "at": "before_call",
    }


async def test_an_attempt_that_failed_is_made_again_with_another_model() -> None:
    def dying(seen: Seen) -> Answer | Fault:
        deep_asked = seen.turns[-1].text == "deep"
        return Fault.overloaded() if deep_asked and "openai" in seen.dialect else Answer("ok")

    models, switched = await moved([Failover((GPT, CLAUDE))], dying)
    assert models == [GPT, CLAUDE, CLAUDE]
    assert switched[0].data["metrics"]["kind"] == "overloaded"


async def test_a_rule_names_the_model_of_a_node_or_a_phase() -> None:
    rules = [
        Rule(CLAUDE, phase="reasoning", terms=Terms("deep", 30, hold=0)),
        Rule(MINI, node="dra*", terms=Terms("draft", 30, hold=0)),
        Rule(MINI, node="final", tags={"tier": "free"}, terms=Terms("free", 30, hold=0)),
    ]
    models, switched = await moved(rules)
    assert models == [GPT, MINI, GPT]
    assert [event.data["scope"] for event in switched] == ["node:reasoning.deep", "node:draft"]
    models, _ = await moved(rules, tags={"tier": "free"})
    assert models == [GPT, MINI, MINI]


async def test_a_model_that_likes_it_less_is_taken_while_the_better_one_has_too_much_to_do() -> (
    None
):
    world = {"loads": {GPT: 9, CLAUDE: 1}}
    situation = Situation(
        "before_call", RunState(), "n", GPT, world=World(load=lambda m: world["loads"][m])
    )
    proposal = Load(CLAUDE, most=5).propose(situation)
    assert proposal is not None
    assert proposal.target == CLAUDE
    world["loads"][CLAUDE] = 9
    assert Load(CLAUDE, most=5).propose(situation) is None


async def test_the_best_liked_model_that_is_well_is_asked() -> None:
    models, _ = await moved([Preference((CLAUDE, GPT))])
    assert models == [CLAUDE, CLAUDE, CLAUDE]
    situation = Situation(
        "before_call", RunState(), "n", GPT, world=World(well=lambda m: m != CLAUDE)
    )
    proposal = Preference((CLAUDE, MINI)).propose(situation)
    assert proposal is not None
    assert proposal.target == MINI


seeing = Graph("seeing")


@seeing.node(output=True)
async def look(ctx: Context) -> list[str]:
    image = Image(media_type="image/png", data=PIXEL)
    asked = Message(role="user", parts=(Text(text="what is it?"), image))
    first = await ctx.llm("hello")
    return [first.model, (await ctx.llm(asked)).model, (await ctx.llm("and now?")).model]


async def test_a_need_of_the_coming_call_moves_its_node() -> None:
    async with stage(
        working, config=None, policies=[Capable((GPT,))], model="openai:gpt-3.5-turbo"
    ) as (engine, _):
        run = await engine.start(seeing, run_id="r")
        assert await run == ["openai:gpt-3.5-turbo", GPT, GPT]
        (switched,) = await events_of(engine, "r", "model.switched")
        assert switched.data["scope"] == "node:look"
        assert switched.data["metrics"]["needs"] == ["images"]


@pytest.mark.parametrize("terms", [{"keep": ("image",)}, {"max_losses": 0}])
async def test_a_migration_that_would_drop_an_image_is_not_made(terms: dict[str, Any]) -> None:
    blind = Preference(("openai:gpt-3.5-turbo",), Terms("cheap", **terms))
    async with stage(working, config=None, policies=[blind], model=GPT) as (engine, _):
        only = Graph("only")

        @only.node(output=True)
        async def see(ctx: Context) -> list[str]:
            image = Image(media_type="image/png", data=PIXEL)
            told = Message(role="user", parts=(Text(text="?"), image))
            return [(await ctx.llm(told)).model, (await ctx.llm("and?")).model]

        assert await (await engine.start(only)) == [GPT, GPT]


@dataclass(frozen=True)
class Flip:
    """Wants the other one, always."""

    terms: Terms = field(default_factory=lambda: Terms("flip"))

    def propose(self, situation: Situation) -> Proposal | None:
        return Proposal(CLAUDE if situation.model == GPT else GPT, "the other one")


class Broken:
    """Raises."""

    terms = Terms("broken", 100)

    def propose(self, situation: Situation) -> Proposal | None:
        raise ValueError("oh")


async def test_two_policies_do_not_take_turns_for_ever() -> None:
    models, switched = await moved([Flip(Terms("flip", hold=2))])
    assert models == [CLAUDE, GPT, GPT]
    assert len(switched) <= 3
    _, at_once = await moved([Flip(Terms("flip", hold=0))])
    assert len(at_once) > 3


async def test_the_higher_priority_is_heard_first_and_may_overrule() -> None:
    low = Preference((MINI,), Terms("low", 1, hold=100))
    high = CostLimit(CLAUDE, Decimal("0.02"), terms=Terms("high", 9, hold=100))
    models, switched = await moved([low, high])
    assert models == [MINI, CLAUDE, CLAUDE]
    assert [event.actor for event in switched] == ["policy:low", "policy:high"]


async def test_a_policy_that_raises_is_passed_over() -> None:
    assert (await moved([Broken(), Preference((MINI,))]))[0] == [MINI] * 3


async def test_policies_of_one_run_concern_no_other() -> None:
    async with stage(working, config=None, model=GPT) as (engine, _):
        own = await engine.start(chain, policies=[Preference((MINI,))])
        other = await engine.start(chain)
        assert (await own, await other) == ([MINI] * 3, [GPT] * 3)
        with pytest.raises(ConfigError, match="is no policy"):
            await engine.start(chain, policies=["cheap"])  # type: ignore[list-item]  # on purpose


async def test_a_resumed_run_repeats_the_decision_and_not_the_computation() -> None:
    async with stage(
        working, config=None, policies=[Flip(Terms("flip", hold=9))], model=GPT, always_replay=True
    ) as (engine, _):
        run = await engine.start(chain, run_id="r")
        assert await run == [CLAUDE] * 3
        assert len(await events_of(engine, "r", "model.switched")) == 1


def test_policies_are_read_from_a_file_and_what_is_wrong_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        "policies:\n"
        "  - {type: cost_limit, target: 'anthropic:c', usd: '0.50', priority: 7, keep: [image]}\n"
        "  - {type: rule, name: own, target: 'openai:x', phase: reasoning}\n"
        "  - {type: 'tests.engine.test_policies:Flip'}\n"
    )
    limit, rule, flip = read_policies(path)
    assert limit == CostLimit(
        "anthropic:c", Decimal("0.50"), terms=Terms("cost-limit", 7, keep=("image",))
    )
    assert rule.terms.name == "own"
    assert isinstance(flip, Flip)
    for rows, said in (
        ([{"type": "cost_limt"}], "no policy is of type 'cost_limt'; did you mean 'cost_limit'"),
        (
            [{"type": "load", "target": "a:b", "moste": 3}],
            "unknown key 'moste'; did you mean 'most'",
        ),
        ([{"type": "cost_limit", "target": "a:b", "usd": "much"}], "cost_limit cannot be made"),
        ([{"type": "load", "target": "a:b"}], "load cannot be made"),
        ([{"type": "failover", "models": ["a:b"]}] * 2, "two policies are named 'failover'"),
    ):
        with pytest.raises(ConfigError, match=said):
            policies_of(rows)
    path.write_text("polices: []")
    with pytest.raises(ConfigError, match="must hold a list under 'policies'"):
        read_policies(path)


async def test_what_a_policy_would_have_done_is_told_without_any_call() -> None:
    async with stage(working, config=None, model=GPT, pricing=dime) as (engine, server):
        await (await engine.start(chain, run_id="r"))
        asked = len(server.requests)
        trial = await try_policies(engine.store, "r", [CostLimit(CLAUDE, Decimal("0.15"))])
        assert len(server.requests) == asked
        (would,) = trial.decisions
        assert (would.policy, would.source, would.target) == ("cost-limit", GPT, CLAUDE)
        assert would.step.startswith("reasoning.deep")
        assert trial.calls == 4
        assert trial.moved == 2


async def test_what_a_policy_would_have_lost_is_told_and_its_terms_hold() -> None:
    seen = Graph("seen")

    @seen.node(output=True)
    async def see(ctx: Context) -> str:
        image = Image(media_type="image/png", data=PIXEL)
        await ctx.llm(Message(role="user", parts=(Text(text="?"), image)))
        return (await ctx.llm("and now?")).text

    async with stage(working, config=None, model=GPT, pricing=dime) as (engine, server):
        await (await engine.start(seen, run_id="r"))
        asked = len(server.requests)
        blind = "openai:gpt-3.5-turbo"
        (would,) = (
            await try_policies(engine.store, "r", [Preference((blind,), Terms("any"))])
        ).decisions
        assert [loss.kind for loss in would.losses] == ["image_dropped"]
        careful = Preference((blind,), Terms("careful", max_losses=0))
        trial = await try_policies(engine.store, "r", [careful])
        assert (trial.decisions, trial.moved) == ((), 0)
        assert len(server.requests) == asked


async def test_a_run_leaves_a_model_that_has_too_much_to_do_in_other_runs() -> None:
    def script(seen: Seen) -> Answer:
        busy = "busy" in str(seen.body)
        return Answer("done", chunk_delay=0.6 if busy else 0.0)

    async with stage(
        script, config=None, policies=[Load(CLAUDE, most=2)], model=GPT, pricing=dime
    ) as (engine, server):
        others = [asyncio.create_task(engine.call(f"busy {n}", model=GPT)) for n in range(3)]
        for _ in range(500):  # a server in a thread has no event of this loop
            if len(server.requests) == 3:
                break
            await asyncio.sleep(0.01)
        run = await engine.start(chain, run_id="r")
        first, *_ = await run
        assert first == CLAUDE
        (switched,) = (await events_of(engine, "r", "model.switched"))[:1]
        assert switched.actor == "policy:load"
        assert switched.data["metrics"]["load"] == 3
        await asyncio.gather(*others)


async def test_a_price_that_drops_in_the_middle_of_a_run_moves_it() -> None:
    """The price list of `genai-prices` is by date, and a policy asks for today's."""
    asked: list[str] = []

    def pricing(provider: str, model: str, usage: Usage, at: float) -> Cost:
        dropped = len(asked) >= 2
        cheap = model.startswith("claude") and dropped
        return Cost(amount="0.001" if cheap else "0.01")

    def script(seen: Seen) -> Answer:
        asked.append(seen.model)
        return Answer("ok")

    async with stage(
        script, config=None, policies=[Cheapest((GPT, CLAUDE))], model=GPT, pricing=pricing
    ) as (engine, _):
        assert await (await engine.start(chain, run_id="r")) == [GPT, CLAUDE, CLAUDE]
        (switched,) = await events_of(engine, "r", "model.switched")
        assert switched.data["metrics"]["price"] == "0.001"


def test_a_situation_knows_what_models_can() -> None:
    def can(model: str) -> Capabilities:
        return Capabilities(context_window=100, images=model == "sees")

    base = Situation(
        "before_call", RunState(), "n", "blind", needs=("images",), world=World(can=can)
    )
    assert not base.capable("blind")
    assert base.capable("sees")
    assert not Situation(
        "before_call", RunState(), "n", "sees", tokens=101, world=World(can=can)
    ).capable("sees")


async def test_the_engine_takes_policies_from_its_configuration() -> None:
    config = {"model": GPT, "policies": [{"type": "preference", "models": [MINI]}]}
    async with Engine.memory(
        models={"gpt-4o": ["x"], "gpt-4o-mini": ["a"] * 9}, config=config
    ) as engine:
        assert await (await engine.start(trip)) == "a"
