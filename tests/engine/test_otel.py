"""Runs as spans of OpenTelemetry: after they happened, and while they do."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from midstream import Context, Engine, Graph, tool
from midstream.engine.otel import OtelExporter, export_run
from midstream.errors import RunErasedError, RunFailedError, StoreError
from midstream.events.content import ToolCall, assistant
from midstream.events.envelope import ERASED
from midstream.events.ids import RunId
from midstream.events.payloads import Cost, Usage
from midstream.projections.otlp import request
from midstream.projections.span import span_id, trace_id
from midstream.projections.span_names import RENAMED, SCHEMA_URL
from midstream.projections.spans import Spans, spans_of

plan = Graph("plan")

NAMES_1_41 = {
    "gen_ai.conversation.id", "gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model",
    "gen_ai.request.temperature", "gen_ai.request.stop_sequences", "gen_ai.response.finish_reasons", "gen_ai.response.model",
    "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "gen_ai.workflow.name", "gen_ai.tool.name", "gen_ai.tool.type",
    "gen_ai.tool.call.id",
}  # fmt: skip
"""What a run like the one below says with names of the conventions; a change of it is a change for users."""


@tool(effect="read")
async def look(what: str) -> str:
    """Look something up."""
    return f"a secret of the {what}"


@plan.node
async def research(topic: str, ctx: Context) -> str:
    reply = await ctx.llm(f"private words on {topic}", tools=[look], temperature=0.5, stop=["END"])
    return reply.text


@plan.node
async def fail_once(research: str, ctx: Context) -> str:
    return str((await ctx.confirm("Is it good?")).approved)


broken = Graph("broken")


@broken.node
async def fall() -> str:
    raise ValueError("private reasons")


def price(provider: str, model: str, usage: Usage, at: float) -> Cost:
    return Cost(amount="0.25")


def scripts() -> dict[str, Any]:
    turn = assistant("", ToolCall(id="c1", name="look", arguments='{"what": "sea"}'))
    return {"openai:gpt-4o": [turn, "a private answer"] * 3}


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    graphs = [plan, broken]
    async with Engine.memory(models=scripts(), pricing=price, graphs=graphs) as opened:
        yield opened


async def run_plan(engine: Engine, run_id: str = "r1") -> None:
    run = await engine.start(
        plan, run_id=run_id, topic="otters", model="openai:gpt-4o", tags={"session": "s-7"}
    )
    async for event in run.events():
        if event.type == "question.asked":
            await run.answer(event.data["id"], approved=True, by="alice")
    await run


async def exported(engine: Engine, run_id: str = "r1", **options: Any) -> dict[str, ReadableSpan]:
    memory = InMemorySpanExporter()
    await export_run(engine.store, run_id, memory, **options)
    spans = memory.get_finished_spans()
    assert len({span.name for span in spans}) == len(spans)
    return {span.name: span for span in spans}


def said(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def ids(spans: Sequence[ReadableSpan]) -> list[tuple[str, int, int, int | None, int | None]]:
    found: list[tuple[str, int, int, int | None, int | None]] = []
    for span in spans:
        assert span.context is not None
        found.append(
            (span.name, span.context.trace_id, span.context.span_id, span.start_time, span.end_time)
        )
    return sorted(found)


async def test_the_tree_of_spans_is_the_tree_of_steps(engine: Engine) -> None:
    await run_plan(engine)
    await run_twice(engine)
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    spans = memory.get_finished_spans()
    by_id = {span.context.span_id: span for span in spans if span.context}
    tree = {(span.name, by_id[span.parent.span_id].name if span.parent else None) for span in spans}
    assert tree == {
        ("invoke_workflow plan", None),
        ("research", "invoke_workflow plan"),
        ("chat gpt-4o", "research"),
        ("execute_tool look", "chat gpt-4o"),
        ("fail_once", "invoke_workflow plan"),
        ("midstream.question", "fail_once"),
    }
    assert {span.context.trace_id for span in spans if span.context} == {int(trace_id("r1"), 16)}


async def run_twice(engine: Engine) -> None:
    """Another run in the same store, so that spans of one are not taken for those of another."""
    await run_plan(engine, "r2")


async def test_exporting_twice_sends_the_same_spans(engine: Engine) -> None:
    await run_plan(engine)
    first, second = InMemorySpanExporter(), InMemorySpanExporter()
    assert await export_run(engine.store, "r1", first) == 7
    await export_run(engine.store, "r1", second)
    assert ids(first.get_finished_spans()) == ids(second.get_finished_spans())


async def test_a_model_call_is_told_by_the_names_of_the_conventions(engine: Engine) -> None:
    await run_plan(engine)
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    (first, second) = [span for span in memory.get_finished_spans() if span.name == "chat gpt-4o"]
    assert first.kind is SpanKind.CLIENT
    attributes = said(first)
    assert attributes["gen_ai.operation.name"] == "chat"
    assert attributes["gen_ai.provider.name"] == "openai"
    assert attributes["gen_ai.request.model"] == "gpt-4o"
    assert attributes["gen_ai.request.temperature"] == 0.5
    assert tuple(attributes["gen_ai.request.stop_sequences"]) == ("END",)
    assert tuple(attributes["gen_ai.response.finish_reasons"]) == ("tool_calls",)
    assert attributes["gen_ai.conversation.id"] == "s-7"
    assert attributes["gen_ai.usage.input_tokens"] > 0
    assert attributes["midstream.cost.amount"] == 0.25
    assert attributes["midstream.seq"] == 3
    assert attributes["midstream.step"].startswith("research#1/llm:")
    assert tuple(said(second)["gen_ai.response.finish_reasons"]) == ("stop",)
    assert first.instrumentation_scope is not None
    assert first.instrumentation_scope.schema_url == SCHEMA_URL


async def test_the_names_are_those_that_were_agreed_on(engine: Engine) -> None:
    await run_plan(engine)
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    names = {name for span in memory.get_finished_spans() for name in said(span)}
    assert {name for name in names if name.startswith("gen_ai.")} == NAMES_1_41
    assert all(name.startswith(("gen_ai.", "midstream.", "error.")) for name in names)


async def test_nothing_that_was_said_is_told_unless_somebody_asks(engine: Engine) -> None:
    await run_plan(engine)
    await engine.run("r1").feedback(kind="negative", text="private remark")
    with pytest.raises(RunFailedError):
        await (await engine.start(broken, run_id="b1"))
    for run_id in ("r1", "b1"):
        memory = InMemorySpanExporter()
        await export_run(engine.store, run_id, memory)
        text = "".join(span.to_json() for span in memory.get_finished_spans())
        for word in ("private", "secret", "otters", "Is it good?"):
            assert word not in text


async def test_what_was_said_is_told_in_full_where_somebody_asks(engine: Engine) -> None:
    await run_plan(engine)
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory, content=True)
    _, last = [said(span) for span in memory.get_finished_spans() if span.name == "chat gpt-4o"]
    messages = json.loads(last["gen_ai.input.messages"])
    assert [message["role"] for message in messages] == ["user", "assistant", "tool"]
    assert messages[0]["parts"] == [{"type": "text", "content": "private words on otters"}]
    assert messages[1]["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "look", "arguments": {"what": "sea"}}
    ]
    assert messages[2]["parts"] == [
        {"type": "tool_call_response", "id": "c1", "response": "a secret of the sea"}
    ]
    (answer,) = json.loads(last["gen_ai.output.messages"])
    assert (answer["role"], answer["finish_reason"]) == ("assistant", "stop")
    assert json.loads(last["gen_ai.tool.definitions"])[0]["name"] == "look"
    called = next(said(s) for s in memory.get_finished_spans() if s.name.startswith("execute"))
    assert json.loads(called["gen_ai.tool.call.arguments"]) == {"what": "sea"}
    assert json.loads(called["gen_ai.tool.call.result"]) == "a secret of the sea"


async def test_a_failure_is_told_by_its_kind(engine: Engine) -> None:
    with pytest.raises(RunFailedError):
        await (await engine.start(broken, run_id="b1"))
    spans = await exported(engine, "b1")
    assert set(spans) == {"invoke_workflow broken", "fall"}
    for span in spans.values():
        assert span.status.status_code is StatusCode.ERROR
        assert said(span)["error.type"] == "ValueError"


async def test_feedback_becomes_a_span_of_what_was_judged(engine: Engine) -> None:
    await run_plan(engine)
    await engine.run("r1").feedback(step="research#1", kind="score", score=0.5)
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    by_name = {span.name: span for span in memory.get_finished_spans()}
    judged, of = by_name["gen_ai.evaluation.result"], by_name["research"]
    assert judged.parent is not None
    assert of.context is not None
    assert judged.parent.span_id == of.context.span_id
    assert said(judged)["gen_ai.evaluation.score.value"] == 0.5


async def test_a_fork_is_a_trace_of_its_own_that_is_linked_to_its_parent(engine: Engine) -> None:
    await run_plan(engine)
    fork = await engine.run("r1").fork(at="fail_once#1", run_id="f1")
    async for event in fork.events():
        if event.type == "question.asked":
            await fork.answer(event.data["id"], approved=False)
    await fork
    spans = await exported(engine, "f1")
    assert set(spans) == {"invoke_workflow plan", "fail_once", "midstream.question"}
    root = spans["invoke_workflow plan"]
    (link,) = root.links
    assert link.context.trace_id == int(trace_id("r1"), 16)
    assert link.context.span_id == int(span_id("r1", 1), 16)
    assert said(root)["midstream.fork.seq"] > 1


async def test_what_has_not_ended_is_left_out_or_says_so(engine: Engine) -> None:
    run = await engine.start(plan, run_id="r1", topic="otters", model="openai:gpt-4o")
    async for event in run.events():
        if event.type == "question.asked":
            break
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    ended = {span.name for span in memory.get_finished_spans()}
    assert ended == {"research", "chat gpt-4o", "execute_tool look"}
    whole = InMemorySpanExporter()
    await export_run(engine.store, "r1", whole, unfinished=True)
    open_ = [s.name for s in whole.get_finished_spans() if said(s).get("midstream.unfinished")]
    assert open_ == ["fail_once", "midstream.question", "invoke_workflow plan"]


async def test_a_migration_is_an_event_of_the_run(engine: Engine) -> None:
    run = await engine.start(plan, run_id="r1", topic="otters", model="openai:gpt-4o")
    await run.migrate("openai:gpt-4o")
    async for event in run.events():
        if event.type == "question.asked":
            await run.answer(event.data["id"], approved=True)
    await run
    memory = InMemorySpanExporter()
    await export_run(engine.store, "r1", memory)
    root = next(s for s in memory.get_finished_spans() if s.name.startswith("invoke_workflow"))
    assert "midstream.migration" in [event.name for event in root.events]


@pytest.mark.parametrize("edition", ["latest", "both"])
async def test_a_later_edition_has_other_names(engine: Engine, edition: Any) -> None:
    await run_plan(engine)
    events = [event async for event in engine.store.read(RunId("r1"))]
    changed = [
        event._replace(data={**event.data, "usage": {"input_tokens": 5, "cache_write_tokens": 3}})
        if event.type == "model.responded"
        else event
        for event in events
    ]
    span = next(
        s for s in spans_of(Spans("r1", edition=edition), changed) if s.name == "chat gpt-4o"
    )
    for old, new in RENAMED.items():
        assert span.attributes[new] == 3
        assert (old in span.attributes) is (edition == "both")


async def test_live_and_afterwards_are_the_same_spans(engine: Engine) -> None:
    live, later = InMemorySpanExporter(), InMemorySpanExporter()
    async with OtelExporter(engine, live, since=0):
        await run_plan(engine)
        await engine.run("r1").feedback(kind="positive")
    await export_run(engine.store, "r1", later)
    assert ids(live.get_finished_spans()) == ids(later.get_finished_spans())


async def test_live_tells_each_span_once_and_of_all_runs(engine: Engine) -> None:
    live = InMemorySpanExporter()
    async with OtelExporter(
        engine, live, since=0, resource=Resource({"service.name": "shop"})
    ) as exporter:
        await run_plan(engine, "r1")
        await run_plan(engine, "r2")
        await engine.run("r1").feedback(kind="positive")
    spans = live.get_finished_spans()
    assert len(spans) == len({span.context.span_id for span in spans if span.context}) == 15
    assert exporter.exported == 15
    assert [span.resource.attributes["service.name"] for span in spans] == ["shop"] * 15


async def test_live_tells_only_what_ends_from_then_on(engine: Engine) -> None:
    await run_plan(engine, "r1")
    live = InMemorySpanExporter()
    async with OtelExporter(engine, live):
        await engine.run("r1").feedback(kind="positive")
    assert [span.name for span in live.get_finished_spans()] == ["gen_ai.evaluation.result"]


class Refusing(SpanExporter):
    def __init__(self, *, loudly: bool) -> None:
        self._loudly = loudly

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        if self._loudly:
            raise OSError("no collector")
        return SpanExportResult.FAILURE


@pytest.mark.parametrize("loudly", [True, False])
async def test_an_exporter_that_fails_disturbs_no_run(engine: Engine, loudly: bool) -> None:
    async with OtelExporter(engine, Refusing(loudly=loudly), since=0) as exporter:
        await run_plan(engine)
    assert exporter.exported == 0
    (info,) = await engine.runs()
    assert info.status == "completed"


async def test_an_exporter_that_takes_nothing_is_told_of_afterwards(engine: Engine) -> None:
    await run_plan(engine)
    with pytest.raises(StoreError, match="did not take the 7 spans"):
        await export_run(engine.store, "r1", Refusing(loudly=False))


async def test_an_agent_is_a_span_with_its_calls(engine: Engine) -> None:
    async for _ in engine.agent("a private task", tools=[look], model="openai:gpt-4o"):
        pass
    (info,) = await engine.runs()
    memory = InMemorySpanExporter()
    await export_run(engine.store, info.run_id, memory)
    by_id = {s.context.span_id: s.name for s in memory.get_finished_spans() if s.context}
    tree = [(s.name, by_id[s.parent.span_id]) for s in memory.get_finished_spans() if s.parent]
    assert tree.count(("chat gpt-4o", "invoke_agent")) == 2
    assert ("invoke_agent", "agent") in tree


async def test_otlp_is_what_collectors_take(engine: Engine) -> None:
    await run_plan(engine)
    events = [event async for event in engine.store.read(RunId("r1"))]
    spans = spans_of(Spans("r1"), events)
    body = json.loads(json.dumps(request(spans, service="shop", version="0.1")))
    (resource,) = body["resourceSpans"]
    assert resource["resource"]["attributes"] == [
        {"key": "service.name", "value": {"stringValue": "shop"}}
    ]
    rows = resource["scopeSpans"][0]["spans"]
    assert len(rows) == len(spans)
    root = next(row for row in rows if "parentSpanId" not in row)
    assert (len(root["traceId"]), len(root["spanId"]), root["kind"]) == (32, 16, 1)
    chat = next(row for row in rows if row["kind"] == 3)
    values = {one["key"]: one["value"] for one in chat["attributes"]}
    assert values["gen_ai.usage.input_tokens"]["intValue"].isdecimal()
    assert values["gen_ai.request.temperature"] == {"doubleValue": 0.5}
    assert values["gen_ai.request.stop_sequences"] == {
        "arrayValue": {"values": [{"stringValue": "END"}]}
    }
    assert int(chat["endTimeUnixNano"]) >= int(chat["startTimeUnixNano"]) > 10**18


@given(st.text(min_size=1), st.integers(1, 10**9))
def test_ids_are_what_opentelemetry_takes(run_id: str, seq: int) -> None:
    assert 0 < int(trace_id(run_id), 16) < 1 << 128
    assert 0 < int(span_id(run_id, seq), 16) < 1 << 64
    assert span_id(run_id, seq) != span_id(run_id, seq + 1)


async def test_a_run_that_another_one_started_is_linked_to_it(engine: Engine) -> None:
    with pytest.raises(RunFailedError):
        await (await engine.start(broken, run_id="b1"))
    events = [event async for event in engine.store.read(RunId("b1"))]
    inner = [events[0]._replace(data={**events[0].data, "parent": "outer"}), *events[1:]]
    root = spans_of(Spans("b1"), inner)[-1]
    assert [(link.trace_id, link.span_id) for link in root.links] == [
        (trace_id("outer"), span_id("outer", 1))
    ]


async def test_of_a_run_that_was_erased_nothing_is_exported(engine: Engine) -> None:
    await run_plan(engine)
    events = [event async for event in engine.store.read(RunId("r1"))]
    erased = [event._replace(type=ERASED, version=0, data={}) for event in events]
    with pytest.raises(RunErasedError):
        spans_of(Spans("r1"), erased)
