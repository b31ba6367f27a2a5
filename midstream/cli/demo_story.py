"""How the demo is told: the run's events as they come, and headings, findings and totals between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from rich.console import Console
from rich.padding import Padding
from rich.rule import Rule
from rich.text import Text

from midstream.cli.output import data_console, printable, talk_console
from midstream.cli.settings import SETTINGS
from midstream.engine.policies.migrate import MigrationPlan
from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.projections.run_state import RunState, apply
from midstream.projections.timeline import line, shortened

_COLORS = {"run": "bold", "node": "default", "model": "cyan", "tool": "magenta"}
_WIDEST = 120
_BEFORE_TEXT = 38
_SLACK = 1.0
"""Seconds for events that are in the log already to be read, after a process has ended."""


class Story:
    """Tells one run.

    Args:
        events: The run's events, those that are there and those that come.
    """

    def __init__(self, events: AsyncGenerator[Event, None]) -> None:
        self.state = RunState()
        self.console: Console = talk_console() if SETTINGS.get().as_json else data_console()
        self.console.width = min(self.console.width, _WIDEST)
        self._events = events
        self._first = 0

    async def play_until(
        self, condition: Callable[[RunState], bool], process: asyncio.subprocess.Process
    ) -> bool:
        """Tell the events as they come, until the condition is true of the run.

        Returns:
            Whether it became true before the process ended and all it wrote was told.
        """
        ended = asyncio.create_task(process.wait())
        try:
            while not condition(self.state):
                event = await self._next(ended)
                if event is None:
                    return False
                self._tell(event)
        finally:
            ended.cancel()
        return True

    async def _next(self, ended: asyncio.Task[int]) -> Event | None:
        """Return the next event, or None where the process has ended and there is none."""
        coming = asyncio.ensure_future(anext(self._events))
        try:
            await asyncio.wait((coming, ended), return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                await asyncio.wait((coming,), timeout=_SLACK)
            return coming.result() if coming.done() else None
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait((coming,))

    def heading(self, text: str) -> None:
        """Begin a part."""
        self.console.print()
        self.console.print(Rule(Text(text, style="bold"), align="left", style="dim"))

    def say(self, text: str, style: str = "") -> None:
        """Say something in a part."""
        indented = Padding(Text(printable(text), style=style), (0, 0, 0, 2))
        self.console.print(indented, soft_wrap=False)

    def plan(self, plan: MigrationPlan) -> None:
        """Say what a migration changes."""
        for kind, changes in (("loses", plan.losses), ("is told in another form", plan.repairs)):
            for change in changes:
                self.say(f"{kind}: {change.kind} (event {change.seq}) {change.detail}", "yellow")
        if not plan.changes:
            self.say("it loses nothing, and is told nothing in another form", "green")

    def check(self, text: str, *, good: bool) -> bool:
        """Say whether something holds, and return it."""
        self.say(f"{'✓' if good else '✗'} {text}", "green" if good else "bold red")
        return good

    def _tell(self, event: Event) -> None:
        apply(self.state, event)
        self._first = self._first or event.at
        passed = (event.at - self._first) / 1e6
        node = node_of(event.address) if event.address else ""
        room = max(_BEFORE_TEXT, self.console.width - _BEFORE_TEXT)
        text = shortened(printable(self._words(event)), room)
        color = _COLORS.get(event.type.partition(".")[0], "")
        self.console.print(
            Text(f"{event.seq:>4} {passed:>6.2f}s  {event.type:<15} {node:<8} {text}", style=color)
        )

    def _words(self, event: Event) -> str:
        """Return an event in words; outcomes of tools name the tool, which the timeline leaves to the address."""
        call = self.state.calls.get(event.address or "")
        if call is not None and event.type.startswith("tool.") and event.type != "tool.requested":
            return f"{call.request['name']}: {line(event).text}"
        if event.type == "tool.requested" and event.data.get("attempt", 1) > 1:
            return f"{event.data['name']} again: attempt {event.data['attempt']}, with the same idempotency key"
        return line(event).text
