"""Any plan over any graph: one that is sound is followed and leaves a sound graph; any other leaves the graph as it was."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Graph, Limits
from midstream.errors import RunFailedError
from midstream.projections.run_state import fold_run
from tests.engine.stage import types
from tests.engine.test_planning import USABLE, edge, kinds, node, plan, played

NAMES = ("a", "b", "c", "d")
USES = ("double", "add", "gather", "is_small", "explode")
SIGNATURES = {
    "double": ({"number"}, {"number"}),
    "is_small": ({"number"}, {"number"}),
    "add": ({"one", "other"}, {"one"}),
    "gather": ({"results"}, {"results"}),
}

planned_nodes = st.builds(
    lambda name, use, args: {"name": name, "use": use, "args": args, "inputs": None},
    st.sampled_from(NAMES),
    st.sampled_from((*USES[:-1], *USES[:-2], "explode")),
    st.dictionaries(
        st.sampled_from(("number", "one", "other", "results")), st.integers(0, 9), max_size=1
    ),
)
planned_edges = st.builds(
    edge,
    st.sampled_from((*NAMES, "n0", "n1")),
    st.sampled_from(NAMES),
    st.sampled_from(("", "", "number", "one", "other")),
    st.sampled_from((0, 0, 0, 0, 1, 2, 3)),
    st.just(""),
)
wild = st.builds(
    plan,
    st.lists(planned_nodes, min_size=1, max_size=4, unique_by=lambda one: one["name"]),
    st.lists(planned_edges, max_size=4),
    st.just(()),
)


@st.composite
def careful(draw: st.DrawFn) -> dict[str, Any]:
    """Return a plan in which every node has what it needs, with perhaps one edge too many."""
    nodes: list[dict[str, Any]] = []
    edges: list[dict[str, Any]] = []
    for place, name in enumerate(NAMES[: draw(st.integers(1, 4))]):
        use = draw(st.sampled_from(("double", "add", "is_small")))
        (needed,) = SIGNATURES[use][1]
        earlier = [*NAMES[:place], "n0"]
        if draw(st.booleans()):
            nodes.append(node(name, use, None, **{needed: draw(st.integers(0, 9))}))
        else:
            nodes.append(node(name, use))
            edges.append(edge(draw(st.sampled_from(earlier)), name, needed))
    edges += draw(st.lists(planned_edges, max_size=1))
    return plan(nodes, edges)


plans = st.one_of(wild, careful())


def host(needs: Sequence[int]) -> Graph:
    """Return a graph of as many nodes, each waiting for an earlier one or none, with a plan beside them."""
    graph = Graph("host", limits=Limits(activations=300))
    for number, needed in enumerate(needs):
        after = [f"n{needed % number}"] if number and needed else []
        graph.add_node(f"n{number}", lambda: 3, after=after, pure=True)
    graph.plan("answer", goal="x", nodes=USABLE[:4], model="planner", max_rounds=2)
    graph.add_node("report", lambda answer: answer, output=True)
    return graph


def defects(drawn: dict[str, Any], there: set[str]) -> list[str]:
    """Say what is wrong with a plan, told by other means than the engine's."""
    uses = {one["name"]: one["use"] for one in drawn["nodes"]}
    if any(use not in SIGNATURES for use in uses.values()):
        return ["use"]
    waits: dict[str, set[str]] = {name: set() for name in uses}
    given: dict[str, list[str]] = {one["name"]: [*one["args"]] for one in drawn["nodes"]}
    loops = [one for one in drawn["edges"] if one["rounds"]]
    for one in drawn["edges"]:
        source, target = one["source"], one["target"]
        if target not in uses or (source not in uses and source not in there):
            return ["ends"]
        if not one["rounds"]:
            waits[target].add(source)
            given[target] += [one["to"]] if one["to"] else []
    found = [one for name, got in given.items() for one in wrong_arguments(uses[name], got)]
    reach = {name: reached(name, waits) for name in uses}
    found += ["cycle" for name in uses if name in reach[name]]
    found += ["loop" for one in loops if not is_a_loop(one, uses, reach)]
    if len({one["source"] for one in loops}) < len(loops):
        found.append("two loops")
    return found


def wrong_arguments(use: str, given: list[str]) -> list[str]:
    takes, needs = SIGNATURES[use]
    found = [] if set(given) <= takes and needs <= set(given) else ["arguments"]
    if len(given) != len(set(given)):
        found.append("twice")
    if use == "gather" and given:
        found.append("a number is no list")
    return found


def is_a_loop(one: dict[str, Any], uses: dict[str, str], reach: dict[str, set[str]]) -> bool:
    source, target = one["source"], one["target"]
    if source not in uses or one["rounds"] > 2:
        return False
    takes, _ = SIGNATURES[uses[target]]
    return (target == source or target in reach[source]) and (not one["to"] or one["to"] in takes)


def reached(name: str, waits: Mapping[str, set[str]]) -> set[str]:
    found: set[str] = set()
    stack = [*waits[name]]
    while stack:
        one = stack.pop()
        if one not in found:
            found.add(one)
            stack += waits.get(one, ())
    return found


@settings(max_examples=150, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=3), plans)
async def test_a_plan_is_followed_if_it_is_sound_and_changes_nothing_if_it_is_not(
    needs: list[int], drawn: dict[str, Any]
) -> None:
    graph = host(needs)
    sound = not defects(drawn, {f"n{number}" for number in range(len(needs))})
    output, events = await played(drawn, drawn, graph=graph)
    state = fold_run(events)
    names = [one["name"] for one in drawn["nodes"]]
    if not sound:
        assert kinds(output) == {"answer.plan": "PlanError"}
        assert [*state.topology.nodes] == [*graph.nodes]
        assert not {"node.added", "edge.added", "edge.decided"} & set(types(events))
        return
    assert not isinstance(output, RunFailedError), output
    assert [name for name in state.topology.nodes if name not in graph.nodes] == sorted(
        names, key=[*state.topology.nodes].index
    )
    waits = {name: set(shape.waits_for) for name, shape in state.topology.nodes.items()}
    assert all(waits[name] <= waits.keys() for name in waits)
    assert not [name for name in waits if name in reached(name, waits)]
    made = {str(address): one for address, one in state.activations.items()}
    assert all(made[f"{name}#1"].status == "completed" for name in names)
    most = 1 + 2 * sum(bool(one["rounds"]) for one in drawn["edges"])
    assert all(f"{name}#{most + 1}" not in made for name in names)
    assert all(made[f"n{number}#1"].output == 3 for number in range(len(needs)))
