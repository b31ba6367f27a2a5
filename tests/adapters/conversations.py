"""Arbitrary neutral conversations, in whatever order: what an adapter has to make valid."""

from __future__ import annotations

from hypothesis import strategies as st
from pydantic import JsonValue

from midstream.adapters import Segment
from midstream.events.content import (
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
JPEG = "/9j/4AAQSkZJRgABAQAAAQABAAD/"

ORIGINS = st.sampled_from(
    [None, "openai:gpt-4o", "anthropic:claude-sonnet-4-5", "groq:kimi-k2", "scripted:a"]
)
IDS = st.sampled_from(
    [
        "call_1",
        "call_2",
        "toolu_3",
        "functions.f:0",
        "functions_f_0",
        "",
        "a" * 391,
        "a" * 390 + "b",
        "é",
    ]
)
NAMES = st.sampled_from(["f", "g", "server.tool/with space", "n" * 70, "n" * 69 + "m", ""])
TEXTS = st.sampled_from(["", " ", "\n\n", "hello", "half \ud83d", "Error: x", "tail "]) | st.text(
    max_size=8
)
ARGUMENTS = st.sampled_from(
    [
        "{}",
        "",
        '{"b":1,"a":1.0}',
        '{"x":17,"y":25',
        "[]",
        "null",
        '"15 * 4"',
        '{"n":123456789012345678901234567890}',
        '{"n":NaN}',
        '{"n":1e999}',
    ]
)
IMAGES = st.sampled_from(
    [
        Image(data=PNG),
        Image(media_type="image/png", data=JPEG),
        Image(url="https://example.org/a.png"),
        Image(media_type="image/bmp", data="Qk0="),
        Image(url="file:///a.png"),
        Image(),
    ]
)


def texts() -> st.SearchStrategy[Text]:
    return st.builds(Text, text=TEXTS)


def results() -> st.SearchStrategy[ToolResult]:
    return st.builds(
        ToolResult,
        id=IDS,
        name=NAMES,
        parts=st.lists(texts() | IMAGES, max_size=3).map(tuple),
        is_error=st.booleans(),
    )


def parts() -> st.SearchStrategy[Part]:
    return st.one_of(
        texts(),
        IMAGES,
        results(),
        st.builds(ToolCall, id=IDS, name=NAMES, arguments=ARGUMENTS),
        st.builds(
            Reasoning,
            text=TEXTS,
            proof=st.sampled_from([None, "", "c2ln"]),
            redacted=st.booleans(),
        ),
        st.builds(Refusal, text=TEXTS),
        st.builds(
            Opaque,
            dialect=st.sampled_from(["other", "nobody"]),
            data=st.just({"type": "unknown", "n": 1}),
        ),
    )


def messages() -> st.SearchStrategy[Message]:
    return st.builds(
        Message,
        role=st.sampled_from(["system", "user", "assistant", "tool"]),
        parts=st.lists(parts(), max_size=4).map(tuple),
        origin=ORIGINS,
    )


def tools() -> st.SearchStrategy[tuple[ToolSpec, ...]]:
    schemas = st.sampled_from(SCHEMAS)
    return st.lists(st.builds(ToolSpec, name=NAMES, parameters=schemas), max_size=4).map(tuple)


SCHEMAS: list[dict[str, JsonValue]] = [
    {},
    {"type": "object", "properties": {"a": {"type": "string"}}},
    {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "properties": {}}}},
    {"anyOf": [{"type": "object", "properties": {"a": {}}}, {"type": "string"}]},
    {"type": "string"},
]


@st.composite
def conversations(draw: st.DrawFn) -> tuple[Segment, ...]:
    """Segments in the order of their events: messages in any order, instructions and tools that change."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.lists(messages(), max_size=4).map(tuple),
                st.none() | TEXTS,
                st.none() | tools(),
            ),
            max_size=5,
        )
    )
    return tuple(Segment(seq + 1, *what) for seq, what in enumerate(drawn))


def settings() -> st.SearchStrategy[dict[str, object]]:
    return st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.sampled_from([0, 0.5, 1, 1.5, 3, "warm"]),
            "top_p": st.sampled_from([0.5, 2]),
            "max_tokens": st.sampled_from([0, 1, 100, 5000, 10**9]),
            "stop": st.sampled_from(["\n", ["a", "b", "c", "d", "e"], ["", " "], []]),
            "seed": st.just(7),
            "tool_choice": st.sampled_from(["auto", "none", "required", "f", "nothing"]),
            "parallel_tool_calls": st.booleans(),
            "reasoning_effort": st.sampled_from(
                ["none", "minimal", "low", "medium", "high", "xhigh", "max", "huge"]
            ),
            "top_k": st.just(3),
        },
    )
