"""Arbitrary neutral conversations, in whatever order: what an adapter has to make valid."""

from __future__ import annotations

from typing import Literal

from hypothesis import strategies as st
from pydantic import JsonValue

from midstream.adapters import Segment
from midstream.events.content import (
    Audio,
    Citation,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResultPart,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk"
PDF = "JVBERi0xLjQKJeLjz9MK"
JPEG = "/9j/4AAQSkZJRgABAQAAAQABAAD/"

ORIGINS = st.sampled_from(
    [
        None,
        "openai:gpt-4o",
        "openai-responses:gpt-5",
        "anthropic:claude-sonnet-4-5",
        "gemini:gemini-3-pro-preview",
        "groq:kimi-k2",
        "scripted:a",
    ]
)
IDS = st.sampled_from(
    [
        "call_1",
        "call_2",
        "unnamed_0123456789abcdef01234567",
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
        Image(file_id="file_1", provider="anthropic", data=PNG),
        Image(file_id="file_1", provider="openai"),
        Image(file_id="gs://bucket/a.png", provider="gemini"),
        Image(media_type="image/gif", data="R0lGODlhAQABAAAAACw="),
        Image(data=PNG, hints={"openai": {"image_url": {"detail": "low"}}}),
        Image(),
    ]
)
DOCUMENTS = st.sampled_from(
    [
        Document(data=PDF, name="a.pdf"),
        Document(data=PDF, hints={"anthropic": {"context": "c"}}),
        Document(url="https://example.org/a.pdf", text="what it says"),
        Document(media_type="text/plain", data="aGk=", name="n" * 600),
        Document(media_type="text/plain", text="", name=" "),
        Document(media_type="text/csv", data="/w=="),
        Document(media_type="text/csv", text="a,b\n1,2"),
        Document(file_id="file_1", provider="anthropic"),
        Document(file_id="file_1", provider="openai", text="\ud83d"),
        Document(media_type="", data="not base64"),
        Document(),
    ]
)
SOUNDS = st.sampled_from(
    [
        Audio(data="UklGRg=="),
        Audio(media_type="audio/ogg", data="T2dnUw==", transcript="hello"),
        Audio(media_type="", file_id="audio_1", provider="openai", transcript=" "),
        Audio(),
    ]
)
CITED = st.sampled_from(
    [
        Citation(start=0, end=1, title="t", ref="https://example.org"),
        Citation(
            source="document",
            native={
                "type": "char_location",
                "cited_text": "c",
                "document_index": 0,
                "document_title": None,
                "start_char_index": 0,
                "end_char_index": 1,
            },
        ),
    ]
)
FOUND: list[JsonValue] = [{"type": "unknown", "n": 1}, None, "text"]


def texts() -> st.SearchStrategy[Text]:
    return st.builds(Text, text=TEXTS)


def cited() -> st.SearchStrategy[Text]:
    """Texts with what only some providers say of them; never of a provider that would be given it back."""
    return st.builds(
        Text,
        text=TEXTS,
        citations=st.lists(CITED, min_size=1, max_size=2).map(tuple),
        phase=st.sampled_from(["", "commentary", "final_answer"]),
        item_id=st.sampled_from(["", "msg_1", "msg_2"]),
    )


def server_tools() -> st.SearchStrategy[ServerTool]:
    return st.builds(
        ServerTool,
        dialect=st.sampled_from(["other", "nobody"]),
        name=NAMES,
        id=IDS,
        input=st.none() | st.just({"q": "x"}),
        text=TEXTS,
        data=st.sampled_from(FOUND),
    )


def media() -> st.SearchStrategy[ResultPart]:
    return IMAGES | DOCUMENTS | SOUNDS


def results() -> st.SearchStrategy[ToolResult]:
    return st.builds(
        ToolResult,
        id=IDS,
        name=NAMES,
        parts=st.lists(texts() | media(), max_size=3).map(tuple),
        is_error=st.booleans(),
    )


def parts() -> st.SearchStrategy[Part]:
    return st.one_of(
        texts(),
        cited(),
        media(),
        results(),
        server_tools(),
        st.builds(
            ToolCall,
            id=IDS,
            name=NAMES,
            arguments=ARGUMENTS,
            form=st.sampled_from(FORMS),
            item_id=st.sampled_from(["", "fc_1", "fc_2", "x"]),
        ),
        st.builds(
            Reasoning,
            text=TEXTS,
            summary=st.sampled_from([(), ("a", "b")]),
            item_id=st.sampled_from(["", "rs_1", "rs_2", "x"]),
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
    specs = st.builds(
        ToolSpec,
        name=NAMES,
        parameters=schemas,
        form=st.sampled_from(FORMS),
        strict=st.none() | st.booleans(),
        hosted=st.sampled_from(["", "", "nobody"]),
        hints=st.none() | st.just({"nobody": {"type": "unknown"}}),
    )
    return st.lists(specs, max_size=4).map(tuple)


FORMS: list[Literal["json", "text"]] = ["json", "json", "text"]
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
