"""`midstream show RUN --step STEP`: one step, with all that was said and done in it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import as_json, printable, put, put_json
from midstream.cli.settings import SETTINGS
from midstream.cli.show import MARKS
from midstream.cli.spans import span
from midstream.cli.tail import in_words, row
from midstream.engine.driving.moments import moment_seq
from midstream.errors import RunErasedError, StepNotFoundError
from midstream.events.content import Message
from midstream.events.envelope import Event
from midstream.projections.trace import Step, Trace
from midstream.projections.transcript import words


async def show_step(wanted: str, name: str, *, at: str) -> int:
    """Show one step of a run.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        name: Its address; a node's name is its newest activation.
        at: As it stood at this event, or before this step; empty for now.
    """
    run, place = split_moment(wanted)
    trace, kept = Trace(), dict[str, list[Event]]()
    async with reading() as store:
        info = await find_run(store, run)
        if info.erased:
            raise RunErasedError(info.run_id)
        to = await moment_seq(store, info.run_id, moment_of(at) or place)
        async for event in store.read(info.run_id, to=to):
            trace.add(event)
            if event.address is not None:
                kept.setdefault(event.address, []).append(event)
    step = _meant(info.run_id, trace, name)
    events = kept.get(step.id, [])
    if SETTINGS.get().as_json:
        (shown,) = (one for one in trace.data() if one["id"] == step.id)
        put_json({"run_id": info.run_id, "step": shown, "events": [row(event) for event in events]})
        return OK
    for text in _lines(trace, step, events):
        put(text)
    return OK


def _meant(run_id: str, trace: Trace, name: str) -> Step:
    if name in trace.steps:
        return trace.steps[name]
    activations = [one for one in trace.steps.values() if one.type == "node" and one.name == name]
    alike = [one for one in trace.steps.values() if one.id.startswith(name)] if name else []
    if activations:
        return activations[-1]
    if len(alike) == 1:
        return alike[0]
    from midstream.engine.experience.feedback import nearest  # only where nothing is found

    near = [one.id for one in alike[:8]] or nearest(name, list(trace.steps))
    raise StepNotFoundError(run_id, name, near)


def _lines(trace: Trace, step: Step, events: Sequence[Event]) -> Iterator[str]:
    mark = MARKS.get(step.status, ("?", ""))[0]
    took = "" if step.seconds is None else f"  {span(step.seconds)}"
    tokens = step.input_tokens + step.output_tokens
    used = f"  {tokens} tokens  ${step.cost:.4f}" if tokens else ""
    kind = step.type.replace("_", " ")
    yield f"{step.id}  {kind} {step.name}  {mark} {step.status}{took}{used}"
    if step.within:
        yield f"within     {step.within}"
    if step.parents:
        yield f"led to by  {', '.join(step.parents)}"
    for inner in trace.within(step.id):
        yield f"in it      {inner.id}  {inner.name}  {inner.status}"
    for event in events:
        yield from _said(event)
    yield ""
    first = events[0].at if events else 0
    yield from (in_words(event, first) for event in events)


def _said(event: Event) -> Iterator[str]:
    tell = _TOLD.get(event.type)
    if tell is not None:
        yield from tell(event.data)
    for change in event.data.get("changes", ()):
        lost = "lost" if change.get("severity") == "loss" else "otherwise"
        yield _part(lost, f"{change['kind']}: {change.get('detail', '')}")


def _asked(data: Mapping[str, Any]) -> Iterator[str]:
    if data.get("system"):
        yield _part("instruction", data["system"])
    for message in data.get("messages", ()):
        yield from _message(message)


def _returned(data: Mapping[str, Any]) -> Iterator[str]:
    yield _part("result", as_json(data.get("parts") or data.get("result")))


def _failed(data: Mapping[str, Any]) -> Iterator[str]:
    yield _part("error", f"{data['kind']}: {data.get('message', '')}")
    if data.get("traceback"):
        yield printable(data["traceback"].rstrip())


def _answered(data: Mapping[str, Any]) -> Iterator[str]:
    yield _part("answer", as_json({key: data.get(key) for key in ("approved", "value", "by")}))


_TOLD: Mapping[str, Callable[[Mapping[str, Any]], Iterable[str]]] = {
    "model.requested": _asked,
    "model.responded": lambda data: _message(data["message"]),
    "model.failed": _failed,
    "tool.requested": lambda data: [_part("arguments", as_json(data.get("arguments", {})))],
    "tool.completed": _returned,
    "tool.failed": _failed,
    "node.completed": lambda data: [_part("output", as_json(data.get("output")))],
    "node.failed": _failed,
    "question.asked": lambda data: [_part("question", data["text"])],
    "question.answered": _answered,
}


def _message(raw: Any) -> Iterator[str]:
    for line in words(Message.model_validate(raw)):
        who, _, what = line.partition(": ")
        yield _part(who, what)


def _part(name: str, text: str) -> str:
    return f"{name:<10} {printable(text)}".replace("\n", "\n           ")
