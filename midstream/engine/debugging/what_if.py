"""What-if: some steps of a run happen again, in forks of it, while the log answers for all others."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Literal

from midstream.engine.debugging.forking import make_fork, ready
from midstream.engine.debugging.parting import diff_stored
from midstream.engine.debugging.tries import Estimate, Try, WhatIf, tried
from midstream.engine.driving.fork import TRIED, Changes
from midstream.engine.driving.host import Host
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.shelf import Shelf
from midstream.engine.recording.rehearsal import TOOL, is_live
from midstream.engine.spending.costing import check_models, model_at, priced
from midstream.errors import BudgetError, ConfigError
from midstream.events.envelope import REPLAY, Event
from midstream.events.fork_facts import Rehearsal
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines, import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.events.payloads import RunCancelRequested, Usage
from midstream.events.subscribe import subscribe
from midstream.projections.answered import ANSWERED, Answered
from midstream.projections.fold import fold

AT_ONCE = 4
"""Tries that are driven at the same time."""

_ENDINGS = frozenset(("run.completed", "run.failed", "run.cancelled"))

Changed = Literal["live", "stop"]
"""What becomes of a step that is not asked what it was asked then: it happens, or the try stops there."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What somebody wants to know.

    Attributes:
        live: The steps that happen: nodes, activations, calls, tools as in `tool:NAME`.
        models: Who is asked, by step, by the model that was asked, or `*` for every step that happens.
        times: How many tries.
        changed: What becomes of what is asked something else than then.
        prompts: What is said in place of what the code says, by step.
        systems: The instruction in place of the code's, by step.
        graph: The code; None for what is registered.
        limit: US dollars that all tries together may cost, or None.
        keep: Record the tries as forks; otherwise they are forgotten.
        lesson: The id of a lesson that is told to what happens, or empty.
        told: Its words.
    """

    live: Sequence[str]
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    times: int = 1
    changed: Changed = "live"
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])
    systems: Mapping[str, str] = field(default_factory=dict[str, str])
    graph: Graph | None = None
    limit: Decimal | None = None
    keep: bool = True
    lesson: str = ""
    told: str = ""


@dataclass(frozen=True, slots=True)
class _Plan:
    """What will be done.

    Attributes:
        events: Of the run.
        cut: The last event that tries share with it.
        models: Who is asked, by call.
        estimate: What it will cost.
    """

    events: Sequence[Event]
    cut: int
    models: Mapping[str, str]
    estimate: Estimate


async def estimate_what_if(host: Host, run_id: RunId, wanted: Wanted) -> Estimate:
    """Return what a what-if would cost, asking nobody; see `Run.estimate`."""
    return (await _plan(host, run_id, wanted)).estimate


async def what_if(host: Host, run_id: RunId, wanted: Wanted) -> WhatIf:
    """Try a run again with some steps live; see `Run.replay`."""
    plan = await _plan(host, run_id, wanted)
    _affordable(plan.estimate, wanted.limit)
    for model in dict.fromkeys(plan.models.values()):
        await ready(host, model)
    tries: list[Try] = []
    async with _stage(host, run_id, keep=wanted.keep) as stage:
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Try:
            async with gate:
                return await _try(stage, run_id, wanted, plan, number)

        async with asyncio.TaskGroup() as group:
            made = [group.create_task(one(number + 1)) for number in range(wanted.times)]
        tries = [task.result() for task in made]
    original = tried(0, run_id, plan.events, plan.cut)
    return WhatIf(
        run_id, tuple(wanted.live), dict(wanted.models), plan.estimate, original, tuple(tries)
    )


def _affordable(estimate: Estimate, limit: Decimal | None) -> None:
    if limit is None:
        return
    if estimate.unpriced:
        raise ConfigError(
            f"a limit of ${limit} cannot be held: of {estimate.unpriced} calls no price is known; "
            "leave the limit out, or give the engine a pricing="
        )
    if estimate.least > limit:
        raise BudgetError(
            "what-if",
            f"{estimate.times} tries would cost about ${estimate.least:.4f}, and the limit is ${limit}; "
            "try fewer times, or raise the limit",
            what="money",
        )


async def _plan(host: Host, run_id: RunId, wanted: Wanted) -> _Plan:
    if wanted.times < 1:
        raise ConfigError(f"times must be 1 or more, not {wanted.times}")
    if wanted.changed not in ("live", "stop"):
        raise ConfigError(f"changed must be 'live' or 'stop', not {wanted.changed!r}")
    events = [event async for event in host.store.read(run_id)]
    cut = _cut(run_id, events, wanted.live)
    calls = fold(ANSWERED, events).calls
    check_models(wanted.models, calls)
    return _Plan(events, cut, _models(events, wanted), _estimate(host, calls, cut, wanted))


def _cut(run_id: RunId, events: Sequence[Event], live: Sequence[str]) -> int:
    """Return the event before the first one of any step that is to happen."""
    if not live:
        raise ConfigError("live= names no step; pass nodes, activations, calls or 'tool:NAME'")
    first: list[int] = []
    for name in live:
        found = next((event.seq for event in events if _is(event, name)), None)
        if found is None:
            nodes = dict.fromkeys(
                (event.address or "").partition("#")[0]
                for event in events
                if event.type == "node.scheduled"
            )
            raise ConfigError(
                f"run {run_id!r} has no step {name!r}; it has {', '.join(nodes) or 'none yet'}"
            )
        first.append(found)
    return min(first) - 1


def _is(event: Event, name: str) -> bool:
    if name.startswith(TOOL):
        return event.type == "tool.requested" and event.data.get("name") == name[len(TOOL) :]
    return event.address is not None and is_live(event.address, (name,))


def _models(events: Sequence[Event], wanted: Wanted) -> dict[str, str]:
    """Return who is asked in place of whom, by call, activation or node that happens."""
    found: dict[str, str] = {}
    for event in events:
        step = event.address or ""
        if event.type == "model.requested" and is_live(step, wanted.live):
            model = model_at(step, event.data["model"], wanted.models)
            if model != event.data["model"]:
                found[step] = model
    return found


def _estimate(host: Host, calls: Mapping[str, Answered], cut: int, wanted: Wanted) -> Estimate:
    """Return what the tries will cost by the tokens of the log: the steps that happen, and at most all that follow."""
    now = datetime.fromtimestamp(host.clock.now()).astimezone()
    amounts: dict[bool, list[Decimal]] = {True: [], False: []}
    tokens, unpriced, sources = [0, 0], 0, dict[str, None]()
    for call in calls.values():
        if call.seq <= cut:
            continue
        lives = is_live(call.step, wanted.live)
        model = model_at(call.step, call.model, wanted.models) if lives else call.model
        usage = Usage.model_validate(call.usage)
        amount, source = priced(host.pricing, model, call, usage, now)
        amounts[lives].append(amount or Decimal(0))
        sources.update({source: None} if source else {})
        if lives:
            tokens[0] += usage.input_tokens
            tokens[1] += usage.output_tokens
        unpriced += lives and amount is None
    later = [] if wanted.changed == "stop" else amounts[False]
    least = sum(amounts[True], Decimal(0)) * wanted.times
    return Estimate(
        wanted.times,
        len(amounts[True]) * wanted.times,
        len(later) * wanted.times,
        tokens[0] * wanted.times,
        tokens[1] * wanted.times,
        least,
        least + sum(later, Decimal(0)) * wanted.times,
        unpriced * wanted.times,
        tuple(sources),
    )


@asynccontextmanager
async def _stage(host: Host, run_id: RunId, *, keep: bool) -> AsyncGenerator[Host, None]:
    """Give the host that drives the tries: the one of the run, or one with a copy of it in memory."""
    if keep:
        yield host
        return
    store = MemoryStore()
    lines = [line async for line in export_lines(host.store, [run_id])]
    await import_runs(store, read_lines(lines), now=host.clock.now())
    stage = Host(
        store, host.providers, host.pricing, host.clock, host.model, graphs=Shelf(host.graphs)
    )
    await stage.open(scan=False)
    try:
        yield stage
    finally:
        await stage.close(providers=False)
        await store.close()


async def _try(host: Host, run_id: RunId, wanted: Wanted, plan: _Plan, number: int) -> Try:
    limit = "" if wanted.limit is None else f"{wanted.limit / wanted.times:f}"
    changes = Changes(
        prompts=wanted.prompts,
        systems=wanted.systems,
        graph=wanted.graph,
        models=plan.models,
        tags={TRIED: run_id},
        reason=f"what-if, try {number}",
        rehearsal=Rehearsal(
            live=tuple(wanted.live),
            changed=wanted.changed,
            upto=plan.events[-1].seq,
            limit=limit,
            lesson=wanted.lesson,
            told=wanted.told,
        ),
    )
    fork = await make_fork(host, run_id, plan.cut, changes, actor=REPLAY)
    try:
        await _ended(host, fork)
    except BaseException:
        await asyncio.shield(_give_up(host, fork, "nobody waits for it any more"))
        raise
    events = [event async for event in host.store.read(fork, after=plan.cut)]
    diff = await diff_stored(host.store, run_id, fork)
    return tried(number, fork, events, plan.cut, diff)


async def _ended(host: Host, fork: RunId) -> None:
    """Wait until a try has ended; one that would wait for somebody is ended."""
    live = host.live.get(fork)
    if live is not None:
        await live.ended()
        if not live.task.cancelled() and (error := live.task.exception()) is not None:
            raise error
        if not live.runner.state.over:
            await _give_up(host, fork, "it would wait for somebody, or for a distant moment")
    async for _ in subscribe(host.store, fork, until=lambda event: event.type in _ENDINGS):
        pass


async def _give_up(host: Host, fork: RunId, reason: str) -> None:
    payload = RunCancelRequested(id=uuid.uuid4().hex, reason=reason)
    await host.append(fork, payload, actor=REPLAY)
