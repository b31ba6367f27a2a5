"""What there is to know of where a run stands: the state that its events are folded into."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.events.store import Status
from midstream.projections.records import Call, Cut, Said, Switch
from midstream.projections.scopes import Nest
from midstream.projections.sparse import A_DICT, A_LIST, new_dict
from midstream.projections.topology import nothing


@dataclass(slots=True)
class RunState(Nest):
    """Where a run stands after event number `seq`; where control is, `Nest` and `Flow` say.

    Attributes:
        seq: The newest event in it.
        status: As in `RunInfo`.
        graph: The graph's name.
        parent: The run that started it, or empty.
        parent_step: The address of the call that did.
        subject: Whom its content is about, or empty.
        began: When it was created, in microseconds since 1970.
        inputs: Of the run.
        model: The run's default model, or empty.
        tags: Of the run.
        limits: What it may not exceed, by name.
        items: For each activation of a map, those of its items that have completed, in that order.
        going: For each activation whose end sends control elsewhere, where to.
        locals: What nodes keep between their activations.
        undo: Completed activations whose effects are undone if the run fails, in the order they completed in.
        calls: By address.
        call_keys: For each call's address without its occurrence, the addresses recorded so far.
        switches: In order.
        failed_data: The data of their last `node.failed`.
        cancelling: The `run.cancel_requested` that is to be obeyed, or None.
        epoch: The newest driver's.
        output: The run's output, once it completed.
        ended: The data of the event that ended it.
        heads: For each activation and lane, the newest model call that was answered.
        threads: For each named thread, the newest model call that was answered.
        open_calls: Addresses of calls that have not ended: open, of unknown outcome, or between two attempts.
        notes: The ids of the notes that were added.
        overrides: What is asked in place of what the code says, since the run was forked.
        forked_at: The newest `run.forked`; 0 where the run is no fork.
        rehearsal: The data of that event, where the run answers a what-if, or None.
        context: What is done where a conversation is too long for its model.
        cuts: By the model call from which on they hold.
        said: Messages that were added, in order.
        reflections: How often somebody has said why a node failed.
        revisions: What was planned anew, in order: the data of each `plan.revised`, with its activation and the attempt
            that it came after.
    """

    seq: int = 0
    status: Status = "running"
    graph: str = ""
    code: str = ""
    parent: str = ""
    parent_step: str = ""
    subject: str = ""
    began: int = 0
    inputs: Mapping[str, Any] = field(default_factory=nothing)
    model: str = ""
    tags: Mapping[str, str] = field(default_factory=nothing)
    limits: Mapping[str, float] = field(default_factory=nothing)
    items: dict[str, list[str]] = field(init=False, metadata=A_DICT)
    going: dict[str, list[str]] = field(default_factory=new_dict)
    locals: dict[str, Mapping[str, Any]] = field(init=False, metadata=A_DICT)
    undo: list[str] = field(init=False, metadata=A_LIST)
    calls: dict[str, Call] = field(init=False, metadata=A_DICT)
    call_keys: dict[str, list[str]] = field(init=False, metadata=A_DICT)
    switches: list[Switch] = field(init=False, metadata=A_LIST)
    failed_data: dict[str, Mapping[str, Any]] = field(init=False, metadata=A_DICT)
    cancelling: Event | None = None
    epoch: int = 0
    output: Any = None
    ended: Mapping[str, Any] | None = None
    heads: dict[str, dict[str, str]] = field(init=False, metadata=A_DICT)
    threads: dict[str, str] = field(init=False, metadata=A_DICT)
    open_calls: dict[str, None] = field(default_factory=new_dict)
    notes: AbstractSet[str] = frozenset()
    overrides: tuple[Mapping[str, Any], ...] = ()
    forked_at: int = 0
    rehearsal: Mapping[str, Any] | None = None
    context: Mapping[str, Any] = field(default_factory=nothing)
    cuts: dict[str, list[Cut]] = field(init=False, metadata=A_DICT)
    said: list[Said] = field(init=False, metadata=A_LIST)
    reflections: int = 0
    revisions: tuple[Mapping[str, Any], ...] = ()

    @property
    def over(self) -> bool:
        """The run has ended."""
        return self.status in ("completed", "failed", "cancelled")

    def unsettled(self) -> list[str]:
        """Return the activations whose function may yet be called: those under way, and those that failed inside another one.

        What failed for good in a graph, or as an item, has another attempt when what it is in does, and finds its calls then.
        """
        found = [*self.running, *self.waiting]
        for address in self.failed_data:
            scope = self.activations[address].scope
            if scope in self.scopes or (not scope and address[-1] == "]"):
                found.append(address)
        return found

    def plans_for(self, address: str) -> list[Mapping[str, Any]]:
        """Return the plans that were made anew for the node of an activation, in order."""
        if not self.revisions:
            return []
        node = node_of(address)
        return [plan for plan in self.revisions if node_of(plan["activation"]) == node]

    def model_for(self, asked: str, node: str, thread: str) -> str:
        """Return the model that a call goes to, after all migrations so far.

        Args:
            asked: The model that the code names, or empty for the run's default.
            node: The node that calls, with the nodes whose graphs it is in, as in `research/plan`: what is said of one of
                these holds for it.
            thread: The thread it speaks in, or empty.
        """
        switches = self.switches_for(asked, node, thread)
        return switches[-1].target if switches else asked or self.model

    def switches_for(self, asked: str, node: str, thread: str) -> list[Switch]:
        """Return the migrations that such a call has been through, in order; see `model_for`."""
        model = asked or self.model
        scopes = {"run", f"node:{node}", f"thread:{thread}" if thread else ""}
        while "/" in node:
            node = node.rpartition("/")[0]
            scopes.add(f"node:{node}")
        found: list[Switch] = []
        for switch in self.switches:
            if switch.scope in scopes and switch.source in ("", model):
                model = switch.target
                found.append(switch)
        return found
