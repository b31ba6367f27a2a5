"""Servers that speak Chat Completions in their own way: each quirk is data, and each has a test."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream import errors
from midstream.adapters import Delta, ModelResponse, Segment
from midstream.adapters.compatible import (
    PROFILES,
    CompatibleAdapter,
    Profile,
    compatible,
    models,
)
from midstream.adapters.compatible.parse import parse
from midstream.adapters.compatible.render import NOTED, THOUGHTLESS
from midstream.adapters.failures import Call as Failed
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.openai.parse import THOUGHTS
from midstream.adapters.registry import make_adapter, resolve
from midstream.events.content import (
    Document,
    Image,
    Message,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    user,
)
from midstream.testing import Answer, Call, Fault, ProviderServer
from tests.adapters import conversations as talk
from tests.adapters.rules import violations

LIGHT = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
MODELS = {
    "mistral": "mistral-large-latest",
    "deepseek": "deepseek-reasoner",
    "groq": "openai/gpt-oss-120b",
    "openrouter": "anthropic/claude-sonnet-4.5",
    "xai": "grok-4",
    "ollama": "llama3.2",
    "vllm": "Qwen/Qwen3-8B",
    "llamacpp": "gemma",
    "compatible": "x",
}
STRICT = Profile(
    "strict", "http://127.0.0.1/v1", alternating=True, instructions="first", thoughts="never"
)
QUIRKY = [PROFILES[name] for name in ("mistral", "deepseek", "openrouter", "llamacpp")]
EACH = pytest.mark.parametrize("profile", [*QUIRKY, STRICT], ids=lambda p: p.provider)
"""Those that differ in what they are told; the others differ in how they are asked."""


def adapter_of(profile: Profile | str) -> CompatibleAdapter:
    found = PROFILES[profile] if isinstance(profile, str) else profile
    return CompatibleAdapter(found, api_key="k", base_url="http://127.0.0.1/v1")


def told(profile: Profile | str, *messages: Message, **head: Any) -> tuple[list[Any], set[str]]:
    adapter = adapter_of(profile)
    view = adapter.begin(MODELS.get(adapter.provider, "m"))
    view = adapter.render(view, Segment(1, messages, **head))
    return view.tape.list(), {change.kind for change in view.changes}


def asked(
    profile: str, model: str = "", tools: tuple[ToolSpec, ...] = (), **given_: Any
) -> tuple[Mapping[str, Any], set[str]]:
    adapter = adapter_of(profile)
    view = adapter.begin(model or MODELS[profile])
    view = adapter.render(view, Segment(1, (user("x"),), tools=tools))
    request = adapter.request(view, given_)
    return request.body, {change.kind for change in request.changes}


def call(id_: str = "call_1", name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=id_, name=name, arguments=arguments)


def answer(*parts: Part, origin: str = "openai:gpt-4o", native: Any = None) -> Message:
    return Message(role="assistant", parts=parts, origin=origin, native=native)


def results(*ids: str) -> Message:
    parts = tuple(ToolResult(id=id_, name="f", parts=(Text(text="r"),)) for id_ in ids)
    return Message(role="tool", parts=parts)


def faults(profile: Profile, messages: list[dict[str, Any]]) -> list[str]:
    """Return where messages are not as the profile says that the server takes them."""
    found: list[str] = []
    before = ""
    for place, item in enumerate(messages):
        role = item["role"]
        found += _placed(profile, place, role, before)
        for called in item.get("tool_calls", ()):
            if not profile.ids.holds(called["id"]):
                found.append(f"{place}: id {called['id']!r}")
        if profile.names_results and role == "tool" and not item.get("name"):
            found.append(f"{place}: no name")
        if profile.thoughts == "needed" and role == "assistant" and not item.keys() & {*THOUGHTS}:
            found.append(f"{place}: no thoughts")
        if profile.flat and isinstance(item.get("content"), list):
            found += [f"{place}: list" for part in item["content"] if part["type"] == "text"]
        before = role
    return found


def _placed(profile: Profile, place: int, role: str, before: str) -> list[str]:
    found: list[str] = []
    if role == "system" and profile.instructions != "anywhere":
        late = place > 0 if profile.instructions == "first" else before not in ("", "system")
        found += [f"{place}: late instruction"] if late else []
    if profile.after_tool and before == "tool" and role not in ("tool", "assistant"):
        found.append(f"{place}: {role} after tool")
    if profile.alternating and role == before != "tool":
        found.append(f"{place}: {role} twice")
    return found


@EACH
@LIGHT
@given(data=st.data())
def test_whatever_was_said_the_server_takes_the_request(
    profile: Profile, data: st.DataObject
) -> None:
    adapter = adapter_of(profile)
    model = MODELS.get(profile.provider, "m")
    wishes: Any = data.draw(talk.settings())
    view = adapter.begin(model)
    for segment in data.draw(talk.conversations()):
        view = adapter.render(view, segment)
        body = dict(adapter.request(view, wishes).body)
        assert faults(profile, body["messages"]) == []
        assert body["messages"][-1]["role"] in ("user", "tool")
        assert violations("openai", as_openai(body, profile)) == []


def as_openai(body: dict[str, Any], profile: Profile) -> dict[str, Any]:
    """Return a body with the server's own words put into OpenAI's, to be judged by its types."""
    told_: dict[str, Any] = json.loads(json.dumps(body))
    for own, theirs in ((profile.seed, "seed"), (profile.limit, "max_completion_tokens")):
        if own in told_:
            told_[theirs] = told_.pop(own)
    told_.pop("reasoning", None)
    if told_.get("tool_choice") == "any":
        told_["tool_choice"] = "required"
    if told_.get("reasoning_effort") == "max":
        told_["reasoning_effort"] = "high"
    if isinstance(told_.get("stop"), list):
        told_["stop"] = told_["stop"][:4]
    return told_


@EACH
@LIGHT
@given(data=st.data())
def test_a_view_begins_with_what_it_was_and_so_does_a_request(
    profile: Profile, data: st.DataObject
) -> None:
    adapter = adapter_of(profile)
    model = MODELS.get(profile.provider, "m")
    view = adapter.begin(model)
    for segment in data.draw(talk.conversations()):
        grown = adapter.render(view, segment)
        assert grown.tape.list()[: len(view.tape)] == view.tape.list()
        view = grown
    sent = list(adapter.request(view, {}).body["messages"])
    said = Message(role="assistant", parts=(Text(text="so"),), origin=f"{profile.provider}:{model}")
    after = adapter.render(view, Segment(99, (said,)))
    if len(view.tape):
        assert after.tape.list()[: len(sent)] == sent


# Names, keys and addresses


@pytest.mark.parametrize("name", MODELS)
def test_each_server_has_a_name_of_its_own(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"MIDSTREAM_{name.upper()}_BASE_URL", "http://127.0.0.1:9/v1")
    factory, model = resolve(f"{name}:some/model:7b")
    adapter = factory()

    assert (adapter.provider, model) == (name, "some/model:7b")
    assert make_adapter(name).provider == name


@pytest.mark.parametrize("name", ["mistral", "deepseek", "groq", "openrouter", "xai"])
async def test_a_missing_key_is_named_by_its_variable(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "another")
    monkeypatch.delenv(f"{name.upper()}_API_KEY", raising=False)
    adapter = CompatibleAdapter(PROFILES[name])
    request = adapter.request(adapter.begin("m"), {})

    with pytest.raises(errors.AuthenticationError, match=f"set {name.upper()}_API_KEY"):
        await adapter.complete(request)
    await adapter.close()


@pytest.mark.parametrize("name", ["vllm", "compatible"])
def test_a_server_that_is_nowhere_says_how_to_name_its_place(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    variable = f"MIDSTREAM_{name.upper()}_BASE_URL"
    monkeypatch.delenv(variable, raising=False)

    with pytest.raises(errors.ConfigError, match=variable):
        CompatibleAdapter(PROFILES[name])


async def test_a_server_without_a_key_is_asked_with_none() -> None:
    with ProviderServer([Answer("hi")]) as server:
        adapter = CompatibleAdapter(PROFILES["ollama"], base_url=server.openai_url)
        request = adapter.request(adapter.render(adapter.begin("m"), Segment(1, (user("x"),))), {})
        found = await adapter.complete(request)
        await adapter.close()

    assert found.message.origin == "ollama:m"
    assert server.requests[0].headers["authorization"] == "Bearer none"


async def test_a_profile_of_ones_own_is_a_few_lines() -> None:
    mine = Profile("mine", headers={"x-team": "a"}, families=(models(images=False),))
    with ProviderServer([Answer("hi")]) as server:
        adapter = CompatibleAdapter(mine, base_url=server.openai_url)
        segment = Segment(1, (Message(role="user", parts=(Image(data=talk.PNG),)),))
        request = adapter.request(adapter.render(adapter.begin("m"), segment), {})
        await adapter.complete(request)
        await adapter.close()

    assert server.requests[0].headers["x-team"] == "a"
    assert server.requests[0].last_user_text == "[image]"
    assert not adapter.capabilities("m").images


@pytest.mark.parametrize("asks", [True, False])
async def test_a_streamed_answer_is_asked_for_its_tokens_where_that_is_known(asks: bool) -> None:
    mine = Profile("mine", usage_in_streams=asks)
    with ProviderServer([Answer("hello", (Call("f", {}),))]) as server:
        adapter = CompatibleAdapter(mine, base_url=server.openai_url)
        request = adapter.request(adapter.render(adapter.begin("m"), Segment(1, (user("x"),))), {})
        items = [item async for item in adapter.stream(request)]
        await adapter.close()

    assert ("stream_options" in server.requests[0].body) == asks
    assert isinstance(items[-1], ModelResponse)
    assert "".join(item.text for item in items if isinstance(item, Delta)) == "hello"


def test_h002_nobody_but_openai_is_told_of_developers() -> None:
    for name in PROFILES:
        items, _ = told(name, user("x"), system="a")
        assert items[0]["role"] == "system"


# What is told


def test_h003_h004_where_instructions_may_stand() -> None:
    """Llama.cpp's templates want one at the very beginning, and Mistral none after a turn."""
    conversation = (system("a"), system("b"), user("x"), assistant("y"), system("c"), user("z"))
    roles = {name: [item["role"] for item in told(name, *conversation)[0]] for name in PROFILES}

    assert roles["llamacpp"] == ["system", "user", "user", "assistant", "user", "user"]
    assert roles["mistral"] == ["system", "system", "user", "assistant", "user", "user"]
    assert roles["groq"] == ["system", "system", "user", "assistant", "system", "user"]
    items, kinds = told("llamacpp", *conversation)
    assert items[1]["content"] == INSTRUCTION + "b"
    assert "instruction_degraded" in kinds


def test_h009_turns_alternate_only_where_they_must() -> None:
    conversation = (assistant("hi"), user("a"), user("b"), assistant("y"), assistant("z"))

    assert [i["role"] for i in told("mistral", *conversation[:4])[0]] == [
        *("assistant", "user", "user", "assistant")
    ]
    items, kinds = told(STRICT, *conversation)
    assert [i["role"] for i in items] == [
        *("user", "assistant", "user", "assistant", "user", "assistant", "user", "assistant")
    ]
    assert "filler_inserted" in kinds


def test_h012_no_server_is_asked_to_go_on_with_its_own_turn() -> None:
    """Mistral: `Expected last role User or Tool (or Assistant with prefix True) for serving but got assistant`."""
    adapter = adapter_of("mistral")
    view = adapter.render(adapter.begin("m"), Segment(1, (user("x"), assistant("y"))))

    assert adapter.request(view, {}).body["messages"][-1]["role"] == "user"


def test_h014_mistral_wants_an_answer_between_results_and_the_user() -> None:
    items, kinds = told(
        "mistral", user("x"), answer(call("a"), call("b")), results("a", "b"), user("stop")
    )

    assert [item["role"] for item in items[2:]] == ["tool", "tool", "assistant", "user"]
    assert items[4]["content"] == NOTED
    assert "filler_inserted" in kinds
    others, _ = told("groq", user("x"), answer(call()), results("call_1"), user("stop"))
    assert [item["role"] for item in others[2:]] == ["tool", "user"]


def test_h014_h043_an_image_of_a_result_comes_after_the_answer_that_mistral_wants() -> None:
    shown = ToolResult(id="call_1", name="f", parts=(Image(data=talk.PNG),))
    items, _ = told("mistral", user("x"), answer(call()), Message(role="tool", parts=(shown,)))

    assert [item["role"] for item in items[2:]] == ["tool", "assistant", "user"]


def test_h024_h026_ids_of_calls_are_nine_letters_or_digits_for_mistral() -> None:
    items, kinds = told("mistral", user("x"), answer(call("call_1"), call("toolu_2")), results())

    ids = [called["id"] for called in items[1]["tool_calls"]]
    assert all(re.fullmatch("[a-zA-Z0-9]{9}", id_) for id_ in ids)
    assert [item["tool_call_id"] for item in items[2:4]] == ids
    assert "id_mapped" in kinds
    own, _ = told("mistral", user("x"), answer(call("abc123DEF"), origin="mistral:m"), results())
    assert own[1]["tool_calls"][0]["id"] == "abc123DEF"


def test_h019_what_stands_for_the_text_of_an_answer_that_only_calls() -> None:
    conversation = (user("x"), answer(call()), results("call_1"))

    assert told("mistral", *conversation)[0][1]["content"] == ""
    assert "content" not in told("groq", *conversation)[0][1]
    null = Profile("n", call_content="null")
    assert told(null, *conversation)[0][1]["content"] is None


def test_h021_texts_are_one_where_lists_are_not_read() -> None:
    several = Message(role="user", parts=(Text(text="a"), Text(text="b")))
    items, kinds = told("deepseek", several)

    assert items == [{"role": "user", "content": "a\n\nb"}]
    assert "texts_joined" in kinds
    assert isinstance(told("openrouter", several)[0][0]["content"], list)


def test_h045_a_result_carries_the_name_of_its_tool_for_mistral() -> None:
    items, _ = told("mistral", user("x"), answer(call(name="f g")), results("call_1"))

    assert items[2]["name"] == items[1]["tool_calls"][0]["function"]["name"]
    assert "name" not in told("groq", user("x"), answer(call()), results("call_1"))[0][2]


def test_h099_names_of_people_are_not_told_to_groq() -> None:
    """400 for `messages[].name`; and no other field of OpenAI's goes along."""
    named: Any = {"role": "user", "content": "x", "name": "ada"}
    read = Message(role="user", parts=(Text(text="x"),), native=named, dialect="openai")
    read = read.model_copy(update={"unsaid": ("name",)})
    items, kinds = told("groq", read)

    assert items == [{"role": "user", "content": "x"}]
    assert "hint_dropped" in kinds


def test_h059_h068_reasoning_goes_back_to_the_server_that_gave_it() -> None:
    for name, field in (("openrouter", "reasoning"), ("vllm", "reasoning_content")):
        native = {
            "role": "assistant",
            "content": "y",
            field: "hm",
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "c2ln"}],
        }
        own = answer(Reasoning(text="hm"), Text(text="y"), origin=f"{name}:m", native=native)
        assert told(name, user("x"), own)[0][1] == native
        items, kinds = told("mistral", user("x"), own)
        assert items[1] == {"role": "assistant", "content": "y"}
        assert "reasoning_dropped" in kinds


def test_h068_a_server_that_takes_no_reasoning_is_given_none() -> None:
    native: Any = {"role": "assistant", "content": "y", "reasoning_content": "hm"}
    own = answer(Reasoning(text="hm"), Text(text="y"), origin="strict:m", native=native)
    items, kinds = told(STRICT, user("x"), own)

    assert items[1] == {"role": "assistant", "content": "y"}
    assert "reasoning_dropped" in kinds


def test_h068_deepseek_wants_reasoning_on_every_answer_of_a_model_that_thinks() -> None:
    items, kinds = told("deepseek", user("x"), answer(call()), results("call_1"))
    assert items[1]["reasoning_content"] == THOUGHTLESS
    assert "reasoning_placeholder" in kinds

    native = {
        "role": "assistant",
        "tool_calls": [
            {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
        "reasoning_content": "hm",
    }
    own = answer(Reasoning(text="hm"), call(), origin="deepseek:m", native=native)
    items, kinds = told("deepseek", user("x"), own, results("call_1"))
    assert items[1]["reasoning_content"] == "hm"
    assert "reasoning_placeholder" not in kinds

    adapter = adapter_of("deepseek")
    view = adapter.begin("deepseek-chat")
    view = adapter.render(view, Segment(1, (user("x"), answer(Text(text="y")))))
    assert "reasoning_content" not in view.tape.list()[1]


@pytest.mark.parametrize("name", ["deepseek", "groq"])
def test_h077_h079_what_is_not_seen_is_told_as_text(name: str) -> None:
    shown = (Image(data=talk.PNG), Document(data=talk.PDF, name="a.pdf"))
    items, kinds = told(name, Message(role="user", parts=shown))

    assert "image_url" not in json.dumps(items)
    assert {"image_dropped", "document_dropped"} <= kinds


def test_h087_a_refusal_is_text_where_openai_has_a_field() -> None:
    items, kinds = told("groq", user("x"), answer(Refusal(text="no"), Text(text="sorry")))

    assert items[1] == {"role": "assistant", "content": "sorry\n\nno"}
    assert "refusal_as_text" in kinds


@pytest.mark.parametrize(("name", "kept"), [("groq", True), ("ollama", False)])
def test_h054_strict_is_said_where_it_is_known(name: str, kept: bool) -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {},
        "required": [],
        "additionalProperties": False,
    }
    body, _ = asked(name, tools=(ToolSpec(name="f", parameters=schema, strict=True),))

    assert ("strict" in body["tools"][0]["function"]) == kept


# How it is asked


@pytest.mark.parametrize(
    ("name", "field"),
    [("mistral", "max_tokens"), ("groq", "max_completion_tokens"), ("vllm", "max_tokens")],
)
def test_h090_the_limit_has_the_servers_name(name: str, field: str) -> None:
    body, _ = asked(name, max_tokens=9)

    assert body[field] == 9
    assert len({"max_tokens", "max_completion_tokens"} & body.keys()) == 1


def test_h096_the_seed_has_the_servers_name() -> None:
    assert asked("mistral", seed=7)[0]["random_seed"] == 7
    assert asked("vllm", seed=7)[0]["seed"] == 7
    assert "setting_dropped" in asked("deepseek", seed=7)[1]


@pytest.mark.parametrize(
    ("name", "choice", "told_"),
    [
        ("mistral", "required", "any"),
        ("groq", "required", "required"),
        ("mistral", "f", {"type": "function", "function": {"name": "f"}}),
        ("llamacpp", "f", "required"),
        ("ollama", "required", None),
        ("deepseek", "required", None),
    ],
)
def test_h056_h057_the_choice_of_tools_has_the_servers_words(
    name: str, choice: str, told_: Any
) -> None:
    """Deepseek: `Thinking mode does not support this tool_choice`."""
    body, kinds = asked(name, tools=(ToolSpec(name="f"),), tool_choice=choice)

    assert body.get("tool_choice") == told_
    assert ("setting_dropped" in kinds) == (told_ is None)


@pytest.mark.parametrize(
    ("name", "model", "effort", "told_"),
    [
        ("openrouter", "", "high", {"reasoning": {"effort": "high"}}),
        ("groq", "openai/gpt-oss-20b", "minimal", {"reasoning_effort": "low"}),
        ("groq", "qwen/qwen3-32b", "none", {"reasoning_effort": "none"}),
        ("groq", "llama-3.3-70b-versatile", "high", {}),
        ("xai", "grok-3-mini", "medium", {"reasoning_effort": "low"}),
        ("xai", "grok-4.3", "none", {"reasoning_effort": "none"}),
        ("xai", "grok-code-fast-1", "high", {}),
        ("mistral", "", "high", {}),
    ],
)
def test_h072_an_effort_has_the_servers_words_and_levels(
    name: str, model: str, effort: str, told_: dict[str, Any]
) -> None:
    body, _ = asked(name, model, reasoning_effort=effort)

    assert {key: body[key] for key in ("reasoning", "reasoning_effort") if key in body} == told_


@pytest.mark.parametrize(
    ("name", "model", "kept"),
    [("xai", "grok-4", 0), ("xai", "grok-3", 4), ("mistral", "", 5), ("deepseek", "", 5)],
)
def test_h095_stops_are_as_many_as_the_server_takes(name: str, model: str, kept: int) -> None:
    body, _ = asked(name, model, stop=list("abcde"))

    assert len(body.get("stop", [])) == kept


def test_h093_deepseek_takes_no_sampling_while_it_thinks() -> None:
    body, kinds = asked("deepseek", temperature=0, top_p=0.5)
    assert not {"temperature", "top_p"} & body.keys()
    assert "setting_dropped" in kinds
    assert asked("deepseek", "deepseek-chat", temperature=0)[0]["temperature"] == 0


FORM = {"name": "trip", "schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("name", "model", "way"),
    [
        ("vllm", "", "native"),
        ("groq", "openai/gpt-oss-20b", "native"),
        ("groq", "llama-3.3-70b-versatile", "tool"),
        ("deepseek", "deepseek-chat", "tool"),
        ("deepseek", "deepseek-reasoner", "text"),
    ],
)
def test_h097_the_form_of_an_answer_is_asked_for_in_the_way_the_model_has(
    name: str, model: str, way: str
) -> None:
    body, kinds = asked(name, model, output_schema={**FORM, "strict": False})

    assert ("response_format" in body) == (way == "native")
    assert ("output_as_tool" in kinds) == (way == "tool")
    assert ("output_as_text" in kinds) == (way == "text")
    if name == "vllm":
        assert "strict" not in body["response_format"]["json_schema"]


# What it answers


def answered(profile: str, message: Any, reason: Any = "stop", **more: Any) -> ModelResponse:
    data = {"id": "r", "choices": [{"message": message, "finish_reason": reason}], **more}
    return parse(data, PROFILES[profile], "m", {})


def test_h034_arguments_that_come_as_an_object_are_text() -> None:
    called = {"id": "a", "function": {"name": "f", "arguments": {"b": 1}}}
    found = answered("ollama", {"role": "assistant", "content": "", "tool_calls": [called]})

    assert found.message.tool_calls[0].arguments == '{"b":1}'
    assert found.finish == "tool_calls"


def test_h027_a_call_without_an_id_has_one() -> None:
    called = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    found = answered("vllm", {"role": "assistant", "tool_calls": [called, called]})

    ids = [called.id for called in found.message.tool_calls]
    assert len(set(ids)) == 2
    assert all(ids)


@pytest.mark.parametrize("field", THOUGHTS)
def test_h068_reasoning_is_read_under_either_name(field: str) -> None:
    found = answered("groq", {"role": "assistant", "content": "y", field: "hm"})

    assert found.message.parts == (Reasoning(text="hm"), Text(text="y"))
    assert found.message.native[field] == "hm"  # type: ignore[index, call-overload]  # kept as it came


def test_h068_thoughts_of_mistral_are_read_out_of_its_content() -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "y"},
    ]
    found = answered("mistral", {"role": "assistant", "content": content})

    assert found.message.parts == (Reasoning(text="hm"), Text(text="y"))
    again, _ = told("mistral", user("x"), found.message)
    assert again[1]["content"] == content


@pytest.mark.parametrize(
    ("profile", "reason", "finish"),
    [
        ("vllm", "eos", "stop"),
        ("compatible", "eos_token", "stop"),
        ("mistral", "model_length", "length"),
        ("xai", "", "other"),
        ("groq", "length", "length"),
    ],
)
def test_h103_reasons_to_end_have_other_words(profile: str, reason: str, finish: str) -> None:
    found = answered(profile, {"role": "assistant", "content": "y"}, reason)

    assert found.finish == finish


@pytest.mark.parametrize(
    ("profile", "reason"), [("openrouter", "error"), ("deepseek", "insufficient_system_resource")]
)
def test_h112_an_answer_that_ends_by_a_failure_is_one(profile: str, reason: str) -> None:
    with pytest.raises(errors.UnavailableError, match=reason):
        answered(profile, {"role": "assistant", "content": "ha"}, reason)


def test_h106_h107_h108_usage_is_counted_as_everywhere() -> None:
    said = {"role": "assistant", "content": "y"}
    counts = {
        "prompt_tokens": 100,
        "completion_tokens": 10,
        "completion_tokens_details": {"reasoning_tokens": 90},
    }
    assert answered("xai", said, usage=counts).usage.output_tokens == 100
    assert answered("openrouter", said, usage=counts).usage.output_tokens == 10
    cached = {**counts, "prompt_cache_hit_tokens": 60}
    assert answered("deepseek", said, usage=cached).usage.cache_read_tokens == 60
    late = answered("groq", said, x_groq={"usage": counts}).usage
    assert (late.input_tokens, late.output_tokens) == (100, 10)


@pytest.mark.parametrize(
    ("profile", "status", "body", "kind"),
    [
        ("groq", 498, {"error": {"message": "m"}}, errors.OverloadedError),
        ("groq", 413, {"error": {"code": "request_too_large"}}, errors.ContextWindowError),
        ("deepseek", 402, {"error": {"message": "Insufficient Balance"}}, errors.QuotaError),
        ("openrouter", 402, {"error": {"code": 402}}, errors.QuotaError),
        (
            "llamacpp",
            400,
            {"error": {"code": 400, "type": "exceed_context_size_error"}},
            errors.ContextWindowError,
        ),
        (
            "mistral",
            400,
            {"object": "error", "type": "invalid_request_message_order", "code": "3230"},
            errors.BadRequestError,
        ),
        ("mistral", 422, {"detail": [{"type": "extra_forbidden"}]}, errors.BadRequestError),
        ("xai", 400, {"code": "invalid-argument", "error": "no"}, errors.BadRequestError),
        ("ollama", 404, {"error": "model 'x' not found"}, errors.BadRequestError),
        ("vllm", 503, "down", errors.OverloadedError),
    ],
)
def test_h114_a_failure_in_any_shape_has_our_type(
    profile: str, status: int, body: Any, kind: type[errors.AdapterError]
) -> None:
    request = httpx2.Request("POST", "http://127.0.0.1/v1")
    response = httpx2.Response(status, json=body, request=request)
    sdk: Any = openai.AsyncOpenAI(api_key="k")
    error = sdk._make_status_error_from_response(response)
    adapter: Any = adapter_of(profile)
    found: Any = adapter._ours(error, Failed(profile, "m"))

    assert type(found) is kind
    assert found.status == status


@pytest.mark.parametrize("error", [{"code": 502, "message": "m"}, "no"])
def test_h112_an_error_with_200_is_no_answer(error: Any) -> None:
    adapter: Any = adapter_of("openrouter")
    request = adapter.request(adapter.begin("m"), {})

    with pytest.raises(errors.MalformedAnswerError):
        adapter._parsed({"error": error}, request)


async def test_a_failure_is_sent_once() -> None:
    with ProviderServer([Fault.rate_limit(2.0), Answer("never")]) as server:
        adapter = compatible(base_url=server.openai_url)
        request = adapter.request(adapter.render(adapter.begin("m"), Segment(1, (user("x"),))), {})
        with pytest.raises(errors.RateLimitError) as caught:
            await adapter.complete(request)
        await adapter.close()

    assert caught.value.retry_after == 2.0
    assert len(server.requests) == 1


def test_what_a_model_takes_is_found_by_its_name_without_its_collection() -> None:
    groq = PROFILES["groq"]

    assert groq.family("openai/gpt-oss-120b").efforts == ("low", "medium", "high")
    assert groq.family("gpt-oss-120b").efforts == ("low", "medium", "high")
    assert groq.family("model-of-nobody").efforts == ()
    assert Profile("p", families=(models("a"),)).family("b").pattern == "a"
