"""Random graphs for the law of control flow, and the code that does what each of their activations is drawn to do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from typing import Any

from hypothesis import strategies as st

from midstream import Context, Continue, Graph, Retry, tool
from midstream.engine.ready.plan import Plan, PlannedEdge, PlannedNode
from midstream.errors import PlanError, TopologyError

AGAIN = Retry(attempts=2, delay=0.0, on=frozenset({"ValueError", "nodes", "items"}))
DEEPEST = 3


class Brief:
    """Shows what is not as it is by default."""

    def __repr__(self) -> str:
        told = [(one.name, getattr(self, one.name), one.default) for one in fields(self)]  # type: ignore[arg-type]  # of dataclasses
        return f"{type(self).__name__}({', '.join(f'{n}={v!r}' for n, v, d in told if v != d)})"


@dataclass(frozen=True, repr=False)
class Turn(Brief):
    """What an activation does: the places of nodes it goes to, triggers, and adds a node or an edge after.

    `fails` is how many of its attempts do; `drops` an edge or, from itself to itself, a node that goes; `plans` says whether
    it follows a plan with a loop; `starts` is how a run that it starts is closed.
    """

    goto: tuple[int, ...] = ()
    trigger: tuple[int, ...] = ()
    adds: tuple[int, ...] = ()
    edge: tuple[int, int] | None = None
    drops: tuple[int, int] | None = None
    fails: int = 0
    plans: bool = False
    starts: str = ""


@dataclass(frozen=True, repr=False)
class Spot(Brief):
    """A node: what it waits for, with whether it can do without, and what its first activations do.

    A node with `inner` runs a graph of these, one with `items` is a map over so many, of which `bad` fail; `kind` is `work`
    for one that goes where its turns say, `reduce` for one that folds what it takes, `data` for a template.
    """

    needs: tuple[tuple[int, bool], ...] = ()
    after: tuple[int, ...] = ()
    on_call: bool = False
    join: int = 0
    asks: bool = False
    output: bool = False
    policy: str = "fail"
    tries: bool = False
    turns: tuple[Turn, ...] = ()
    kind: str = "work"
    inner: tuple[Spot, ...] = ()
    items: int | None = None
    bad: frozenset[int] = frozenset()
    together: int | None = None
    completed: bool = False


places = st.integers(0, 6)


def _seldom(most: int) -> st.SearchStrategy[bool]:
    return st.integers(0, most).map(lambda n: n == most)


def some(most: int) -> st.SearchStrategy[tuple[int, ...]]:
    return st.lists(places, max_size=most).map(tuple)


turns = st.builds(
    Turn,
    goto=st.one_of(st.just(()), some(2)),
    trigger=st.one_of(st.just(()), some(2)),
    adds=st.one_of(st.just(()), some(1)),
    edge=st.one_of(st.none(), st.tuples(places, places)),
    drops=st.one_of(st.none(), st.none(), st.tuples(places, places)),
    fails=st.sampled_from((0, 0, 0, 0, 0, 1, 9)),
    plans=_seldom(7),
    starts=st.sampled_from(("",) * 8 + ("wait", "cancel", "abandon")),
)


def _first(need: tuple[int, bool]) -> int:
    return need[0]


@st.composite
def spots(draw: st.DrawFn, most: int = 6, deep: int = DEEPEST) -> tuple[Spot, ...]:
    """Draw a graph without a cycle, of which the first node starts by itself, with graphs so deep inside it."""
    made: list[Spot] = []
    for place in range(draw(st.integers(1, most))):
        earlier = st.integers(0, max(0, place - 1))
        needs = draw(
            st.lists(st.tuples(earlier, st.booleans()), max_size=min(3, place), unique_by=_first)
        )
        taken = {need for need, _ in needs}
        after = draw(st.lists(earlier, max_size=1).map(tuple)) if place else ()
        join, joins, asks = 0, draw(_seldom(3)), draw(_seldom(3))
        if needs and joins:
            needs = [(need, True) for need, _ in needs]
            join = draw(st.integers(1, len(needs)))
        spot = Spot(
            tuple(needs),
            tuple(one for one in after if one not in taken),
            place > 0 and draw(_seldom(3)),
            join,
            bool(needs) and asks,
            draw(_seldom(4)),
            draw(st.sampled_from(("fail", "skip", "continue", "handler"))),
            draw(_seldom(3)),
            draw(st.lists(turns, max_size=2).map(tuple)),
        )
        inside = place == 0 and deep < DEEPEST  # this one takes what its graph is given
        made.append(spot if inside else draw(_of_a_kind(spot, deep)))
    return tuple(made)


@st.composite
def _of_a_kind(draw: st.DrawFn, spot: Spot, deep: int) -> Spot:
    """Draw what a node does: most do what their turns say."""
    kinds = ["work"] * 4 + ["map", "data"]
    kinds += ["graph", "graph", "graphs"] if deep else []
    kinds += ["reduce", "reduce"] if spot.needs and not spot.join else []
    kind = draw(st.sampled_from(kinds))
    if kind in ("graph", "graphs"):
        spot = replace(spot, inner=draw(spots(3, deep - 1)))
    if kind in ("map", "graphs"):
        spot = replace(
            spot,
            items=draw(st.integers(0, 3)),
            bad=frozenset(draw(st.lists(st.integers(0, 5), max_size=1))) & {0, 1, 2},
            together=draw(st.sampled_from((None, 1, 2))),
            completed=draw(st.booleans()),
        )
    return replace(spot, kind=kind if kind in ("reduce", "data") else "work")


class Gate:
    """Where every activation waits until it is let through."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(released)
        try:
            await released
        finally:
            self.waiting.remove(released)


def joined(total: str, value: str) -> str:
    """Do what reductions do with two values; what completed with nothing is a word, too."""
    return f"{total}+{value}"[:80]


def sizes(plan: Sequence[Spot], path: str = "") -> dict[str, int]:
    """Return how many items each map has, by its node's name, which no other graph has."""
    found: dict[str, int] = {}
    for place, spot in enumerate(plan):
        found |= sizes(spot.inner, f"{path}_{place}")
        if spot.items is not None:
            found[named(path, place, spot)] = spot.items
    return found


def named(path: str, place: int, spot: Spot) -> str:
    """Return a node's name: a map's is its own in the whole run."""
    return f"n{place}" if spot.items is None else f"m{path}_{place}"


def child(gate: Gate) -> Graph:
    """Return the graph of the runs that nodes start."""
    graph = Graph("child")

    @graph.node
    async def only(ctx: Context) -> str:
        await gate()
        return "of the child"

    return graph


def build(plan: Sequence[Spot], gate: Gate, path: str = "", runs: Graph | None = None) -> Graph:
    """Return the graph of a plan; `path` is where it is in those around it."""
    graph = Graph(f"law{path}")
    names = [named(path, place, spot) for place, spot in enumerate(plan)]
    started = runs or child(gate)

    async def extra(ctx: Context) -> str:
        await gate()
        return str(ctx.step)

    graph.register(extra, name="extra")
    if any(spot.policy == "handler" for spot in plan):
        graph.add_node("handler", extra, start=False)
    builder = _Builder(graph, names, gate, started, _peeking(gate))
    for place, spot in enumerate(plan):
        builder.add(place, spot)
    return graph


def _peeking(gate: Gate) -> Any:
    @tool(effect="read")
    async def peek(text: str) -> str:
        await gate()
        return text[:60]

    return peek


@dataclass(frozen=True)
class _Builder:
    graph: Graph
    names: Sequence[str]
    gate: Gate
    runs: Graph
    peek: Any

    def add(self, place: int, spot: Spot) -> None:
        name, options = self.names[place], self._options(spot)
        needs = [need for need, _ in spot.needs]
        if spot.kind == "reduce":
            options["after"] = [*(self.names[one] for one in needs), *options["after"]]
            self.graph.add_node(name, _joining, join="reduce", **options)
            return
        if spot.kind == "data":
            self.graph.tool(name, self.peek, text=self._template(spot), **options)
            return
        code: Any = self._function("work", spot, _working(spot, self.names, self.gate, self.runs))
        if spot.inner:
            code = build(spot.inner, self.gate, f"{self.graph.name[3:]}_{place}", self.runs)
            options["after"] = [*(self.names[one] for one in needs), *options["after"]]
            if needs and spot.items is None:
                options["take"] = {"given": self.names[needs[0]]}
        if spot.items is None:
            self.graph.add_node(name, code, **options)
        else:
            order: Any = "completed" if spot.completed else "results"
            self.graph.map(
                name,
                code,
                over=lambda: list(range(spot.items or 0)),
                key=str,
                concurrency=spot.together,
                order=order,
                **options,
            )

    def _options(self, spot: Spot) -> dict[str, Any]:
        policies: Mapping[str, Any] = {"continue": Continue("instead")}
        options: dict[str, Any] = {
            "after": [self.names[one] for one in spot.after],
            "start": not spot.on_call,
            "output": spot.output,
            "on_failure": policies.get(spot.policy, spot.policy),
        }
        if spot.join:
            options["join"] = spot.join
        if spot.asks:
            options["when"] = self._function("when", spot, _likes)
        if spot.tries:
            options["retry"] = AGAIN
        return options

    def _template(self, spot: Spot) -> str:
        """Return a template that takes what the node needs."""
        said: list[str] = []
        for need, optional in spot.needs:
            name = self.names[need]
            said.append(f"{{{{ {name} | default('-') }}}}" if optional else f"{{{{ {name} }}}}")
        return "seen " + " ".join(said)

    def _function(self, kind: str, spot: Spot, does: Callable[..., Any]) -> Callable[..., Any]:
        # Nodes are bound by the names of their parameters, so a function of a random shape has to be written.
        parameters: dict[str, Any] = {}
        for need, optional in sorted(spot.needs, key=lambda need: need[1]):
            parameters[self.names[need]] = optional or kind == "when"
        told = [f"{name}=None" if optional else name for name, optional in parameters.items()]
        given = ", ".join(f"{name}={name}" for name in parameters)
        if kind == "work" and self.graph.name != "law":
            told.append("given=None")
            given = f"{given}, given=given" if given else "given=given"
        first = "item, " if spot.items is not None and kind == "work" else ""
        scope: dict[str, Any] = {"does": does}
        if kind == "when":
            exec(f"def made({', '.join(told)}):\n return does({given})", scope)
        else:
            exec(
                f"async def made({first}{', '.join(['ctx', *told])}):\n"
                f" return await does(ctx, {'item' if first else 'None'}, {given})",
                scope,
            )
        made: Callable[..., Any] = scope["made"]
        return made


async def _joining(total: str, value: str) -> str:
    return joined(total, value)


def _likes(**values: str | None) -> bool:
    return sum(len(str(value)) for value in values.values() if value) % 3 > 0


def _working(spot: Spot, names: Sequence[str], gate: Gate, runs: Graph) -> Callable[..., Any]:
    async def work(ctx: Context, item: int | None, **values: Any) -> str:
        number = int(ctx.step.rpartition("#")[2].partition("[")[0])
        turn = spot.turns[number - 1] if number <= len(spot.turns) else Turn()
        await gate()
        if turn.starts:
            await ctx.start_subrun(runs, close=turn.starts, key="one")  # type: ignore[arg-type]  # drawn
        _steer(ctx, turn, names)
        if item in spot.bad:
            turn = replace(turn, fails=9)
        if turn.fails:
            await ctx.random()  # a record, which another attempt finds
        if ctx.attempt <= turn.fails:
            raise ValueError("as planned")
        return f"{ctx.step}({' '.join(str(value or '-') for value in values.values())})"[:60]

    return work


def _steer(ctx: Context, turn: Turn, names: Sequence[str]) -> None:
    """Do what a turn says to the flow, as far as that is allowed."""
    last = ctx.step.rpartition(".")[2].replace("#", "-")
    for place in turn.adds:
        with suppress(TopologyError):
            ctx.add_node(f"x-{last}", "extra", after=[names[place % len(names)]])
    for edge, verb in ((turn.edge, ctx.add_edge), (turn.drops, ctx.remove_edge)):
        if edge is not None:
            source, target = (names[place % len(names)] for place in edge)
            with suppress(TopologyError):
                if verb == ctx.remove_edge and source == target:
                    ctx.remove_node(source)
                else:
                    verb(source, target)
    if turn.plans:
        first, second = f"p-{last}", f"q-{last}"
        with suppress(TopologyError, PlanError):
            ctx.add_plan(
                Plan(
                    nodes=tuple(PlannedNode(name=name, use="extra") for name in (first, second)),
                    edges=(
                        PlannedEdge(source=first, target=second),
                        PlannedEdge(source=second, target=first, rounds=1),
                    ),
                )
            )
    for go, targets in ((ctx.goto, turn.goto), (ctx.trigger, turn.trigger)):
        for place in targets:
            with suppress(TopologyError):
                go(names[place % len(names)])
