"""Where a run stands, from its log alone."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import pytest

from midstream.projections import RunState, fold_run
from midstream.projections.run_state import Switch, next_address
from tests.conftest import MakeEngine
from tests.projections.logs import NoWait, eventful, model, recorded


def switched(*switches: tuple[str, str, str]) -> RunState:
    state = RunState(model="a")
    for seq, (scope, source, target) in enumerate(switches, 1):
        state.switches.append(Switch(seq, scope, source, target, now=False))
    return state


@pytest.mark.parametrize(
    ("switches", "expected"),
    [
        ((), "a"),
        ((("run", "", "b"),), "b"),
        ((("run", "c", "b"),), "a"),
        ((("run", "", "b"), ("run", "b", "c")), "c"),
        ((("run", "", "b"), ("run", "", "a")), "a"),
        ((("node:n", "", "b"),), "b"),
        ((("node:m", "", "b"), ("thread:u", "", "c")), "a"),
        ((("thread:t", "", "b"),), "b"),
    ],
)
def test_the_model_of_a_call_is_the_end_of_its_migrations(
    switches: tuple[tuple[str, str, str], ...], expected: str
) -> None:
    assert switched(*switches).model_for("", "n", "t") == expected


def test_a_migration_of_a_thread_spares_calls_without_one() -> None:
    assert switched(("thread:", "", "b")).model_for("", "n", "") == "a"


def test_a_run_is_folded_from_its_log() -> None:
    state = fold_run(recorded())
    assert (state.status, state.graph, state.seq) == ("completed", "eventful", len(recorded()))
    assert [state.activations[name].attempt for name in ("first#1", "right#1")] == [1, 2]
    for left in (state.running, state.waiting, state.ready, state.pending, state.open_calls):
        assert not left
    assert list(state.threads) == ["side"]
    assert next_address(state, "first") == "first#2"
    assert next_address(state, "other") == "other#1"
    assert state.output == state.latest["last"].output


def test_a_run_that_failed_knows_what_failed() -> None:
    state = fold_run(recorded(fail=True))
    assert state.status == "failed"
    assert state.failures == ["right#1"]
    assert state.failed_data["right#1"]["kind"] == "ValueError"


async def test_the_live_state_is_what_the_log_says(make_engine: MakeEngine) -> None:
    scripts = {"p:m": model, "p:n": ["n"]}
    engine = await make_engine(models=scripts, clock=NoWait())
    run = await engine.start(eventful(), run_id="r")
    host = engine._host  # pyright: ignore[reportPrivateUsage]  # the live state is nobody's business but the engine's
    assert host is not None
    runner = next(iter(host.live.values())).runner
    await run
    await runner.recorder.settle()
    assert runner.state == await run.state()
