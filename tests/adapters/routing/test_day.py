"""What must hold of a whole day, whatever goes wrong in it."""

from __future__ import annotations

import random
import time
import warnings

import pytest
from pydantic import TypeAdapter

from midstream.adapters.routing.state import RoutingState, fold_routing
from tests.adapters.routing.day import CONFIG, Day, asked_again, excused, lived, probes_of
from tests.adapters.routing.world import most_in_a_minute, played


def check(day: Day) -> None:
    nobody_fails_without_need(day)
    no_limit_is_exceeded(day)
    for name, rounds in probes_of(day).items():
        most = 2 if name.startswith("endpoint:") else 1
        assert max(rounds) <= most, (name, rounds)
    number, differ = asked_again(day)
    assert number > 100
    assert differ == []
    state_is_the_same_after_a_crash_at_any_event(day)


def nobody_fails_without_need(day: Day) -> None:
    lonely = "group:fast.echelon1"  # it has nobody to fall back to but its own two
    needless = [one for one in day.failed if one.target != lonely and not excused(day, one)]
    assert [(one.target, one.began, str(one.error)) for one in needless] == []


def no_limit_is_exceeded(day: Day) -> None:
    for name, limits in CONFIG["endpoints"].items():
        fake = day.endpoints[name]
        requests, tokens = most_in_a_minute(fake.calls)
        assert requests <= limits.get("rpm", 10**9), name
        assert tokens <= limits.get("tpm", 10**9), name
        assert fake.most <= limits.get("concurrency", 10**9), name


def state_is_the_same_after_a_crash_at_any_event(day: Day) -> None:
    kept = TypeAdapter(RoutingState)
    whole = fold_routing(day.events)
    assert whole == day.state
    chance = random.Random(len(day.events))
    for place in sorted(chance.sample(range(len(day.events)), 12)):
        before = kept.validate_json(kept.dump_json(fold_routing(day.events[:place])))
        assert fold_routing(day.events[place:], before) == whole


@pytest.mark.parametrize("seed", [1, 2])
def test_two_hours_of_troubles_with_deaths_of_the_process(seed: int) -> None:
    day = played(lived(seed, hours=2, rate=0.4, crash_every=1500, blackouts=seed == 2))
    check(day)
    assert set(day.answered) == set(CONFIG["endpoints"])  # the day was no quiet one


@pytest.mark.soak
@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_whole_day_of_troubles(seed: int) -> None:
    began = time.perf_counter()
    day = played(lived(seed, hours=24, rate=0.5, crash_every=7200, blackouts=seed != 11))
    check(day)
    figures = f"{sum(day.answered.values())} answered, {len(day.failed)} failed"
    warnings.warn(
        f"{figures}, {len(day.events)} events, {time.perf_counter() - began:.0f} s", stacklevel=1
    )
