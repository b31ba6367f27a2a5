"""Runs a peer, in the interpreter that has it: `peers_worker.py QUESTION PEER` prints one JSON number, or null.

`peers_worker.py views FILE` does so for LiteLLM and the request in the file, `peers_worker.py left FILE` leaves a run of
LangGraph in a file as a crash would, `peers_worker.py resumed FILE loaded|begun` goes on with it, and
`peers_worker.py importing langgraph` imports it. It imports nothing of midstream. Figures: `chain` and its kind in
milliseconds per step, `fan_out` in milliseconds, `many_runs` in seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import operator
import os
import re
import sqlite3
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

STEPS = 1000
LONG = 10_000
"""Steps of the run that is left."""
ROUNDS = 3
RUNS, NODES, SECONDS = 1000, 10, 0.05
"""Of `many_runs`: how many at once, of how many nodes, each of which waits so long."""


def _langgraph_loop(steps: int, seconds: float = 0.0) -> Any:
    """A loop of one node, its best case: a graph of 1,000 nodes is dearer."""
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        n: int

    async def add(state: State) -> State:
        if seconds:
            await asyncio.sleep(seconds)
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: END if state["n"] >= steps else "add")
    return builder


async def _langgraph_chain(synchronous: str) -> float:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    with tempfile.TemporaryDirectory() as place:
        async with AsyncSqliteSaver.from_conn_string(str(Path(place) / "a.db")) as saver:
            await saver.conn.execute(f"PRAGMA synchronous = {synchronous}")
            graph = _langgraph_loop(STEPS).compile(checkpointer=saver)
            began = time.perf_counter()
            config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": STEPS + 5}
            await graph.ainvoke({"n": 0}, config, durability="sync")
            return (time.perf_counter() - began) / STEPS * 1000


async def langgraph_chain() -> float:
    return await _langgraph_chain("full")


async def langgraph_chain_normal() -> float:
    return await _langgraph_chain("normal")


async def langgraph_chain_memory() -> float:
    """The same with its saver in memory."""
    from langgraph.checkpoint.memory import InMemorySaver

    graph = _langgraph_loop(STEPS).compile(checkpointer=InMemorySaver())
    began = time.perf_counter()
    config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": STEPS + 5}
    await graph.ainvoke({"n": 0}, config)
    return (time.perf_counter() - began) / STEPS * 1000


async def langgraph_many_runs() -> float:
    """So many threads of one graph at once, with one saver."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    with tempfile.TemporaryDirectory() as place:
        async with AsyncSqliteSaver.from_conn_string(str(Path(place) / "a.db")) as saver:
            graph = _langgraph_loop(NODES, SECONDS).compile(checkpointer=saver)
            await graph.ainvoke({"n": 0}, {"configurable": {"thread_id": "first"}})
            began = time.perf_counter()
            await asyncio.gather(
                *(
                    graph.ainvoke(
                        {"n": 0}, {"configurable": {"thread_id": f"t{i}"}}, durability="sync"
                    )
                    for i in range(RUNS)
                )
            )
            return time.perf_counter() - began


async def langgraph_fan_out() -> float:
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import Send

    class State(TypedDict):
        done: Annotated[list[int], operator.add]

    async def branch(state: Any) -> Any:
        return {"done": [state["i"]]}

    async def nothing(state: Any) -> Any:
        return {}

    builder = StateGraph(State)
    builder.add_node("start", nothing)
    builder.add_node("branch", branch)
    builder.add_node("join", nothing)
    builder.add_edge(START, "start")
    builder.add_conditional_edges(
        "start", lambda _: [Send("branch", {"i": i}) for i in range(STEPS)], ["branch"]
    )
    builder.add_edge("branch", "join")
    builder.add_edge("join", END)
    with tempfile.TemporaryDirectory() as place:
        async with AsyncSqliteSaver.from_conn_string(str(Path(place) / "a.db")) as saver:
            graph = builder.compile(checkpointer=saver)
            began = time.perf_counter()
            config: Any = {"configurable": {"thread_id": "t"}}
            await graph.ainvoke({"done": []}, config, durability="sync")
            return (time.perf_counter() - began) * 1000


def _bridgic_loop(steps: int, seconds: float = 0.0) -> Any:
    """A loop of one worker, in memory; 1,000 workers in a static chain end in a RecursionError."""
    from bridgic.core.automa import GraphAutoma, worker

    class Loop(GraphAutoma):
        @worker(is_start=True)
        async def add(self, n: int) -> int:
            if seconds:
                await asyncio.sleep(seconds)
            if n < steps:
                self.ferry_to("add", n + 1)
            else:
                self.ferry_to("end", n)
            return n

        @worker(is_output=True)
        async def end(self, n: int) -> int:
            return n

    return Loop


async def bridgic_chain() -> float:
    loop = _bridgic_loop(STEPS)
    began = time.perf_counter()
    await loop().arun(1)
    return (time.perf_counter() - began) / STEPS * 1000


async def bridgic_many_runs() -> float:
    loop = _bridgic_loop(NODES, SECONDS)
    began = time.perf_counter()
    await asyncio.gather(*(loop().arun(1) for _ in range(RUNS)))
    return time.perf_counter() - began


async def bridgic_fan_out() -> float:
    from bridgic.core.automa import GraphAutoma
    from bridgic.core.automa.args import ArgsMappingRule

    async def start() -> int:
        return 1

    async def branch(n: int) -> int:
        return n

    async def join(done: list[int]) -> int:
        return len(done)

    automa = GraphAutoma()
    automa.add_func_as_worker("start", start, is_start=True)
    names = [f"b{i}" for i in range(STEPS)]
    for name in names:
        automa.add_func_as_worker(name, branch, dependencies=["start"])
    automa.add_func_as_worker(
        "join", join, dependencies=names, is_output=True, args_mapping_rule=ArgsMappingRule.MERGE
    )
    began = time.perf_counter()
    await automa.arun()
    return (time.perf_counter() - began) * 1000


async def burr_chain() -> float:
    """A loop of one action, its state saved after each, in WAL mode, which it does not set by itself."""
    from burr.core import ApplicationBuilder, default, expr
    from burr.core.action import action
    from burr.integrations.persisters.b_aiosqlite import AsyncSQLitePersister

    @action(reads=["n"], writes=["n"])
    async def add(state: Any) -> Any:
        return state.update(n=state["n"] + 1)

    @action(reads=["n"], writes=["n"])
    async def end(state: Any) -> Any:
        return state

    with tempfile.TemporaryDirectory() as place:
        file = str(Path(place) / "a.db")
        _wal(file)
        async with AsyncSQLitePersister.from_values(db_path=file) as saver:
            await saver.initialize()
            builder = ApplicationBuilder().with_actions(add=add, end=end)
            builder = builder.with_transitions(
                ("add", "add", expr(f"n < {STEPS}")), ("add", "end", default)
            )
            app = await (
                builder.with_entrypoint("add").with_state(n=0).with_state_persister(saver).abuild()
            )
            began = time.perf_counter()
            await app.arun(halt_after=["end"])
            return (time.perf_counter() - began) / STEPS * 1000


async def dbos_chain() -> float:
    """A workflow of so many steps, in WAL mode, which it does not set by itself; needs SQLite 3.42."""
    _newer_sqlite()
    from dbos import DBOS

    with tempfile.TemporaryDirectory() as place:
        file = str(Path(place) / "a.db")
        _wal(file)
        DBOS(
            config={
                "name": "bench",
                "system_database_url": f"sqlite:///{file}",
                "log_level": "ERROR",
            }
        )

        @DBOS.step()
        async def add(n: int) -> int:
            return n + 1

        @DBOS.workflow()
        async def loop() -> int:
            n = 0
            for _ in range(STEPS):
                n = await add(n)
            return n

        DBOS.launch()
        try:
            began = time.perf_counter()
            await loop()
            return (time.perf_counter() - began) / STEPS * 1000
        finally:
            DBOS.destroy(destroy_registry=True)


async def pydantic_graph_chain() -> float:
    """A loop of one node, in memory: nothing of it is kept."""
    from dataclasses import dataclass

    from pydantic_graph import BaseNode, End, GraphBuilder, GraphRunContext

    @dataclass
    class Add(BaseNode[None, None, int]):
        n: int

        async def run(self, ctx: GraphRunContext[None, None]) -> Any:
            return Add(self.n + 1) if self.n < STEPS else End(self.n)

    Add.run.__annotations__["return"] = Add | End[int]
    builder = GraphBuilder(input_type=Add, output_type=int)
    builder.add(builder.node(Add), builder.edge_from(builder.start_node).to(Add))
    graph = builder.build()
    began = time.perf_counter()
    await graph.run(inputs=Add(1))
    return (time.perf_counter() - began) / STEPS * 1000


class Killed(Exception):  # noqa: N818  # it ends a run and is no error
    """Ends a run of LangGraph where a crash would."""


def _left_loop(reached: Any) -> Any:
    """A loop of one node that calls `reached` before step `LONG`; its builder."""
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        n: int

    async def add(state: State) -> State:
        if state["n"] >= LONG:
            reached()
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: END if state["n"] > LONG else "add")
    return builder


_LEFT: Any = {"configurable": {"thread_id": "long"}, "recursion_limit": LONG + 50}


async def left(file: str) -> float:
    """Leave a run of so many steps before its last one; return how many checkpoints are in the file."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    def stop() -> None:
        raise Killed

    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        await saver.setup()
        await saver.conn.execute("PRAGMA synchronous = OFF")  # it is only prepared
        graph = _left_loop(stop).compile(checkpointer=saver)
        with contextlib.suppress(Killed):
            await graph.ainvoke({"n": 0}, _LEFT, durability="sync")
        async with saver.conn.execute("SELECT count(*) FROM checkpoints") as cursor:
            return float((await cursor.fetchall())[0][0])  # type: ignore[index]  # one row


async def resumed(file: str, until: str) -> list[float]:
    """Go on with that run, imports not counted.

    Args:
        file: Where it is.
        until: `loaded`, its newest checkpoint, or `begun`, its node has been called.

    Returns:
        Milliseconds until the file is open and the graph compiled, and until then.
    """
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

    ended: list[float] = []

    def called() -> None:
        ended.append(time.perf_counter())
        raise Killed

    builder = _left_loop(called)
    began = time.perf_counter()
    async with AsyncSqliteSaver.from_conn_string(file) as saver:
        await saver.setup()
        graph = builder.compile(checkpointer=saver)
        opened = time.perf_counter()
        if until == "loaded":
            state = await graph.aget_state(_LEFT)
            ended.append(time.perf_counter())
            assert state.values == {"n": LONG}
            assert state.next == ("add",)
        else:
            with contextlib.suppress(Killed):
                await graph.ainvoke(None, _LEFT, durability="sync")
    return [1000 * (moment - began) for moment in (opened, ended[0])]


def importing() -> list[float]:
    """Import what a program with LangGraph and its SQLite saver does; return seconds, and the most memory in MB."""
    began = time.perf_counter()
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import StateGraph

    seconds = time.perf_counter() - began
    assert StateGraph
    assert AsyncSqliteSaver
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    return [seconds, int(peak[1]) / 1024 if peak else 0.0]


def _wal(file: str) -> None:
    with contextlib.closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")


def _newer_sqlite() -> None:
    """Take the SQLite of `pysqlite3-binary` where the interpreter's own is too old."""
    if sqlite3.sqlite_version_info < (3, 42):
        import pysqlite3

        sys.modules["sqlite3"] = sys.modules["sqlite3.dbapi2"] = pysqlite3


def views(body: str) -> float | None:
    """CPU milliseconds that LiteLLM takes for a request of Chat Completions to become one of Messages."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its price list, without the network
    try:
        from litellm.llms.anthropic.chat.transformation import AnthropicConfig
    except ImportError as error:
        print(error, file=sys.stderr)
        return None
    request = json.loads(Path(body).read_text())
    taken: list[float] = []
    for _ in range(2 + 5):
        messages = copy.deepcopy(request["messages"])  # it changes what it is given
        began = time.process_time()
        AnthropicConfig().transform_request(
            model="claude-sonnet-4-5",
            messages=messages,
            optional_params={"max_tokens": 1000},
            litellm_params={},
            headers={},
        )
        taken.append((time.process_time() - began) * 1000)
    return sorted(taken[2:])[2]


def main(question: str, name: str, *more: str) -> Any:
    try:
        if question == "views":
            return views(name)
        if question == "importing":
            return importing()
        if question in ("left", "resumed"):
            return asyncio.run(globals()[question](name, *more))
        contestant = globals()[f"{name}_{question}"]
        rounds = 1 if (name, question) == ("langgraph", "many_runs") else ROUNDS  # it takes 30 s
        figures = sorted(asyncio.run(contestant()) for _ in range(rounds))
    except ImportError as error:
        print(error, file=sys.stderr)
        return None
    return figures[len(figures) // 2]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
