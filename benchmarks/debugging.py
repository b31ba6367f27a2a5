"""How long looking back takes in a run of 100,000 events, in a new process each time: show, state(at), fork, diff.

python benchmarks/debugging.py [EVENTS]
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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
    "fork(at=middle)": "f = await run.fork(at={middle}, paused=True)",
    "fork(at=end)": "f = await run.fork(paused=True)",
    "diff(fork)": "d = await run.diff('long~1'); assert d.common == {middle}",
    "trace()": "t = await run.trace(); assert t.steps",
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


def timed(words: list[str], repeat: int = 3) -> float:
    """Return the median of the wall time of a command."""
    times: list[float] = []
    for _ in range(repeat):
        began = time.perf_counter()
        subprocess.run(words, check=False, capture_output=True)
        times.append(time.perf_counter() - began)
    return sorted(times)[repeat // 2]


def main() -> None:
    """Print a line for each question."""
    events = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "runs.db"
        written = asyncio.run(write(db, events))
        size = db.stat().st_size
        print(f"{written} events, {size / 1e6:.0f} MB")
        for name, job in JOBS.items():
            words = job.format(middle=written // 2, node=NODES // 2)
            code = CODE.format(db=str(db), job=words)
            done = subprocess.run(
                [sys.executable, "-c", code], capture_output=True, text=True, check=False
            )
            print(f"{name:20} {done.stdout.strip() or done.stderr[-300:]}")
        print(f"{'fork, bytes':20} {db.stat().st_size - size}")
        show = [sys.executable, "-m", "midstream", "--db", str(db), "show", "long"]
        print(f"{'show (whole process)':20} {timed(show):.3f} s")
        diff = [
            sys.executable,
            "-m",
            "midstream",
            "--db",
            str(db),
            "diff",
            "long",
            "long~1",
            "--stat",
        ]
        print(f"{'diff (whole process)':20} {timed(diff):.3f} s")


if __name__ == "__main__":
    main()
