"""Model calls that name a group, a pool or an endpoint: who answers them is chosen, recorded, and told how it went."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from midstream.adapters.base import Adapter, Delta, ModelRequest, ModelResponse
from midstream.adapters.routing.asking import unwanted
from midstream.adapters.routing.choose import Ask
from midstream.adapters.routing.hedging import hedge_after, hedge_of, may_hedge
from midstream.adapters.routing.router import OUTPUT, Router
from midstream.adapters.routing.sending import Sending, begin, send
from midstream.adapters.routing.state import RoutingState
from midstream.adapters.routing.walk import Leg, Walk
from midstream.engine.recording.calls import Desk
from midstream.engine.requests.asking import DEADLINE, Question
from midstream.errors import AdapterError
from midstream.events.payloads import Change, ModelSwitched

_CHARACTERS_PER_TOKEN = 4
_MEDIA = {"image": "images", "document": "documents", "audio": "audio"}


@dataclass(slots=True)
class Chosen:
    """One attempt of a routed call.

    Attributes:
        target: What the code names, as `group:fast`.
        walk: The way of the request.
        leg: Who is asked now.
        notes: What is seen of the call.
        adapter: Who speaks to the endpoint.
        done: Forgets the way of the request, which has ended.
        connect: Returns who speaks to an endpoint.
        state: What is known of all endpoints.
        beside_another: It races a call that was sent before.
        falls: Whether others are asked after its failure, once it has failed.
        over: It was told how the call ended; what is told after that does not count.
    """

    target: str
    walk: Walk
    leg: Leg
    notes: Sending
    adapter: Adapter
    done: Callable[[], object]
    connect: Callable[[Leg], Adapter]
    state: Callable[[], RoutingState]
    beside_another: bool = False
    falls: bool | None = None
    over: bool = False

    @property
    def model(self) -> str:
        """Who is asked, as `provider:model`."""
        return self.leg.candidate.endpoint.full_model

    async def send(
        self,
        adapter: Adapter,
        request: ModelRequest,
        show: Callable[[Delta], None] | None,
        *,
        watch: bool = False,
    ) -> ModelResponse:
        """Send once, within the times that the endpoint, its echelon and the question say; see `sending.send`.

        Raises:
            AdapterError: It failed.
        """
        timeout = self.leg.manner.timeout
        return await send(adapter, request, timeout, self.notes, show=show, watch=watch)

    def abandon(self) -> None:
        """Give the room back: nobody wants the answer any more; does nothing where the call has ended."""
        if not self.over:
            self.over = True
            self.walk.abandoned(self.leg, self.notes)

    def answered(self, response: ModelResponse) -> AdapterError | None:
        """Take an answer; returns why it counts as a failure, where it does."""
        error = unwanted(self.walk, self.leg, response, None)
        if error is None:
            self.over = True
            self.walk.answered(self.leg, response, self.notes)
        return error

    def failed(self, error: AdapterError) -> bool:
        """Take a failure, and say whether others are asked; what was taken once is remembered."""
        if self.falls is None:
            self.over = True
            try:
                self.walk.failed(self.leg, error, self.notes)
                self.falls = True
            except AdapterError:
                self.falls = False
        return self.falls

    @property
    def hedged(self) -> bool:
        """Whether somebody else may be asked too where it is late."""
        return hedge_of(self.leg) is not None

    def hedge_after(self) -> float | None:
        """Return how many seconds to wait before somebody else is asked too, or None for ever."""
        return hedge_after(self.leg, self.state())

    def may_hedge(self) -> bool:
        """Say whether the share of calls that may be hedged has room for one more."""
        return may_hedge(self.leg, self.state())

    async def beside(self) -> Chosen:
        """Return whom to ask too, with the room taken.

        Raises:
            AdapterError: Nobody else has room now.
        """
        leg = await self.walk.next(without=(self.leg.candidate.endpoint.name,), wait=False)
        adapter = self.connect(leg)
        return replace(
            self,
            leg=leg,
            notes=begin(),
            adapter=adapter,
            beside_another=True,
            falls=None,
            over=False,
        )

    def switched(self, address: str, before: str, changes: Sequence[Change]) -> ModelSwitched:
        """Return the migration that a conversation makes when it goes on with another provider."""
        forced = bool(self.walk.ask.tried or self.leg.choice.refused)
        return ModelSwitched(
            id=uuid.uuid4().hex,
            scope=f"step:{address}",
            source=before,
            target=self.model,
            reason="failover" if forced else "route",
            changes=tuple(changes),
        )


class Routing:
    """Chooses for the calls of one run.

    Args:
        router: Shared by all runs.
    """

    def __init__(self, router: Router) -> None:
        self.router = router
        self._walks: dict[str, tuple[str, Walk]] = {}

    def handles(self, model: str) -> bool:
        """Say whether somebody has to be chosen for a model's name."""
        return self.router.table.handles(model)

    async def choose(self, desk: Desk, question: Question, address: str, target: str) -> Chosen:
        """Return whom to ask; waits for room within the deadline of the question.

        Raises:
            AdapterError: Nobody is left, or nobody may be asked within the deadline.
            ConfigError: There is no such target.
        """
        await self.router.ready(target)
        known, walk = self._walks.get(address, ("", None))
        if walk is None or known != target:
            timeout = None if question.deadline == DEADLINE else question.deadline
            walk = self.router.walk_for(
                _ask(desk, question, address, target),
                question.settings,
                timeout=timeout,
                deadline=question.deadline,
            )
            self._walks[address] = (target, walk)
        try:
            leg = await walk.next()
        except BaseException:
            self._walks.pop(address, None)
            raise
        return Chosen(
            target,
            walk,
            leg,
            begin(),
            self._connect(leg),
            done=lambda: self._walks.pop(address, None),
            connect=self._connect,
            state=lambda: self.router.state,
        )

    def _connect(self, leg: Leg) -> Adapter:
        return self.router.adapter(leg.candidate.endpoint)


def _ask(desk: Desk, question: Question, address: str, target: str) -> Ask:
    """Return what is asked for, by estimate: the conversation until now as it was counted, and what is new."""
    needs = {
        _MEDIA[part.type] for m in question.messages for part in m.parts if part.type in _MEDIA
    }
    if question.tools:
        needs.add("tools")
    said = sum(len(m.model_dump_json()) for m in question.messages) + len(question.system or "")
    read = said // _CHARACTERS_PER_TOKEN + _before(desk)
    wanted = question.settings.get("max_tokens")
    tokens = read + (wanted if isinstance(wanted, int) else OUTPUT)
    key = f"{desk.recorder.run_id}|{target}"
    return Ask(target, tokens, read, key, "", tuple(sorted(needs)))


def _before(desk: Desk) -> int:
    """Return about how many tokens the conversation of an activation has, by its newest answer."""
    heads = desk.state.heads.get(desk.activation, {})
    most = 0
    for address in heads.values():
        usage = (desk.state.calls[address].outcome or {}).get("usage", {})
        most = max(most, usage.get("input_tokens", 0) + usage.get("output_tokens", 0))
    return most
