"""Views of a run's conversations, grown turn by turn and kept only to grow them further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from midstream.adapters.base import Adapter
from midstream.adapters.view import Segment, View
from midstream.events.content import ToolSpec
from midstream.events.payloads import Change
from midstream.projections.conversation import (
    answered,
    asked,
    further_units,
    history,
    parents_of,
    results,
    unit_segments,
    units,
)
from midstream.projections.run_state import Call, RunState

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
    ) -> View:
        """Return the view that a call starts from; its `changes` are those that no earlier request told of.

        Args:
            state: The run.
            adapter: Who is asked.
            model: The model's name without its provider.
            parents: The calls it continues.
            segment: What it adds.
            before: The seq of its request; results recorded later are not told.
        """
        if not parents:
            return adapter.render(adapter.begin(model), segment)
        view = self._answered(state, adapter, model, parents[0])
        changes = view.changes
        told_now = [results(state, state.calls[parents[0]], before)]
        if len(parents) > 1:
            told: set[str] = set()
            units(state, parents[0], before, told)
            for unit in further_units(state, parents[1:], before, told):
                told_now += unit_segments(state, unit)
        for part in (*told_now, segment):
            view = adapter.render(view, part)
            changes += view.changes
        return replace(view, changes=changes)

    def opening_of(self, state: RunState, adapter: Adapter, model: str, call: Call) -> View:
        """Return the view that a recorded call starts from; see `opening`."""
        return self.opening(state, adapter, model, parents_of(call), asked(call), call.first_seq)

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
        view = adapter.begin(model)
        changes: tuple[Change, ...] = ()
        for segment in history(state, address):
            view = adapter.render(view, segment)
            changes += view.changes
        view = replace(view, changes=changes)
        self._keep(adapter, model, address, view)
        return view

    def _get(self, adapter: Adapter, model: str, address: str) -> View | None:
        return self._views.get((f"{adapter.provider}:{model}", address))

    def _keep(self, adapter: Adapter, model: str, address: str, view: View) -> None:
        while len(self._views) >= _KEPT:
            del self._views[next(iter(self._views))]
        self._views[f"{adapter.provider}:{model}", address] = view
