"""Answers of Chat Completions to neutral ones; a streamed answer is put together first and then read as a whole one.

What is empty or null says nothing and is left out: the two forms of the same answer differ in that. Read from plain JSON,
so that fields which no SDK knows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.answer import call_ids, malformed, mapping, merged, text, tokens
from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.openai.returning import DIALECT
from midstream.adapters.wire import arguments_text, is_array, is_object, without_surrogates
from midstream.events.content import (
    Audio,
    Citation,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from midstream.events.payloads import FinishReason, Usage

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "max_tokens": "length",  # of the first models with vision, in `finish_details`
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
}
THOUGHTS = ("reasoning_content", "reasoning")  # of compatible servers; OpenAI itself shows none
_ONCE = frozenset(("role", "type", "id", "name"))


def parse(data: Any, *, provider: str, model: str, names: Mapping[str, str]) -> ModelResponse:
    """Return the answer.

    Args:
        data: The body of the answer, as JSON.
        provider: Who answered, for the message's origin.
        model: Who was asked.
        names: The tools whose names were changed for the provider, by what stood for them.

    Raises:
        MalformedAnswerError: There is no choice, no message, or no reason why it ended.
    """
    data = without_surrogates(data)
    choices = mapping(data).get("choices")
    choice = mapping(choices[0] if is_array(choices) and choices else None)
    raw = choice.get("message")
    reason = choice.get("finish_reason", mapping(choice.get("finish_details")).get("type"))
    if raw is None and reason == "content_filter":  # Azure's filter takes the whole message
        raw = {}
    if not is_object(raw):
        raise malformed("there is no message in it", provider, model)
    if reason is None:
        raise malformed("it does not say why it ended, so it was cut off", provider, model)
    response_id = text(mapping(data).get("id"))
    wire, others = wire_of(raw, response_id)
    message = Message(
        role="assistant",
        parts=parts_of(wire, others, names, provider),
        origin=f"{provider}:{model}",
        native=None if wire == plain(wire) else wire,
    )
    return ModelResponse(
        message=message,
        usage=_usage(mapping(mapping(data).get("usage"))),
        finish=_finish(reason, message),
        response_id=response_id,
        served=text(mapping(data).get("model")),
    )


class Assembly:
    """A streamed answer while it comes.

    Args:
        names: The tools whose names were changed for the provider, by what stood for them.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._message: dict[str, Any] = {}
        self._calls: list[tuple[Any, dict[str, Any]]] = []  # index as the provider counts, call
        self._about: dict[str, Any] = {}
        self._reason: str | None = None

    def add(self, event: Any) -> list[Delta]:
        """Take one event and return what it adds for a reader."""
        chunk = mapping(event)
        for key in ("id", "model", "usage"):
            if chunk.get(key):
                self._about[key] = chunk[key]
        found: list[Delta] = []
        choices = chunk.get("choices")
        if choices == [] and chunk.get("usage") and self._message:
            self._reason = self._reason or "stop"  # the sum comes last; some servers say no reason
        for choice in choices if is_array(choices) else ():
            if mapping(choice).get("index", 0) in (0, None):
                found += self._choice(mapping(choice))
        return found

    def whole(self) -> dict[str, Any]:
        """Return the answer as it would have come in one piece."""
        message = dict(self._message)
        if self._calls:
            message["tool_calls"] = [call for _, call in self._calls]
        return {**self._about, "choices": [{"message": message, "finish_reason": self._reason}]}

    def _choice(self, choice: Mapping[str, Any]) -> list[Delta]:
        ended = choice.get("finish_reason") or mapping(choice.get("finish_details")).get("type")
        self._reason = ended or self._reason
        if choice.get("usage"):
            self._about["usage"] = choice["usage"]
        piece = mapping(choice.get("delta"))
        merged(
            self._message,
            {key: value for key, value in piece.items() if key != "tool_calls"},
            once=_ONCE,
        )
        found = [Delta(text=text(piece.get("content")))] if text(piece.get("content")) else []
        thought = next((text(piece.get(key)) for key in THOUGHTS if text(piece.get(key))), "")
        if thought:
            found.append(Delta(reasoning=thought))
        calls = piece.get("tool_calls")
        for call in calls if is_array(calls) else ():
            found += self._call(mapping(call))
        return found

    def _call(self, piece: Mapping[str, Any]) -> list[Delta]:
        """Add to the call that the piece belongs to; some servers leave out the index, or give all calls the same."""
        index, id_ = piece.get("index"), text(piece.get("id"))
        own = [
            call
            for number, call in self._calls
            if (index is None or number == index) and (not id_ or call.get("id") in (id_, None, ""))
        ]
        begun = not own
        call: dict[str, Any] = {} if begun else own[-1]
        if begun:
            self._calls.append((index, call))
        merged(call, {key: value for key, value in piece.items() if key != "index"}, once=_ONCE)
        name = text(mapping(call.get("function")).get("name"))
        return [Delta(tool=self._names.get(name, name))] if begun and name else []


def wire_of(raw: Mapping[str, Any], response_id: str) -> tuple[dict[str, Any], list[Any]]:
    """Return the message as it is sent back, and calls of kinds that cannot be answered."""
    left_out = ("role", "tool_calls", "function_call", "parsed")
    said = {k: v for k, v in raw.items() if v not in (None, []) and k not in left_out}
    item: dict[str, Any] = {"role": "assistant", **said}
    given = raw.get("tool_calls")
    calls = [dict(call) for call in given or () if is_object(call)]
    legacy = raw.get("function_call")
    if not calls and is_object(legacy):
        calls = [{"type": "function", "function": legacy}]
    known = [call for call in calls if is_object(call.get(_kind(call)))]
    ids = call_ids([text(call.get("id")) for call in known], response_id)
    told = [_call(call, id_) for call, id_ in zip(known, ids, strict=True)]
    if told:
        item["tool_calls"] = told
    if is_object(raw.get("audio")):  # only its id is taken back
        item["audio"] = {"id": raw["audio"].get("id")}
    if item.get("content") == "" and (told or "refusal" in item):
        del item["content"]
    if not item.keys() & {"content", "tool_calls", "refusal", "audio"}:
        item["content"] = ""
    others = [call for call in calls if not is_object(call.get(_kind(call)))]
    if is_object(raw.get("audio")):
        others.append({**raw["audio"], "type": "audio"})
    return item, others


def _kind(call: Mapping[str, Any]) -> str:
    """Return the field that holds a call: `custom` for one of free text."""
    return "custom" if call.get("type") == "custom" else "function"


def _call(call: Mapping[str, Any], id_: str) -> dict[str, Any]:
    """Return the call without what an SDK or a stream adds."""
    if _kind(call) == "custom":
        about = {key: value for key, value in call.items() if key not in ("id", "index")}
        return {"id": id_, **{key: value for key, value in about.items() if value is not None}}
    function = {
        key: value
        for key, value in call["function"].items()
        if value is not None and key not in ("name", "arguments", "parsed_arguments")
    }
    given = call["function"].get("arguments")
    arguments = given if isinstance(given, str) else arguments_text(given or {})
    rest = {
        key: value
        for key, value in call.items()
        if value is not None and key not in ("id", "type", "function", "index")
    }
    name = text(call["function"].get("name"))
    function = {"name": name, "arguments": arguments, **function}
    return {"id": id_, "type": "function", "function": function, **rest}


def plain(wire: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rendering the neutral parts gives, so that only another message is kept beside them."""
    item: dict[str, Any] = {"role": "assistant"}
    if isinstance(wire.get("content"), str):
        item["content"] = wire["content"]
    if text(wire.get("refusal")):
        item["refusal"] = wire["refusal"]
    if is_object(wire.get("audio")) and wire["audio"].get("id"):
        item["audio"] = {"id": wire["audio"]["id"]}
    if text(wire.get("content")) and all(map(is_object, wire.get("annotations", ()))):
        item |= {"annotations": wire["annotations"]} if "annotations" in wire else {}
    if "tool_calls" in wire:
        item["tool_calls"] = [_plain_call(call) for call in wire["tool_calls"]]
    return item


def _plain_call(call: Mapping[str, Any]) -> dict[str, Any]:
    if _kind(call) == "custom":
        custom = {key: text(call["custom"].get(key)) for key in ("name", "input")}
        return {"id": call["id"], "type": "custom", "custom": custom}
    function = {key: call["function"][key] for key in ("name", "arguments")}
    return {"id": call["id"], "type": "function", "function": function}


def parts_of(
    wire: Mapping[str, Any], others: list[Any], names: Mapping[str, str], provider: str
) -> tuple[Part, ...]:
    """Return what an answer in wire form, and calls of other kinds, say in neutral form."""
    parts: list[Part] = []
    thought = next((text(wire.get(key)) for key in THOUGHTS if text(wire.get(key))), "")
    if thought:
        parts.append(Reasoning(text=thought))
    content = wire.get("content")
    for block in content if is_array(content) else ():
        if is_object(block) and block.get("type") == "text" and text(block.get("text")):
            parts.append(Text(text=block["text"]))
        elif is_object(block) and block.get("type") == "thinking":  # of Mistral
            parts.append(Reasoning(text=_thought(block.get("thinking"))))
        else:
            parts.append(Opaque(dialect=DIALECT, data=block))
    if text(content):
        parts.append(Text(text=text(content), citations=citations(wire.get("annotations"))))
    for other in others:
        audio = other.get("type") == "audio"
        parts.append(_audio(other, provider) if audio else Opaque(dialect=DIALECT, data=other))
    if text(wire.get("refusal")):
        parts.append(Refusal(text=wire["refusal"]))
    parts += [_call_part(call, names) for call in wire.get("tool_calls", ())]
    return tuple(parts)


def _thought(given: Any) -> str:
    pieces = given if is_array(given) else [{"text": given}]
    return "".join(text(mapping(piece).get("text")) for piece in pieces)


def _call_part(call: Mapping[str, Any], names: Mapping[str, str]) -> ToolCall:
    if _kind(call) == "custom":
        name, said = text(call["custom"].get("name")), text(call["custom"].get("input"))
        return ToolCall(id=call["id"], name=names.get(name, name), arguments=said, form="text")
    name, said = call["function"]["name"], call["function"]["arguments"]
    return ToolCall(id=call["id"], name=names.get(name, name), arguments=said)


def _audio(given: Mapping[str, Any], provider: str) -> Audio:
    return Audio(
        media_type="",
        data=text(given.get("data")) or None,
        file_id=text(given.get("id")) or None,
        provider=provider,
        transcript=text(given.get("transcript")),
    )


def citations(given: Any) -> tuple[Citation, ...]:
    """Return where a text comes from, of annotations as both dialects of OpenAI have them."""
    found: list[Citation] = []
    for native in given if is_array(given) else ():
        said = mapping(mapping(native).get("url_citation") or native)
        url = text(said.get("url"))
        start, end = said.get("start_index"), said.get("end_index")
        found.append(
            Citation(
                start=start if isinstance(start, int) else None,
                end=end if isinstance(end, int) else None,
                title=text(said.get("title")) or text(said.get("filename")),
                source="url" if url else "file" if text(said.get("file_id")) else "other",
                ref=url or text(said.get("file_id")),
                native=native,
            )
        )
    return tuple(found)


def _finish(reason: Any, message: Message) -> FinishReason:
    """Return why it ended; whether there are calls is seen in the message, since a forced call ends with `stop`."""
    finish = _FINISH.get(text(reason), "other")
    if message.tool_calls and finish in ("stop", "other"):
        return "tool_calls"
    if finish == "stop" and any(isinstance(part, Refusal) for part in message.parts):
        return "refusal"
    return finish


def _usage(counts: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=tokens(counts, "prompt_tokens"),
        output_tokens=tokens(counts, "completion_tokens"),
        cache_read_tokens=tokens(counts, "prompt_tokens_details", "cached_tokens"),
        cache_write_tokens=tokens(counts, "prompt_tokens_details", "cache_write_tokens"),
        reasoning_tokens=tokens(counts, "completion_tokens_details", "reasoning_tokens"),
    )
