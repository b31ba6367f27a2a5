"""Walking from one endpoint to the next, waiting, hedging, restarting: what a caller sees."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from midstream.adapters.base import Delta
from midstream.adapters.routing import Answer, Router
from midstream.adapters.routing.headers import read_limits
from midstream.adapters.routing.state import fold_routing
from midstream.errors import (
    AdapterError,
    AuthenticationError,
    BadOutputError,
    BadRequestError,
    CallTimeoutError,
    ConfigError,
    MalformedAnswerError,
    NoEndpointError,
    RefusedError,
    UnavailableError,
)
from midstream.events.content import Image, Message, Text
from midstream.events.memory import MemoryStore
from midstream.events.system import ROUTING
from tests.adapters.routing import strategies
from tests.adapters.routing.world import (
    START,
    FakeEndpoint,
    LoopClock,
    broke,
    denied,
    down,
    during,
    limited,
    overloaded,
    played,
    too_long,
)

Play = Callable[[Router, dict[str, FakeEndpoint]], Coroutine[Any, Any, Any]]
ALWAYS = [(0.0, 1e9)]


def play(
    scene: Play,
    groups: Any,
    fakes: dict[str, FakeEndpoint],
    *,
    store: MemoryStore | None = None,
    **sections: Any,
) -> Any:
    """Let a scene play with a router over these groups, and one endpoint for each fake."""
    endpoints = {name: {"model": f"p_{name}:m-{name}"} for name in fakes}
    for name, section in sections.pop("endpoints", {}).items():
        endpoints[name] |= section
    config = {"endpoints": endpoints, "groups": groups, **sections}
    adapters = {**fakes, **{f"p_{name}": fake for name, fake in fakes.items()}}
    for section in endpoints.values():
        adapters.setdefault(section["model"].partition(":")[0], FakeEndpoint())

    async def whole() -> Any:
        async with Router(config, store=store, adapters=adapters, clock=LoopClock()) as router:
            return await scene(router, fakes)

    return played(whole())


def one(*names: str, **more: Any) -> dict[str, Any]:
    return {"g": {"echelon1": {"models": list(names)}, **more}}


async def ask(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
    return await router.call("group:g", "hi")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (down, "server_error"),
        (overloaded, "overloaded"),
        (limited, "rate_limited"),
        (denied, "auth"),
        (broke, "quota"),
        (too_long, "context_too_long"),
        (lambda: CallTimeoutError("late"), "timeout"),
        (lambda: MalformedAnswerError("cut"), "server_error"),
    ],
)
def test_somebody_else_is_asked_where_an_endpoint_fails(
    error: Callable[[], AdapterError], kind: str
) -> None:
    fakes = {"a": FakeEndpoint(trouble=during(ALWAYS, error)), "b": FakeEndpoint()}
    answer: Answer = play(ask, one("a", "b"), fakes)
    assert answer.endpoint == "b"
    assert [(tried.endpoint, tried.kind) for tried in answer.tried] == [("a", kind)]


def test_nobody_else_is_asked_what_is_wrong_in_itself() -> None:
    fakes = {
        "a": FakeEndpoint(trouble=during(ALWAYS, lambda: BadRequestError("no"))),
        "b": FakeEndpoint(),
    }
    with pytest.raises(BadRequestError):
        play(ask, one("a", "b"), fakes)
    assert fakes["b"].calls == []
    assert play(ask, one("a", "b", fall_on=["bad_request"]), fakes).endpoint == "b"


def test_a_refusal_is_an_answer_unless_the_group_falls_on_it() -> None:
    fakes = {"a": FakeEndpoint(finish="refusal"), "b": FakeEndpoint()}
    assert play(ask, one("a", "b"), fakes).endpoint == "a"
    assert play(ask, one("a", "b", fall_on=["refused"]), fakes).endpoint == "b"
    with pytest.raises(RefusedError):
        play(ask, one("a", fall_on=["refused"]), {"a": FakeEndpoint(finish="content_filter")})


def test_what_the_caller_does_not_accept_falls_only_where_the_group_says_so() -> None:
    async def picky(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        return await router.call("group:g", "hi", accept=lambda r: r.message.text == "good")

    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint(answers="good")}
    assert play(picky, one("a", "b", fall_on=["bad_output"]), fakes).endpoint == "b"
    with pytest.raises(BadOutputError):
        play(picky, one("a", "b"), fakes)


def test_a_window_too_small_goes_to_a_larger_one_and_not_to_a_smaller() -> None:
    fakes = {
        "a": FakeEndpoint(window=10_000, trouble=during(ALWAYS, too_long)),
        "b": FakeEndpoint(window=8_000),
        "c": FakeEndpoint(window=100_000),
    }
    answer: Answer = play(ask, one("a", "b", "c"), fakes)
    assert answer.endpoint == "c"
    assert fakes["b"].calls == []


def test_what_is_known_to_be_too_long_is_not_sent() -> None:
    async def long(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        return await router.call("group:g", "x" * 50_000)

    fakes = {"a": FakeEndpoint(window=10_000), "b": FakeEndpoint(window=100_000)}
    assert play(long, one("a", "b"), fakes).endpoint == "b"
    assert fakes["a"].calls == []
    with pytest.raises(NoEndpointError, match="window of 10000 is too small for some 125"):
        play(long, one("a"), {"a": FakeEndpoint(window=10_000)})


def test_an_image_goes_to_a_model_that_takes_images() -> None:
    async def look(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        image = Image(media_type="image/png", data="aGk=")
        return await router.call("group:g", Message(role="user", parts=(Text(text="?"), image)))

    fakes = {"a": FakeEndpoint(images=False), "b": FakeEndpoint()}
    assert play(look, one("a", "b"), fakes).endpoint == "b"


def test_the_echelons_are_walked_down_then_the_other_groups() -> None:
    groups = {
        "g": {
            "echelon1": {"models": ["a"]},
            "echelon2": {"models": ["b"]},
            "fallback_config": {"fallback_groups": ["h.echelon2"]},
        },
        "h": {"echelon1": {"models": ["a"]}, "echelon2": {"models": ["c"]}},
    }
    fakes = {name: FakeEndpoint(trouble=during(ALWAYS, denied)) for name in "ab"}
    answer: Answer = play(ask, groups, {**fakes, "c": FakeEndpoint()})
    assert answer.endpoint == "c"
    assert [tried.stage for tried in answer.tried] == ["g.echelon1", "g.echelon2"]


def test_a_group_switch_asks_the_other_group_before_its_own_lower_echelons() -> None:
    groups = {
        "g": {
            "echelon1": {"models": ["a"]},
            "echelon2": {"models": ["b"]},
            "fallback_config": {"strategy": "task_group_switch", "fallback_groups": ["h"]},
        },
        "h": {"echelon1": {"models": ["c"]}},
    }
    fakes = {name: FakeEndpoint(trouble=during(ALWAYS, denied)) for name in "ac"}
    answer: Answer = play(ask, groups, {**fakes, "b": FakeEndpoint()})
    assert [tried.endpoint for tried in answer.tried] == ["a", "c"]


def test_a_failover_leaves_the_provider_that_failed() -> None:
    groups = one("a", "a2", "b", fallback_config={"strategy": "provider_failover"})
    fakes = {
        "a": FakeEndpoint(trouble=during(ALWAYS, down)),
        "a2": FakeEndpoint(),
        "b": FakeEndpoint(),
    }
    answer: Answer = play(ask, groups, fakes, endpoints={"a2": {"model": "p_a:m"}})
    assert answer.endpoint == "b"


def test_one_endpoint_alone_is_asked_again_after_the_delay_until_attempts_are_used_up() -> None:
    fakes = {"a": FakeEndpoint(trouble=during([(0, 1)], down))}
    answer: Answer = play(ask, one("a"), fakes)
    assert answer.attempts > 1
    gaps = [
        later[0] - sooner[0]
        for sooner, later in zip(fakes["a"].calls, fakes["a"].calls[1:], strict=False)
    ]
    assert gaps[0] >= 0.5
    dead = {"a": FakeEndpoint(trouble=during(ALWAYS, down))}
    with pytest.raises(UnavailableError):
        play(ask, one("a", fallback_config={"max_attempts": 2}), dead)
    assert len(dead["a"].calls) == 2


def test_retries_are_made_at_the_same_endpoint_first() -> None:
    groups = {"g": {"echelon1": {"models": ["a", "b"], "max_retries": 2}}}
    fakes = {"a": FakeEndpoint(trouble=during(ALWAYS, down)), "b": FakeEndpoint()}
    answer: Answer = play(ask, groups, fakes)
    assert [tried.endpoint for tried in answer.tried] == ["a", "a", "a"]


def test_an_endpoint_that_asks_for_patience_is_left_alone_for_as_long() -> None:
    async def twice(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        await router.call("group:g", "hi")
        await router.call("group:g", "hi")

    fakes = {"a": FakeEndpoint(trouble=during([(0, 1)], lambda: limited(7.0)))}
    play(twice, one("a"), fakes)
    times = [at - START for at, _ in fakes["a"].calls]
    assert times[1] == pytest.approx(7.05, abs=0.01)


def test_a_denied_key_keeps_an_endpoint_out_until_its_settings_change() -> None:
    store = MemoryStore()
    fakes = {"a": FakeEndpoint(trouble=during([(0, 5)], denied)), "b": FakeEndpoint()}

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> list[str]:
        first = (await router.call("group:g", "hi")).endpoint
        await asyncio.sleep(10_000)
        return [first, *[(await router.call("group:g", "hi")).endpoint for _ in range(4)]]

    assert play(scene, one("a", "b"), fakes, store=store) == ["b"] * 5
    assert len(fakes["a"].calls) == 1
    fakes["a"].trouble = lambda _: None
    again = play(scene, one("a", "b"), fakes, store=store, endpoints={"a": {"weight": 2}})
    assert "a" in again


def test_the_answer_says_why_the_others_were_not_asked() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        await router.drain("b", reason="maintenance")
        with pytest.raises(NoEndpointError) as caught:
            await router.call("group:g", "hi", deadline=5)
        assert dict(caught.value.refused) == {"a": "breaker open: server_error", "b": "drained"}
        assert caught.value.retry_after is not None
        assert isinstance(caught.value.__cause__, UnavailableError)
        await router.restore("b")
        assert (await router.call("group:g", "hi", deadline=5)).endpoint == "b"
        await router.reset("a")
        assert router.health("endpoint:a")[0].well

    fakes = {"a": FakeEndpoint(trouble=during(ALWAYS, down)), "b": FakeEndpoint()}
    play(scene, one("a", "b"), fakes, breaker={"failure_threshold": 1})


def test_who_waits_is_served_by_urgency_and_then_in_order() -> None:
    done: list[str] = []

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        async def asking(name: str, priority: str) -> None:
            await router.call("group:g", "hi", priority=priority)
            done.append(name)

        first = asyncio.create_task(asking("first", "normal"))
        await asyncio.sleep(0.1)
        names = (("t", "trial"), ("b1", "batch"), ("b2", "batch"), ("i", "interactive"))
        rest = [asyncio.create_task(asking(*each)) for each in names]
        await asyncio.gather(first, *rest)
        with pytest.raises(ConfigError, match="priority 'urgent' is none of"):
            await router.call("group:g", "hi", priority="urgent")

    play(scene, one("a"), {"a": FakeEndpoint()}, endpoints={"a": {"concurrency": 1}})
    assert done == ["first", "i", "b1", "b2", "t"]


def test_a_request_that_is_cancelled_gives_its_room_back() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        task = asyncio.create_task(router.call("group:g", "hi"))
        await asyncio.sleep(0.1)
        waits = asyncio.create_task(router.call("group:g", "hi"))
        await asyncio.sleep(0.1)
        assert router.waiting == 1
        task.cancel()
        await asyncio.wait([task])
        assert (await waits).endpoint == "a"
        assert router.waiting == 0
        assert router.health()[0].in_flight == 0
        assert router.stats()["endpoint:a"].abandoned == 1

    play(scene, one("a"), {"a": FakeEndpoint(latency=100)}, endpoints={"a": {"concurrency": 1}})


def test_the_settings_of_the_request_win_over_the_echelon_and_that_over_the_endpoint() -> None:
    groups = {"g": {"echelon1": {"models": ["a"], "temperature": 0.5, "timeout": 7}}}
    endpoint = {"temperature": 0.1, "max_tokens": 10, "settings": {"top_p": 0.9}, "timeout": 3}

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        await router.call("group:g", "hi", max_tokens=99)
        assert fakes["a"].requests[0].body["settings"] == {
            "temperature": 0.5,
            "max_tokens": 99,
            "top_p": 0.9,
        }
        fakes["a"].latency = 5
        await router.call("group:g", "hi")
        with pytest.raises(CallTimeoutError, match=r"within 2 s|within 2\.0 s"):
            await router.call("group:g", "hi", timeout=2, deadline=3)

    fallback = {"max_attempts": 1}
    groups["g"]["fallback_config"] = fallback  # type: ignore[assignment]  # plain data
    play(scene, groups, {"a": FakeEndpoint()}, endpoints={"a": endpoint})


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ({"first_token": 0.5}, "no first token"),
        ({"idle": 0.5}, "nothing further"),
        ({"total": 2}, "no whole answer"),
    ],
)
def test_a_time_that_runs_out_is_a_timeout(times: dict[str, float], said: str) -> None:
    first = 1.0 if "first_token" in times else 0.1
    groups = {
        "g": {
            "echelon1": {"models": ["a"], "timeout": times},
            "fallback_config": {"max_attempts": 1},
        }
    }
    with pytest.raises(CallTimeoutError, match=said):
        play(ask, groups, {"a": FakeEndpoint(latency=9, first=first)})


def test_who_answered_a_key_is_asked_again_by_it_also_after_a_restart() -> None:
    store = MemoryStore()

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> list[str]:
        return [(await router.call("group:g", "hi", key="run-1")).endpoint for _ in range(3)]

    fakes = {name: FakeEndpoint() for name in "abc"}
    first = play(scene, one("a", "b", "c"), fakes, store=store)
    assert len(set(first)) == 1
    assert play(scene, one("a", "b", "c"), fakes, store=store) == first
    assert len(set(play(scene, one("a", "b", "c", stick_to="none"), fakes))) == 3


@pytest.mark.parametrize(
    ("rotation", "counts"),
    [
        ("round_robin", {"a": 8, "b": 8}),
        ("weighted", {"a": 12, "b": 4}),
        ("least_loaded", {"a": 8, "b": 8}),
        ("fastest", {"a": 1, "b": 15}),
        ("tests.adapters.routing.strategies:LastFirst", {"b": 16}),
    ],
)
def test_members_take_turns(rotation: str, counts: dict[str, int]) -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> dict[str, int]:
        for _ in range(16):
            await router.call("group:g", "hi")
        return {name: len(fake.calls) for name, fake in fakes.items() if fake.calls}

    fakes = {"a": FakeEndpoint(latency=3), "b": FakeEndpoint(latency=1)}
    groups = one("a", "b", rotation_strategy=rotation)
    assert play(scene, groups, fakes, endpoints={"a": {"weight": 3}}) == counts


def test_a_fallback_of_ones_own_decides_who_is_asked() -> None:
    place = "tests.adapters.routing.strategies:NeverTwo"
    fakes = {"a1": FakeEndpoint(trouble=during(ALWAYS, denied)), "a2": FakeEndpoint()}
    with pytest.raises(AuthenticationError):
        play(ask, one("a1", "a2", fallback_config={"strategy": place}), fakes)
    assert fakes["a2"].calls == []


POOL_GROUPS = {"g": {"echelon1": {"models": ["a"]}}, "h": {"echelon1": {"models": ["b"]}}}


def test_the_instances_of_a_pool_take_turns_and_stand_in_for_each_other() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> list[str]:
        return [(await router.call("pool:p", "hi")).endpoint for _ in range(4)]

    pools = {"p": {"task_groups": ["g", "h"]}}
    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint()}
    assert play(scene, POOL_GROUPS, fakes, pools=pools) == ["a", "b", "a", "b"]
    fakes["a"].trouble = during(ALWAYS, down)
    assert set(play(scene, POOL_GROUPS, fakes, pools=pools)) == {"b"}


def test_a_simple_retry_stays_with_the_instance_as_long_as_it_may() -> None:
    pools = {
        "p": {
            "task_groups": ["g", "h"],
            "fallback_config": {"strategy": "simple_retry", "max_instance_attempts": 3},
        }
    }

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        return await router.call("pool:p", "hi")

    groups = {"g": {"echelon1": {"models": ["a", "a2", "a3", "a4"]}}, "h": POOL_GROUPS["h"]}
    fakes = {name: FakeEndpoint(trouble=during(ALWAYS, down)) for name in ("a", "a2", "a3", "a4")}
    answer: Answer = play(scene, groups, {**fakes, "b": FakeEndpoint()}, pools=pools)
    assert [tried.instance for tried in answer.tried] == ["g", "g", "g"]


def test_a_pool_asks_no_more_instances_than_it_may() -> None:
    pools = {"p": {"task_groups": ["g", "h"], "fallback_config": {"max_instance_attempts": 1}}}

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        return await router.call("pool:p", "hi")

    fakes = {"a": FakeEndpoint(trouble=during(ALWAYS, denied)), "b": FakeEndpoint()}
    with pytest.raises(AuthenticationError):
        play(scene, POOL_GROUPS, fakes, pools=pools)
    assert fakes["b"].calls == []


def test_an_instance_that_fails_gets_a_rest_of_its_own() -> None:
    pools = {"p": {"task_groups": ["g", "h"], "failure_threshold": 2, "recovery_time": 50}}

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        for _ in range(6):
            assert (await router.call("pool:p", "hi")).endpoint == "b"
        assert router.state.breaker("instance:p/g").status == "open"
        assert router.health("endpoint:a")[0].status == "closed"
        await asyncio.sleep(60)
        fakes["a"].trouble = lambda _: None
        found = {(await router.call("pool:p", "hi")).endpoint for _ in range(4)}
        assert found == {"a", "b"}
        assert router.state.breaker("instance:p/g").status == "closed"

    fakes = {"a": FakeEndpoint(trouble=during(ALWAYS, down)), "b": FakeEndpoint()}
    play(scene, POOL_GROUPS, fakes, pools=pools)
    assert 2 <= len(fakes["a"].calls) <= 5


def test_an_instance_that_rests_is_asked_where_there_is_nobody_else() -> None:
    """Its other endpoint is well, though it had no chance to show that."""
    pools = {"p": {"task_groups": ["g"], "failure_threshold": 2, "recovery_time": 500}}
    groups = one("a", "b", stick_to="none")

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        for _ in range(4):
            with suppress(AdapterError):
                await router.call("pool:p", "hi", deadline=5)
        assert router.state.breaker("instance:p/g").status == "open"
        fakes["b"].trouble = lambda _: None
        await asyncio.sleep(40)
        assert (await router.call("pool:p", "hi", deadline=5)).endpoint == "b"
        assert router.state.breaker("instance:p/g").status == "closed"

    fakes = {name: FakeEndpoint(trouble=during(ALWAYS, down)) for name in "ab"}
    play(scene, groups, fakes, pools=pools, breaker={"failure_threshold": 5, "recovery_time": 30})


@pytest.mark.parametrize("own", [False, True])
def test_a_pool_looks_after_its_endpoints_so_that_no_request_has_to(own: bool) -> None:
    pool: dict[str, Any] = {"task_groups": ["g"], "health_check_interval": 5}
    if own:
        pool["health_check"] = "tests.adapters.routing.strategies:AlwaysWell"

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        with pytest.raises(NoEndpointError):
            await router.call("pool:p", "hi", deadline=5)
        assert router.health()[0].status == "open"
        await asyncio.sleep(60)
        assert router.health()[0].well

    fakes = {"a": FakeEndpoint(trouble=during([(0, 20)], down))}
    strategies.AlwaysWell.looked.clear()
    breaker = {"failure_threshold": 1, "recovery_time": 30}
    play(scene, POOL_GROUPS, {**fakes, "b": FakeEndpoint()}, pools={"p": pool}, breaker=breaker)
    assert (strategies.AlwaysWell.looked == ["m-a"]) is own


def hedged(**more: Any) -> dict[str, Any]:
    return one("a", "b", hedge={"after": 1.0, "extra_calls": 1.0, **more})


def test_a_second_endpoint_is_asked_where_the_first_token_is_late() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        await router.call("group:g", "hi")
        began = asyncio.get_running_loop().time()
        fakes["a"].trouble = fakes["b"].trouble = lambda now: 50.0 if now < began + 0.5 else None
        answer = await router.call("group:g", "hi")
        assert asyncio.get_running_loop().time() - began == pytest.approx(2.0, abs=0.3)
        await asyncio.sleep(1)
        assert {name: fake.flying for name, fake in fakes.items()} == {"a": 0, "b": 0}
        tally = router.stats("group:g")["group:g"]
        assert (tally.hedges, tally.abandoned, tally.ok) == (1, 1, 2)
        return answer

    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint()}
    assert play(scene, hedged(), fakes).attempts == 1


def test_what_is_streamed_in_a_race_is_of_whoever_comes_first() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> list[Any]:
        await router.call("group:g", "hi")
        began = asyncio.get_running_loop().time()
        fakes["a"].trouble = fakes["b"].trouble = lambda now: 50.0 if now < began + 0.5 else None
        pieces = [piece async for piece in router.stream("group:g", "hi")]
        assert asyncio.get_running_loop().time() - began < 5
        assert router.state.hedges == 1
        return pieces

    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint()}
    pieces = play(scene, hedged(), fakes)
    assert [piece.text for piece in pieces] == ["fi", "ne", "fine"]
    assert not any(piece.restart for piece in pieces[:-1])


def test_hedging_is_off_unless_asked_for_and_keeps_to_its_share() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> int:
        for _ in range(10):
            await router.call("group:g", "hi")
        return router.state.hedges

    fakes = {name: FakeEndpoint(latency=5, first=4) for name in "ab"}
    assert play(scene, one("a", "b"), fakes) == 0
    assert play(scene, hedged(extra_calls="20%"), fakes) <= 3


def test_the_second_endpoint_answers_where_the_first_one_fails_in_the_race() -> None:
    def late_failure(now: float) -> AdapterError | float | None:
        return 3.0

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> Answer:
        await router.call("group:g", "hi")
        return await router.call("group:g", "hi", key="k")

    groups = one("a", "b", hedge={"after": 0.5, "extra_calls": 1.0}, stick_to="none")
    groups["g"]["echelon1"]["timeout"] = {"first_token": 1.0}
    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint(trouble=late_failure)}
    assert play(scene, groups, fakes).endpoint == "a"


class Breaking(FakeEndpoint):
    """Breaks off after the first piece."""

    async def stream(self, request: Any) -> Any:
        self._came(request)
        yield Delta(text="ne")
        raise MalformedAnswerError("cut off")


def test_a_broken_stream_begins_anew_and_says_so() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> list[Any]:
        return [piece async for piece in router.stream("group:g", "hi")]

    fakes = {"a": Breaking(), "b": FakeEndpoint()}
    pieces = play(scene, one("a", "b"), fakes)
    assert [piece.text for piece in pieces] == ["ne", "", "fi", "ne", "fine"]
    assert [piece.restart for piece in pieces[:-1]] == [False, True, False, False]
    with pytest.raises(MalformedAnswerError):
        play(scene, one("a", "b", on_break="fail"), {"a": Breaking(), "b": FakeEndpoint()})


def test_counting_starts_from_zero_after_a_reset_for_all_who_share_the_store() -> None:
    store = MemoryStore()

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        await router.call("group:g", "hi")
        await router.reset_stats("group:g")
        assert "group:g" not in router.stats()
        assert router.stats()["endpoint:a"].ok == 1
        await router.reset_stats()
        assert router.stats() == {}
        await router.call("group:g", "hi")

    play(scene, one("a"), {"a": FakeEndpoint()}, store=store)

    async def later(router: Router, fakes: dict[str, FakeEndpoint]) -> None:
        tally = router.stats("group:g")["echelon:g.echelon1"]
        assert (tally.requests, tally.ok, tally.success_rate) == (1, 1, 1.0)
        assert tally.seconds.percentile(0.95) == pytest.approx(1.0, rel=0.2)
        text = router.prometheus()
        assert 'midstream_route_requests_total{kind="endpoint",name="a"} 1' in text
        assert 'midstream_route_seconds_count{kind="group",name="g"} 1' in text

    play(later, one("a"), {"a": FakeEndpoint()}, store=store)


def test_two_processes_on_one_store_share_limits_breakers_and_turns() -> None:
    config = {
        "endpoints": {"a": {"model": "x:a", "rpm": 10, "concurrency": 3}, "b": {"model": "x:b"}},
        "groups": {"g": {"echelon1": {"models": ["a"]}, "echelon2": {"models": ["b"]}}},
        "breaker": {"failure_threshold": 2, "recovery_time": 100},
    }
    fakes = {"a": FakeEndpoint(), "b": FakeEndpoint(), "x": FakeEndpoint()}
    store = MemoryStore()

    async def scene() -> None:
        routers = [Router(config, store=store, adapters=fakes, clock=LoopClock()) for _ in range(3)]
        for router in routers:
            await router.ledger.open()
        calls = [router.call("group:g", f"{n}") for n in range(8) for router in routers]
        await asyncio.gather(*calls)
        assert fakes["a"].most <= 3
        assert 3 <= len(fakes["a"].calls) <= 10
        await asyncio.sleep(70)
        fakes["a"].trouble = during(ALWAYS, down)
        for router in (routers[0], routers[1], routers[2]):
            await router.call("group:g", "hi")
            await router.ledger.flush()
        assert [router.health("endpoint:a")[0].status for router in routers] == ["open"] * 3
        for router in routers:
            await router.close()
        events = [event async for event in store.read(ROUTING)]
        assert all(router.state == fold_routing(events) for router in routers)

    played(scene())


def test_placing_calls_costs_no_commit_each_where_nothing_is_limited() -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> int:
        await asyncio.gather(*(router.call("group:g", f"{n}") for n in range(100)))
        return router.ledger.appends

    store = MemoryStore()
    assert play(scene, one("a"), {"a": FakeEndpoint()}, store=store) <= 4


def test_a_snapshot_is_not_needed_and_changes_nothing() -> None:
    store = MemoryStore()

    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> Any:
        for _ in range(3):
            await router.call("group:g", "hi", key="k")
        return router.state

    before = play(scene, one("a", "b"), {"a": FakeEndpoint(), "b": FakeEndpoint()}, store=store)

    async def look(router: Router, fakes: dict[str, FakeEndpoint]) -> Any:
        return router.state

    after = play(look, one("a", "b"), {"a": FakeEndpoint(), "b": FakeEndpoint()}, store=store)
    assert after == before


NOW = 1_000.0


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        (
            {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": "1m2.5s"},
            (3, NOW + 62.5, None, None),
        ),
        (
            {"x-ratelimit-remaining-tokens": "150", "x-ratelimit-reset-tokens": "6ms"},
            (None, None, 150, NOW + 0.006),
        ),
        (
            {
                "anthropic-ratelimit-requests-remaining": "0",
                "anthropic-ratelimit-requests-reset": "1970-01-01T00:17:00Z",
                "anthropic-ratelimit-tokens-remaining": "9",
                "anthropic-ratelimit-tokens-reset": "1970-01-01T00:18:00Z",
            },
            (0, 1020.0, 9, 1080.0),
        ),
        (
            {"x-ratelimit-remaining-requests": "many", "x-ratelimit-reset-requests": "soon"},
            (None,) * 4,
        ),
    ],
)
def test_headers_say_what_is_left(headers: dict[str, str], said: tuple[Any, ...]) -> None:
    found = read_limits(headers, NOW)
    assert (
        found.requests_left,
        found.requests_reset,
        found.tokens_left,
        found.tokens_reset,
    ) == said


def test_an_endpoint_alone_is_asked_by_its_model(tmp_path: Path) -> None:
    async def scene(router: Router, fakes: dict[str, FakeEndpoint]) -> str:
        return (await router.call("p_a:m-a", "hi")).endpoint

    assert play(scene, one("a"), {"a": FakeEndpoint()}) == "a"


def test_an_endpoint_whose_key_is_not_set_is_passed_over_and_said_so() -> None:
    endpoints = {
        "no_key": {"model": "openai:gpt-4o", "key_env": "NO_SUCH_KEY"},
        "b": {"model": "fake:b"},
    }
    groups = {"g": {"echelon1": {"models": ["no_key", "b"]}}}

    async def scene() -> None:
        made = {"fake": FakeEndpoint()}
        config = {"endpoints": endpoints, "groups": groups}
        async with Router(config, adapters=made, clock=LoopClock(), env={}) as router:
            assert (await router.call("group:g", "hi")).endpoint == "b"
            with pytest.raises(NoEndpointError, match="NO_SUCH_KEY is not set"):
                await router.call("endpoint:no_key", "hi")

    asyncio.run(scene())
