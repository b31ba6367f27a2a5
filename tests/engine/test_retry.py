"""When to try again."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Retry
from midstream.engine.retry import NEVER, TRANSIENT
from midstream.errors import AdapterError, ConfigError, TransientError

attempts = st.integers(min_value=1, max_value=10**6)
policies = st.builds(
    Retry,
    attempts=attempts,
    delay=st.floats(min_value=0, max_value=1e6),
    factor=st.floats(min_value=1, max_value=1e6),
    longest=st.floats(min_value=0, max_value=1e9),
    jitter=st.floats(min_value=0, max_value=1),
)


def kinds(root: type[AdapterError]) -> set[str]:
    return {root.kind}.union(*(kinds(one) for one in root.__subclasses__()))


@settings(deadline=None)
@given(policies, attempts, st.text())
def test_a_delay_never_exceeds_the_longest(policy: Retry, attempt: int, seed: str) -> None:
    due = policy.due("timeout", attempt, now=0.0, seed=seed)
    assert (due is None) == (attempt >= policy.attempts)
    assert due is None or 0 <= due <= policy.longest


@settings(deadline=None)
@given(policies, attempts, st.text())
def test_the_same_seed_waits_as_long_in_every_process(
    policy: Retry, attempt: int, seed: str
) -> None:
    first, second = (policy.due("timeout", attempt, now=7.0, seed=seed) for _ in range(2))
    assert first == second


@settings(deadline=None)
@given(policies)
def test_a_policy_is_read_back_from_its_data(policy: Retry) -> None:
    assert Retry.of(policy.data()) == policy


def test_jitter_takes_away_its_part_of_the_delay_at_most() -> None:
    policy = Retry(attempts=9, delay=10.0, factor=1.0, jitter=0.2)
    waits = {policy.due("timeout", 1, now=0.0, seed=str(seed)) for seed in range(50)}
    assert len(waits) > 40
    assert all(wait is not None and 8.0 <= wait <= 10.0 for wait in waits)


def test_delays_grow_by_the_factor() -> None:
    policy = Retry(attempts=9, delay=1.0, factor=3.0, longest=20.0, jitter=0.0)
    assert [policy.due("timeout", n, now=0.0, seed="") for n in (1, 2, 3, 4)] == [1, 3, 9, 20]


def test_patience_that_a_provider_asks_for_is_had_even_beyond_the_longest() -> None:
    policy = Retry(attempts=2, delay=1.0, longest=5.0)
    assert policy.due("rate_limit", 1, now=100.0, seed="", retry_after=90.0) == 190.0


def test_a_provider_cannot_shorten_the_delay() -> None:
    policy = Retry(attempts=2, delay=4.0, jitter=0.0)
    assert policy.due("rate_limit", 1, now=0.0, seed="", retry_after=1.0) == 4.0


def test_a_kind_that_the_policy_does_not_name_is_not_tried_again() -> None:
    assert Retry(on=frozenset(("timeout",))).due("rate_limit", 1, now=0.0, seed="") is None


def test_never_is_one_attempt() -> None:
    assert NEVER.due("timeout", 1, now=0.0, seed="") is None


def test_every_transient_error_is_tried_again_by_default() -> None:
    assert kinds(TransientError) == TRANSIENT


@pytest.mark.parametrize(
    "wrong", [{"attempts": 0}, {"delay": -1.0}, {"factor": 0.5}, {"jitter": 1.5}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        replace(Retry(), **wrong)  # type: ignore[arg-type]  # numbers, as the test wants them
