"""Two processes over one file keep the limits of their endpoints together, against a server that counts."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import orjson

from midstream.events.sqlite import SqliteStore
from midstream.events.system import ROUTING
from midstream.testing import Answer, ProviderServer, Seen

PROCESS = """
import asyncio, sys
import orjson
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.routing import Router
from midstream.errors import AdapterError
from midstream.events.sqlite import SqliteStore

given = orjson.loads(sys.argv[1])

async def ask(router, number):
    try:
        await router.call("group:g", f"{number}", deadline=given["deadline"])
        return 1
    except AdapterError:
        return 0

async def main():
    store = await SqliteStore.open(given["file"])
    adapter = OpenAIAdapter(base_url=given["url"], api_key="k")
    config = {"groups": {"g": {"echelon1": {"models": ["openai:gpt-4o"], **given["limits"]}}}}
    async with Router(config, store=store, adapters={"openai": adapter}) as router:
        await router.ledger.open()
        print("ready", flush=True)
        sys.stdin.readline()
        print(sum(await asyncio.gather(*(ask(router, n) for n in range(given["calls"])))), flush=True)
    await adapter.close()
    await store.close()

asyncio.run(main())
"""


class Counting:
    """Counts requests, and how many are answered at the same time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self.asked = 0

    def __call__(self, seen: Seen) -> Answer:
        with self._lock:
            self.asked += 1
        return Answer("ok", chunk_delay=self._seconds)


def run_two(
    folder: Path, counting: Counting, limits: dict[str, int], *, calls: int, deadline: float
) -> list[int]:
    """Return how many calls were answered in each of two processes that begin together."""
    with ProviderServer(counting) as server:
        given = {
            "file": str(folder / "runs.db"),
            "url": server.openai_url,
            "limits": limits,
            "calls": calls,
            "deadline": deadline,
        }
        command = [sys.executable, "-c", textwrap.dedent(PROCESS), orjson.dumps(given).decode()]
        children = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        try:
            for child in children:
                assert child.stdout is not None
                assert child.stdout.readline() == "ready\n"
            for child in children:
                assert child.stdin is not None
                child.stdin.write("go\n")
                child.stdin.flush()
            return [int(child.communicate(timeout=60)[0]) for child in children]
        finally:
            for child in children:
                child.kill()
                child.communicate()


async def most_in_flight(file: Path) -> int:
    """Return the most calls that had room at the same time, as the log tells it."""
    store = await SqliteStore.open(file, read_only=True)
    flying, most = set[str](), 0
    try:
        async for event in store.read(ROUTING):
            if event.type == "route.reserved":
                flying.add(event.data["id"])
            elif event.type == "route.settled":
                flying.discard(event.data["id"])
            most = max(most, len(flying))
    finally:
        await store.close()
    return most


def test_no_more_requests_than_a_minute_has_come_from_two_processes(tmp_path: Path) -> None:
    counting = Counting(0.0)
    answered = run_two(tmp_path, counting, {"rpm_limit": 7}, calls=6, deadline=2.0)
    assert sum(answered) == 7
    assert counting.asked == 7


async def test_no_more_calls_at_once_than_there_is_room_for_two_processes(tmp_path: Path) -> None:
    counting = Counting(0.05)
    answered = run_two(tmp_path, counting, {"concurrency_limit": 3}, calls=8, deadline=50.0)
    assert answered == [8, 8]
    assert counting.asked == 16
    assert await most_in_flight(tmp_path / "runs.db") == 3
