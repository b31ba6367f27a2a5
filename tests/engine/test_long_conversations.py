"""Conversations that are too long for their model, and briefs for a model that takes over."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from midstream import Context, Graph, tool
from midstream.adapters.base import Capabilities
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.scripted import ScriptedAdapter
from midstream.engine.models.views import Views
from midstream.engine.requests.context_policy import ContextOption, ContextPolicy, How
from midstream.errors import ConfigError, ContextWindowError, MigrationError, RunFailedError
from midstream.events.content import ToolResult
from midstream.testing import Answer, Fault, ProviderServer
from tests.conftest import MakeEngine
from tests.engine.stage import Door, call, calling, history, types

LONG = "word " * 400
"""About 500 tokens."""


class Narrow(ScriptedAdapter):
    """Models with windows of the size that their names end with."""

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(context_window=int(model.rpartition("-")[2]))


@tool(effect="read")
def look(n: int) -> str:
    """Look."""
    return f"{n}: {LONG}"


def looking(times: int, said: list[Any] | None = None) -> Any:
    """Return a model that calls a tool so many times and then says how much it was told; summaries are `SUMMARY`."""

    def answer(messages: Any) -> Any:
        if said is not None:
            said.append(list(messages))
        if "<conversation>" in messages[-1].text:
            return "SUMMARY"
        calls = [one for message in messages for one in message.tool_calls]
        called = 1 + max((int((one.parsed() or {})["n"]) for one in calls), default=-1)
        if called < times and (messages[-1].role != "user" or not calls):
            return calling(call(f"c{called}", "look", f'{{"n": {called}}}'))
        return f"told {len(messages)}"

    return answer


def loop(**options: Any) -> Graph:
    graph = Graph("loop")

    @graph.node
    async def work(ctx: Context) -> str:
        text: str = (await ctx.llm("go", tools=[look], **options)).text
        return text

    return graph


def adapters(answer: Any, *windows: int) -> dict[str, Any]:
    return {"a": Narrow({f"m-{window}": answer for window in windows}, provider="a")}


async def test_fail_names_the_numbers_before_anything_is_asked(make_engine: MakeEngine) -> None:
    engine = await make_engine(adapters=adapters(looking(3), 1200), context="fail")
    run = await engine.start(loop(), model="a:m-1200")
    with pytest.raises(RunFailedError, match=r"about \d+ tokens and a:m-1200 takes 1050") as ended:
        await run
    assert ended.value.failures[0].kind == ContextWindowError.kind  # type: ignore[attr-defined]
    found = types(await history(run))
    assert found.count("model.requested") == found.count("model.responded") == 2


async def test_without_a_policy_it_is_asked_as_it_is(make_engine: MakeEngine) -> None:
    engine = await make_engine(adapters=adapters(looking(3), 100))
    assert await (await engine.start(loop(), model="a:m-100")) == "told 7"


async def test_trim_leaves_the_oldest_outputs_out_and_says_so(make_engine: MakeEngine) -> None:
    told: list[Any] = []
    engine = await make_engine(adapters=adapters(looking(6, told), 2400))
    run = await engine.start(loop(), model="a:m-2400", context=ContextPolicy("trim", fill=0.6))
    assert await run == "told 13"
    cuts = [event for event in await history(run) if event.type == "context.trimmed"]
    assert cuts
    assert all(event.data["left"] <= event.data["window"] for event in cuts)
    texts = [
        part.text for message in told[-1] for part in message.parts if isinstance(part, ToolResult)
    ]
    assert texts[0].startswith("[The output of this call of look (")
    assert texts[-1].startswith("5: word")
    for before, after in pairwise(told):
        cut_between = len(before) > 1 and before[2] != after[2]
        assert cut_between or list(after)[: len(before)] == list(before)


async def test_summarise_tells_a_recorded_summary_in_place_of_the_beginning(
    make_engine: MakeEngine,
) -> None:
    told: list[Any] = []
    engine = await make_engine(adapters=adapters(looking(6, told), 3000))
    run = await engine.start(loop(), model="a:m-3000", context="summarise")
    assert (await run).startswith("told")
    events = await history(run)
    cut = next(event for event in events if event.type == "context.summarised")
    assert cut.data["left"] < cut.data["tokens"]
    asked = next(event for event in events if event.address == cut.data["by"])
    assert asked.data["purpose"] == "summary"
    assert told[-1][0].text == "Summary of the conversation so far:\n\nSUMMARY"
    assert (await run.messages())[0].text == "go"


@pytest.mark.parametrize("how", ["trim", "summarise"])
async def test_what_is_told_is_a_function_of_the_log(make_engine: MakeEngine, how: Any) -> None:
    """H-046: an output is cut once, by an event, and is the same in all that is told later."""
    engine = await make_engine(adapters=adapters(looking(8), 3000, 100_000))
    run = await engine.start(loop(), model="a:m-3000", context=how)
    await run
    state = await run.state()
    adapter = Narrow({}, provider="a")
    asked = [one for one in state.calls.values() if one.kind == "model"]
    digests = {one.address: one.request["view"] for one in asked}
    for one in asked:  # each by itself, with nothing kept
        view = Views().opening_of(state, adapter, "m-3000", one)
        assert adapter.request(view, {}).digest == digests[one.address]
    whole = Views().opening_of(state, adapter, "m-100000", asked[-1])
    assert len(whole.tape) == len(await run.messages()) - 1


@pytest.mark.parametrize("lasting", [False, True])
async def test_a_larger_model_is_told_everything_unless_the_policy_says_otherwise(
    make_engine: MakeEngine, lasting: bool
) -> None:
    engine = await make_engine(adapters=adapters(looking(6), 2400, 100_000))
    policy = ContextPolicy("trim", lasting=lasting)
    run = await engine.start(loop(), model="a:m-2400", context=policy)
    await run
    view = await run.view("a:m-100000")
    results = [
        part.text
        for message in view.request["messages"]
        for part in message.parts
        if isinstance(part, ToolResult)
    ]
    assert results[0].startswith("[The output") is lasting


async def test_a_resumed_run_cuts_where_it_is_recorded_and_asks_for_no_other_summary(
    make_engine: MakeEngine,
) -> None:

    graph, door = Graph("g"), Door()

    @graph.node
    async def work(ctx: Context) -> str:
        for n in range(4):
            await ctx.llm(f"{n} {LONG}")
        await ctx.do(door.__call__, name="door", effect="read")
        return (await ctx.llm("end")).text

    answer = lambda messages: "SUMMARY" if "<conversation>" in messages[-1].text else "ok"  # noqa: E731
    async with make_engine(adapters=adapters(answer, 2000), recover=False) as first:
        run = await first.start(graph, run_id="r", model="a:m-2000", context="summarise")
        await door.reached()
        before = [line.type for line in await run.timeline()]
    door.open()
    second = await make_engine(adapters=adapters(answer, 2000), recover=False, graphs=[graph])
    resumed = await second.resume("r")
    assert await resumed == "ok"
    after = types(await history(resumed))
    assert before.count("context.summarised") == after.count("context.summarised") == 1


async def test_a_text_that_is_longer_than_the_window_is_summarised_piece_by_piece(
    make_engine: MakeEngine,
) -> None:
    told: list[Any] = []
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> str:
        await ctx.llm(LONG * 6, model="a:m-100000")
        return (await ctx.llm("end", model="a:m-1500")).text

    def answer(messages: Any) -> str:
        told.append(messages[-1].text)
        return "SUMMARY"

    engine = await make_engine(adapters=adapters(answer, 1500, 100_000), context="summarise")
    assert await (await engine.start(graph)) == "SUMMARY"
    pieces = [text for text in told if "<conversation>" in text]
    assert len(pieces) > 2
    assert all("<summary_of_what_was_before>" in piece for piece in pieces[1:])


async def test_one_message_that_is_too_long_by_itself_is_an_error_that_says_so(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context, how: How) -> str:
        return (await ctx.llm(LONG * 6, context=how)).text

    engine = await make_engine(adapters=adapters(looking(0), 1500))
    for how, why in (("trim", "without all 0 older outputs"), ("summarise", "nothing before it")):
        run = await engine.start(graph, model="a:m-1500", how=how)
        with pytest.raises(RunFailedError, match=why):
            await run


async def test_what_the_provider_refuses_as_too_long_is_cut_once(make_engine: MakeEngine) -> None:
    answers: list[Any] = [
        Answer(text="one"),
        Fault.context_window(),
        Answer(text="SUMMARY"),
        Answer(text="two"),
        Fault.context_window(),
        Answer(text="SUMMARY"),
        Fault.context_window(),
    ]
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> list[str]:
        return [(await ctx.llm(text)).text for text in (LONG, "b", "c")]

    with ProviderServer(answers) as server:
        adapter = OpenAIAdapter(api_key="k", base_url=server.openai_url)
        engine = await make_engine(adapters={"openai": adapter}, context="summarise")
        run = await engine.start(graph, model="openai:gpt-4o")
        with pytest.raises(RunFailedError, match="context_window"):
            await run
        events = await history(run)
    cuts = [event for event in events if event.type == "context.summarised"]
    assert [cut.data["refused"] for cut in cuts] == [True, True]


async def test_a_migration_to_a_smaller_model_is_cut_by_the_policy(make_engine: MakeEngine) -> None:
    door, graph = Door(), Graph("g")

    @graph.node
    async def work(ctx: Context) -> str:
        await ctx.llm("go", tools=[look])
        await ctx.do(door.__call__, name="door", effect="read")
        return (await ctx.llm("end")).text

    engine = await make_engine(adapters=adapters(looking(6), 100_000, 1600))
    run = await engine.start(graph, model="a:m-100000", context="trim")
    await door.reached()
    plan = await run.migrate("a:m-1600", dry_run=True)
    assert not plan.fits
    assert plan.cuts
    await plan.apply()
    door.open()
    assert (await run).startswith("told")
    assert "context.trimmed" in types(await history(run))


@pytest.mark.parametrize(
    "wrong", [{"how": "cut"}, {"how": "trim", "fill": 1.0}, {"how": "trim", "keep": -1}]
)
def test_a_policy_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="context"):
        ContextPolicy(**wrong)


async def test_the_policy_is_that_of_call_start_graph_and_engine_in_this_order(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models={"m": ["x"] * 4}, context="fail")
    graph = Graph("g", context="trim")
    graph.add_node("n", lambda: 1)
    other = Graph("o")
    other.add_node("n", lambda: 1)
    wanted: list[tuple[Graph, ContextOption | None]] = [
        (other, None),
        (graph, None),
        (graph, "summarise"),
    ]
    found = [
        (await (await engine.start(one, context=given)).state()).context for one, given in wanted
    ]
    assert found == [{"how": "fail"}, {"how": "trim"}, {"how": "summarise"}]


def pausing(doors: list[Door]) -> Graph:
    graph = Graph("pausing")
    graph.add_node("before", lambda topic: f"about {topic}", pure=True)

    @graph.node
    async def talk(ctx: Context, before: str) -> list[str]:
        found = [(await ctx.llm("0")).text]
        for n, door in enumerate(doors, 1):
            await ctx.do(door.__call__, name=f"door{n}", effect="read")
            found.append((await ctx.llm(str(n))).text)
        return found

    graph.add_node("after", lambda talk: talk, output=True)
    return graph


def last(name: str) -> Any:
    return lambda messages: f"{name}{len(messages)}"


async def test_a_brief_is_recorded_with_the_switch_and_told_once_to_the_target_only(
    make_engine: MakeEngine,
) -> None:
    """H-128."""
    doors = [Door(), Door(), Door()]
    engine = await make_engine(models={"a:m": last("a"), "b:m": last("b")})
    run = await engine.start(pausing(doors), model="a:m", topic="cats")
    for door, target in zip(doors, ("b:m", "", "a:m"), strict=True):
        await door.reached()
        if target:
            await run.migrate(target, handoff="brief" if target == "b:m" else "none")
        door.open()
    assert await run == ["a1", "b4", "b6", "a7"]
    switch = next(event for event in await history(run) if event.type == "model.switched")
    said = switch.data["brief"]
    assert "before#1: about cats" in said
    assert "topic: cats" in said
    assert "talk#1: attempt 1 is under way, 0 of 1 calls of tools have ended; open: door1" in said
    assert "after: not begun" in said
    told = [message.text for message in (await run.view("b:m")).request["messages"]]
    assert told.index(said) == 2
    assert said not in [m.text for m in (await run.view("a:m")).request["messages"]]


async def test_a_brief_reaches_a_call_that_was_abandoned_for_it(make_engine: MakeEngine) -> None:
    door = Door()

    async def slow(messages: Any) -> str:
        await door()
        return "late"

    graph = Graph("g")

    @graph.node
    async def talk(ctx: Context) -> list[str]:
        return [
            (await ctx.llm(text, model=model)).text for text, model in (("x", "c:m"), ("y", "a:m"))
        ]

    engine = await make_engine(models={"a:m": slow, "b:m": last("b"), "c:m": ["c"]})
    run = await engine.start(graph)
    await door.reached()
    await run.migrate("b:m", source="a:m", when="now", handoff="brief")
    assert await run == ["c", "b4"]


async def test_a_handoff_of_another_name_is_refused(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"a:m": last("a")})
    run = await engine.start(pausing([]), model="a:m", topic="x")
    await run
    with pytest.raises(ConfigError, match="'none' or 'brief'"):
        await run.migrate("a:m", handoff="long")  # type: ignore[arg-type]  # the point of it
    with pytest.raises(MigrationError, match="ended"):
        await run.migrate("a:m", handoff="brief")


@pytest.mark.parametrize("wanted", ["a:m-100", "a:m-100000"])
async def test_a_view_says_all_that_is_known_of_it_at_any_event(
    make_engine: MakeEngine, wanted: str
) -> None:
    engine = await make_engine(adapters=adapters(looking(2), 100, 100_000))
    run = await engine.start(loop(system="be kind"), model="a:m-100000")
    await run
    last = (await run.state()).seq
    sizes: list[int] = []
    for at in range(1, last + 1):
        view = await run.view(wanted, at=at)
        assert (view.at, view.model) == (at, wanted)
        assert view.fits == (view.tokens <= int(wanted.rpartition("-")[2]))
        assert all(change.seq for change in view.changes)
        sizes.append(len(view.request["messages"]))
    assert sizes[0] == 0
    assert sizes[-1] == len(await run.messages())
    assert (await run.state()).seq == last


async def test_a_view_is_of_the_conversation_that_is_meant(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def one(ctx: Context) -> str:
        return (await ctx.llm("one", thread="t")).text

    @graph.node(after=[one])
    async def two(ctx: Context) -> str:
        return (await ctx.llm("two", thread=None)).text

    engine = await make_engine(models={"m": lambda messages: "ok"})
    run = await engine.start(graph, model="m")
    await run
    for options, text in (({"thread": "t"}, "one"), ({"node": "one"}, "one"), ({}, "two")):
        view = await run.view("m", **options)
        assert view.request["messages"][0].text == text
    for wrong in ({"thread": "x"}, {"node": "x"}, {"step": "x"}, {"thread": "t", "node": "one"}):
        with pytest.raises(ConfigError):
            await run.view("m", **wrong)


async def test_a_provider_stands_for_the_model_that_was_asked_there(
    make_engine: MakeEngine,
) -> None:
    with ProviderServer([Answer(text="hi")]) as server:
        adapter = OpenAIAdapter(api_key="k", base_url=server.openai_url)
        engine = await make_engine(adapters={"openai": adapter})
        graph = Graph("g")

        @graph.node
        async def ask(ctx: Context) -> str:
            return (await ctx.llm("x")).text

        run = await engine.start(graph, model="openai:gpt-4o-mini")
        await run
        assert (await run.view("openai")).model == "openai:gpt-4o-mini"
        other = await run.view("anthropic")
        assert other.model == "anthropic:claude-opus-4-8"
        assert other.cost is not None
        with pytest.raises(ConfigError, match="no usual model"):
            await run.view("nobody")


def joining(**options: Any) -> Graph:
    """Return a graph of two branches that call tools, and a node that goes on with both conversations."""
    graph = Graph("joining")

    @graph.node
    async def left(ctx: Context) -> str:
        text: str = (await ctx.llm("go left", tools=[look], **options)).text
        return text

    @graph.node
    async def right(ctx: Context) -> str:
        text: str = (await ctx.llm("go right", tools=[look], **options)).text
        return text

    @graph.node(output=True)
    async def both(left: str, right: str, ctx: Context) -> str:
        text: str = (await ctx.llm("and now?", **options)).text
        return text

    return graph


def left_out(messages: Any) -> int:
    """Return how many outputs a model was not told of all it was told."""
    parts = [part for message in messages for part in message.parts]
    outputs = [part for part in parts if isinstance(part, ToolResult)]
    return sum("was left out" in part.text for part in outputs)


async def test_another_branch_is_told_as_it_was_cut_there(make_engine: MakeEngine) -> None:
    """Both branches are cut by themselves, and the join is not told in full what a branch was cut down from."""
    said: list[Any] = []
    engine = await make_engine(adapters=adapters(looking(6, said), 3000))
    run = await engine.start(joining(), model="a:m-3000", context="trim")
    await run
    cuts = [event for event in await history(run) if event.type == "context.trimmed"]
    nodes = {str(event.address).partition("#")[0] for event in cuts}
    assert {"left", "right"} <= nodes
    told = said[-1]
    assert told[-1].text == "and now?"
    names = [name for event in cuts for name in event.data["results"]]
    assert len(names) == len(set(names)), "an output of a branch was left out once more"
    assert left_out(told) == len(names)
    await valid_again(run, 3000)


async def test_the_summary_of_another_branch_stands_for_its_beginning(
    make_engine: MakeEngine,
) -> None:
    said: list[Any] = []
    engine = await make_engine(adapters=adapters(looking(7, said), 3600))
    run = await engine.start(joining(), model="a:m-3600", context="summarise")
    await run
    cuts = [event for event in await history(run) if event.type == "context.summarised"]
    assert {"left", "right"} <= {str(event.address).partition("#")[0] for event in cuts}
    told = said[-1]
    assert not {"go left", "go right"} & {message.text for message in told}
    summaries = [message for message in told if "SUMMARY" in message.text]
    assert len(summaries) == (1 if any(event.data.get("sides") for event in cuts) else 2)
    await valid_again(run, 3600)


async def test_where_a_join_is_too_long_the_other_branches_are_summarised_too(
    make_engine: MakeEngine,
) -> None:
    said: list[Any] = []
    engine = await make_engine(adapters=adapters(looking(5, said), 3600))
    run = await engine.start(joining(), model="a:m-3600", context="summarise")
    await run
    cuts = [event for event in await history(run) if event.type == "context.summarised"]
    (cut,) = [event for event in cuts if str(event.address).startswith("both")]
    assert cut.data["sides"] is True
    told = said[-1]
    assert [message.text for message in told][-1] == "and now?"
    assert "SUMMARY" in told[-2].text
    assert not any(message.tool_calls for message in told)
    asked_for = "".join(one[-1].text for one in said if "<conversation>" in one[-1].text)
    assert "go left" in asked_for
    assert "go right" in asked_for
    await valid_again(run, 3600)


async def valid_again(run: Any, window: int) -> None:
    """See that each request is what the log renders to, with nothing kept, and that it fitted."""
    state, adapter = await run.state(), Narrow({}, provider="a")
    for one in (one for one in state.calls.values() if one.kind == "model"):
        view = Views().opening_of(state, adapter, f"m-{window}", one)
        assert adapter.request(view, {}).digest == one.request["view"]
        assert view.size / 4 <= window
