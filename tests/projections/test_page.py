"""A run as one page of HTML."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, tool
from midstream.errors import RunFailedError
from midstream.events.content import ToolCall, assistant
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.projections.markup import el, join, text
from midstream.projections.page import MOST_EVENTS, Page

EVIL = "</script><script>alert(1)</script></pre><img src=x onerror=alert(1)> \x1b[31m\u202eevil"
VOID = frozenset(("meta",))


class Read(HTMLParser):
    """A page as a browser would read it: elements, attributes and text, and whether what is opened is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.elements}

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


talk = Graph("talk")


@tool(effect="read")
async def look(what: str) -> str:
    return f"seen {what} {EVIL}"


@talk.node
async def research(topic: str, ctx: Context) -> str:
    reply = await ctx.llm(f"words on {topic}", system="Be brief.", tools=[look])
    return reply.text


@talk.node
async def fall(research: str) -> str:
    raise ValueError(EVIL)


async def page_of(events: list[Event], run_id: str = "r1") -> str:
    made = Page(run_id)
    for event in events:
        made.add(event)
    return made.html()


@pytest.fixture
async def events() -> list[Event]:
    turn = assistant("", ToolCall(id="c1", name="look", arguments='{"what": "sea"}'))
    models: dict[str, Any] = {"openai:gpt-4o": [turn, f"an answer {EVIL}"]}
    async with Engine.memory(models=models) as engine:
        run = await engine.start(talk, run_id="r1", topic=EVIL, model="openai:gpt-4o")
        with pytest.raises(RunFailedError):
            await run
        return [event async for event in engine.store.read(RunId("r1"))]


async def test_the_page_tells_steps_words_costs_and_events(events: list[Event]) -> None:
    page = Read(await page_of(events))
    assert page.open == []
    for said in (
        "research#1",
        "openai:gpt-4o",
        "words on",
        "Be brief.",
        "an answer",
        "look returned",
        "seen sea",
        "✗ failed",
        "ValueError",
        "run.created",
    ):
        assert said in page.text


async def test_nothing_of_a_log_becomes_markup(events: list[Event]) -> None:
    source = await page_of(events)
    page = Read(source)
    assert "script" not in page.names
    assert "img" not in page.names
    assert page.open == []
    assert "</script><script>alert(1)</script>" in page.text
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    assert "\x1b" not in source
    assert "\u202e" not in source
    assert "\\x1b" in page.text


async def test_the_page_fetches_nothing_and_needs_no_script(events: list[Event]) -> None:
    page = Read(await page_of(events))
    assert page.names & {"script", "link", "iframe", "object", "embed", "form", "base"} == set()
    for name, attributes in page.elements:
        assert "src" not in attributes
        assert (attributes.get("href") or "#").startswith("#"), name
    policy = next(a["content"] for _, a in page.elements if a.get("http-equiv"))
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    style = re.sub(r"/\*.*?\*/", "", await page_of(events), flags=re.DOTALL)
    assert "url(" not in style
    assert "@import" not in style


async def test_the_page_can_be_read_by_everybody(events: list[Event]) -> None:
    source = await page_of(events)
    page = Read(source)
    assert dict(page.elements)["html"]["lang"] == "en"
    assert {"header", "nav", "main", "footer", "caption"} <= page.names
    assert [name for name, _ in page.elements].count("h1") == 1
    levels = [int(name[1]) for name, _ in page.elements if re.fullmatch("h[1-6]", name)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = {attributes["href"] for name, attributes in page.elements if name == "a"}
    assert {link.removeprefix("#") for link in links if link} <= set(ids)
    headings = [attributes for name, attributes in page.elements if name == "th"]
    assert all(attributes.get("scope") in ("col", "row") for attributes in headings)
    for _, attributes in page.elements:
        if attributes.get("role") == "img":
            assert attributes.get("aria-label")
    assert "prefers-color-scheme:dark" in source


async def test_a_page_of_many_events_stays_small(events: list[Event]) -> None:
    long = [*events[:2]]
    step = next(event for event in events if event.type == "tool.requested")
    done = next(event for event in events if event.type == "tool.completed")
    for number in range(5000):
        address: Any = f"research#1/tool:look:{number:010x}#1"
        for event in (step, done):
            long.append(event._replace(seq=len(long) + 1, address=address))
    source = await page_of(long)
    assert len(source) < 3_000_000
    page = Read(source)
    assert page.open == []
    assert f"{MOST_EVENTS} of 10002 are shown" in page.text
    assert "research#1" in page.text
    assert "2000 of 5001 are shown" in page.text


async def test_a_page_of_long_conversations_stays_small(events: list[Event]) -> None:
    asked = next(event for event in events if event.type == "model.requested")
    message = {"role": "user", "parts": [{"type": "text", "text": "x" * 10_000}]}
    long = [*events[:2]]
    for number in range(1500):
        address: Any = f"research#1/llm:{number:010x}#1"
        data = {**asked.data, "messages": [message] * 3}
        long.append(asked._replace(seq=len(long) + 1, address=address, data=data))
    source = await page_of(long)
    assert len(source) < 6_000_000
    assert "of 1500 are shown" in Read(source).text


async def test_long_texts_are_cut_and_say_so(events: list[Event]) -> None:
    long = [
        event._replace(data={**event.data, "inputs": {"topic": "x" * 1_000_000}})
        if event.type == "run.created"
        else event
        for event in events
    ]
    source = await page_of(long)
    assert len(source) < 200_000
    assert "more letters)" in source


@given(st.lists(st.text() | st.integers() | st.none(), max_size=4))
def test_whatever_is_put_into_an_element_comes_out_as_text(children: list[Any]) -> None:
    page = Read(el("p", *children, title="".join(map(str, children))))
    assert [name for name, _ in page.elements] == ["p"]
    assert page.open == []


@given(st.text())
def test_text_says_what_is_there_and_markup_is_kept(said: str) -> None:
    read: Callable[[str], Iterator[str]] = lambda page: iter(Read(page).names)  # noqa: E731
    assert list(read(text(said))) == []
    assert set(read(join((el("b", said), said)))) == {"b"}
