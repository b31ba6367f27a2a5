"""Answers of Gemini to neutral ones; a streamed answer is put together first and then read as a whole one.

Read from plain JSON, so that parts and fields which no SDK knows are kept.
Source: ai.google.dev/api/generate-content#GenerateContentResponse.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.answer import malformed, mapping, text, tokens
from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.gemini.parts import (
    MODEL,
    blocks_of,
    call_of,
    camel,
    made_id,
    own_parts,
    parts_of,
    wire_id,
)
from midstream.adapters.wire import is_array, without_surrogates
from midstream.events.content import Message, Part, ToolCall
from midstream.events.payloads import FinishReason, Usage

_FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "ESCALATION": "content_filter",
}
_NUMBERED = ("", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER")
"""Reasons as some gateways send them: by their number in the protocol."""
_BROKEN = frozenset(("MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"))
"""Reasons after which there is no answer, and another try may give one."""


def parse(data: Any, *, provider: str, model: str, names: Mapping[str, str]) -> ModelResponse:
    """Return the answer.

    A prompt or an answer that the service withheld is an answer without content that ended by `content_filter`.

    Args:
        data: The body of the answer, as JSON.
        provider: Who answered, for the message's origin.
        model: Who was asked.
        names: The tools whose names were changed for the provider, by what stood for them.

    Raises:
        MalformedAnswerError: There is no candidate, no reason why it ended, or a call that the service itself could not read.
    """
    data = camel(without_surrogates(data))
    found = data.get("candidates")
    candidate = camel(found[0]) if is_array(found) and found else {}
    blocked = text(mapping(data.get("promptFeedback")).get("blockReason"))
    if not candidate and not blocked:
        raise malformed("there is no candidate in it", provider, model)
    reason = "SAFETY" if not candidate else _reason(candidate.get("finishReason"))
    if not reason:
        raise malformed("it does not say why it ended, so it was cut off", provider, model)
    response_id = text(data.get("responseId"))
    message = message_of(mapping(candidate.get("content")), response_id, names)
    if reason in _BROKEN and not message.parts:
        said = text(candidate.get("finishMessage"))
        raise malformed(f"it ended by {reason}{': ' if said else ''}{said}", provider, model)
    return ModelResponse(
        message=message.model_copy(update={"origin": f"{provider}:{model}"}),
        usage=_usage(mapping(data.get("usageMetadata"))),
        finish=_finish(reason, message),
        response_id=response_id,
        served=text(data.get("modelVersion")),
    )


def message_of(content: Mapping[str, Any], place: str, names: Mapping[str, str]) -> Message:
    """Return a turn of the model, of nobody yet.

    Args:
        content: As it came.
        place: What tells the turn from others, for the ids of calls that have none.
        names: See `parse`.
    """
    blocks = [block for block in blocks_of(content) if not _says_nothing(block)]
    ids = call_ids(blocks, place)
    parts: list[Part] = []
    for number, block in enumerate(blocks):
        parts += parts_of(block, ids.get(number, ""), names)
    aliases = {name: alias for alias, name in names.items()}
    wire_ids = [wire_id(part) for part in parts if isinstance(part, ToolCall)]
    same = own_parts(parts, wire_ids, lambda name: aliases.get(name, name)) == blocks
    native: Any = None if same else {"role": MODEL, "parts": blocks}
    return Message(role="assistant", parts=tuple(parts), native=native)


def call_ids(blocks: list[dict[str, Any]], place: str) -> dict[int, str]:
    """Return an id for each call of a turn by the number of its part, no two the same: its own, or a made one."""
    ids: dict[int, str] = {}
    for number, block in enumerate(blocks):
        call = call_of(block)
        if call is not None:
            own = text(call.get("id"))
            taken = own in ids.values() or not own
            ids[number] = made_id(place, number, call.get("name"), own) if taken else own
    return ids


class Assembly:
    """A streamed answer while it comes.

    Args:
        names: The tools whose names were changed for the provider, by what stood for them.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._about: dict[str, Any] = {}
        self._candidate: dict[str, Any] = {}
        self._parts: list[dict[str, Any]] = []
        self._texts: list[str] = []  # of the last part, joined once it is whole

    def add(self, event: Any) -> list[Delta]:
        """Take one event and return what it adds for a reader."""
        chunk = camel(event)
        self._about |= {
            key: value for key, value in chunk.items() if key != "candidates" and value is not None
        }
        found: list[Delta] = []
        candidates = chunk.get("candidates")
        for given in candidates if is_array(candidates) else ():
            candidate = camel(given)
            if candidate.get("index", 0) in (0, None):
                said = {k: v for k, v in candidate.items() if k != "content" and v is not None}
                self._candidate |= said
                for block in blocks_of(mapping(candidate.get("content"))):
                    found += self._part(block)
        return found

    def whole(self) -> dict[str, Any]:
        """Return the answer as it would have come in one piece."""
        self._close()
        if not self._candidate and not self._parts:
            return dict(self._about)
        content = {"role": MODEL, "parts": self._parts}
        return {**self._about, "candidates": [{**self._candidate, "content": content}]}

    def _part(self, block: dict[str, Any]) -> list[Delta]:
        call = call_of(block)
        if call is not None:
            self._close()
            self._parts.append(block)
            name = text(call.get("name"))
            return [Delta(tool=self._names.get(name, name))]
        words = text(block.get("text"))
        if self._goes_on(block):
            self._texts.append(words)
        else:
            self._close()
            self._parts.append(block)
            self._texts = [words] if _is_plain(block) else []
        if not words:
            return []
        return [Delta(reasoning=words) if block.get("thought") is True else Delta(text=words)]

    def _goes_on(self, block: Mapping[str, Any]) -> bool:
        """Tell whether the part adds to the text before it; one that is signed stands alone, as the vendor asks."""
        if not self._texts or not _is_plain(block):
            return False
        return bool(self._parts[-1].get("thought")) == bool(block.get("thought"))

    def _close(self) -> None:
        if len(self._texts) > 1:
            self._parts[-1] = {**self._parts[-1], "text": "".join(self._texts)}
        self._texts = []


def _is_plain(block: Mapping[str, Any]) -> bool:
    return isinstance(block.get("text"), str) and block.keys() <= {"text", "thought"}


def _says_nothing(block: Mapping[str, Any]) -> bool:
    return _is_plain(block) and not block["text"]


def _reason(given: Any) -> str:
    if isinstance(given, int) and not isinstance(given, bool):
        return _NUMBERED[given] if 0 <= given < len(_NUMBERED) else "OTHER"
    return text(given).removeprefix("FINISH_REASON_UNSPECIFIED")


def _finish(reason: str, message: Message) -> FinishReason:
    """Return why it ended; that it made calls is seen in the message, since the service says `STOP` after them, too."""
    finish = _FINISH.get(reason, "other")
    if message.tool_calls and finish in ("stop", "other"):
        return "tool_calls"
    return finish


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Return the tokens; thoughts are counted apart from the answer, and what the service's own tools read from the prompt."""
    counts = camel(counts)
    thoughts = tokens(counts, "thoughtsTokenCount")
    return Usage(
        input_tokens=tokens(counts, "promptTokenCount") + tokens(counts, "toolUsePromptTokenCount"),
        output_tokens=tokens(counts, "candidatesTokenCount") + thoughts,
        cache_read_tokens=tokens(counts, "cachedContentTokenCount"),
        reasoning_tokens=thoughts,
    )
