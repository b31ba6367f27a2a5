"""What Bridgic can do has a test here, and each of the nine defects that its release 0.3.0 has is shown not to be ours.

Most of its capabilities have their tests beside the feature: `CAPABILITIES` says where. What is left of them is here.
"""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import pytest

from midstream import Context, Engine, From, Graph
from midstream.errors import RunCancelledError, RunFailedError
from midstream.events.memory import MemoryStore
from tests.engine.stage import Door, history, turns

CAPABILITIES: dict[str, tuple[str, ...]] = {
    "workers declared by decorator, as functions, methods and objects, each key once": (
        "test_graph::test_anything_that_can_be_called_is_a_node",
        "test_graph::test_a_name_is_taken_once",
    ),
    "many starts, and outputs by mark": (
        "test_bridgic_defects::test_many_may_start_and_one_may_wait_for_all",
        "test_routing::test_several_outputs_are_a_mapping_of_those_that_ran",
    ),
    "dependencies that are armed again in loops": (
        "test_routing::test_when_control_goes_back_a_join_waits_for_all_that_comes_anew",
    ),
    "ferry_to as branch, loop and fan-out": (
        "test_routing::test_goto_takes_the_place_of_the_ordinary_successors",
        "test_routing::test_a_node_may_go_to_itself_until_it_is_done",
        "test_routing::test_one_node_may_be_triggered_many_times_and_who_waits_for_it_waits_for_all",
    ),
    "topology changed before and during a run, validated, neighbours repaired": (
        "test_dynamic_topology::test_the_same_verbs_change_a_graph_before_it_runs",
        "test_dynamic_topology::test_edges_may_be_added_and_nodes_and_edges_removed_before_they_are_needed",
        "test_dynamic_topology::test_a_cycle_among_added_nodes_is_refused",
        "test_dynamic_topology::test_a_join_cannot_be_left_fewer_nodes_than_it_needs",
    ),
    "rules for arguments: as is, unpack, merge, suppressed, and which of them comes first": (
        "test_dynamic_topology::test_outputs_become_arguments_as_the_node_says",
        "test_bridgic_defects::test_arguments_of_a_call_come_before_all_other_values",
    ),
    "results and inputs dispatched in order": (
        "test_dynamic_topology::test_a_list_is_distributed_over_the_successors_in_their_order",
        "test_dynamic_topology::test_a_list_of_another_length_than_there_are_successors_fails_the_node_that_gave_it",
        "test_bridgic_defects::test_an_input_is_distributed_over_those_that_start_with_it",
    ),
    "inputs by name, From, and the context by injection": (
        "test_bridgic_defects::test_inputs_reach_any_node_by_the_names_of_its_parameters",
        "test_bridgic_defects::test_from_takes_the_last_output_of_any_node",
        "test_graph::test_the_context_is_handed_in_by_its_type_or_its_name",
    ),
    "local space": (
        "test_routing::test_local_state_is_kept_between_the_activations_of_a_node",
        "test_bridgic_defects::test_local_state_begins_anew_with_each_run",
    ),
    "automata inside automata": (
        "test_subgraphs::test_a_graph_may_be_inside_a_graph_inside_a_graph",
        "test_subgraphs::test_nodes_are_added_to_the_graph_that_the_activation_is_in",
    ),
    "sync workers in threads": (
        "test_bridgic_defects::test_sync_nodes_run_in_threads_beside_async_ones",
    ),
    "values one by one between workers": (
        "test_joins_and_maps::test_an_async_generator_gives_items_one_by_one_and_only_as_many_as_are_wanted",
    ),
    "callbacks at start, end and error, of which the last may suppress": (
        "test_run::test_a_stream_gives_every_event_and_the_pieces_in_between",
        "test_failure_policies::test_control_may_go_to_a_node_that_handles_the_failure",
        "test_failure_policies::test_a_value_may_stand_in_for_the_output_of_a_node_that_failed",
    ),
    "events posted, and feedback asked for": (
        "test_context::test_everything_a_node_did_is_returned_from_the_record",
        "test_people::test_a_person_says_yes_or_no",
        "test_people::test_when_nobody_answers_in_time_the_default_holds",
    ),
    "interactions with people, several at once, over a restart": (
        "test_people::test_two_alike_questions_side_by_side_are_two_questions",
        "test_people::test_nothing_before_the_wait_happens_again",
    ),
    "values of types over a restart": (
        "test_binding::test_a_model_that_a_node_returns_is_a_model_again_in_the_next",
    ),
    "the same graph again": (
        "test_bridgic_defects::test_defect_4_a_graph_whose_run_failed_runs_again",
    ),
    "concurrent and sequential": (
        "test_bridgic_defects::test_many_may_start_and_one_may_wait_for_all",
        "test_worked_examples::test_ten_comes_to_twenty_seven",
    ),
    "tools chosen by a model become workers": (
        "test_worked_examples::test_each_tool_that_a_model_chooses_has_a_worker_and_results_come_in_the_order_of_calls",
    ),
    "an agent with a memory, and a bound": (
        "test_agent::test_a_memory_of_ones_own_is_asked_once_and_keeps_once",
        "test_agent::test_an_agent_tells_what_happens_and_concludes",
    ),
    "functions, automata and MCP servers as tools": (
        "test_tool_calls::test_anything_that_can_be_called_is_a_tool",
        "test_subruns::test_a_graph_is_a_tool_for_a_model_and_each_call_is_a_run",
        "test_mcp::test_a_tool_of_a_server_is_called_like_any_other",
    ),
    "structured answers": ("test_structured::test_an_answer_is_a_value",),
    "retries of model calls, by kind and not by words": (
        "test_retry::test_every_transient_error_is_tried_again_by_default",
        "test_retry::test_a_kind_that_the_policy_does_not_name_is_not_tried_again",
    ),
    "templates of prompts": (
        "test_templates::test_the_names_of_a_template_are_what_it_depends_on",
    ),
    "graphs written down, with fragments inside": (
        "documents/test_law::test_a_graph_that_is_written_and_read_is_the_same",
        "documents/test_reading::test_a_graph_inside_is_named_inline_given_or_imported",
    ),
    "a workflow that falls back to an agent": (
        "test_bridgic_defects::test_an_agent_takes_over_where_a_node_fails",
    ),
    "snapshots, whose version is checked": (
        "../projections/test_run_snapshot::test_a_snapshot_that_does_not_fit_is_passed_over",
        "../projections/test_run_snapshot::test_a_run_with_graphs_inside_goes_on_from_a_snapshot_at_any_event",
    ),
    "spans for tracing services": ("test_otel::test_the_tree_of_spans_is_the_tree_of_steps",),
}
"""Of Bridgic: the tests of `tests/engine` that show each with us, with the same behaviour where that is sound."""


@pytest.mark.parametrize("capability", CAPABILITIES)
def test_each_capability_is_shown_by_tests_that_there_are(capability: str) -> None:
    for shown in CAPABILITIES[capability]:
        file, _, name = shown.partition("::")
        text = (Path(__file__).parent / f"{file}.py").read_text()
        assert f"def {name}(" in text


async def test_defect_1_going_to_one_node_twice_in_one_step_runs_it_twice() -> None:
    graph = Graph("g")

    @graph.node
    async def start(ctx: Context) -> None:
        ctx.goto("work", item="a")
        ctx.goto("work", item="b")

    @graph.node(start=False)
    async def work(item: str, ctx: Context) -> str:
        return f"{ctx.step} {item}"

    graph.add_node("all", lambda work: work, output=True)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == "work#2 b"
        outputs = [
            e.data["output"]
            for e in await history(run)
            if e.type == "node.completed" and str(e.address).startswith("work#")
        ]
    assert sorted(outputs) == ["work#1 a", "work#2 b"]


async def test_defect_2_a_goto_beside_a_wait_for_a_person_survives_the_process() -> None:
    def build() -> Graph:
        graph = Graph("g")

        @graph.node
        async def asks(ctx: Context) -> str:
            return "yes" if (await ctx.confirm("Go on?")).approved else "no"

        @graph.node
        async def goes(ctx: Context) -> None:
            ctx.goto("other", word="went")

        @graph.node(start=False, output=True)
        async def other(word: str, ctx: Context) -> str:
            return word

        graph.add_node("answer", lambda asks: asks, output=True)
        return graph

    store = MemoryStore()
    async with Engine(store, graphs=[build()]) as engine:
        await engine.start(build(), run_id="r")
        await turns(30)
    async with Engine(store, graphs=[build()]) as engine:
        run = await engine.resume("r")
        await run.answer((await run.questions())[0].id, approved=True, by="alice")
        assert await run == {"other": "went", "answer": "yes"}


async def test_defect_3_going_nowhere_is_refused_where_it_is_asked_for_by_name() -> None:
    graph = Graph("g")

    @graph.node
    async def start(ctx: Context) -> None:
        ctx.goto("unknown")

    with pytest.raises(RunFailedError, match="there is no node 'unknown'; there are start"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_defect_4_a_graph_whose_run_failed_runs_again() -> None:
    graph = Graph("g")

    @graph.node
    async def first(fail: bool) -> str:
        if fail:
            raise ValueError("as planned")
        return "first"

    graph.add_node("second", lambda first: f"{first}, second")
    async with Engine.memory() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(graph, fail=True))
        assert await (await engine.start(graph, fail=False)) == "first, second"
        assert await (await engine.start(graph, fail=False)) == "first, second"


async def test_defect_5_a_node_made_of_a_closure_at_run_time_is_there_after_a_restart() -> None:
    def build(door: Door, word: str) -> Graph:
        graph = Graph("g")

        @graph.node
        async def start(ctx: Context) -> None:
            ctx.add_node("late", "closure", output=True)

        async def closure() -> str:
            await door()
            return word  # closed over

        graph.register(closure)
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door, "before"), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second, "after")]) as engine:
        assert await (await engine.resume("r")) == "after"


async def test_defect_5_an_output_that_cannot_be_kept_is_refused_when_it_is_returned() -> None:
    graph = Graph("g")

    async def numbers() -> Any:
        yield 1

    graph.add_node("stream", lambda: numbers())
    with pytest.raises(RunFailedError, match="not_recordable: output of node 'stream'"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_defect_6_cancelling_leaves_no_sibling_running_and_says_why() -> None:
    graph = Graph("g")
    doors = [Door(), Door(), Door()]
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await doors[number]()
        finally:
            ended.append(number)

    for number in range(2):
        graph.add_node(f"w{number}", work, args={"number": number})
    graph.map("items", work, over="numbers")
    async with Engine.memory() as engine:
        before = asyncio.all_tasks()
        run = await engine.start(graph, numbers=[2])
        for door in doors:
            await door.reached()
        await run.cancel(reason="enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await run
        assert sorted(ended) == [0, 1, 2]
        assert asyncio.all_tasks() == before
        requested, cancelled = (await history(run))[-2:]
    assert (cancelled.type, cancelled.cause) == ("run.cancelled", requested.seq)


async def test_defect_7_all_failures_are_told_not_the_first_alone() -> None:
    graph = Graph("g")
    for name in ("one", "two"):
        graph.add_node(name, lambda: 1 / 0)
    async with Engine.memory() as engine:
        with pytest.raises(RunFailedError) as caught:
            await (await engine.start(graph))
    assert caught.value.group is not None
    assert len(caught.value.group.exceptions) == 2


async def test_defect_8_each_event_has_the_time_at_which_it_was_recorded() -> None:
    graph = Graph("g")

    async def slow() -> None:
        await asyncio.sleep(0.02)

    graph.add_node("slow", slow)
    began = datetime.now(UTC)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await run
        times = [event.recorded_at for event in await history(run)]
    assert times == sorted(times)
    assert times[-1] - times[0] >= (times[1] - times[0])
    assert (times[-1] - times[0]).total_seconds() >= 0.015
    assert times[0] >= began.replace(microsecond=0)


async def test_defect_9_what_a_crash_interrupts_goes_on_from_the_log() -> None:
    done: list[str] = []

    def build(door: Door) -> Graph:
        graph = Graph("g")
        graph.add_node("first", lambda: done.append("first"))

        async def second() -> str:
            await door()
            return "second"

        graph.add_node("second", second, after=["first"])
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second)]) as engine:
        assert await (await engine.resume("r")) == "second"
    assert done == ["first"]


async def test_inputs_reach_any_node_by_the_names_of_its_parameters() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda x: x)
    graph.add_node("b", lambda a, x, y=5: [a, x, y])
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, x=1)) == [1, 1, 5]


async def test_from_takes_the_last_output_of_any_node() -> None:
    graph = Graph("g")

    def takes(value: Annotated[int, From("a")]) -> int:
        return value

    graph.add_node("a", lambda: 7)
    graph.add_node("b", takes)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == 7


async def test_sync_nodes_run_in_threads_beside_async_ones() -> None:
    import threading

    graph = Graph("g")
    here = threading.get_ident()
    graph.add_node("sync", lambda: threading.get_ident() != here)

    async def asynchronous() -> bool:
        return threading.get_ident() == here

    graph.add_node("asynchronous", asynchronous)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == {"sync": True, "asynchronous": True}


async def test_many_may_start_and_one_may_wait_for_all() -> None:
    graph = Graph("g")
    for number in range(5):
        graph.add_node(f"s{number}", lambda number: number, args={"number": number})
    graph.add_node(
        "all", lambda found: found, after=[f"s{number}" for number in range(5)], inputs="merge"
    )
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == [0, 1, 2, 3, 4]


async def test_arguments_of_a_call_come_before_all_other_values() -> None:
    graph = Graph("g")

    @graph.node
    async def a(ctx: Context) -> str:
        ctx.goto("b", a="from the call")
        return "from the node"

    @graph.node(args={"x": "constant"}, output=True)
    async def b(a: str, x: str) -> list[str]:
        return [a, x]

    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == ["from the call", "constant"]


async def test_an_input_is_distributed_over_those_that_start_with_it() -> None:
    graph = Graph("g")
    graph.add_node("each", lambda things: things, distribute=True)
    for name in ("a", "b"):
        graph.add_node(name, lambda each: f"got {each}")
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, things=[1, 2])) == {"a": "got 1", "b": "got 2"}


async def test_local_state_begins_anew_with_each_run() -> None:
    graph = Graph("g")

    @graph.node
    async def count(ctx: Context) -> int:
        ctx.local["n"] = ctx.local.get("n", 0) + 1
        if ctx.local["n"] < 3:
            ctx.goto("count")
        return int(ctx.local["n"])

    async with Engine.memory() as engine:
        assert [await (await engine.start(graph)) for _ in range(2)] == [3, 3]


async def test_an_agent_takes_over_where_a_node_fails() -> None:
    graph = Graph("g")

    @graph.node(on_failure="helper")
    async def click() -> str:
        raise LookupError("the button is gone")

    @graph.node(start=False, output=True)
    async def helper(error: dict[str, Any], ctx: Context) -> str:
        return (await ctx.agent(f"Help: {error['message']}", model="m")).text

    async with Engine.memory(models={"m": lambda said: said[-1].text.upper()}) as engine:
        assert await (await engine.start(graph)) == "HELP: THE BUTTON IS GONE"
