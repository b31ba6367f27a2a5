"""Runs a peer, in the interpreter that has it: `peers_worker.py QUESTION PEER` prints one JSON number, or null.

`peers_worker.py views FILE` does so for LiteLLM and the request in the file.
It imports nothing of midstream. Figures: `chain` in milliseconds per step, `fan_out` in milliseconds.
"""

from __future__ import annotations

import asyncio
import copy
import json
import operator
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, TypedDict

STEPS = 1000
ROUNDS = 3


async def langgraph_chain() -> float:
    """A loop of one node, its best case: a graph of 1,000 nodes is dearer."""
    from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
    from langgraph.graph import END, START, StateGraph

    class State(TypedDict):
        n: int

    async def add(state: State) -> State:
        return {"n": state["n"] + 1}

    builder = StateGraph(State)
    builder.add_node("add", add)
    builder.add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: END if state["n"] >= STEPS else "add")
    with tempfile.TemporaryDirectory() as place:
        async with AsyncSqliteSaver.from_conn_string(str(Path(place) / "a.db")) as saver:
            graph = builder.compile(checkpointer=saver)
            began = time.perf_counter()
            config: Any = {"configurable": {"thread_id": "t"}, "recursion_limit": STEPS + 5}
            await graph.ainvoke({"n": 0}, config, durability="sync")
            return (time.perf_counter() - began) / STEPS * 1000


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


async def bridgic_chain() -> float:
    """A loop of one worker, in memory; 1,000 workers in a static chain end in a RecursionError."""
    from bridgic.core.automa import GraphAutoma, worker

    class Loop(GraphAutoma):
        @worker(is_start=True)
        async def add(self, n: int) -> int:
            if n < STEPS:
                self.ferry_to("add", n + 1)
            else:
                self.ferry_to("end", n)
            return n

        @worker(is_output=True)
        async def end(self, n: int) -> int:
            return n

    began = time.perf_counter()
    await Loop().arun(1)
    return (time.perf_counter() - began) / STEPS * 1000


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


def main(question: str, name: str) -> float | None:
    if question == "views":
        return views(name)
    contestant = globals()[f"{name}_{question}"]
    try:
        figures = sorted(asyncio.run(contestant()) for _ in range(ROUNDS))
    except ImportError as error:
        print(error, file=sys.stderr)
        return None
    return figures[len(figures) // 2]


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
