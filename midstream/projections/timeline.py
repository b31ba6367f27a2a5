"""What happened, one line an event, for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midstream.events.envelope import ERASED, Event
from midstream.events.payloads import VERSIONS

_LONGEST = 100


@dataclass(frozen=True, slots=True)
class Line:
    """One event in words.

    Attributes:
        seq: Its number in the run.
        at: When, in microseconds since 1970.
        type: Its type.
        step: The step it belongs to, or empty.
        text: What it says.
    """

    seq: int
    at: int
    type: str
    step: str
    text: str


def line(event: Event) -> Line:
    """Put one event into words; one of a later release is shown by its data."""
    if event.type == ERASED:
        return Line(event.seq, event.at, event.stored[0], event.address or "", ERASED)
    known = VERSIONS.get(event.type) == event.version
    describe = _WORDS.get(event.type) if known else None
    text = str(dict(event.data)) if describe is None else describe(event.data)
    return Line(event.seq, event.at, event.type, event.address or "", shortened(text))


def shortened(text: str, longest: int = _LONGEST) -> str:
    """Return the text on one line, cut where it is longer than that."""
    flat = " ".join(text.split())
    return flat if len(flat) <= longest else flat[: longest - 1] + "…"


def _model_requested(data: Mapping[str, Any]) -> str:
    asked = f"ask {data['model']}"
    if data.get("attempt", 1) > 1:
        asked += f", attempt {data['attempt']}"
    changes = data.get("changes", ())
    if changes:
        asked += f", {len(changes)} changes: {', '.join(change['kind'] for change in changes)}"
    return asked


def _model_responded(data: Mapping[str, Any]) -> str:
    said: list[str] = []
    for part in data["message"].get("parts", ()):
        if part["type"] == "text":
            said.append(part["text"])
        elif part["type"] == "tool_call":
            said.append(f"→ {part['name']}({part.get('arguments', '{}')})")
    usage = data.get("usage", {})
    tokens = f"{usage.get('input_tokens', 0)}+{usage.get('output_tokens', 0)} tokens"
    cost = data.get("cost")
    price = f", ${cost['amount']}" if cost else ""
    return f"({tokens}{price}) {' '.join(said)}"


def _failed(data: Mapping[str, Any]) -> str:
    again = ", tried again" if data.get("retry_at") is not None else ""
    return f"{data['kind']}: {data.get('message', '')}{again}"


def _switched(data: Mapping[str, Any]) -> str:
    changes = data.get("changes", ())
    source = f" instead of {data['source']}" if data.get("source") else ""
    now = ", abandoning the call in flight" if data.get("when") == "now" else ""
    brief = ", with a brief" if data.get("brief") else ""
    return f"{data.get('scope', 'run')} goes on with {data['target']}{source}{now}{brief}; {len(changes)} changes planned"


def _cut(data: Mapping[str, Any], what: str) -> str:
    whose = "every model" if data.get("lasting") else data["model"]
    why = "refused by the provider" if data.get("refused") else f"more than {data['window']}"
    return f"{whose} is told less: {what}; {data['tokens']} tokens become {data['left']} ({why})"


def _message_added(data: Mapping[str, Any]) -> str:
    message: Mapping[str, Any] = data.get("message") or {}
    parts: Sequence[Mapping[str, Any]] = message.get("parts", ())
    return " ".join(part.get("text", part["type"]) for part in parts) or "nobody will say more"


def _decided(data: Mapping[str, Any]) -> str:
    said: list[str] = []
    for verb in ("goto", "trigger"):
        said += [
            f"{verb} {call['node']}({_named(call.get('args', {}))})" for call in data.get(verb, ())
        ]
    return ", ".join(said)


def _named(args: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in args.items())


def _node_added(data: Mapping[str, Any]) -> str:
    definition = data.get("definition", {})
    needs = (*definition.get("values", {}).values(), *definition.get("after", ()))
    after = f" after {', '.join(dict.fromkeys(needs))}" if needs else ""
    args = _named(definition.get("args", {}))
    return f"{data['name']}: {definition.get('function', '')}({args}){after}"


def _scheduled(data: Mapping[str, Any]) -> str:
    inputs = ", ".join(f"{name}={origin}" for name, origin in data.get("inputs", {}).items())
    return f"{inputs} (called by {data['called']})" if data.get("called") else inputs


def _route_decided(data: Mapping[str, Any]) -> str:
    refused = ", ".join(f"not {one['endpoint']}: {one['why']}" for one in data.get("refused", ()))
    kept = ", as before" if data.get("sticky") else ""
    return f"{data['target']} → {data['endpoint']} ({data['model']}){kept}" + (
        f"; {refused}" if refused else ""
    )


def _forked(data: Mapping[str, Any]) -> str:
    changed = [*data.get("inputs", {}), *data.get("outputs", {})]
    changed += ["graph"] if data.get("definition") is not None else []
    changed += [
        f"what is asked at {one.get('step') or 'every call'}" for one in data.get("overrides", ())
    ]
    others = f", with other {', '.join(changed)}" if changed else ""
    return f"from run {data['parent']} at event {data['seq']}{others}"


def _run_failed(data: Mapping[str, Any]) -> str:
    failures = data.get("failures", ())
    return "; ".join(
        ": ".join(filter(None, (failure["address"], failure["kind"], failure["message"])))
        for failure in failures
    )


def _revised(data: Mapping[str, Any]) -> str:
    changes = [f"timeout {data['timeout']:g} s"] if data.get("timeout") else []
    changes += [f"{data['attempts']} more attempts"] if data.get("attempts") else []
    changes += ["the run goes on without it"] if data.get("on_failure") else []
    plan = data.get("plan", {})
    changes += [f"node {node['name']} added" for node in plan.get("nodes", ())]
    changes += [f"edge {edge['source']} → {edge['target']}" for edge in plan.get("edges", ())]
    changes += [f"node {name} removed" for name in plan.get("remove", ())]
    return f"{data['node']}: {', '.join(changes)}"


def _feedback(data: Mapping[str, Any]) -> str:
    score = f" {data['score']:g}" if data.get("score") is not None else ""
    said = f"{data['kind']}{score}"
    text = data.get("text", "")
    return f"{said}: {text}" if text else said


def _memory_read(data: Mapping[str, Any]) -> str:
    offers = data.get("items", {}).get("offers")
    if offers is None:
        return f"{data['memory']}: {len(data.get('messages', ()))} messages"
    told = [offer["id"] for offer in offers if not offer.get("why")]
    held = [f"{offer['id']} ({offer['why']})" for offer in offers if offer.get("why")]
    said = f"{data['memory']}: told {', '.join(told) or 'nothing'}"
    return f"{said}; not told: {', '.join(held)}" if held else said


def _drafted(data: Mapping[str, Any]) -> str:
    return f"{data['id']}: when {data['when']}: {data['do']}"


def _credited(data: Mapping[str, Any]) -> str:
    told = ", ".join(data.get("told", ())) or "nothing"
    return f"{data['run']} {data['step']}: {data['outcome']:g} with {told}"


def _exceeded(data: Mapping[str, Any]) -> str:
    return (
        f"{data['budget']}: {data['spent']} of {data['limit']} {data.get('what', '')} spent, "
        f"{data.get('estimate', '')} more wanted: {data.get('action', 'fail')}"
    )


def _asked(data: Mapping[str, Any]) -> str:
    until = f", until {data['deadline']:.3f}" if data.get("deadline") is not None else ""
    return f"{data['id']}, {data['kind']}{until}: {data['text']}"


def _answered(data: Mapping[str, Any]) -> str:
    said = {None: "", True: "yes", False: "no"}[data.get("approved")]
    changed = f"{data['arguments']}" if data.get("arguments") else ""
    value = f"{data['value']!r}" if data.get("value") is not None else ""
    return ", ".join(part for part in (said, value, changed, data.get("by", "")) if part)


_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "run.created": lambda data: (
        f"graph {data['graph']}, inputs {data.get('inputs', {})}, model {data.get('model', '')}"
        f"{', started by ' + data['parent'] if data.get('parent') else ''}"
    ),
    "run.resumed": lambda data: f"driver {data['driver']} took over, epoch {data['epoch']}",
    "run.forked": _forked,
    "graph.upgraded": lambda data: (
        f"goes on with version {data.get('code', '')!r} of the code, graph {data['graph_digest'][:12]}"
        f"{'' if data.get('definition') else ', of the same shape'}"
    ),
    "run.erased": lambda data: data.get("reason", ""),
    "subject.erased": lambda data: (
        f"{data['subject']}: {data['runs']} runs. {data.get('reason', '')}"
    ),
    "run.removed": lambda data: " ".join(
        (f"{data['run']}: {data['status']}, {data['seq']} events.", data.get("reason", ""))
    ),
    "run.paused": lambda data: data.get("reason", ""),
    "run.continued": lambda data: "",
    "run.completed": lambda data: f"output {data.get('output')!r}",
    "run.failed": _run_failed,
    "run.cancel_requested": lambda data: data.get("reason", ""),
    "run.cancelled": lambda data: data.get("reason", ""),
    "limit.reached": lambda data: f"{data['limit']}: {data['message']}",
    "node.scheduled": _scheduled,
    "node.started": lambda data: f"attempt {data['attempt']}",
    "node.completed": lambda data: f"output {data.get('output')!r}",
    "node.failed": _failed,
    "node.skipped": lambda data: data.get("reason", ""),
    "edge.decided": _decided,
    "node.added": _node_added,
    "node.removed": lambda data: str(data["name"]),
    "edge.added": lambda data: (
        f"{data['source']} → {data['target']}{'.' + data['to'] if data.get('to') else ''}"
    ),
    "edge.removed": lambda data: f"{data['source']} → {data['target']}",
    "model.requested": _model_requested,
    "model.responded": _model_responded,
    "model.failed": _failed,
    "model.aborted": lambda data: f"{data['reason']}: {data.get('text', '')}",
    "tool.requested": lambda data: (
        f"{data['name']}({data.get('arguments', {})}), {data.get('effect', 'unsafe')}"
    ),
    "tool.completed": lambda data: f"{data.get('result')!r}",
    "tool.failed": _failed,
    "tool.unknown": lambda data: data.get("reason", ""),
    "tool.retried": lambda data: "to be called again",
    "value.recorded": lambda data: repr(data.get("value")),
    "subrun.requested": lambda data: (
        f"run {data['run']} of graph {data['graph']}, inputs {data.get('inputs', {})}"
    ),
    "subrun.completed": lambda data: f"output {data.get('output')!r}",
    "subrun.failed": lambda data: f"{data['kind']}: {data.get('message', '')}",
    "subrun.closing": lambda data: f"cancel it: {data.get('reason', '')}",
    "timer.set": lambda data: f"until {data['until']:.3f}",
    "timer.fired": lambda data: "",
    "timer.cancelled": lambda data: data["reason"],
    "question.asked": _asked,
    "question.answered": _answered,
    "question.expired": lambda data: "nobody answered in time",
    "question.withdrawn": lambda data: data["reason"],
    "budget.exceeded": _exceeded,
    "agent.started": lambda data: data.get("task", ""),
    "agent.concluded": lambda data: data.get("text", ""),
    "memory.read": _memory_read,
    "memory.written": lambda data: f"{data['memory']}: {len(data.get('messages', ()))} messages",
    "model.switched": _switched,
    "route.decided": _route_decided,
    "route.reserved": lambda data: f"room at {data['endpoint']} for {data['target']}",
    "route.settled": lambda data: f"{data['endpoint']}: {data['outcome']}",
    "route.reset": lambda data: f"statistics of {data.get('target') or 'all'} start from zero",
    "breaker.opened": lambda data: f"{data['name']}: {data['reason']}",
    "breaker.half_opened": lambda data: f"{data['name']}: {data.get('probes', 1)} probes",
    "breaker.closed": lambda data: f"{data['name']}: {data.get('reason', 'answered')}",
    "endpoint.drained": lambda data: f"{data['endpoint']} {data.get('reason', '')}",
    "endpoint.restored": lambda data: data["endpoint"],
    "reflection.made": lambda data: f"{data['failure_type']}: {data['root_cause']}",
    "plan.revised": _revised,
    "feedback.added": _feedback,
    "lesson.drafted": _drafted,
    "lesson.supported": lambda data: f"{data['id']}: {len(data['evidence'])} more",
    "lesson.moved": lambda data: f"{data['id']} is {data['status']}: {data.get('reason', '')}",
    "lesson.contradicted": lambda data: f"{data['id']} and {data['other']}",
    "lesson.credited": _credited,
    "lesson.tried": lambda data: (
        f"{data['id']} {'helped' if data['passed'] else 'did not help'} at {data['run']} {data['step']}"
    ),
    "experience.distilled": lambda data: f"{data['run']} by {data['distiller']}",
    "experience.erased": lambda data: f"{data['run']}: {data.get('reason', '')}",
    "context.trimmed": lambda data: _cut(data, f"{len(data.get('results', ()))} outputs of tools"),
    "context.summarised": lambda data: _cut(data, f"what was before {data['since']}, by a summary"),
    "message.added": _message_added,
    "note.added": lambda data: f"{data.get('data')!r}",
}
