"""What a scripted provider says: an answer, or a fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

FaultKind: TypeAlias = Literal[
    "rate_limit",
    "overloaded",
    "server_error",
    "bad_request",
    "authentication",
    "context_window",
    "quota",
    "stream_error",
    "reset",
    "truncated",
    "malformed_json",
    "empty_stream",
    "lost",
    "hang",
]


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call in an answer.

    Attributes:
        name: The tool.
        arguments: The arguments; a string is sent as it is, which lets a script break the JSON on the OpenAI wire
            and in any stream (whole Anthropic answers carry an object and no string).
        id: The id; the server makes one in the vendor's form when it is None.
    """

    name: str
    arguments: Mapping[str, Any] | str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A model's answer, in no vendor's words.

    Attributes:
        text: The text, before the calls.
        calls: The tool calls, in order.
        input_tokens: The usage to report; a quarter of the request's characters when None.
        output_tokens: The usage to report; a quarter of the answer's characters when None.
        finish: `stop`, `tool_calls`, `length` or `refusal`, said in the vendor's word; any other word is sent as
            it is. By default `tool_calls` with calls and `stop` without.
        chunk_delay: Seconds before each event of a stream, and before a whole answer.
    """

    text: str = ""
    calls: tuple[Call, ...] = ()
    input_tokens: int | None = None
    output_tokens: int | None = None
    finish: str | None = None
    chunk_delay: float = 0.0


_HALF_SAID = Answer(text="This answer is not going to reach its end.")


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong instead of an answer; made by the class methods.

    Attributes:
        kind: Which fault.
        message: The vendor's sentence, where the fault is an error answer; None for the usual one.
        retry_after: Seconds in the `retry-after` header; None sends none.
        seconds: How long to hang.
        after_events: How many events of the stream are sent first, never the last one; None stops shortly before
            the terminal events.
        answer: The answer that breaks off.
    """

    kind: FaultKind
    message: str | None = None
    retry_after: float | None = None
    seconds: float = 0.0
    after_events: int | None = 0
    answer: Answer = _HALF_SAID

    @classmethod
    def rate_limit(cls, retry_after: float | None = 1.0, message: str | None = None) -> Fault:
        """429: too many requests."""
        return cls("rate_limit", message=message, retry_after=retry_after)

    @classmethod
    def overloaded(cls, retry_after: float | None = None, message: str | None = None) -> Fault:
        """529 from Anthropic, 503 from OpenAI: out of capacity."""
        return cls("overloaded", message=message, retry_after=retry_after)

    @classmethod
    def server_error(cls, message: str | None = None) -> Fault:
        """500."""
        return cls("server_error", message=message)

    @classmethod
    def bad_request(cls, message: str) -> Fault:
        """400 with this message."""
        return cls("bad_request", message=message)

    @classmethod
    def authentication(cls, message: str | None = None) -> Fault:
        """401: the key is wrong."""
        return cls("authentication", message=message)

    @classmethod
    def context_window(cls, message: str | None = None) -> Fault:
        """400: the conversation is too long for the model."""
        return cls("context_window", message=message)

    @classmethod
    def quota(cls, message: str | None = None) -> Fault:
        """No credit left: 429 `insufficient_quota` from OpenAI, 402 `billing_error` from Anthropic."""
        return cls("quota", message=message)

    @classmethod
    def stream_error(cls, after_events: int = 2, *, answer: Answer = _HALF_SAID) -> Fault:
        """An error event in a stream that began well; a whole answer is refused as overloaded."""
        return cls("stream_error", after_events=after_events, answer=answer)

    @classmethod
    def reset(cls, after_events: int = 0, *, answer: Answer = _HALF_SAID) -> Fault:
        """The connection is reset: before the answer, or after some events (of a whole answer, after half)."""
        return cls("reset", after_events=after_events, answer=answer)

    @classmethod
    def truncated(cls, after_events: int | None = None, *, answer: Answer = _HALF_SAID) -> Fault:
        """A stream that ends cleanly without its terminal event; a whole answer stops in the middle of its JSON."""
        return cls("truncated", after_events=after_events, answer=answer)

    @staticmethod
    def slow(seconds: float, *, answer: Answer = Answer(text="Slowly, but wholly.")) -> Answer:
        """An answer with so many seconds before each chunk: a fault only for the impatient."""
        return Answer(
            answer.text,
            answer.calls,
            answer.input_tokens,
            answer.output_tokens,
            answer.finish,
            chunk_delay=seconds,
        )

    @classmethod
    def malformed_json(cls) -> Fault:
        """200 with a body that is no JSON, or with a stream whose event is none."""
        return cls("malformed_json")

    @classmethod
    def empty_stream(cls) -> Fault:
        """200 with a stream of no events, or with an empty body."""
        return cls("empty_stream")

    @classmethod
    def lost(cls) -> Fault:
        """The work is done and the request is on record, but the connection closes without an answer."""
        return cls("lost")

    @classmethod
    def hang(cls, seconds: float = 3600.0) -> Fault:
        """Nothing is sent for so long, then the connection closes; closing the server ends the wait."""
        return cls("hang", seconds=seconds)
