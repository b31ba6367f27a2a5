"""Calling tools: intent, effect, outcome, and what becomes of a call whose process died in the middle."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from pydantic import JsonValue

from midstream.engine.models.approval import Verdict, approved
from midstream.engine.recording.calls import Desk, Restart, shown
from midstream.engine.tools.tool import RETRY_CALL, Tool, ToolContext, UnknownCall
from midstream.errors import AdapterError, NotRecordableError, RedactedError, StoreError, ToolError
from midstream.events import payloads
from midstream.events.content import Audio, Document, Image, Text, ToolCall
from midstream.events.ids import Address
from midstream.events.values import own, plain
from midstream.projections.run_state import Call

REFUSED = "refused"
"""The kind of failure of a call that a person did not approve; it is never made again by itself."""

CANNOT = frozenset(("unknown_tool", "bad_arguments"))
"""The kinds of failures of calls that cannot be made as the model wrote them."""

TOLD = CANNOT | {REFUSED}
"""The kinds of failures that are not the tool's, and that a model is told of whatever the tool's policy."""


async def call_tool(
    desk: Desk,
    tool: Tool,
    arguments: Mapping[str, Any],
    address: Address,
    *,
    lane: str = "",
    call_id: str = "",
) -> JsonValue:
    """Call a tool, or return what its record says.

    Args:
        desk: Of the activation that calls.
        tool: What to call.
        arguments: With what.
        address: Of the call.
        lane: The parallel branch that calls.
        call_id: The model's id of the call, where a model made it.

    Raises:
        ToolError: It failed for good.
        NotRecordableError: The arguments are not JSON; nothing was recorded.
    """
    told = bool(call_id) and tool.on_error == "tell"
    while True:
        call = desk.call(address)
        if call is not None and _is_final(desk, call, told=told):
            return _outcome(tool, call)
        if call is not None and call.status in ("open", "unknown") and _answered(desk, call):
            continue
        if call is not None and call.status == "unknown":
            await _settle(desk, tool, call)
            continue
        if call is not None and _may_have_happened(desk, tool, call):
            # Its process died between the intent and the outcome: nobody here knows what it did.
            await desk.turn(address)
            reason = (
                "in flight where the run was forked"
                if call.epoch is None
                else f"in flight when the driver of epoch {call.epoch} ended"
            )
            desk.recorder.add(payloads.ToolUnknown(reason=reason), address)
            await desk.intent()
            continue
        if call is not None and call.outcome is not None and call.status == "waiting":
            await desk.wait(call.outcome.get("retry_at") or 0.0, unless=None)
        verdict = Verdict(arguments)
        if tool.confirm is not False and (call is None or call.status == "failed"):
            verdict = await _asked(desk, tool, arguments, address, lane=lane, call_id=call_id)
            if verdict.refusal:
                continue
        async with tool.gate():
            await _once(desk, tool, verdict, address, lane=lane, call_id=call_id)


def _is_final(desk: Desk, call: Call, *, told: bool) -> bool:
    if call.status != "failed":
        return call.status == "completed"
    return (call.outcome or {})["kind"] == REFUSED or not desk.again(call, told=told)


def _answered(desk: Desk, call: Call) -> bool:
    """Say whether the log of the run that is tried answers in place of the tool."""
    answers = desk.recorder.answers
    return answers is not None and answers.give_tool(desk.recorder, call.address, call.request)


def _may_have_happened(desk: Desk, tool: Tool, call: Call) -> bool:
    """Say whether an unsafe call was in flight when another driver ended."""
    elsewhere = call.status == "open" and call.epoch != desk.recorder.epoch
    return elsewhere and tool.effect == "unsafe"


async def _asked(
    desk: Desk,
    tool: Tool,
    arguments: Mapping[str, Any],
    address: Address,
    *,
    lane: str,
    call_id: str,
) -> Verdict:
    """Have a person approve the call; one that is refused is recorded, with what is told of it."""
    try:
        verdict = await approved(desk, tool, arguments, address, lane)
    except ToolError as error:
        verdict, kind = Verdict(arguments, refusal=shown(error)), error.kind
    else:
        kind = REFUSED
    if verdict.refusal:
        await desk.gate()
        await desk.turn(address)
        attempt = request_tool(desk, tool, verdict, address, lane=lane, call_id=call_id)
        failed = payloads.ToolFailed(kind=kind, message=verdict.refusal, attempt=attempt)
        desk.recorder.add(failed, address)
    return verdict


async def _once(
    desk: Desk, tool: Tool, verdict: Verdict, address: Address, *, lane: str, call_id: str
) -> None:
    """Record the intent, unless this driver has done so, and make one attempt."""
    call = desk.call(address)
    if call is not None and call.status == "open" and call.epoch == desk.recorder.epoch:
        attempt = call.attempt  # this driver wrote the intent and has not begun
    else:
        await desk.gate()
        await desk.turn(address)
        attempt = request_tool(desk, tool, verdict, address, lane=lane, call_id=call_id)
    await desk.intent()
    if (answers := desk.recorder.answers) is not None:
        if _answered(desk, desk.state.calls[address]):
            return
        await answers.permit_tool(tool.name, tool.effect, address)
    if tool.elsewhere:
        desk.recorder.add(payloads.ToolUnknown(reason="there is no code for it here"), address)
        return
    # What was recorded, not what was asked for: a person may have changed it, in another process.
    arguments = desk.state.calls[address].request.get("arguments", {})
    await _attempt(desk, tool, (arguments, verdict.arguments), address, attempt)
    await desk.recorded()


def request_tool(
    desk: Desk,
    tool: Tool,
    verdict: Verdict,
    address: Address,
    *,
    lane: str,
    call_id: str,
) -> int:
    """Record the intent to call, and return which attempt it is."""
    call = desk.call(address)
    key = idempotency_key(desk.recorder.run_id, address)
    if call is None:
        desk.recorder.add(
            payloads.ToolRequested(
                name=tool.name,
                arguments=_recordable(tool, verdict.arguments),
                effect=tool.effect,
                key=key,
                call_id=call_id,
                lane=lane,
                edited=verdict.edited,
            ),
            address,
        )
        return 1
    attempt = call.attempt + 1
    desk.recorder.add(
        payloads.ToolRequested(name=tool.name, effect=tool.effect, key=key, attempt=attempt),
        address,
    )
    return attempt


def idempotency_key(run_id: str, address: str) -> str:
    """Return the key of a call: the same for every attempt, in every process."""
    return sha256(f"{run_id}/{address}".encode()).hexdigest()[:32]


async def _attempt(
    desk: Desk,
    tool: Tool,
    arguments: tuple[Mapping[str, Any], Mapping[str, Any]],
    address: Address,
    attempt: int,
) -> None:
    """Make one attempt, with the arguments as recorded and as they are given now, and record what came of it."""
    from midstream.events.redaction import restored

    recorder = desk.recorder
    if recorder.paced and await recorder.outcome(address):
        return
    try:
        checked = tool.check(restored(*arguments, f"arguments of {tool.name!r}"))
        if tool.context:
            key = idempotency_key(recorder.run_id, address)
            user = desk.state.tags.get("user", "")
            checked[tool.context] = ToolContext(
                recorder.run_id, address, key, attempt, user, desk.context
            )
        with desk.branches.working():
            async with asyncio.timeout(tool.timeout):
                result = await desk.effect(_run(tool, checked))
        recorder.add(completed(tool.name, result), address)
    except StoreError:
        raise
    except asyncio.CancelledError as error:
        current = asyncio.current_task()
        if current is None or current.cancelling():
            raise
        # Nobody cancelled this call: the tool awaited something that somebody else had cancelled.
        _failed(desk, tool, address, "cancelled", shown(error), attempt)
    except TimeoutError as error:
        limit = f"{tool.name!r} took longer than {tool.timeout} s" if tool.timeout else shown(error)
        _failed(desk, tool, address, "timeout", limit, attempt)
    except NotRecordableError as error:
        recorder.add(
            payloads.ToolFailed(kind="not_recordable", message=shown(error), attempt=attempt),
            address,
        )
    except ToolError as error:
        recorder.add(
            payloads.ToolFailed(kind=error.kind, message=shown(error), attempt=attempt), address
        )
    except Exception as error:  # noqa: BLE001  # a tool is user code: whatever it raises is its outcome
        kind = error.kind if isinstance(error, AdapterError) else type(error).__name__
        _failed(desk, tool, address, kind, shown(error), attempt)


def completed(name: str, result: Any) -> payloads.ToolCompleted:
    """Return what a tool returned as a fact: content as content, anything else as JSON.

    Raises:
        NotRecordableError: It is neither.
    """
    parts: tuple[Any, ...] = tuple(result) if isinstance(result, list | tuple) else (result,)  # pyright: ignore[reportUnknownArgumentType,reportUnknownVariableType]  # looked at next
    if parts and all(isinstance(part, Text | Image | Document | Audio) for part in parts):
        return payloads.ToolCompleted(parts=parts)
    return payloads.ToolCompleted(result=plain(result, f"result of {name!r}"))


async def _run(tool: Tool, arguments: dict[str, Any]) -> Any:
    if tool.is_async:
        return await tool.function(**arguments)
    return await asyncio.to_thread(tool.function, **arguments)


def _failed(
    desk: Desk, tool: Tool, address: Address, kind: str, message: str, attempt: int
) -> None:
    seed = f"{desk.recorder.run_id}/{address}"
    retry_at = tool.retry.due(kind, attempt, now=desk.clock.now(), seed=seed)
    failed = payloads.ToolFailed(kind=kind, message=message, retry_at=retry_at, attempt=attempt)
    desk.recorder.add(failed, address)


def _outcome(tool: Tool, call: Call) -> JsonValue:
    from midstream.events.redaction import REDACTED

    outcome = call.outcome or {}
    if call.status == "completed":
        return own(outcome.get("parts") or outcome.get("result"))
    raised = RedactedError if outcome["kind"] == REDACTED else ToolError
    raise raised(
        outcome.get("message", ""), tool=tool.name, address=call.address, kind=outcome["kind"]
    )


async def _settle(desk: Desk, tool: Tool, call: Call) -> None:
    """Have a call of unknown outcome settled: by the tool's handler, or by whoever appends its outcome."""
    if desk.recorder.paced and await desk.recorder.outcome(call.address):
        return
    if desk.recorder.answers is not None:
        await desk.recorder.answers.halt(f"nobody knows what became of {call.address}")
    if tool.on_unknown is None:
        await desk.wait(None, unless=lambda: desk.state.calls[call.address].status != "unknown")
        return
    request = call.request
    asked = UnknownCall(
        desk.recorder.run_id, call.address, tool.name, request.get("arguments", {}), request["key"]
    )
    recorder = desk.recorder
    try:
        found = await desk.effect(tool.on_unknown(asked))
        if found is RETRY_CALL:
            recorder.add(payloads.ToolRetried(id=f"{call.address}@{recorder.epoch}"), call.address)
        else:
            recorder.add(completed(tool.name, found), call.address)
    except (StoreError, Restart):
        raise
    except Exception as error:  # noqa: BLE001  # the handler is user code: what it raises is what the tool failed with
        recorder.add(
            payloads.ToolFailed(
                kind=type(error).__name__, message=shown(error), attempt=call.attempt
            ),
            call.address,
        )
    # Somebody else may have settled it meanwhile, and been told that it counts.
    await recorder.durable()


def request_all(
    desk: Desk, tools: Mapping[str, Tool], calls: Mapping[Address, ToolCall], *, lane: str
) -> None:
    """Record the intents of a model's parallel calls at once, so that they share one append.

    The intent of a call that has to wait for a person or for others is recorded when its wait is over.
    """
    for address, wanted in calls.items():
        if desk.call(address) is not None:
            continue
        tool, parsed = tools.get(wanted.name), wanted.parsed()
        if tool is None:
            known = ", ".join(sorted(tools)) or "none"
            message = f"there is no tool {wanted.name!r}; there are: {known}"
            _refuse(desk, wanted, address, lane, "unknown_tool", message)
        elif parsed is None:
            message = (
                f"the arguments of {wanted.name!r} are not a JSON object: {wanted.arguments!r:.200}"
            )
            _refuse(desk, wanted, address, lane, "bad_arguments", message)
        else:
            try:
                verdict = Verdict(_recordable(tool, parsed))
            except NotRecordableError as error:
                _refuse(desk, wanted, address, lane, "bad_arguments", shown(error))
                continue
            if not tool.waits:
                request_tool(desk, tool, verdict, address, lane=lane, call_id=wanted.id)


def _recordable(tool: Tool, arguments: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {
        name: plain(value, f"argument {name!r} of {tool.name!r}")
        for name, value in arguments.items()
    }


def _refuse(
    desk: Desk, wanted: ToolCall, address: Address, lane: str, kind: str, message: str
) -> None:
    """Record a call that cannot be made, with what the model is told of it."""
    key = idempotency_key(desk.recorder.run_id, address)
    desk.recorder.add(
        payloads.ToolRequested(
            name=wanted.name, effect="read", key=key, call_id=wanted.id, lane=lane
        ),
        address,
    )
    desk.recorder.add(payloads.ToolFailed(kind=kind, message=message), address)
