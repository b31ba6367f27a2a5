"""Views of a run's conversations, grown turn by turn and kept only to grow them further."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from midstream.adapters.base import Adapter, rendered
from midstream.adapters.view import Segment, View
from midstream.events.content import ToolSpec
from midstream.projections.conversation import answered, asked, parents_of
from midstream.projections.run_state import Call, RunState
from midstream.projections.told import between, brief_of, cuts_of, told, told_before

_KEPT = 128

Head = tuple[str | None, tuple[ToolSpec, ...] | None]
"""The instruction and the tools in force."""


class Views:
    """Renders conversations for models; what it keeps can be dropped at any time."""

    def __init__(self) -> None:
        self._views: dict[tuple[str, str], View] = {}
        self._heads: dict[str, Head] = {}

    def opening(
        self,
        state: RunState,
        adapter: Adapter,
        model: str,
        parents: Sequence[str],
        segment: Segment,
        before: int,
        *,
        address: str = "",
        handoff: str = "",
    ) -> View:
        """Return the view that a call starts from; its `changes` are those that no earlier request told of.

        Args:
            state: The run.
            adapter: Who is asked.
            model: The model's name without its provider.
            parents: The calls it continues.
            segment: What it adds.
            before: The seq of its request; results recorded later are not told.
            address: Of the call; cuts that were made for it hold for it.
            handoff: The migration whose brief it is told.
        """
        whole = f"{adapter.provider}:{model}"
        view, told = self._base(state, adapter, model, parents, before, address)
        noted = view.noted
        brief = brief_of(state, handoff, whole) if handoff else None
        view = rendered(adapter, view, (*told, *([] if brief is None else [brief]), segment))
        return replace(view, noted=noted + view.noted) if noted else view

    def opening_of(self, state: RunState, adapter: Adapter, model: str, call: Call) -> View:
        """Return the view that a recorded call starts from; see `opening`."""
        return self.opening(
            state,
            adapter,
            model,
            parents_of(call),
            asked(call),
            call.first_seq,
            address=call.address,
            handoff=call.request.get("handoff", ""),
        )

    def _base(
        self,
        state: RunState,
        adapter: Adapter,
        model: str,
        parents: Sequence[str],
        before: int,
        address: str,
    ) -> tuple[View, Iterable[Segment]]:
        """Return a view that is kept, and what is to be told after it before a call adds something itself."""
        whole = f"{adapter.provider}:{model}"
        if not parents:
            return adapter.begin(model), ()
        if cuts_of(state, (address,), whole):
            return adapter.begin(model), told_before(state, address, parents, whole, before)
        view = self._answered(state, adapter, model, parents[0])
        return view, between(state, parents, before, whole)

    def answer(
        self, state: RunState, adapter: Adapter, model: str, address: str, view: View
    ) -> None:
        """Keep the view that a call started from, with its answer at the end."""
        segment = answered(state.calls[address])
        self._keep(adapter, model, address, adapter.render(view, segment))

    def head(self, state: RunState, address: str) -> Head:
        """Return the instruction and the tools in force after a call."""
        line: list[str] = []
        found = self._heads.get(address)
        while found is None:
            line.append(address)
            parents = parents_of(state.calls[address])
            if not parents:
                found = (None, None)
                break
            address = parents[0]
            found = self._heads.get(address)
        for name in reversed(line):
            segment = asked(state.calls[name])
            found = (
                segment.system if segment.system is not None else found[0],
                segment.tools if segment.tools is not None else found[1],
            )
            self._heads[name] = found
        return found

    def _answered(self, state: RunState, adapter: Adapter, model: str, address: str) -> View:
        kept = self._get(adapter, model, address)
        if kept is not None:
            return kept
        whole = f"{adapter.provider}:{model}"
        view = rendered(adapter, adapter.begin(model), told(state, address, whole))
        self._keep(adapter, model, address, view)
        return view

    def _get(self, adapter: Adapter, model: str, address: str) -> View | None:
        return self._views.get((f"{adapter.provider}:{model}", address))

    def _keep(self, adapter: Adapter, model: str, address: str, view: View) -> None:
        while len(self._views) >= _KEPT:
            del self._views[next(iter(self._views))]
        self._views[f"{adapter.provider}:{model}", address] = view
