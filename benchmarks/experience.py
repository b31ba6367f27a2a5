"""How long does it take to find lessons among 10,000, and to say something of a step in a run of 100,000 events?"""

from __future__ import annotations

import time
from random import Random
from statistics import median

from measure import Figure, folder, main

from midstream import Engine
from midstream.engine.experience.advisor import offered
from midstream.engine.experience.embedding import Trigrams
from midstream.engine.experience.ledger import Ledger
from midstream.engine.experience.ranking import AdviceLimits
from midstream.events.codec import encode
from midstream.events.experience_facts import LessonDrafted, LessonMoved
from midstream.events.ids import Address, RunId
from midstream.events.payloads import Fact, NodeCompleted, NodeScheduled, RunCreated
from midstream.events.sqlite import SqliteStore

LESSONS = 10_000
EVENTS = 100_000
QUERIES = 200
SAID = 60

SYLLABLES = [
    "ba",
    "den",
    "fo",
    "gri",
    "hal",
    "ki",
    "lor",
    "mu",
    "nes",
    "or",
    "pla",
    "qui",
    "ras",
    "tem",
    "vi",
    "zu",
]


def words(dice: Random, number: int) -> str:
    """Return words of a vocabulary of some 4,000, the short ones more often."""
    return " ".join(
        "".join(dice.choices(SYLLABLES, k=dice.choice((2, 2, 3)))) for _ in range(number)
    )


async def retrieval() -> list[Figure]:
    """Look lessons up; a third is for all nodes, the rest for one of ten."""
    dice = Random(1)
    async with Engine.memory(recover=False) as engine:
        ledger = Ledger(engine._here(), "default", Trigrams())

        def written(_state: object) -> list[Fact]:
            facts: list[Fact] = []
            for number in range(LESSONS):
                node = "" if number % 3 == 0 else f"n{number % 10}"
                text = {"when": words(dice, 8), "do": words(dice, 14)}
                facts.append(LessonDrafted(id=f"L-{number}", node=node, trust="person", **text))
                facts.append(LessonMoved(id=f"L-{number}", status="active"))
            return facts

        began = time.perf_counter()
        await ledger.record(written)
        built = time.perf_counter() - began
        took: list[float] = []
        for number in range(QUERIES):
            query, node = words(dice, 30), f"n{number % 10}"
            began = time.perf_counter()
            await ledger.refresh()
            offered(ledger, query, graph="g", node=node, seed=str(number), limits=AdviceLimits())
            took.append((time.perf_counter() - began) * 1000)
    spread = (min(took), max(took))
    return [
        Figure(f"lessons found among {LESSONS:,}, median", median(took), "ms", 5.0, spread=spread),
        Figure(f"{LESSONS:,} lessons written, folded and indexed", built, "s"),
    ]


async def feedback() -> list[Figure]:
    """Say something of a step, from a process that does not drive the run."""
    dice = Random(2)
    with folder() as place:
        path = place / "runs.db"
        store = await SqliteStore.open(path)
        created = RunCreated(graph="g", definition={"nodes": {"n": {}}}, graph_digest="0")
        await store.append(RunId("r"), [encode(created, at=1)], expected=0)
        seq = 1
        for start in range(0, EVENTS // 2, 1000):
            drafts = [
                encode(fact, at=number, address=Address(f"step#{number}"))
                for number in range(start, start + 1000)
                for fact in (NodeScheduled(), NodeCompleted(output={"text": "x" * 60, "n": number}))
            ]
            seq = (await store.append(RunId("r"), drafts, expected=seq)).seq
        await store.close()
        took: list[float] = []
        async with Engine.open(path, recover=False) as engine:
            for _ in range(SAID):
                step = f"step#{dice.randrange(EVENTS // 2)}"
                began = time.perf_counter()
                await engine.run("r").feedback(step, kind="positive", source="program")
                took.append((time.perf_counter() - began) * 1000)
    spread = (min(took), max(took))
    name = f"feedback on any step of a run of {EVENTS:,} events, durable, median"
    return [Figure(name, median(took), "ms", 10.0, spread=spread)]


async def figures() -> list[Figure]:
    """Answer the question."""
    return [*await retrieval(), *await feedback()]


if __name__ == "__main__":
    main(figures)
