"""Thoughts that a server leaves in the text of its answers, between tags."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midstream.adapters import Delta, ModelResponse, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.compatible import PROFILES, CompatibleAdapter, Profile, Tags
from midstream.adapters.compatible.parse import parse
from midstream.adapters.compatible.thinking import Splitter, split
from midstream.events.content import Message, Reasoning, Text, user
from midstream.testing import Answer, ProviderServer

PIECES = st.sampled_from(
    ["<think>", "</think>", "<thi", "nk>", "</", "think>", "<", ">", " ", "\n\n", "a", "b c", "<p>"]
)
TEXTS = st.lists(PIECES, max_size=9).map("".join)
TAGS = st.sampled_from([Tags(), Tags(begun=True), Tags("[THINK]", "[/THINK]")])


@given(TAGS, st.lists(TEXTS, max_size=6))
@example(Tags(), ["<th", "ink>a</thi", "nk>\n\nb"])
@example(Tags(), ["<think>a </thinker> b</think>c"])
@example(Tags(), [" \n"])
def test_h068_a_streamed_answer_is_split_as_a_whole_one(tags: Tags, pieces: list[str]) -> None:
    splitter = Splitter(tags)
    found = [delta for piece in pieces for delta in splitter.add(piece)] + splitter.end()
    streamed = "".join(d.reasoning for d in found), "".join(d.text for d in found)
    assert streamed == split("".join(pieces), tags)
    assert all(delta.text or delta.reasoning for delta in found)


@given(TAGS, TEXTS)
@example(Tags(begun=True), "<think>a</think>b")
@example(Tags(begun=True), " ")
def test_h068_nothing_is_left_out_but_tags_and_white_space(tags: Tags, text: str) -> None:
    begins = rf"\s*{re.escape(tags.open)}"
    begins = f"(?:{begins})?" if tags.begun else begins
    found = re.fullmatch(rf"{begins}(.*?)(?:{re.escape(tags.close)}(.*))?", text, re.DOTALL)
    wanted = (found[1].strip(), (found[2] or "").lstrip()) if found else ("", text)
    assert split(text, tags) == wanted


@pytest.mark.parametrize(
    ("said", "thought", "text"),
    [
        ("<think>hm</think>\n\nyes", "hm", "yes"),
        ("\n<think>\nhm\nhm\n</think>\n", "hm\nhm", ""),
        ("<think>\n\n</think>\n\nyes", "", "yes"),  # of a model that was told not to think
        ("<think>cut off", "cut off", ""),
        ("the tag <think> is an element</think>", "", "the tag <think> is an element</think>"),
        ("", "", ""),
    ],
)
def test_h068_thoughts_are_what_stands_at_the_beginning(said: str, thought: str, text: str) -> None:
    assert split(said, Tags()) == (thought, text)


def test_h068_a_template_may_have_begun_the_thoughts() -> None:
    assert split("hm</think>yes", Tags(begun=True)) == ("hm", "yes")


def answered(said: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": said}
    return {"id": "r", "model": "m", "choices": [{"message": message, "finish_reason": "stop"}]}


def adapter_of(profile: Profile, base_url: str = "http://127.0.0.1/v1") -> CompatibleAdapter:
    return CompatibleAdapter(profile, api_key="k", base_url=base_url)


@pytest.mark.parametrize("name", ["ollama", "vllm", "llamacpp", "groq", "compatible"])
@pytest.mark.parametrize("stream", [False, True])
async def test_h068_thoughts_of_a_local_server_are_reasoning_streamed_or_not(
    name: str, stream: bool
) -> None:
    said = "<think>\nFirst, the river.\n</think>\n\nSalzach"
    with ProviderServer([Answer(said)]) as server:
        adapter = adapter_of(PROFILES[name], server.openai_url)
        view = adapter.render(adapter.begin("m"), Segment(1, (user("Name a river."),)))
        request = adapter.request(view, {})
        deltas: list[Delta] = []
        answers: list[ModelResponse] = []
        if not stream:
            answers.append(await adapter.complete(request))
        else:
            async for item in adapter.stream(request):
                if isinstance(item, ModelResponse):
                    answers.append(item)
                else:
                    deltas.append(item)
        await adapter.close()
    [answer] = answers
    assert answer.message.parts == (Reasoning(text="First, the river."), Text(text="Salzach"))
    if stream:
        assert "".join(delta.text for delta in deltas) == "Salzach"
        assert "".join(delta.reasoning for delta in deltas) == "First, the river."


def message_of(profile: Profile, said: str) -> Message:
    return parse(answered(said), profile, "m", {}).message


def test_h068_what_a_server_thought_goes_back_to_it_as_it_came_and_to_nobody_else() -> None:
    said = "<think>hm</think>\n\nyes"
    message = message_of(PROFILES["vllm"], said)
    adapter = adapter_of(PROFILES["vllm"])
    view = adapter.render(adapter.begin("m"), Segment(1, (user("x"), message)))
    assert view.tape.list()[-1] == {"role": "assistant", "content": said}
    claude = AnthropicAdapter(api_key="k")
    view = claude.render(claude.begin("claude-sonnet-4-5"), Segment(1, (user("x"), message)))
    assert view.tape.list()[-1]["content"] == [{"type": "text", "text": "yes"}]
    assert [change.kind for change in view.changes] == ["reasoning_dropped"]


def test_h068_a_server_that_takes_no_thoughts_back_gets_the_text_without_them() -> None:
    profile = Profile("quiet", "http://127.0.0.1/v1", tags=Tags(), thoughts="never")
    message = message_of(profile, "<think>hm</think>yes")
    adapter = adapter_of(profile)
    view = adapter.render(adapter.begin("m"), Segment(1, (user("x"), message)))
    assert view.tape.list()[-1] == {"role": "assistant", "content": "yes"}
    assert [change.kind for change in view.changes] == ["reasoning_dropped"]


def test_an_answer_without_tags_is_kept_without_a_second_copy() -> None:
    assert message_of(PROFILES["vllm"], "yes").native is None
