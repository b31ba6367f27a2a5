"""From what a script says to what happens on a connection."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeAlias

from midstream.testing.loopback import Exchange
from midstream.testing.script import Answer, Fault
from midstream.testing.wire import Ids, Wire

Headers: TypeAlias = Mapping[str, str]
Scene: TypeAlias = Callable[[Exchange, str, Headers], None]
"""Acts on a connection; is told the id of the request and the headers that every answer has."""

_BEFORE_THE_END = 3  # events; the terminal ones, and on either wire the one before them


def play(said: Answer | Fault, wire: Wire, body: Mapping[str, Any], ids: Ids) -> Scene:
    """Prepare what happens; all that a script can have wrong shows here, before anything is sent."""
    if isinstance(said, Answer):
        return _answer(said, wire, body, ids)
    match said.kind:
        case "reset" | "truncated" | "stream_error":
            return _broken(said, wire, body, ids)
        case "malformed_json":
            return _malformed(body)
        case "empty_stream":
            return _empty(body)
        case "lost":
            return lambda exchange, request_id, headers: exchange.drop()
        case "hang":
            return partial(_hang, said.seconds)
        case _:  # the errors that are a status and a body
            return partial(_refused, said, wire)


def _answer(answer: Answer, wire: Wire, body: Mapping[str, Any], ids: Ids) -> Scene:
    if body.get("stream") is True:
        events = list(wire.events(answer, body, ids))
        return lambda exchange, request_id, headers: exchange.stream(
            iter(events), headers, delay=answer.chunk_delay
        )
    whole = wire.whole(answer, body, ids)

    def act(exchange: Exchange, request_id: str, headers: Headers) -> None:
        exchange.pause(answer.chunk_delay)
        exchange.reply_json(200, whole, headers)

    return act


def _refused(
    fault: Fault, wire: Wire, exchange: Exchange, request_id: str, headers: Headers
) -> None:
    refusal = wire.refusal(fault.kind, fault.message, request_id)
    if fault.retry_after is not None:
        refusal = wire.patience(refusal, fault.retry_after)
    exchange.reply_json(refusal.status, refusal.body, {**headers, **refusal.headers})


def _hang(seconds: float, exchange: Exchange, request_id: str, headers: Headers) -> None:
    exchange.pause(seconds)
    exchange.drop()


def _broken(fault: Fault, wire: Wire, body: Mapping[str, Any], ids: Ids) -> Scene:
    if fault.kind == "reset" and fault.after_events == 0:
        return lambda exchange, request_id, headers: exchange.reset()
    if body.get("stream") is True:
        return _broken_stream(fault, wire, list(wire.events(fault.answer, body, ids)))
    if fault.kind == "stream_error":
        return partial(_refused, Fault.overloaded(), wire)
    whole = json.dumps(wire.whole(fault.answer, body, ids)).encode()
    return partial(_broken_whole, fault, whole)


def _broken_stream(fault: Fault, wire: Wire, events: list[bytes]) -> Scene:
    if fault.after_events is None:
        sent = events[: max(1, len(events) - _BEFORE_THE_END)]
    else:
        sent = events[: min(fault.after_events, len(events) - 1)]
    if fault.kind == "stream_error":
        sent = [*sent, wire.error_event()]

    def act(exchange: Exchange, request_id: str, headers: Headers) -> None:
        delay = fault.answer.chunk_delay
        exchange.stream(iter(sent), headers, delay=delay, end=fault.kind != "reset")
        if fault.kind == "reset":
            exchange.reset()

    return act


def _broken_whole(
    fault: Fault, whole: bytes, exchange: Exchange, request_id: str, headers: Headers
) -> None:
    half = whole[: len(whole) // 2]
    kind = {"content-type": "application/json"}
    if fault.kind == "truncated":
        exchange.reply(200, half, {**kind, **headers})
    else:
        exchange.reply(200, half, {**kind, **headers}, promised=len(whole))
        exchange.reset()


def _malformed(body: Mapping[str, Any]) -> Scene:
    if body.get("stream") is True:
        # a name of an event that both SDKs read; the OpenAI one reads events without a look at their names
        events = [b'event: message_start\ndata: {"id": "cut of\n\n']
        return lambda exchange, request_id, headers: exchange.stream(iter(events), headers)
    kind = {"content-type": "application/json"}
    page = b"<html><body>upstream has gone away</body></html>"
    return lambda exchange, request_id, headers: exchange.reply(200, page, {**kind, **headers})


def _empty(body: Mapping[str, Any]) -> Scene:
    if body.get("stream") is True:
        return lambda exchange, request_id, headers: exchange.stream(iter(()), headers)
    kind = {"content-type": "application/json"}
    return lambda exchange, request_id, headers: exchange.reply(200, b"", {**kind, **headers})
