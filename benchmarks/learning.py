"""Does it help to be told lessons? A toy world, played by several ways of choosing them, ours with its real store and ranking.

Twenty kinds of task succeed by themselves in 15 to 85 % of their runs. For each there are three lessons; of the sixty, 26
help and 21 harm. A run is told at most two. Of the runs 40 % are judged, and 10 % of the judgements are wrong. What counts is
the share of successes over the last 1,500 of 4,000 runs. Effects are added up, so take the order and not the decimals for the
result. `python benchmarks/learning.py [SEEDS]`
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from statistics import mean

from midstream import Engine
from midstream.engine.experience.advisor import offered
from midstream.engine.experience.credit import news, upkeep
from midstream.engine.experience.embedding import Trigrams
from midstream.engine.experience.ledger import Ledger
from midstream.engine.experience.ranking import AdviceLimits
from midstream.events.experience_facts import LessonCredited

KINDS, EACH, RUNS, COUNTED = 20, 3, 4000, 1500
TOLD = 2
JUDGED, WRONG = 0.4, 0.1
HELP, HARM = 26, 21


@dataclass
class World:
    """One seed's tasks and lessons: what each adds to the chance of success."""

    seed: int
    base: list[float] = field(default_factory=list[float])
    effect: list[float] = field(default_factory=list[float])

    def __post_init__(self) -> None:
        dice = Random(self.seed)
        self.base = [0.15 + 0.7 * place / (KINDS - 1) for place in range(KINDS)]
        helps = [dice.uniform(0.1, 0.3) for _ in range(HELP)]
        harms = [-dice.uniform(0.1, 0.3) for _ in range(HARM)]
        self.effect = [*helps, *harms, *[0.0] * (KINDS * EACH - HELP - HARM)]
        dice.shuffle(self.effect)

    def chance(self, kind: int, told: Sequence[int]) -> float:
        """Return the chance of success of a task that is told these lessons."""
        return min(0.98, max(0.02, self.base[kind] + sum(self.effect[one] for one in told)))


class Policy:
    """A way of choosing lessons; this one tells none."""

    name = "no lessons"

    def __init__(self, world: World, dice: Random) -> None:
        self.world = world
        self.dice = dice
        self.gone: set[int] = set()

    async def choose(self, run: int, kind: int) -> list[int]:
        """Return the lessons that a run is told."""
        return []

    async def learn(self, run: int, kind: int, told: Sequence[int], good: bool) -> None:
        """Take a judgement in."""

    def of(self, kind: int) -> list[int]:
        """Return the lessons of a kind that are still there, in any order."""
        there = [
            kind * EACH + place for place in range(EACH) if kind * EACH + place not in self.gone
        ]
        return self.dice.sample(there, len(there))


class AppendOnly(Policy):
    """Lessons are only ever added; the nearest are told."""

    name = "append-only, by similarity"

    async def choose(self, run: int, kind: int) -> list[int]:
        """See `Policy.choose`."""
        return self.of(kind)[:TOLD]


class Counter(Policy):
    """Votes: up with each success, down with each failure, gone at -3."""

    name = "helpful minus harmful, a counter"

    def __init__(self, world: World, dice: Random) -> None:
        super().__init__(world, dice)
        self.votes = [0] * (KINDS * EACH)

    async def choose(self, run: int, kind: int) -> list[int]:
        """See `Policy.choose`."""
        return sorted(self.of(kind), key=lambda one: -self.votes[one])[:TOLD]

    async def learn(self, run: int, kind: int, told: Sequence[int], good: bool) -> None:
        """See `Policy.learn`."""
        for one in told:
            self.votes[one] += 1 if good else -1
            if self.votes[one] <= -3:
                self.gone.add(one)


class RawSuccess(Policy):
    """Beta over raw success; gone where it is below one half after ten runs."""

    name = "Beta on raw success"

    def __init__(self, world: World, dice: Random) -> None:
        super().__init__(world, dice)
        self.counts = [[1.0, 1.0] for _ in range(KINDS * EACH)]

    async def choose(self, run: int, kind: int) -> list[int]:
        """See `Policy.choose`."""
        drawn = {one: self.dice.betavariate(*self.counts[one]) for one in self.of(kind)}
        return sorted(drawn, key=lambda one: -drawn[one])[:TOLD]

    async def learn(self, run: int, kind: int, told: Sequence[int], good: bool) -> None:
        """See `Policy.learn`."""
        for one in told:
            self.counts[one][0 if good else 1] += 1
            ok, bad = self.counts[one]
            if ok + bad >= 12 and ok / (ok + bad) < 0.5:
                self.gone.add(one)


class Ours(Policy):
    """The ledger, the index, the ranking and the credits of midstream, over a store."""

    name = "midstream: with and without"
    limits = AdviceLimits(lessons=TOLD)

    def __init__(self, world: World, dice: Random) -> None:
        super().__init__(world, dice)
        self.engine = Engine.memory(recover=False)
        self.ids: dict[str, int] = {}
        self.offers: dict[int, list[tuple[str, str]]] = {}

    async def open(self) -> None:
        """Write the lessons."""
        await self.engine.__aenter__()
        self.ledger = Ledger(self.engine._here(), "default", Trigrams())
        for number in range(KINDS * EACH):
            kind = number // EACH
            made = await self.engine.experience.add(
                f"task of kind {kind}",
                f"advice {WORDS[number % len(WORDS)]} {number}",
                node=f"kind{kind}",
            )
            self.ids[made.id] = number

    async def choose(self, run: int, kind: int) -> list[int]:
        """See `Policy.choose`."""
        await self.ledger.refresh()
        found = offered(
            self.ledger,
            f"task of kind {kind}",
            graph="",
            node=f"kind{kind}",
            seed=f"{self.world.seed}/{run}",
            limits=self.limits,
        )
        self.offers = {run: [(one.id, one.why) for one in found]}
        return [self.ids[one.id] for one in found if not one.why]

    async def learn(self, run: int, kind: int, told: Sequence[int], good: bool) -> None:
        """See `Policy.learn`."""
        credit = LessonCredited(
            run=f"r{run}",
            step="s",
            told=tuple(name for name, why in self.offers[run] if not why),
            untold=tuple(name for name, why in self.offers[run] if why),
            outcome=float(good),
            weight=1.0,
        )
        await self.ledger.record(lambda state: news(state, [credit]))
        await self.ledger.record(upkeep)
        self.gone = {
            self.ids[name]
            for name, one in self.ledger.state.lessons.items()
            if one.status != "active"
        }


class Oracle(Policy):
    """Knows what helps."""

    name = "oracle"

    async def choose(self, run: int, kind: int) -> list[int]:
        """See `Policy.choose`."""
        good = [one for one in self.of(kind) if self.world.effect[one] > 0]
        return sorted(good, key=lambda one: -self.world.effect[one])[:TOLD]


WORDS = [
    "swim",
    "cook",
    "read",
    "walk",
    "paint",
    "sing",
    "build",
    "count",
    "write",
    "plant",
    "drive",
]
POLICIES: tuple[Callable[[World, Random], Policy], ...] = (
    Policy,
    AppendOnly,
    Counter,
    RawSuccess,
    Ours,
    Oracle,
)


@dataclass(frozen=True)
class Played:
    """What came of one policy in one world."""

    success: float
    harmful: float
    wrongly: int


async def play(
    make: Callable[[World, Random], Policy], seed: int, *, judged: float = JUDGED
) -> Played:
    """Play all runs of one world."""
    world, dice = World(seed), Random(f"runs/{seed}")
    policy = make(world, Random(f"policy/{seed}"))
    if isinstance(policy, Ours):
        await policy.open()
    good: list[bool] = []
    told_late: list[int] = []
    for run in range(RUNS):
        kind = dice.randrange(KINDS)
        told = await policy.choose(run, kind)
        good.append(dice.random() < world.chance(kind, told))
        if run >= RUNS - COUNTED:
            told_late += told
        said, wrong = dice.random() < judged, dice.random() < WRONG
        if said:
            await policy.learn(run, kind, told, good[-1] != wrong)
    if isinstance(policy, Ours):
        await policy.engine.__aexit__(None, None, None)
    harmful = mean(world.effect[one] < 0 for one in told_late) if told_late else 0.0
    wrongly = sum(world.effect[one] > 0 for one in policy.gone)
    return Played(mean(good[-COUNTED:]), harmful, wrongly)


async def played(seeds: int) -> dict[str, list[Played]]:
    """Play every policy in so many worlds."""
    found: dict[str, list[Played]] = {}
    for make in POLICIES:
        name = getattr(make, "name", "")
        found[name] = [await play(make, seed) for seed in range(seeds)]
    return found


def main() -> int:
    """Print the table; exit with 1 where ours is not better than no lessons, append-only and a counter."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = asyncio.run(played(seeds))
    print(f"{seeds} seeds, {RUNS} runs each, {JUDGED:.0%} judged, {WRONG:.0%} of that wrong\n")
    print("| policy | success | harmful among told | helpful taken out |\n|---|---|---|---|")
    for name, rounds in found.items():
        success = mean(one.success for one in rounds)
        harmful, wrongly = mean(one.harmful for one in rounds), mean(one.wrongly for one in rounds)
        print(f"| {name} | {success:.3f} | {harmful:.0%} | {wrongly:.1f} |")
    ours = mean(one.success for one in found[Ours.name])
    rivals = (Policy.name, AppendOnly.name, Counter.name)
    return int(any(ours <= mean(one.success for one in found[name]) for name in rivals))


if __name__ == "__main__":
    sys.exit(main())
