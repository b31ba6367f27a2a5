"""A run as one page of HTML: no script, nothing fetched, readable everywhere, and no larger than somebody can look at.

What is in a log was written by models, tools and strangers, so all of it is text here; the page runs nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Sequence
from datetime import UTC, datetime
from typing import TypeVar

from midstream.events.envelope import Event
from midstream.events.pause import no_collecting
from midstream.projections import page_parts as parts
from midstream.projections.diff import RunDiff
from midstream.projections.fold import fold
from midstream.projections.markup import Html, el, join, raw, void
from midstream.projections.page_parts import Spoken
from midstream.projections.page_style import STYLE
from midstream.projections.run_state import RunState, apply
from midstream.projections.timeline import Line, line
from midstream.projections.trace import Trace
from midstream.projections.usage import USAGE, UsageState

T = TypeVar("T")

MOST_STEPS = 2000
MOST_CALLS = 300
MOST_EVENTS = 3000
"""How many of each are shown; the first ones and the last ones, where there are more."""

MOST_TALK = 3_000_000
"""After so many letters, no further model call is shown."""

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


class Page:
    """A run, as far as it has been read.

    Args:
        run_id: The run.
        at: The event at which it is shown as it stood; None where that is its newest one.
    """

    def __init__(self, run_id: str, *, at: int | None = None) -> None:
        self._run_id, self._at = run_id, at
        self._state = RunState()
        self._trace = Trace()
        self._usage = UsageState()
        self._lines: list[Line] = []
        self._calls: dict[str, Spoken] = {}

    @property
    def _name(self) -> str:
        """The run, or the moment of it that is shown, as the command line takes it."""
        return self._run_id if self._at is None else f"{self._run_id}@{self._at}"

    async def read(self, events: AsyncIterable[Event]) -> None:
        """Take in events, as they come."""
        async for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in the next event."""
        apply(self._state, event)
        self._trace.add(event)
        fold(USAGE, (event,), self._usage)
        self._lines.append(line(event))
        if event.type.startswith("model.") and event.address is not None:
            self._say(event)
        elif event.type in ("tool.completed", "tool.failed"):
            self._result(event)

    def _say(self, event: Event) -> None:
        data, address = event.data, event.address or ""
        call = self._calls.get(address)
        if event.type == "model.requested":
            if call is None:
                call = self._calls[address] = Spoken(address, event.seq, data["model"])
                call.asked += data.get("messages", ())
                call.system = data.get("system")
            call.model = data["model"]
            call.changes += data.get("changes", ())
        elif call is not None and event.type == "model.responded":
            call.answer, call.finish = data["message"], data.get("finish", "stop")
            call.usage = data.get("usage", {})
            call.cost = data["cost"]["amount"] if data.get("cost") else ""
            call.error = ""
        elif call is not None:
            call.error = f"{data.get('kind', data.get('reason', ''))}: {data.get('message', '')}"

    def _result(self, event: Event) -> None:
        address = event.address or ""
        call = self._calls.get(address.rpartition("/call:")[0])
        if call is not None:
            data = event.data
            shown = data.get("result") if event.type == "tool.completed" else data.get("message")
            call.results.append((self._trace.steps[address].name, shown))

    def html(self, difference: RunDiff | None = None) -> str:
        """Return the page.

        Args:
            difference: Where a fork and its parent part, or None.
        """
        with no_collecting():
            return "<!doctype html>\n" + el("html", self._head(), self._body(difference), lang="en")

    def _head(self) -> Html:
        return el(
            "head",
            void("meta", charset="utf-8"),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            void("meta", http_equiv="Content-Security-Policy", content=_POLICY),
            el("title", f"{self._run_id} · {self._state.graph}"),
            el("style", raw(STYLE)),
        )

    def _body(self, difference: RunDiff | None) -> Html:
        sections = [
            (name, title, body)
            for name, title, body in self._sections(difference)
            if body is not None
        ]
        links = (el("li", el("a", title, href=f"#{name}")) for name, title, _ in sections)
        return el(
            "body",
            el("a", "Skip to the steps", href="#steps", class_="skip"),
            el(
                "header",
                el("h1", f"Run {self._name}"),
                el("nav", el("ul", *links), aria_label="On this page"),
            ),
            el(
                "main",
                *(
                    el("section", el("h2", title, id=name), body, aria_labelledby=name)
                    for name, title, body in sections
                ),
            ),
            el(
                "footer",
                el(
                    "p",
                    "Written by ",
                    el("code", f"midstream export html {self._name}"),
                    ".",
                    class_="soft",
                ),
            ),
        )

    def _sections(self, difference: RunDiff | None) -> Sequence[tuple[str, str, Html | None]]:
        calls = list(self._calls.values())
        changed = [call for call in calls if call.changes]
        return (
            ("overview", "Overview", self._overview()),
            ("steps", "Steps", self._steps()),
            ("models", "What models were told, and said", self._said(calls) if calls else None),
            ("losses", "Losses and repairs", parts.losses(changed) if changed else None),
            ("cost", "Cost", self._cost() if calls else None),
            (
                "fork",
                "Beside its parent",
                None if difference is None else parts.difference(difference),
            ),
            ("events", "Events", self._events()),
        )

    def _overview(self) -> Html:
        state, total = self._state, self._usage.total
        first, last = self._lines[0].at, self._lines[-1].at
        tags = ", ".join(f"{key}={value}" for key, value in state.tags.items())
        rows: list[tuple[str, object]] = [
            ("graph", state.graph),
            ("status", parts.status(state.status)),
            ("began", _moment(first)),
            ("newest event", f"{_moment(last)}, {(last - first) / 1e6:.2f} s later"),
            ("events", state.seq),
            ("models", ", ".join(self._usage.by_model) or "none"),
            ("tokens", f"{total.input_tokens} read, {total.output_tokens} written"),
            ("cost", parts.money(total.cost)),
        ]
        rows += [("tags", tags)] if tags else []
        rows.append(("inputs", parts.value(dict(state.inputs))))
        if state.status == "completed":
            rows.append(("output", parts.value(state.output)))
        failed = [one for one in self._lines if one.type == "run.failed"]
        rows += [("failed", el("span", one.text, class_="bad")) for one in failed]
        return el("dl", *(join((el("dt", name), el("dd", value))) for name, value in rows))

    def _steps(self) -> Html:
        found = list(self._trace.steps.values())
        shown = _ends(found, MOST_STEPS)
        depth: dict[str, int] = {}
        for step in found:
            depth[step.id] = depth[step.within] + 1 if step.within in depth else 0
        first, last = self._lines[0].at, self._lines[-1].at
        return join((_left_out(len(found), len(shown)), parts.steps(shown, first, last, depth)))

    def _said(self, calls: Sequence[Spoken]) -> Html:
        shown = _ends(calls, MOST_CALLS)
        new = el(
            "p",
            "Of each call, what was new in its conversation; the rest is in those before it.",
            class_="soft",
        )
        made, size = list[Html](), 0
        for call in shown:
            if size > MOST_TALK:
                break
            made.append(parts.spoken(call))
            size += len(made[-1])
        return join((new, _left_out(len(calls), len(made)), *made))

    def _cost(self) -> Html:
        by_node = parts.tallies("node", self._usage.by_node)
        return join((parts.tallies("model", self._usage.by_model), by_node))

    def _events(self) -> Html:
        shown = _ends(self._lines, MOST_EVENTS)
        table = parts.events(shown, self._lines[0].at)
        return join((_left_out(len(self._lines), len(shown)), table))


def _ends(found: Sequence[T], most: int) -> Sequence[T]:
    """Return all, or the first and the last ones."""
    if len(found) <= most:
        return found
    half = most // 2
    return [*found[:half], *found[-half:]]


def _left_out(there: int, shown: int) -> Html | None:
    if shown == there:
        return None
    said = f"{shown} of {there} are shown; `midstream tail` and `midstream messages` write all."
    return el("p", said, class_="wait")


def _moment(at: int) -> str:
    return datetime.fromtimestamp(at / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
