"""How long looking back takes in a run of 100,000 events, in a new process each time: show, state(at), fork, diff.

Compiled modules are kept, as in an installed package. Each line has the wall time and the processor time; where others use the machine, only the second one means something.

python benchmarks/debugging.py [EVENTS]
"""

from __future__ import annotations

import asyncio
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import as_installed

from midstream.events.codec import encode
from midstream.events.content import assistant, user
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    ModelRequested,
    ModelResponded,
    NodeCompleted,
    NodeScheduled,
    RunCreated,
    ToolCompleted,
    ToolRequested,
    Usage,
)
from midstream.events.sqlite import SqliteStore

RUN = RunId("long")
NODES = 10

JOBS = {
    "state(at=middle)": "s = await run.state(at={middle}); assert s.seq == {middle}",
    "state(at=step)": "s = await run.state(at='n{node}#1'); assert s.seq > 1",
    "state()": "s = await run.state(); assert s.seq > {middle}",
    "fork(at=middle)": "f = await run.fork(at={middle}, paused=True)",
    "fork(at=end)": "f = await run.fork(paused=True)",
    "diff(fork)": "d = await run.diff('long~1'); assert d.common == {middle}",
    "trace()": "t = await run.trace(); assert t.steps",
    "usage()": "u = await run.usage(); assert u.total.calls",
    "cost(other model)": "c = await run.cost(models={{'*': 'openai:gpt-4o'}}); assert c.estimate",
}

COMMANDS = {
    "show": ("show", "long"),
    "trace": ("trace", "long"),
    "diff": ("diff", "long", "long~1", "--stat"),
    "cost": ("cost", "long"),
}

CODE = """
import asyncio, time
from midstream import Engine
async def main():
    async with Engine.open({db!r}, recover=False) as engine:
        run = engine.run("long")
        began, used = time.perf_counter(), time.process_time()
        {job}
        print(f"{{time.perf_counter() - began:.3f}} s, {{time.process_time() - used:.3f}} s of CPU")
asyncio.run(main())
"""


async def write(db: Path, events: int) -> int:
    """Write a run of ten nodes, each of which asks a model and calls tools by the thousand."""
    definition = {"nodes": {f"n{i}": ({"after": [f"n{i - 1}"]} if i else {}) for i in range(NODES)}}
    drafts = [encode(RunCreated(graph="long", definition=definition, graph_digest="0"), at=1)]
    for i in range(NODES):
        step = Address(f"n{i}#1")
        drafts.append(encode(NodeScheduled(), at=i, address=step))
        for n in range(events // NODES // 4):
            asked, used = Address(f"{step}/llm:{n:010x}#1"), Address(f"{step}/tool:look:{n:010x}#1")
            said = user(f"question {n}: " + "words " * 20)
            answer = assistant("answer " * 20)
            drafts += [
                encode(ModelRequested(model="s:m", messages=(said,)), at=i, address=asked),
                encode(
                    ModelResponded(message=answer, usage=Usage(input_tokens=9)), at=i, address=asked
                ),
                encode(ToolRequested(name="look", arguments={"n": n}, key="k"), at=i, address=used),
                encode(ToolCompleted(result="seen " * 20), at=i, address=used),
            ]
        drafts.append(encode(NodeCompleted(output=i), at=i, address=step))
    async with await SqliteStore.open(db, synchronous="normal") as store:
        seq = 0
        while seq < len(drafts):
            head = await store.append(RUN, drafts[seq : seq + 1000], expected=seq)
            seq = head.seq
    return seq


def timed(words: list[str], repeat: int = 3) -> tuple[float, float]:
    """Return the medians of the wall time and of the processor time of a command."""
    times: list[tuple[float, float]] = []
    for _ in range(repeat):
        began, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(words, check=False, capture_output=True, env=as_installed())
        now = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
        times.append((time.perf_counter() - began, spent))
    walls, spents = zip(*times, strict=True)
    return sorted(walls)[repeat // 2], sorted(spents)[repeat // 2]


def main() -> None:
    """Print a line for each question."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "runs.db"
        written = asyncio.run(write(db, events))
        size = db.stat().st_size
        print(f"{written} events, {size / 1e6:.0f} MB")
        for name, job in JOBS.items():
            line = job.format(middle=written // 2, node=NODES // 2)
            code = CODE.format(db=str(db), job=line)
            done = subprocess.run(
                [sys.executable, "-c", code],
                capture_output=True,
                text=True,
                check=False,
                env=as_installed(),
            )
            print(f"{name:20} {done.stdout.strip() or done.stderr[-300:]}")
        print(f"{'fork, bytes':20} {db.stat().st_size - size}")
        for name, words in COMMANDS.items():
            wall, spent = timed([sys.executable, "-m", "midstream", "--db", str(db), *words])
            print(f"{f'{name} (process)':20} {wall:.3f} s, {spent:.3f} s of CPU")


if __name__ == "__main__":
    main()
