"""Limits and breakers as machines: whatever comes in whatever order, the laws hold."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
)

from midstream.adapters.base import Capabilities
from midstream.adapters.routing.choose import Ask, Candidate, Choice, choose
from midstream.adapters.routing.kinds import KINDS
from midstream.adapters.routing.loading import parse
from midstream.adapters.routing.outcome import Ended, reserved, settled
from midstream.adapters.routing.route import Endpoint, Route
from midstream.adapters.routing.state import RoutingState, apply, fold_routing
from midstream.adapters.routing.table import Table
from midstream.events.codec import decode, encode
from midstream.events.envelope import Event
from midstream.events.fact import Fact
from midstream.events.ids import RunId

START = 1_800_000_000.0


def capable(endpoint: Endpoint) -> Capabilities:
    return Capabilities()


class World(RuleBasedStateMachine):
    """One endpoint, asked and answering in any order; time only goes on."""

    def __init__(self) -> None:
        super().__init__()
        self.now: float = START
        self.state = RoutingState()
        self.events: list[Event] = []
        self.route: Route
        self.count = 0

    def configured(self, endpoint: dict[str, Any], breaker: dict[str, Any]) -> None:
        data = {
            "endpoints": {"a": {"model": "openai:a", **endpoint}},
            "groups": {"g": {"echelon1": {"models": ["a"]}}},
            "breaker": breaker,
        }
        self.route = Table(parse(data)).route("group:g")

    def record(self, facts: tuple[Fact, ...]) -> None:
        for fact in facts:
            draft = encode(fact, at=int(self.now * 1_000_000))
            seq = self.state.seq + 1
            row = (RunId("r"), seq, seq, draft.at, draft.type, 1, "engine", None, None, None)
            event = decode((*row, draft.body, b""))
            self.events.append(event)
            apply(self.state, event.type, event.data, event.at, event.seq)

    def choice(self, tokens: int = 10) -> Choice:
        # as the ledger does, the time of a choice is that of its event
        now = int(self.now * 1_000_000) / 1_000_000
        return choose(self.state, self.route, Ask("group:g", tokens, tokens), now, capable)

    def taken(self, choice: Choice, tokens: int, lasts: float = 1000.0) -> str:
        self.count += 1
        id_ = str(self.count)
        self.record(reserved(choice, Ask("group:g", tokens, tokens), id_, self.now + lasts))
        return id_

    def candidate(self) -> Candidate:
        stage = self.route.instances[0].stages[0]
        found = choose(RoutingState(), self.route, Ask("group:g"), self.now, capable).candidate
        assert found is not None
        assert found.stage is stage
        return found

    def end(self, id_: str, ended: Ended) -> None:
        self.record(settled(self.state, self.candidate(), id_, ended, self.now))

    @invariant()
    def folding_again_gives_the_same(self) -> None:
        assert fold_routing(self.events) == self.state


class LimiterMachine(World):
    """Never more than n in flight, never more than rpm or tpm in any minute."""

    flying = Bundle("flying")

    @initialize(concurrency=st.integers(1, 4), rpm=st.integers(1, 6), tpm=st.integers(50, 200))
    def begin(self, concurrency: int, rpm: int, tpm: int) -> None:
        self.limits = (concurrency, rpm, tpm)
        self.configured({"concurrency": concurrency, "rpm": rpm, "tpm": tpm}, {})
        self.calls = list[tuple[float, int]]()
        self.up: set[str] = set()

    @rule(seconds=st.floats(0, 40))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=flying, tokens=st.integers(1, 60))
    def ask(self, tokens: int) -> Any:
        choice = self.choice(tokens)
        if choice.candidate is None:
            assert choice.wake is None or choice.wake > self.now - 0.001
            assert choice.wake is not None or tokens > self.limits[2]
            return multiple()  # pyright: ignore[reportUnknownVariableType]  # hypothesis's
        self.calls.append((self.now, tokens))
        id_ = self.taken(choice, tokens)
        self.up.add(id_)
        return id_

    @rule(id_=consumes(flying), used=st.integers(0, 60))
    def answer(self, id_: str, used: int) -> None:
        estimate = self.state.reservations[id_].tokens
        at = self.state.reservations[id_].at
        actual = min(used, estimate)
        self.up.discard(id_)
        place = next(
            n for n, (t, k) in enumerate(self.calls) if abs(t - at) < 1e-5 and k == estimate
        )
        self.calls[place] = (self.calls[place][0], actual)
        self.end(id_, Ended("ok", actual))

    @rule()
    def what_keeps_a_call_back_ends_when_it_is_said_to(self) -> None:
        choice = self.choice(1)
        if choice.candidate is None:
            assert choice.wake is not None
            now: float = self.now  # pyright: ignore[reportUnknownMemberType]  # hypothesis's base has no types
            self.now = choice.wake + 0.001
            later = self.choice(1)
            self.now = now
            assert later.candidate is not None or (later.wake or 0) > choice.wake

    @invariant()
    def no_limit_is_exceeded(self) -> None:
        if not hasattr(self, "calls"):
            return
        concurrency, rpm, tpm = self.limits
        assert len(self.up) <= concurrency
        for at, _ in self.calls:
            minute = [tokens for t, tokens in self.calls if at <= t < at + 60.0]
            assert len(minute) <= rpm
            assert sum(minute) <= tpm


class BreakerMachine(World):
    """An endpoint that is open is not asked, one that is half open at most `probes` times a recovery, and rests double."""

    flying = Bundle("flying")

    @initialize(threshold=st.integers(1, 4), probes=st.integers(1, 3), recovery=st.floats(1, 50))
    def begin(self, threshold: int, probes: int, recovery: float) -> None:
        self.threshold, self.probes, self.recovery = threshold, probes, recovery
        self.configured(
            {},
            {
                "failure_threshold": threshold,
                "half_open_requests": probes,
                "recovery_time": recovery,
                "max_recovery_time": recovery * 8,
            },
        )
        self.probed = 0
        self.rests: list[float] = []

    @rule(seconds=st.floats(0, 100))
    def pass_time(self, seconds: float) -> None:
        self.now += seconds

    @rule(target=flying)
    def ask(self) -> Any:
        breaker = self.state.breaker("endpoint:a")
        before, half_opened = breaker.status, breaker.half_opened
        choice = self.choice()
        now = int(self.now * 1_000_000) / 1_000_000
        if before == "open" and (breaker.until is None or breaker.until > now):
            assert choice.candidate is None
        if before == "closed" and self.state.habit("a").not_before <= now:
            assert choice.candidate is not None
        if choice.candidate is None:
            return multiple()  # pyright: ignore[reportUnknownVariableType]  # hypothesis's
        if choice.probe:
            new = before == "open" or bool(choice.half_opens)
            if new and before == "half_open":
                assert now >= half_opened + breaker.recovery
            self.probed = 1 if new else self.probed + 1
            assert self.probed <= self.probes
        return self.taken(choice, 10)

    @rule(id_=consumes(flying), outcome=st.sampled_from(("ok", "abandoned", *KINDS)))
    def answer(self, id_: str, outcome: str) -> None:
        breaker = self.state.breaker("endpoint:a")
        before, failures = breaker.status, breaker.failures
        probing, opened, rest = id_ in breaker.probing, breaker.opened, breaker.recovery
        self.end(id_, Ended(outcome, 10))
        after = self.state.breaker("endpoint:a")
        if outcome in ("overloaded", "timeout", "server_error"):
            full = before == "closed" and failures + 1 >= self.threshold
            assert (after.status == "open") == (full or probing or before == "open")
            if probing and after.until is not None:
                assert after.recovery == min(self.recovery * 8, self.recovery * 2.0**opened)
                assert after.recovery >= rest or opened == 1
        if outcome == "auth" and before != "open":
            assert after.status == "open"
            assert after.until is None
        if outcome == "ok" and probing:
            assert after.status == "closed"
            assert after.opened == 0
        if outcome == "abandoned":
            assert after.status == before


TestLimiter = LimiterMachine.TestCase
TestBreaker = BreakerMachine.TestCase
TestLimiter.settings = TestBreaker.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None
)
