"""The parts of a run's page: its steps on a time line, what was said to models, what it cost, every event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import orjson

from midstream.events.content import Message
from midstream.projections.diff import RunDiff
from midstream.projections.markup import Html, el, join
from midstream.projections.timeline import Line
from midstream.projections.trace import Step
from midstream.projections.transcript import words
from midstream.projections.usage import Tally

MARKS: Mapping[str, tuple[str, str]] = {
    "completed": ("✓", "good"),
    "failed": ("✗", "bad"),
    "cancelled": ("✗", "wait"),
    "aborted": ("✗", "wait"),
    "unknown": ("?", "bad"),
    "skipped": ("-", "soft"),
}
"""A sign and a colour for each status, always beside its word; what is not here goes on."""

LONGEST = 4000
"""Letters of one text."""


@dataclass(slots=True)
class Spoken:
    """One model call.

    Attributes:
        step: Its address.
        seq: The event of its first request.
        model: Who was asked last.
        system: The instruction, where it is new.
        asked: What was new in the conversation.
        answer: What came back, or None.
        finish: Why the model stopped.
        error: How it failed, or empty.
        changes: What the model was not told, or told otherwise.
        results: Of the tools that the answer called: their names and what they returned, or how they failed.
        usage: Tokens.
        cost: As text; empty where no price is known.
    """

    step: str
    seq: int
    model: str
    system: str | None = None
    asked: list[Any] = field(default_factory=list[Any])
    answer: Any = None
    finish: str = ""
    error: str = ""
    changes: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    results: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    usage: Mapping[str, int] = field(default_factory=dict[str, int])
    cost: str = ""


def status(name: str) -> Html:
    """Return a status as sign and word."""
    mark, look = MARKS.get(name, ("◐", "wait"))
    return el("span", f"{mark} {name}", class_=look)


def value(shown: Any) -> Html:
    """Return a value: text as it is, anything else as JSON; cut where it is long."""
    if not isinstance(shown, str):
        shown = orjson.dumps(shown, default=str, option=orjson.OPT_INDENT_2).decode()
    return el("pre", cut(shown))


def cut(said: str) -> str:
    """Return a text, cut where it is long, and saying so."""
    if len(said) <= LONGEST:
        return said
    return f"{said[:LONGEST]}\n… ({len(said) - LONGEST} more letters)"


def money(amount: Decimal) -> str:
    """Return an amount in dollars."""
    return f"${amount:.4f}"


def table(
    caption: str, titles: Sequence[str], rows: Iterable[Sequence[object]], numbers: frozenset[str]
) -> Html:
    """Return a table whose first column names its rows.

    Args:
        caption: What it is.
        titles: Of the columns.
        rows: Text or markup for each column.
        numbers: Titles of columns that are set to the right.
    """
    looks = [{"class_": "n"} if title in numbers else {} for title in titles]
    head = el(
        "tr",
        *(el("th", title, scope="col", **look) for title, look in zip(titles, looks, strict=True)),
    )
    body = (
        el(
            "tr",
            el("th", row[0], scope="row"),
            *(el("td", cell, **look) for cell, look in zip(row[1:], looks[1:], strict=True)),
        )
        for row in rows
    )
    inner = el("table", el("caption", caption), el("thead", head), el("tbody", *body))
    return el("div", inner, class_="scroll", tabindex=0, role="region", aria_label=caption)


def steps(shown: Sequence[Step], began: int, ended: int, depth: Mapping[str, int]) -> Html:
    """Return the tree of steps with a bar each on a common line of time.

    Args:
        shown: In the order in which they began.
        began: The run's first moment, in microseconds since 1970.
        ended: Its last one.
        depth: How deep each step is in the tree, by address.
    """
    whole = max(ended - began, 1)
    rows = (_step(step, began, ended, whole, depth.get(step.id, 0)) for step in shown)
    return table(
        "Steps, in the order in which they began; those within a step are set in",
        ("step", "kind", "status", "began", "took", "tokens", "cost", "when"),
        rows,
        frozenset(("began", "took", "tokens", "cost")),
    )


def _step(step: Step, began: int, ended: int, whole: int, depth: int) -> Sequence[object]:
    end = step.ended_at or ended
    left, width = (100 * (step.began_at - began) / whole, 100 * (end - step.began_at) / whole)
    bar = el("div", class_="bar", style=f"left:{left:.2f}%;width:{max(width, 0.0):.2f}%")
    took = "" if step.seconds is None else f"{step.seconds:.2f} s"
    tokens = step.input_tokens + step.output_tokens
    name = step.id if step.type == "node" else f"{step.id.rpartition('/')[2]} {step.name}"
    error = el("div", cut(step.error), class_="bad") if step.error else None
    return (
        el("div", el("code", name), error, style=f"padding-left:{min(depth, 8) * 1.2:.1f}rem"),
        step.type.replace("_", " "),
        status(step.status),
        f"+{(step.began_at - began) / 1e6:.2f} s",
        took,
        tokens or "",
        money(step.cost) if step.cost else "",
        el("div", bar, class_="lane", role="img", aria_label=f"from {left:.0f}% for {width:.0f}%"),
    )


def spoken(call: Spoken) -> Html:
    """Return one model call, folded."""
    usage = f"{call.usage.get('input_tokens', 0)} + {call.usage.get('output_tokens', 0)} tokens"
    price = f", ${call.cost}" if call.cost else ""
    head = el("summary", f"event {call.seq}: ", el("b", call.model), f", {usage}{price}, ", el("code", call.step))  # fmt: skip
    said: list[Html] = []
    if call.system is not None:
        said.append(_said("instruction", call.system))
    said += [part for message in call.asked for part in _message(message)]
    if call.answer is not None:
        said.append(el("h3", f"answer ({call.finish})"))
        said += _message(call.answer)
    said += [join((el("h3", f"{name} returned"), value(found))) for name, found in call.results]
    if call.error:
        said.append(el("p", call.error, class_="bad"))
    said += [_change(change) for change in call.changes]
    return el("details", head, *said)


def _message(raw: Any) -> list[Html]:
    lines = (line.partition(": ") for line in words(Message.model_validate(raw)))
    return [_said(who, what) for who, _, what in lines]


def _said(who: str, what: str) -> Html:
    return join((el("h3", who), el("pre", cut(what))))


def _change(change: Mapping[str, Any]) -> Html:
    lost = change.get("severity") == "loss"
    said = "lost" if lost else "told otherwise"
    return el(
        "p",
        f"{said}: {change['kind']}: {change.get('detail', '')}",
        class_="bad" if lost else "wait",
    )


def tallies(caption: str, found: Mapping[str, Tally]) -> Html:
    """Return what was used, by something."""
    rows = (
        (
            name or "-",
            tally.calls,
            tally.failed or "",
            tally.input_tokens,
            tally.output_tokens,
            money(tally.cost) + (f" + {tally.unpriced} without a price" if tally.unpriced else ""),
        )
        for name, tally in found.items()
    )
    titles = (caption, "calls", "failed", "read", "written", "cost")
    return table(f"Used by {caption}", titles, rows, frozenset(titles[1:]))


def losses(calls: Sequence[Spoken]) -> Html:
    """Return what models could not be told, or were told in another form."""
    rows = [
        (
            call.seq,
            call.model,
            change.get("severity", ""),
            change["kind"],
            change.get("detail", ""),
        )
        for call in calls
        for change in call.changes
    ]
    titles = ("event", "model", "severity", "kind", "detail")
    return table("What a model was not told, or told otherwise", titles, rows, frozenset())


def events(lines: Sequence[Line], began: int) -> Html:
    """Return events, a row each."""
    rows = (
        (
            line.seq,
            f"+{(line.at - began) / 1e6:.3f} s",
            el("code", line.type),
            el("code", line.step),
            line.text,
        )
        for line in lines
    )
    titles = ("event", "time", "type", "step", "what it says")
    return table("Events", titles, rows, frozenset(("time",)))


def difference(found: RunDiff) -> Html:
    """Return where a fork and its parent part."""
    rows = ((one.step or "the run", one.left or "nothing", one.right or "nothing") for one in found.steps[:50])  # fmt: skip
    titles = ("step", found.left.run_id, found.right.run_id)
    return join(
        (
            el("p", f"{found.common} events in common. Cause: {found.cause or 'none'}."),
            table("Steps that differ", titles, rows, frozenset()) if found.steps else None,
        )
    )
