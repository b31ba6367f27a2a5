"""Any answer of a replanner over any graph: what completed stays, the graph stays sound, and the run ends."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import event, given, settings
from hypothesis import strategies as st

from midstream import Graph, Limits
from midstream.errors import RunFailedError
from midstream.projections.run_state import fold_run
from tests.engine.stage import types
from tests.engine.test_planning import edge, node
from tests.engine.test_planning_law import reached
from tests.engine.test_reflection import REPORT
from tests.engine.test_replanning import done

THERE = ("n0", "n1", "n2", "n3", "n4", "n5")
NEW = ("x", "y")

new_nodes = st.builds(
    lambda name, use, inputs: node(name, use, inputs),
    st.sampled_from(NEW),
    st.sampled_from(("one", "one", "collect", "explode")),
    st.sampled_from((None, "merge")),
)
new_edges = st.builds(
    edge,
    st.sampled_from((*THERE, *NEW)),
    st.sampled_from((*THERE, *NEW)),
    st.just(""),
    st.sampled_from((0, 0, 0, 0, 1)),
)
revisions = st.fixed_dictionaries(
    {
        "attempts": st.integers(0, 2),
        "on_failure": st.sampled_from(("", "", "continue")),
        "nodes": st.lists(new_nodes, max_size=2, unique_by=lambda one: one["name"]),
        "edges": st.lists(new_edges, max_size=3),
        "remove": st.lists(st.sampled_from(THERE), max_size=1),
    }
)


FAILED = "the node that failed"


@st.composite
def careful(draw: st.DrawFn) -> dict[str, Any]:
    """Return a plan whose edges lead from the beginning of the graph over new nodes to the node that failed."""
    names = NEW[: draw(st.integers(0, 2))]
    edges = [edge("n0", name) for name in names if draw(st.booleans())]
    edges += [edge(name, FAILED) for name in names if draw(st.booleans())]
    edges += draw(st.lists(new_edges, max_size=1)) if draw(st.booleans()) else []
    anew = any(one["target"] == FAILED for one in edges)
    return {
        "attempts": draw(st.integers(0 if anew else 1, 2)),
        "on_failure": "" if anew else draw(st.sampled_from(("", "continue"))),
        "nodes": [node(name, draw(st.sampled_from(("one", "collect")))) for name in names],
        "edges": edges,
    }


def about(name: str, planned: dict[str, Any]) -> dict[str, Any]:
    """Return a plan with the name of the node that failed."""
    edges = [
        {**one, "target": name if one["target"] == FAILED else one["target"]}
        for one in planned.get("edges", ())
    ]
    return {**planned, "node": name, "edges": edges}


def graph_of(needs: Sequence[Sequence[int]], failing: int, failures: int) -> Graph:
    """Return a graph of nodes that wait for earlier ones, and of which one fails so many times."""
    graph = Graph("law", limits=Limits(activations=200), on_failure="reflect")
    left = [failures]

    async def fails() -> str:
        if left[0]:
            left[0] -= 1
            raise KeyError("x")
        return "mended"

    async def works() -> str:
        return "done"

    for number, needed in enumerate(needs):
        after = sorted({f"n{one % number}" for one in needed}) if number else []
        graph.add_node(f"n{number}", fails if number == failing else works, after=after)

    @graph.function
    async def one() -> int:
        return 1

    @graph.function
    async def collect(results: Sequence[Any] = ()) -> list[Any]:
        return list(results)

    return graph


def where_it_stood(events: Sequence[Any]) -> dict[str, Any]:
    """Return the outputs of what had completed before the first failure."""
    first = types(events).index("node.failed")
    state = fold_run(events[:first])
    return {a: one.output for a, one in state.activations.items() if one.status == "completed"}


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=2), min_size=1, max_size=6),
    st.integers(0, 5),
    st.integers(1, 3),
    st.one_of(revisions, careful(), careful()),
)
async def test_whatever_is_planned_anew_the_run_ends_and_what_was_done_stays(
    needs: list[list[int]], failing: int, failures: int, answer: dict[str, Any]
) -> None:
    failing %= len(needs)
    graph = graph_of(needs, failing, failures)
    said = json.dumps(about(f"n{failing}", answer))

    def critic(messages: Any) -> str:
        return said if "timeout now" in messages[-1].text else REPORT

    output, events = await done(graph, models={"critic": critic}, reflector="critic")
    state = fold_run(events)
    followed = types(events).count("plan.revised")
    changes = {"node.added", "edge.added", "node.removed", "edge.decided"} & set(types(events))
    event(f"{'followed' if followed else 'refused'}, {'changed' if changes else 'the same'}")
    if not followed:
        assert not changes
        assert [*state.topology.nodes] == [*graph.nodes]
    assert state.over
    assert not isinstance(output, RunFailedError) or "deadlock" not in str(output)
    kept = where_it_stood(events)
    assert {a: state.activations[a].output for a in kept} == kept
    assert not [a for a in kept if f"{a[:-1]}2" in state.activations]
    waits = {name: set(shape.waits_for) for name, shape in state.topology.nodes.items()}
    assert all(waits[name] <= waits.keys() for name in waits)
    assert not [name for name in waits if name in reached(name, waits)]
