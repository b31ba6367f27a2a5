"""A worker: a process that drives whatever nobody drives, and hands over what it has not finished when it is stopped.

    python examples/worker.py            plays a night: one process starts runs and ends, a worker ends the runs

Start as many as you like over one file; SIGTERM lets each end in an orderly way.
"""

from __future__ import annotations

import asyncio
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

from midstream import Context, Engine, Graph

reports = Graph("reports")


@reports.node
async def report(customer: str, ctx: Context) -> str:
    await ctx.sleep(0.2)
    return f"report for {customer}"


async def work(db: Path, *, until_idle: bool = False) -> None:
    """Drive runs until SIGTERM, or, to show it here, until there is nothing to do."""
    stop = asyncio.Event()
    with suppress(NotImplementedError):  # there is no such thing on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with Engine.open(db, graphs=[reports]) as engine:
        await engine.recover()  # and, while it is open, whatever loses its driver
        while not stop.is_set() and not (until_idle and not await engine.runs(status="running")):
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.1)
        await engine.close(drain=30)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder, "runs.db")
        async with Engine.open(db, recover=False) as engine:
            for customer in ("ann", "bob"):
                await engine.start(reports, run_id=f"report-{customer}", customer=customer)
            print(len(await engine.runs(status="running")), "runs are left behind")
        await work(db, until_idle=True)
        async with Engine.open(db, recover=False) as engine:
            for info in await engine.runs(status="completed"):
                print(info.run_id, "->", await engine.run(info.run_id))


if __name__ == "__main__":
    asyncio.run(main())
