"""What does it cost to tell a conversation to a model, beside LiteLLM, which does the same by another road?

A conversation of 500 messages with some 100 calls of tools, said by another vendor's model, becomes a request to Anthropic
with its losses and digest. Then one more turn: the body, ready to be sent, at 500 and at 10,000 messages. And a streamed
answer, by the delta. The peer runs in a process of its own, in turns with ours; CPU time, since the machine may be shared.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import orjson
from measure import Figure, Rounds, interleaved, peer

from midstream.adapters.anthropic.render import render, render_all
from midstream.adapters.anthropic.wire_format import FORMAT
from midstream.adapters.base import ModelRequest
from midstream.adapters.capabilities import anthropic_family
from midstream.adapters.dialect import dialect
from midstream.adapters.openai.wire_format import FORMAT as CHAT
from midstream.adapters.view import View
from midstream.events.content import (
    Message,
    Segment,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    user,
)

MODEL = "claude-sonnet-4-5"
FAMILY = anthropic_family(MODEL)
_TIMES = 7
"""How often something is timed in a round; the first two do not count."""
ROUNDS = 9
CALLS_PER_MESSAGE = 0.2
SETTINGS = {"max_tokens": 1_000}
_WORDS = "words and more of them " * 12


def conversation(messages: int) -> list[Segment]:
    """A fifth of the messages calls a tool; each stands in a segment of its own, as in a run."""
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    tool = ToolSpec(name="search", description="Search the web.", parameters=schema)
    found = [Segment(1, (user(_WORDS),), "You are a helpful assistant.", (tool,))]
    while len(found) < messages:
        found += turn(len(found))
    return found[:messages]


def turn(place: int) -> list[Segment]:
    """A call, its result, an answer, and what the user says next, and is answered."""
    call = ToolCall(id=f"call_{place}", name="search", arguments=f'{{"query": "thing {place}"}}')
    result = ToolResult(id=call.id, name="search", parts=(Text(text=f"found {_WORDS}"),))
    said = (
        assistant("Let me look.", call).model_copy(update={"origin": "openai:gpt-4o"}),
        Message(role="tool", parts=(result,)),
        assistant(f"It is {_WORDS}").model_copy(update={"origin": "openai:gpt-4o"}),
        user(f"And then? {_WORDS}"),
        assistant(f"Then {_WORDS}").model_copy(update={"origin": "openai:gpt-4o"}),
    )
    return [Segment(place + 1 + number, (message,)) for number, message in enumerate(said)]


def first(segments: list[Segment]) -> tuple[View, ModelRequest]:
    """The view from the beginning, and the request."""
    view = render_all(View(MODEL), segments, "anthropic", FAMILY)
    return view, FORMAT.requested(view, SETTINGS)


def following(view: View, more: list[Segment]) -> tuple[View, list[bytes]]:
    """The next view, and the body as the pieces of bytes that are sent."""
    for segment in more:
        view = render(view, segment, "anthropic", FAMILY)
    return view, FORMAT.requested(view, SETTINGS).chunks()


async def figures() -> list[Figure]:
    """The table."""
    gc.disable()  # its rounds would fall on whoever is next
    segments, long = conversation(500), conversation(10_000)
    held = {500: first(segments)[0], 10_000: first(long)[0]}

    async def view() -> float:
        return _settled(lambda: first(segments))

    async def one_more(length: int) -> float:
        start = len(held[length].tape)
        coming = iter([turn(start + 2 * place)[:2] for place in range(_TIMES)])

        def grow() -> None:
            held[length], _ = following(held[length], next(coming))

        return _settled(grow)  # each from where the last one ended, as a run goes

    contestants = {
        "first": view,
        "next": partial(one_more, 500),
        "next at 10,000": partial(one_more, 10_000),
    }
    with tempfile.TemporaryDirectory() as place:
        body = Path(place) / "chat.json"
        body.write_bytes(orjson.dumps(_as_chat(segments)))
        theirs: list[float | None] = []

        async def litellm() -> float:
            theirs.append(peer("views", str(body)))
            return theirs[-1] or 0.0

        rounds = await interleaved(ROUNDS, {**contestants, "litellm": litellm})
    known = None if None in theirs else rounds["litellm"].median
    named = {"LiteLLM": known}
    gates = {"first": 0.5, "next": 1 / 15, "next at 10,000": 1 / 15}
    found = [_figure(name, rounds[name], gates[name], known, named) for name in contestants]
    return [*found, *_deltas()]


def _figure(
    name: str, taken: Rounds, gate: float, theirs: float | None, named: dict[str, float | None]
) -> Figure:
    limit = None if theirs is None else gate
    what = "view of 500 messages" if name == "first" else f"one more turn, {name}"
    return Figure(
        what,
        taken.median,
        "ms",
        limit,
        theirs,
        "ratio",
        floor_name="LiteLLM",
        spread=taken.spread,
        peers=named,
    )


def _deltas() -> list[Figure]:
    found: list[Figure] = []
    for name, (start, event) in _STREAMS.items():
        for count in (100, 10_000):
            assembly = dialect(name).assembly()
            for opening in start:
                assembly.add(opening)
            before = time.process_time()
            for _ in range(count):
                assembly.add(event)
            assembly.whole()
            each = (time.process_time() - before) / count * 1e6
            found.append(Figure(f"a delta of {name}, of {count:,}", each, "µs", 30))
    return found


_BLOCK = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
_TEXT = {"type": "text_delta", "text": " word"}
_STREAMS: dict[str, tuple[list[dict[str, object]], dict[str, object]]] = {
    "openai-chat": ([], {"choices": [{"index": 0, "delta": {"content": " word"}}]}),
    "anthropic": (
        [{"type": "message_start", "message": {"id": "m", "content": []}}, _BLOCK],
        {"type": "content_block_delta", "index": 0, "delta": _TEXT},
    ),
    "openai-responses": ([], {"type": "response.output_text.delta", "delta": " word"}),
}


def _settled(work: Callable[[], object]) -> float:
    """The median of five after two that do not count, as the peer takes it."""
    return sorted([_timed(work) for _ in range(_TIMES)][2:])[2]


def _timed(work: object) -> float:
    assert callable(work)
    before = time.process_time()
    work()
    return (time.process_time() - before) * 1e3


def _as_chat(segments: list[Segment]) -> dict[str, object]:
    view = View("gpt-4o")
    for segment in segments:
        view = CHAT.render(view, segment)
    return dict(CHAT.requested(view, {}).body)


if __name__ == "__main__":
    from measure import table

    print(table(asyncio.run(figures())))
    print(json.dumps({"python": sys.version.split()[0]}))
