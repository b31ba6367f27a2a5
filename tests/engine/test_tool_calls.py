"""Calling tools: attempts, effects, and what becomes of a call whose process died in the middle."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from midstream import RETRY_CALL, Context, Graph, Retry, ToolContext, UnknownCall, tool
from midstream.errors import ConfigError, RunFailedError, ToolError
from tests.conftest import MakeEngine
from tests.engine.stage import Door, JumpingClock, call, calling, history, types, until


def calls(made: Any, **arguments: Any) -> Graph:
    """Return a graph of one node that calls a tool."""
    graph = Graph("calls")

    @graph.node
    async def act(ctx: Context) -> Any:
        return await ctx.tool(made, **arguments)

    return graph


async def test_a_tool_gets_its_arguments_as_their_types_and_gives_plain_data(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def sizes(names: set[str], factor: float = 2.0) -> dict[str, float]:
        return {name: len(name) * factor for name in names}

    engine = await make_engine()
    assert await (await engine.start(calls(sizes, names=["a", "bb"]))) == {"a": 2.0, "bb": 4.0}


async def test_a_sync_tool_runs_in_a_thread(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    def loopless() -> bool:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return True
        return False

    engine = await make_engine()
    assert await (await engine.start(calls(loopless))) is True


async def test_h130_what_a_tool_records_on_its_way_is_no_result(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    async def count(ctx: ToolContext) -> str:
        for number in range(3):
            await ctx.ctx.note({"counted": number})
        return "counted 3"

    def model(messages: Any) -> Any:
        if messages[-1].role == "user":
            return calling(call("c", "count", "{}"))
        return "; ".join(part.text for part in messages[-1].parts)

    engine = await make_engine(models={"m": model}, model="p:m")
    agent = engine.agent("go", tools=[count])
    assert (await agent).text == "counted 3"
    kinds = types(await history(await agent.run()))
    assert (kinds.count("note.added"), kinds.count("tool.completed")) == (3, 1)


async def test_the_key_is_the_same_for_every_attempt(make_engine: MakeEngine) -> None:
    seen: list[tuple[str, int]] = []

    @tool(effect="idempotent", retry=Retry(attempts=3, on=frozenset(("ValueError",))))
    async def pay(info: ToolContext, amount: int) -> str:
        seen.append((info.key, info.attempt))
        if len(seen) < 3:
            raise ValueError
        return info.step

    engine = await make_engine(clock=JumpingClock())
    assert (await (await engine.start(calls(pay, amount=1)))).startswith("act#1/tool:pay:")
    assert [attempt for _, attempt in seen] == [1, 2, 3]
    assert len({key for key, _ in seen}) == 1


async def test_a_tool_that_raises_is_a_tool_error_with_its_kind(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    async def fail() -> None:
        raise LookupError("nothing there")

    @graph.node
    async def act(ctx: Context) -> list[str]:
        try:
            await ctx.do(fail)
        except ToolError as error:
            return [error.tool, error.kind, str(error), error.address]
        return []

    engine = await make_engine()
    name, kind, text, address = await (await engine.start(graph))
    assert (name, kind, text) == ("fail", "LookupError", "nothing there")
    assert address.startswith("act#1/tool:fail:")


async def test_a_tool_that_takes_too_long_times_out(make_engine: MakeEngine) -> None:
    @tool(effect="read", timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"tool_timeout: 'slow' took longer than 0.01 s"):
        await (await engine.start(calls(slow)))


async def test_bad_arguments_of_a_node_are_an_error_of_the_tool(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    async def look(n: int) -> int:
        return n

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"tool_bad_arguments: .*n: Input should be"):
        await (await engine.start(calls(look, n="many")))


async def test_an_argument_that_is_not_json_is_refused_before_it_is_recorded(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def look(n: float) -> float:
        return n

    engine = await make_engine()
    run = await engine.start(calls(look, n=float("nan")))
    with pytest.raises(RunFailedError, match="not_recordable: argument 'n' of 'look'"):
        await run
    assert "tool.requested" not in types(await history(run))


async def test_a_large_result_comes_back_whole(make_engine: MakeEngine) -> None:
    async def large() -> str:
        return "x\x00" * 1_000_000

    engine = await make_engine()
    run = await engine.start(calls(large))
    assert await run == "x\x00" * 1_000_000
    assert (await engine.verify(run.id)).sound


class Adder:
    """Adds."""

    async def __call__(self, n: int) -> int:
        return n + 1


async def add(n: int, m: int) -> int:
    return n + m


@pytest.mark.parametrize("made", [Adder(), partial(add, m=1)], ids=["object", "partial"])
async def test_anything_that_can_be_called_is_a_tool(make_engine: MakeEngine, made: Any) -> None:
    engine = await make_engine()
    assert await (await engine.start(calls(made, n=1))) == 2


@pytest.mark.parametrize("name", ["schema", "json", "copy", "model_name", "model_config", "_n"])
async def test_a_parameter_may_have_any_name(make_engine: MakeEngine, name: str) -> None:
    names: dict[str, Any] = {}
    exec(f"async def odd({name}: int): return {name} + 1", names)
    made = tool(effect="read")(names["odd"])
    assert list(made.spec.parameters["properties"]) == [name]  # type: ignore[arg-type]  # an object
    engine = await make_engine()
    assert await (await engine.start(calls(made, **{name: 1}))) == 2


def test_an_effect_that_there_is_not_is_refused() -> None:
    with pytest.raises(ConfigError, match="'read', 'idempotent' or 'unsafe', not 'safe'"):
        tool(effect="safe")(add)  # type: ignore[call-overload]  # that is the point


def test_parameters_that_cannot_be_described_are_refused() -> None:
    def loose(*names: str) -> None: ...

    def odd(value: asyncio.Event) -> None: ...

    for wrong in (loose, odd):
        with pytest.raises(ConfigError, match=r"tool '(loose|odd)'"):
            tool(wrong)


def test_the_models_description_is_the_docstring() -> None:
    @tool
    def look(place: str, _info: ToolContext) -> str:
        """Look around.

        Twice.
        """
        return place

    assert look.spec.description == "Look around.\n\nTwice."
    assert list(look.spec.parameters["properties"]) == ["place"]  # type: ignore[arg-type]  # an object
    assert look("here", None) == "here"


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_harmless_call_that_was_in_flight_is_made_again_with_its_key(
    make_engine: MakeEngine, effect: Any
) -> None:
    door, keys = Door(), []

    @tool(effect=effect)
    async def act(info: ToolContext) -> int:
        keys.append(info.key)
        if len(keys) == 1:
            await door()
        return info.attempt

    graph = calls(act)
    async with make_engine(recover=False) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    second = await make_engine(graphs=[graph], recover=False)
    assert await (await second.resume("r")) == 2
    assert len(keys) == 2
    assert len(set(keys)) == 1


async def unknown(make_engine: MakeEngine, graph: Graph, door: Door) -> None:
    """Start the run and end its engine while the call is in flight."""
    async with make_engine(recover=False) as first:
        await first.start(graph, run_id="r")
        await door.reached()


class Payment:
    """An unsafe tool whose first call never ends."""

    def __init__(self, **options: Any) -> None:
        self.made: list[int] = []
        self.door = Door()

        @tool(**options)
        async def pay(amount: int) -> str:
            self.made.append(amount)
            if len(self.made) == 1:
                await self.door()
            return "paid"

        self.graph = calls(pay, amount=5)


async def parked(make_engine: MakeEngine, payment: Payment) -> tuple[Any, str]:
    await unknown(make_engine, payment.graph, payment.door)
    second = await make_engine(graphs=[payment.graph], recover=False)
    run = await second.resume("r")
    async for event in run.events():
        if event.type == "tool.unknown":
            return run, str(event.address)
    raise AssertionError


async def test_an_unsafe_call_that_was_in_flight_is_settled_by_a_result(
    make_engine: MakeEngine,
) -> None:
    payment = Payment()
    run, step = await parked(make_engine, payment)
    await run.settle(step, result="was paid", by="alice")
    assert await run == "was paid"
    assert payment.made == [5]
    with pytest.raises(ToolError, match="it is completed"):
        await run.settle(step, result="again")


async def test_an_unsafe_call_that_was_in_flight_is_settled_by_an_error(
    make_engine: MakeEngine,
) -> None:
    payment = Payment()
    run, step = await parked(make_engine, payment)
    await run.settle(step, error="bounced")
    with pytest.raises(RunFailedError, match="tool_settled: bounced"):
        await run
    assert payment.made == [5]


async def test_an_unsafe_call_that_was_in_flight_is_made_again_when_somebody_says_so(
    make_engine: MakeEngine,
) -> None:
    payment = Payment()
    run, step = await parked(make_engine, payment)
    await run.settle(step, retry=True)
    assert await run == "paid"
    assert payment.made == [5, 5]


async def test_a_call_of_unknown_outcome_stays_unknown_over_another_resume(
    make_engine: MakeEngine,
) -> None:
    payment = Payment()
    await unknown(make_engine, payment.graph, payment.door)
    async with make_engine(graphs=[payment.graph], recover=False) as second:
        run = await second.resume("r")
        step = ""
        async for event in run.events():
            if event.type == "tool.unknown":
                step = str(event.address)
                break
    third = await make_engine(graphs=[payment.graph], recover=False)
    run = await third.resume("r")
    await until(lambda: bool(payment.made))
    await run.settle(step, result=1)
    assert await run == 1
    assert types(await history(run)).count("tool.unknown") == 1


async def test_of_many_who_settle_a_call_at_once_one_is_heard(make_engine: MakeEngine) -> None:
    payment = Payment()
    run, step = await parked(make_engine, payment)
    other = await make_engine(recover=False)

    async def settle(number: int) -> str:
        try:
            await (run, other.run("r"))[number % 2].settle(step, result=f"p{number}")
        except ToolError as refused:
            return str(refused)
        return f"p{number}"

    said = await asyncio.gather(*(settle(number) for number in range(12)))
    (winner,) = [one for one in said if one.startswith("p")]
    assert {one.rpartition(": ")[2] for one in said} == {winner, "it is completed"}
    assert await run == winner
    assert types(await history(run)).count("tool.completed") == 1


async def test_what_was_settled_counts_before_what_a_slow_handler_finds(
    make_engine: MakeEngine,
) -> None:
    door, looking = Door(), Door()

    async def look(call: UnknownCall) -> str:
        await looking()
        return "what the handler found"

    @tool(effect="unsafe", on_unknown=look)
    async def pay() -> str:
        await door()
        return "paid"

    graph = calls(pay)
    await unknown(make_engine, graph, door)
    second = await make_engine(graphs=[graph], recover=False)
    run = await second.resume("r")
    await looking.reached()
    state = await run.state()
    (step,) = [call.address for call in state.calls.values() if call.status == "unknown"]
    stranger = await make_engine(recover=False)
    # The handler ends while this append is on its way, so that the driver does not know of it.
    settling = asyncio.create_task(stranger.run("r").settle(step, result="what was settled"))
    await until(lambda: settling.done())
    looking.open()
    assert await run == "what was settled"
    assert (await run.state()).calls[step].outcome == {"result": "what was settled"}


@pytest.mark.parametrize("given", [{}, {"result": 1, "retry": True}, {"error": "x", "retry": True}])
async def test_settling_takes_exactly_one_outcome(
    make_engine: MakeEngine, given: dict[str, Any]
) -> None:
    engine = await make_engine()
    with pytest.raises(ConfigError, match="exactly one"):
        await engine.run("r").settle("act#1/tool:pay:00#1", **given)


HANDLERS = {"found": "was paid", "again": RETRY_CALL, "raises": ValueError("bounced")}
OUTCOMES = {"found": "was paid", "again": "paid", "raises": "tool_ValueError: bounced"}


@pytest.mark.parametrize("way", HANDLERS)
async def test_a_handler_settles_a_call_of_unknown_outcome(
    make_engine: MakeEngine, way: str
) -> None:
    asked: list[UnknownCall] = []

    async def find_out(call: UnknownCall) -> Any:
        asked.append(call)
        found = HANDLERS[way]
        if isinstance(found, Exception):
            raise found
        return found

    payment = Payment(on_unknown=find_out)
    await unknown(make_engine, payment.graph, payment.door)
    second = await make_engine(graphs=[payment.graph], recover=False)
    run = await second.resume("r")
    if way == "raises":
        with pytest.raises(RunFailedError, match=OUTCOMES[way]):
            await run
    else:
        assert await run == OUTCOMES[way]
    assert payment.made == ([5, 5] if way == "again" else [5])
    assert [(call.tool, call.arguments) for call in asked] == [("pay", {"amount": 5})]
