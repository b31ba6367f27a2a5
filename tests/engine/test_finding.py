"""Finding runs by a query, through the engine."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, tool
from midstream.engine.debugging.finding import find_runs
from midstream.errors import ConfigError, QueryError, RunFailedError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.payloads import Cost, Usage
from midstream.events.sqlite import SqliteStore
from midstream.events.store import RunInfo
from midstream.projections.query import Query, Term, Word, parse
from midstream.projections.query_match import holds, store_query
from midstream.testing import FakeClock
from midstream.testing.contract import created

ask = Graph("ask")


@tool(effect="read")
async def look(what: str) -> str:
    return f"seen {what}"


@ask.node
async def say(word: str, ctx: Context) -> str:
    await ctx.tool(look, what=word)
    return (await ctx.llm(f"Tell me of {word}")).text


bad = Graph("bad")


@bad.node
async def fall() -> str:
    raise ValueError("it fell over a Stone")


wait = Graph("wait")


@wait.node
async def confirm(ctx: Context) -> str:
    return str((await ctx.confirm("Really?")).approved)


def price(provider: str, model: str, usage: Usage, at: float) -> Cost:
    return Cost(amount="0.25")


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    clock = FakeClock()
    models = {"openai:gpt-4o": ["otters", "otters"], "anthropic:claude-x": ["cats"]}
    async with Engine.memory(
        models=models, pricing=price, clock=clock, graphs=[ask, bad, wait]
    ) as opened:
        await (
            await opened.start(
                ask, run_id="o1", model="openai:gpt-4o", word="sea", tags={"team": "blue"}
            )
        )
        run = opened.run("o1")
        await run.feedback(kind="score", score=0.2, text="meh")
        await clock.advance(3600)
        await (
            await opened.start(
                ask, run_id="c1", model="anthropic:claude-x", word="home", tags={"team": "red"}
            )
        )
        failed = await opened.start(bad, run_id="b1", tags={"team": "red"})
        with pytest.raises(RunFailedError):
            await failed
        await clock.advance(3600)
        waiting = await opened.start(wait, run_id="w1")
        async for event in waiting.events():
            if event.type == "question.asked":
                break
        await (await run.fork(at="say#1", run_id="f1"))
        yield opened


async def ids(engine: Engine, query: str, **options: Any) -> list[str]:
    return [info.run_id for info in await engine.runs(query, **options)]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["f1", "w1", "b1", "c1", "o1"]),
        ("limit:2", ["f1", "w1"]),
        ("limit:0", []),
        ("status:failed", ["b1"]),
        ("-status:completed", ["w1", "b1"]),
        ("status:failed,running", ["w1", "b1"]),
        ("status:failed status:running", []),
        ("graph:ask", ["f1", "c1", "o1"]),
        ("graph:a*", ["f1", "c1", "o1"]),
        ('graph:"a*"', []),
        ("-graph:ask", ["w1", "b1"]),
        ("graph:ask,bad", ["f1", "b1", "c1", "o1"]),
        ("tag.team:red", ["b1", "c1"]),
        ("tag.team:*", ["f1", "b1", "c1", "o1"]),
        ("-tag.team:*", ["w1"]),
        ("id:o*", ["o1"]),
        ("id:?1", ["f1", "w1", "b1", "c1", "o1"]),
        ("parent:o1", ["f1"]),
        ("has:fork", ["f1"]),
        ("since:90m", ["f1", "w1", "b1", "c1"]),
        ("until:90m", ["o1"]),
        ("started:<90m", ["o1"]),
        ("events:>=8", ["f1", "c1", "o1"]),
        ("model:claude*", []),
        ("model:*claude*", ["c1"]),
        ("node:fall", ["b1"]),
        ("tool:look", ["f1", "c1", "o1"]),
        ("cost:>0.2 -has:fork", ["c1", "o1"]),
        ("cost:0", ["w1", "b1"]),
        ("calls:1 graph:ask sort:id limit:2", ["c1", "f1"]),
        ("tokens:>0 sort:id", ["c1", "f1", "o1"]),
        ("error:ValueError", ["b1"]),
        ("has:error", ["b1"]),
        ("has:question", ["w1"]),
        ("event:question.*", ["w1"]),
        ("feedback:score", ["o1"]),
        ("score:<0.5", ["o1"]),
        ("-score:<0.5 limit:1", ["f1"]),
        ("has:fork,error", ["f1", "b1"]),
        ("stone", ["b1"]),
        ('"fell over"', ["b1"]),
        ("-otters tool:look", ["c1"]),
        ("duration:<1h ended:>1970-01-01", ["f1", "b1", "c1", "o1"]),
        ("sort:started limit:1", ["o1"]),
        ("sort:-cost -graph:ask", ["w1", "b1"]),
        ("sort:ended", ["o1", "b1", "c1", "f1", "w1"]),
        ("has:note", []),
        ("has:retry", []),
    ],
)
async def test_a_query_finds(engine: Engine, query: str, found: list[str]) -> None:
    assert await ids(engine, query) == found


async def test_options_narrow_a_query(engine: Engine) -> None:
    assert await ids(engine, "has:error", graph="bad", status="failed", tags={"team": "red"}) == [
        "b1"
    ]
    assert await ids(engine, "limit:4", limit=1) == ["f1"]
    with pytest.raises(ConfigError, match="'asleep' is none of"):
        await engine.runs(status="asleep")
    with pytest.raises(QueryError, match="there is no field 'colour'"):
        await engine.runs("colour:red")


async def test_a_question_that_was_answered_waits_no_more(engine: Engine) -> None:
    run = engine.run("w1")
    (question,) = await engine.questions()
    await run.answer(question.id, approved=True)
    await run
    assert await ids(engine, "has:question") == []


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("status:failed,paused -status:paused", {"status": frozenset({"failed"}), "limit": 3}),
        ("graph:a tag.k:v", {"graph": "a", "tags": {"k": "v"}, "limit": 3}),
        ("since:1s until:1970-01-02", {"since": 9_000_000, "until": 86_400_000_000, "limit": 3}),
        ("graph:a*", {}),
        ("graph:a graph:b", {"graph": "a"}),
        ("id:ab*c", {"prefix": "ab"}),
        ("cost:>1 status:failed", {"status": frozenset({"failed"})}),
        ("sort:id", {}),
    ],
)
def test_what_a_store_can_tell_it_is_asked(query: str, asked: dict[str, Any]) -> None:
    made = store_query(replace(parse(query), limit=3), now=10.0)
    found = {
        name: getattr(made, name)
        for name in ("status", "graph", "tags", "prefix", "since", "until", "limit")
        if getattr(made, name) not in (None, "", {})
    }
    assert found == asked


TERMS = (
    "status:failed", "-status:failed", "status:failed,running", "graph:ask", "-graph:ask", "graph:a*", "tag.team:red",
    "-tag.team:red", "since:90m", "-since:90m", "until:30m", "id:o*", "-id:o*", 'id:"c1"', "has:fork",
)  # fmt: skip


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60
)
@given(st.lists(st.sampled_from(TERMS), max_size=4), st.none() | st.integers(0, 3))
async def test_what_the_store_leaves_out_no_query_wants(
    engine: Engine, terms: list[str], limit: int | None
) -> None:
    """Asking the store for less is the same as asking it for everything and choosing."""
    query = parse(" ".join([*terms, *([] if limit is None else [f"limit:{limit}"])]))
    now = FakeClock().now() + 7200
    found = await find_runs(engine.store, query, now=now)
    wanted = [info for info in await engine.store.runs() if holds(query, info, None, now=now)]
    assert [one.info.run_id for one in found] == [info.run_id for info in wanted][:limit]


@pytest.mark.parametrize(
    ("holder", "until", "driven"), [(None, 0.0, False), ("a", 5.0, False), ("a", 15.0, True)]
)
def test_a_run_has_a_driver_while_its_lease_holds(
    holder: str | None, until: float, driven: bool
) -> None:
    info = RunInfo(RunId("r"), "g", "running", {}, 0, 1, 1, holder, until)
    assert holds(parse("has:driver"), info, None, now=10.0) is driven


async def test_reading_stops_where_enough_was_found(engine: Engine) -> None:
    looked: list[int] = []
    query = parse("tool:look limit:1")
    now = 0.0
    await find_runs(engine.store, query, now=now, told=lambda done, total: looked.append(done))
    assert looked == [1]


HOSTILE = st.text(alphabet="ab'\"%_*?[];-)(\\é\x00") | st.text()


@settings(deadline=None, max_examples=40)
@given(
    st.lists(HOSTILE.filter(bool), min_size=1, max_size=4),
    HOSTILE,
    st.sampled_from(("graph", "tag", "id", "parent")),
    st.booleans(),
)
async def test_every_store_finds_the_same_whatever_is_looked_for(
    names: list[str], wanted: str, field: str, negated: bool
) -> None:
    """What people write stays a value: it becomes neither a pattern nor a part of a statement."""
    term = Term(field, (Word(wanted, exact=True),), key="k" if field == "tag" else "")
    query = Query((replace(term, negated=negated),))
    with TemporaryDirectory() as folder:
        async with await SqliteStore.open(Path(folder) / "runs.db") as kept:
            found: list[list[str]] = []
            for store in (MemoryStore(), kept):
                for number, name in enumerate(names):
                    draft = created(name, at=number, k=name)
                    await store.append(RunId(f"r{number}"), [draft], expected=0)
                listed = await find_runs(store, query, now=1e9)
                found.append([one.info.run_id for one in listed])
    assert found[0] == found[1]
    if field in ("graph", "tag"):
        expected = [f"r{n}" for n, name in enumerate(names) if (name == wanted) is not negated]
        assert found[0] == expected[::-1]
