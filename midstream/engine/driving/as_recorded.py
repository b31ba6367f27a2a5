"""What a replay is told in place of looking lessons up and of reflecting: what the log says was offered, and planned."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from typing import Any

from midstream.engine.planning.reflection import Reflector, by_rule
from midstream.engine.planning.replanning import Failing
from midstream.engine.providers import Providers
from midstream.engine.requests.advice import Advice, memory_of
from midstream.events.agent_facts import MemoryRead
from midstream.events.content import Message
from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.events.payloads import NodeFailed
from midstream.events.reflection_facts import PlanRevised, ReflectionMade
from midstream.projections.run_state import RunState


class RecordedAdvice:
    """Advises calls as they were; see `Advisor`.

    Args:
        events: Of the run.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        self._read: dict[str, Mapping[str, Any]] = {
            event.address or "": event.data for event in events if event.type == "memory.read"
        }
        self._asked: dict[str, Mapping[str, Any]] = {}
        for event in events:
            if event.type == "model.requested":
                self._asked.setdefault(event.address or "", event.data)

    async def advise(
        self,
        state: RunState,
        *,
        run_id: str,
        call: str,
        messages: Sequence[Message],
        wanted: bool | str | None,
    ) -> Advice | None:
        """See `Advisor.advise`."""
        data = self._read.get(memory_of(call))
        if data is None:
            return None
        fact = MemoryRead.model_validate(data)
        told = any(not one.get("why") for one in data["items"]["offers"])
        said = self._asked.get(call, {}).get("messages", ())
        return Advice(fact, said[-1]["parts"][-1]["text"] if told and said else "")


class RecordedReflections(Reflector):
    """Says of each failure what was said of it, without asking anybody.

    Args:
        events: Of the run.
    """

    def __init__(self, events: Sequence[Event]) -> None:
        plans = {event.seq: event.data for event in events if event.type == "plan.revised"}
        super().__init__(Providers(), "", len(plans))
        self._made: dict[str, deque[tuple[Mapping[str, Any], Mapping[str, Any] | None]]]
        self._made = defaultdict(deque)
        for event in events:
            if event.type == "reflection.made":
                # A plan follows its reflection in the same append.
                found = (event.data, plans.get(event.seq + 1))
                self._made[node_of(event.address or "").rpartition("/")[2]].append(found)

    async def reflect(
        self, failing: Failing, failed: NodeFailed, number: int, earlier: list[Mapping[str, Any]]
    ) -> tuple[ReflectionMade, PlanRevised | None]:
        """See `Reflector.reflect`."""
        node = failing.node
        if not self._made[node.name]:  # the code fails where it did not: the replay says so
            report = by_rule(node.name, failed.kind, failed.message, number)
            said = ReflectionMade(
                failure_type=report.failure_type,
                root_cause=report.root_cause,
                failed_node=node.name,
                reflection_number=number,
            )
            return said, None
        made, plan = self._made[node.name].popleft()
        revised = None if plan is None else PlanRevised.model_validate(plan)
        return ReflectionMade.model_validate(made), revised
