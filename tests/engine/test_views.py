"""Views grow and never change: what a provider was told is what the log renders to, in any process."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, tool
from midstream.adapters.scripted import ScriptedAdapter
from midstream.adapters.view import View
from midstream.engine.models.views import Views
from midstream.events.memory import MemoryStore
from midstream.projections import RunState, fold_run
from tests.engine.stage import call, calling

SIZE = 5


@tool(effect="read")
async def look(n: int) -> int:
    await asyncio.sleep(0)
    return 12 // n


def model(messages: Any) -> Any:
    last = messages[-1]
    if last.role == "user" and "look" in last.text:
        return calling(call("a", "look", '{"n": 3}'), call("b", "look", '{"n": 0}'), text="I look")
    return f"re {len(messages)}"


def drawn(edges: set[tuple[int, int]], talk: list[list[str]]) -> Graph:
    """Return a graph of nodes that say these things, after each other as the edges say."""
    graph = Graph("drawn")
    for place, said in enumerate(talk):

        async def node(ctx: Context, said: list[str] = said, place: int = place) -> None:
            async def ask(text: str) -> None:
                await ctx.llm(
                    f"{text} {place}",
                    tools=[look] if "look" in text else [],
                    system=text if "system" in text else None,
                    thread="t" if "thread" in text else "",
                )

            for text in said:
                if text == "both":
                    await asyncio.gather(ask("left"), ask("right"))
                else:
                    await ask(text)

        after = [f"n{before}" for before, behind in sorted(edges) if behind == place]
        graph.add_node(f"n{place}", wrapped(node), after=after)
    return graph


def wrapped(node: Any) -> Any:
    async def run(ctx: Context) -> None:
        await node(ctx)

    return run


pairs = [(a, b) for b in range(SIZE) for a in range(b)]
words = st.sampled_from(["plain", "look", "both", "system", "system look", "thread"])


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sets(st.sampled_from(pairs)),
    st.lists(st.lists(words, max_size=3), min_size=SIZE, max_size=SIZE),
)
def test_what_was_told_is_what_the_log_renders_to(
    edges: set[tuple[int, int]], talk: list[list[str]]
) -> None:
    state, adapter = asyncio.run(told(drawn(edges, talk)))
    asked = [one for one in state.calls.values() if one.kind == "model"]
    views = {one.address: Views().opening_of(state, adapter, "m", one) for one in asked}
    for one in asked:
        settings_ = one.request.get("settings", {})
        assert adapter.request(views[one.address], settings_).digest == one.request["view"]
    for one in asked:
        for parent in one.request.get("parents", ())[:1]:
            earlier, later = texts(views[parent]), texts(views[one.address])
            assert later[: len(earlier)] == earlier


def texts(view: View) -> list[Any]:
    return [message.model_dump() for message in view.tape.list()]


async def told(graph: Graph) -> tuple[RunState, ScriptedAdapter]:
    """Run it, and return where it stands and who was asked."""
    store, adapter = MemoryStore(), ScriptedAdapter({"m": model}, provider="p")
    async with Engine(store, adapters={"p": adapter}, model="p:m", pricing=free) as engine:
        run = await engine.start(graph)
        await run
        return fold_run([event async for event in store.read(run.id)]), adapter


def free(*_: Any) -> None:
    return None
