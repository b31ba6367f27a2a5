"""Kill a process in the middle of a run, resume the run in another one, and count what was done twice.

    python examples/crash_and_resume.py

The first process charges a card and is killed while it sends a letter. The charge has a record, so it is not repeated. The
letter was in flight, and sending it is `unsafe`: it is not repeated silently either, its handler looks at what the post
office knows.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from midstream import RETRY_CALL, Context, Engine, Graph, ToolContext, UnknownCall, tool

shop = Graph("shop")
WORLD = "WORLD"  # names a file that stands for the world outside


def world() -> Path:
    return Path(os.environ[WORLD])


def did(what: str) -> None:
    with world().open("a") as file:
        file.write(what + "\n")


@tool(effect="idempotent")
async def charge(order: str, call: ToolContext) -> str:
    """Charge the card; the bank knows a repeated charge by its key."""
    did(f"charged {order}")
    return call.key[:8]


async def ask_the_post_office(call: UnknownCall) -> object:
    """Find out whether a letter that was in flight at a crash was sent."""
    sent = f"sent {call.arguments['order']}" in world().read_text()
    return "sent before the crash" if sent else RETRY_CALL


@tool(effect="unsafe", on_unknown=ask_the_post_office)
async def send_letter(order: str) -> str:
    """Send a letter; sending it twice would be embarrassing."""
    did(f"sent {order}")
    if "CRASH" in os.environ:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))
    return "sent"


@shop.node
async def pay(order: str, ctx: Context) -> str:
    return str(await ctx.tool(charge, order=order))


@shop.node
async def tell(order: str, pay: str, ctx: Context) -> str:
    return f"paid with {pay}, letter {await ctx.tool(send_letter, order=order)}"


async def live(db: str) -> None:
    """One life of the run: start it or, where it is there, take it over."""
    async with Engine.open(db, graphs=[shop], lease=0.5) as engine:
        run = await engine.start(shop, order="otter-7", run_id="order-otter-7")
        print(f"process {os.getpid()} says: {await run}", flush=True)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db, outside = str(Path(folder, "runs.db")), str(Path(folder, "world"))
        for crash in ({"CRASH": "yes"}, {}):
            environment = {**os.environ, WORLD: outside, **crash}
            done = subprocess.run([sys.executable, __file__, db], env=environment, check=False)
            print(f"a process ended with {done.returncode}", flush=True)
        print("in the world outside:", Path(outside).read_text().split("\n")[:-1])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        asyncio.run(live(sys.argv[1]))
    else:
        main()
