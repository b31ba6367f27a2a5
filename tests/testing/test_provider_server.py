"""The real SDKs talk to the server, over HTTP, whole and streamed, on both wires."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anthropic
import openai
import pytest

from midstream.testing import Answer, Call, Fault, ProviderServer, Seen, SeenCall, SeenResult

WIRES = ["openai-chat", "anthropic"]
BOTH_WIRES = pytest.mark.parametrize("wire", WIRES)
BOTH_WAYS = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
QUESTION: list[dict[str, Any]] = [{"role": "user", "content": "What is the weather?"}]
TOOL_SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@dataclass(frozen=True)
class Got:
    """An answer as the SDK has read it."""

    text: str
    calls: tuple[tuple[str, str, Mapping[str, Any]], ...]
    finish: str | None
    usage: tuple[int, int]


@dataclass(frozen=True)
class Client:
    """One of the SDKs, asked in the same words."""

    wire: str
    sdk: Any

    async def ask(self, *, stream: bool = False, messages: Any = QUESTION, **more: Any) -> Got:
        if self.wire == "anthropic":
            return await self._ask_anthropic(stream, {"messages": messages, **more})
        return await self._ask_openai(stream, {"messages": messages, **more})

    async def _ask_openai(self, stream: bool, body: dict[str, Any]) -> Got:
        completions = self.sdk.chat.completions
        answer: Any
        body = {"model": "gpt-4o", **body}
        if stream:
            async with completions.stream(**body, stream_options={"include_usage": True}) as events:
                answer = await events.get_final_completion()
        else:
            answer = await completions.create(**body)
        choice: Any = answer.choices[0]
        tool_calls: list[Any] = choice.message.tool_calls or []
        calls = tuple(
            (call.id, call.function.name, json.loads(call.function.arguments))
            for call in tool_calls
        )
        usage = (0, 0)
        if answer.usage:
            usage = (answer.usage.prompt_tokens, answer.usage.completion_tokens)
        return Got(choice.message.content or "", calls, choice.finish_reason, usage)

    async def _ask_anthropic(self, stream: bool, body: dict[str, Any]) -> Got:
        answer: Any
        body = {"model": "claude-opus-4-6", "max_tokens": 100, **body}
        if stream:
            async with self.sdk.messages.stream(**body) as events:
                answer = await events.get_final_message()
        else:
            answer = await self.sdk.messages.create(**body)
        text = "".join(block.text for block in answer.content if block.type == "text")
        calls = tuple((b.id, b.name, b.input) for b in answer.content if b.type == "tool_use")
        usage = (answer.usage.input_tokens, answer.usage.output_tokens)
        return Got(text, calls, answer.stop_reason, usage)


@asynccontextmanager
async def connected(
    wire: str, server: ProviderServer, timeout_seconds: float = 20.0, key: str = "any"
) -> AsyncGenerator[Client]:
    sdk: Any
    common: dict[str, Any] = {"api_key": key, "max_retries": 0, "timeout": timeout_seconds}
    if wire == "anthropic":
        sdk = anthropic.AsyncAnthropic(base_url=server.anthropic_url, **common)
    else:
        sdk = openai.AsyncOpenAI(base_url=server.openai_url, **common)
    async with sdk:
        yield Client(wire, sdk)


async def failure(fault: Fault, wire: str, *, stream: bool) -> tuple[Exception, ProviderServer]:
    """Ask once, and return what the SDK raised."""
    with ProviderServer([fault]) as server:
        async with connected(wire, server) as client:
            try:
                got = await client.ask(stream=stream)
            except Exception as error:  # noqa: BLE001  # whatever the SDK raises is looked at by the test
                return error, server
    raise AssertionError(f"the SDK was content with {got}")


def tools(wire: str) -> list[Any]:
    if wire == "anthropic":
        return [{"name": "weather", "input_schema": TOOL_SCHEMA}]
    return [{"type": "function", "function": {"name": "weather", "parameters": TOOL_SCHEMA}}]


def history(wire: str) -> dict[str, Any]:
    """Instructions, a question, two calls with results of which one failed, and the next question."""
    if wire == "anthropic":
        calls = [
            {"type": "tool_use", "id": f"t{n}", "name": "weather", "input": {"city": city}}
            for n, city in ((1, "Paris"), (2, "Rome"))
        ]
        results = [
            {"type": "tool_result", "tool_use_id": "t1", "content": "sun"},
            {
                "type": "tool_result",
                "tool_use_id": "t2",
                "content": "no such city",
                "is_error": True,
            },
        ]
        messages = [
            *QUESTION,
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *calls]},
            {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]},
        ]
        return {"system": "Be brief.", "messages": messages}
    asked = [
        {"id": f"t{n}", "type": "function", "function": {"name": "weather", "arguments": arguments}}
        for n, arguments in ((1, '{"city": "Paris"}'), (2, '{"city": "Rome"}'))
    ]
    return {
        "messages": [
            {"role": "system", "content": "Be brief."},
            *QUESTION,
            {"role": "assistant", "content": "I look.", "tool_calls": asked},
            {"role": "tool", "tool_call_id": "t1", "content": "sun"},
            {"role": "tool", "tool_call_id": "t2", "content": "no such city"},
            {"role": "user", "content": "And?"},
        ]
    }


@BOTH_WIRES
@BOTH_WAYS
async def test_the_sdk_reads_the_text_the_usage_and_the_reason_to_stop(
    wire: str, stream: bool
) -> None:
    text = "It is sunny, with a little wind: 🌬️."
    with ProviderServer([Answer(text, input_tokens=7, output_tokens=11)]) as server:
        async with connected(wire, server) as client:
            got = await client.ask(stream=stream)

    assert got == Got(text, (), "end_turn" if wire == "anthropic" else "stop", (7, 11))


@BOTH_WIRES
@BOTH_WAYS
async def test_the_sdk_reads_parallel_calls_with_their_arguments(wire: str, stream: bool) -> None:
    arguments = {"city": "Zürich", "days": [1, 2, 3], "deep": {"a": None, "b": 1.5}}
    calls = (Call("weather", arguments), Call("now", {}), Call("weather", {}, id="mine"))
    with ProviderServer([Answer("I look.", calls)]) as server:
        async with connected(wire, server) as client:
            got = await client.ask(stream=stream)

    prefix = "toolu_01" if wire == "anthropic" else "call_"
    assert [(name, sent) for _, name, sent in got.calls] == [
        ("weather", arguments),
        ("now", {}),
        ("weather", {}),
    ]
    assert [call_id.startswith(prefix) for call_id, _, _ in got.calls] == [True, True, False]
    assert len({call_id for call_id, _, _ in got.calls}) == 3
    assert got.finish == ("tool_use" if wire == "anthropic" else "tool_calls")


@BOTH_WIRES
async def test_whole_and_streamed_answers_say_the_same(wire: str) -> None:
    answer = Answer("I look.", (Call("weather", {"city": "Paris"}, id="c1"),))
    with ProviderServer(lambda seen: answer) as server:
        async with connected(wire, server) as client:
            assert await client.ask() == await client.ask(stream=True)


@BOTH_WIRES
async def test_a_neutral_reason_to_stop_is_said_in_the_vendors_word(wire: str) -> None:
    script = [Answer("a", finish="length"), Answer("b", finish="refusal")]
    with ProviderServer(script) as server:
        async with connected(wire, server) as client:
            finishes = [(await client.ask()).finish for _ in script]

    assert finishes == (
        ["max_tokens", "refusal"] if wire == "anthropic" else ["length", "content_filter"]
    )


@BOTH_WIRES
async def test_arguments_arrive_in_several_chunks(wire: str) -> None:
    answer = Answer(calls=(Call("weather", {"city": "Paris"}),))
    with ProviderServer([answer]) as server:
        body = {"model": "m", "messages": QUESTION, "stream": True, "max_tokens": 5}
        _, _, text = post(server, wire, body)

    deltas = text.count('"partial_json":') if wire == "anthropic" else text.count('"arguments":')
    assert deltas >= 4


def test_an_openai_stream_ends_in_done_and_carries_usage_only_when_asked() -> None:
    body = {"model": "m", "messages": QUESTION, "stream": True}
    with ProviderServer([Answer("a"), Answer("a")]) as server:
        _, _, without = post(server, "openai-chat", body)
        _, _, with_usage = post(
            server, "openai-chat", {**body, "stream_options": {"include_usage": True}}
        )

    assert without.endswith("data: [DONE]\n\n")
    assert "usage" not in without
    chunks = [
        json.loads(line[6:]) for line in with_usage.splitlines() if line.startswith("data: {")
    ]
    assert [chunk["usage"] is None for chunk in chunks] == [True, True, True, False]
    assert chunks[-1]["choices"] == []


def test_an_anthropic_stream_has_the_vendors_order_of_events() -> None:
    body = {"model": "m", "messages": QUESTION, "stream": True, "max_tokens": 5}
    with ProviderServer([Answer("a", (Call("f", {}),))]) as server:
        _, _, text = post(server, "anthropic", body)

    names = [
        line.removeprefix("event: ") for line in text.splitlines() if line.startswith("event: ")
    ]
    assert names == [
        "message_start",
        "content_block_start",
        "ping",
        "content_block_delta",
        "content_block_stop",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


async def test_both_wires_read_as_the_same_conversation() -> None:
    with ProviderServer(lambda seen: Answer("ok")) as server:
        for wire in WIRES:
            async with connected(wire, server) as client:
                await client.ask(**history(wire), tools=tools(wire))

    first, second = server.requests
    assert (first.dialect, second.dialect) == ("openai-chat", "anthropic")
    assert first.system == second.system == "Be brief."
    assert first.tool_names == second.tool_names == ("weather",)
    assert first.last_user_text == "And?"
    assert [(turn.role, turn.text) for turn in first.turns] == [
        ("user", "What is the weather?"),
        ("assistant", "I look."),
        ("tool", ""),
        ("user", "And?"),
    ]
    assert first.calls == (
        SeenCall("t1", "weather", {"city": "Paris"}),
        SeenCall("t2", "weather", {"city": "Rome"}),
    )
    assert second.results == (
        SeenResult("t1", "weather", "sun"),
        SeenResult("t2", "weather", "no such city", is_error=True),
    )
    assert [turn.text for turn in first.turns] == [turn.text for turn in second.turns]
    assert first.calls == second.calls
    assert [r.text for r in first.results] == [r.text for r in second.results]


@BOTH_WIRES
async def test_an_answer_can_be_computed_from_the_results_in_the_request(wire: str) -> None:
    def answer(seen: Seen) -> Answer:
        return Answer(" and ".join(f"{r.name}: {r.text}" for r in seen.results))

    with ProviderServer(answer) as server:
        async with connected(wire, server) as client:
            got = await client.ask(**history(wire))

    assert got.text == "weather: sun and weather: no such city"


@BOTH_WIRES
async def test_a_request_that_breaks_a_rule_is_refused_and_uses_up_no_answer(wire: str) -> None:
    broken = history(wire)
    del broken["messages"][-1 if wire == "anthropic" else -2 :]
    with ProviderServer([Answer("the first")]) as server:
        async with connected(wire, server) as client:
            with pytest.raises((openai.BadRequestError, anthropic.BadRequestError)) as refused:
                await client.ask(**broken)
            got = await client.ask()

    error: Any = refused.value
    assert "call-unanswered" in str(error)
    assert got.text == "the first"
    assert len(server.requests) == 2
    assert [[v.rule for v in violations] for _, violations in server.refused] == [
        ["call-unanswered"]
    ]
    assert error.request_id


@BOTH_WIRES
async def test_the_api_version_in_the_header_is_judged_by(wire: str) -> None:
    with ProviderServer(lambda seen: Answer("ok")) as server:
        async with connected(wire, server) as client:
            headers = {"anthropic-version": "2026-10-21"}
            ask = client.ask(extra_body={"temperature": 0.5}, extra_headers=headers)
            if wire == "openai-chat":
                assert (await ask).text == "ok"
            else:
                with pytest.raises(anthropic.BadRequestError, match="version"):
                    await ask


STATUSES = {
    "rate_limit": (Fault.rate_limit(2.5), 429, 429),
    "overloaded": (Fault.overloaded(), 503, 529),
    "server_error": (Fault.server_error(), 500, 500),
    "bad_request": (Fault.bad_request("no such thing"), 400, 400),
    "authentication": (Fault.authentication(), 401, 401),
    "context_window": (Fault.context_window(), 400, 400),
    "quota": (Fault.quota(), 429, 402),
}


@BOTH_WIRES
@BOTH_WAYS
@pytest.mark.parametrize("kind", STATUSES)
async def test_an_error_has_the_vendors_status_shape_and_request_id(
    kind: str, wire: str, stream: bool
) -> None:
    fault, openai_status, anthropic_status = STATUSES[kind]

    error, _ = await failure(fault, wire, stream=stream)

    if wire == "anthropic":
        assert isinstance(error, anthropic.APIStatusError)
        assert error.status_code == anthropic_status
        body: Any = error.body
        assert body["type"] == "error"
        assert body["request_id"] == error.request_id
    else:
        assert isinstance(error, openai.APIStatusError)
        assert error.status_code == openai_status
        fields: Any = error.body
        assert set(fields) == {"message", "type", "param", "code"}
        assert error.request_id
    assert error.response.headers.get("retry-after") == ("2.5" if kind == "rate_limit" else None)


async def test_openai_errors_carry_the_codes_to_tell_them_apart() -> None:
    codes: dict[str, str | None] = {}
    for kind in ("rate_limit", "quota", "context_window", "authentication"):
        error, _ = await failure(STATUSES[kind][0], "openai-chat", stream=False)
        assert isinstance(error, openai.APIStatusError)
        codes[kind] = error.code

    assert codes == {
        "rate_limit": "rate_limit_exceeded",
        "quota": "insufficient_quota",
        "context_window": "context_length_exceeded",
        "authentication": "invalid_api_key",
    }


def chain(error: BaseException) -> str:
    """The names of an error and of all that it came from; the SDKs wrap differently, version by version."""
    names: list[str] = []
    link: BaseException | None = error
    while link is not None:
        names.append(type(link).__name__)
        link = link.__cause__ or link.__context__
    return " ".join(names)


@BOTH_WIRES
@BOTH_WAYS
@pytest.mark.parametrize("after_events", [0, 3])
async def test_a_reset_is_seen_as_a_broken_connection(
    after_events: int, wire: str, stream: bool
) -> None:
    error, _ = await failure(Fault.reset(after_events), wire, stream=stream)

    assert "ReadError" in chain(error)


@BOTH_WIRES
@BOTH_WAYS
async def test_a_lost_answer_leaves_the_request_on_record(wire: str, stream: bool) -> None:
    error, server = await failure(Fault.lost(), wire, stream=stream)

    assert "RemoteProtocolError" in chain(error)
    assert len(server.requests) == 1


@BOTH_WIRES
async def test_a_truncated_stream_ends_without_a_reason_and_without_an_error(wire: str) -> None:
    with ProviderServer([Fault.truncated(), Fault.truncated(3)]) as server:
        async with connected(wire, server) as client:
            first, second = await client.ask(stream=True), await client.ask(stream=True)

    assert first.text
    assert (first.finish, second.finish) == (None, None)


@BOTH_WIRES
async def test_a_truncated_whole_answer_is_no_json(wire: str) -> None:
    error, _ = await failure(Fault.truncated(), wire, stream=False)

    assert isinstance(error, json.JSONDecodeError)


@BOTH_WIRES
@BOTH_WAYS
async def test_malformed_json_is_a_decoding_error(wire: str, stream: bool) -> None:
    error, _ = await failure(Fault.malformed_json(), wire, stream=stream)

    assert isinstance(error, json.JSONDecodeError)


@BOTH_WIRES
async def test_an_empty_stream_has_no_message_in_it(wire: str) -> None:
    error, _ = await failure(Fault.empty_stream(), wire, stream=True)

    assert isinstance(error, AssertionError | RuntimeError)


@BOTH_WIRES
async def test_an_error_in_a_stream_comes_after_its_events(wire: str) -> None:
    error, _ = await failure(Fault.stream_error(2), wire, stream=True)

    assert isinstance(error, openai.APIError | anthropic.APIStatusError)


@BOTH_WIRES
@BOTH_WAYS
async def test_a_slow_answer_takes_its_time_and_is_whole(wire: str, stream: bool) -> None:
    with ProviderServer([Fault.slow(0.05, answer=Answer("At last."))]) as server:
        async with connected(wire, server) as client:
            begun = time.monotonic()
            got = await client.ask(stream=stream)

    assert got.text == "At last."
    assert time.monotonic() - begun >= (0.25 if stream else 0.05)


@BOTH_WIRES
async def test_closing_ends_a_hanging_request_at_once(wire: str) -> None:
    with ProviderServer([Fault.hang()]) as server:
        async with connected(wire, server, timeout_seconds=0.2) as client:
            with pytest.raises((openai.APITimeoutError, anthropic.APITimeoutError)):
                await client.ask()
        begun = time.monotonic()
    assert time.monotonic() - begun < 2


@BOTH_WIRES
async def test_a_hang_that_is_over_closes_the_connection(wire: str) -> None:
    error, _ = await failure(Fault.hang(0.05), wire, stream=False)

    assert "RemoteProtocolError" in chain(error)


def post(
    server: ProviderServer,
    wire: str,
    body: Any,
    *,
    headers: Mapping[str, str] | None = None,
    path: str | None = None,
) -> tuple[int, Mapping[str, str], str]:
    """Send what no SDK would send."""
    usual = {
        "openai-chat": ("/openai/v1/chat/completions", {"Authorization": "Bearer k"}),
        "anthropic": (
            "/anthropic/v1/messages",
            {"x-api-key": "k", "anthropic-version": "2023-06-01"},
        ),
    }
    usual_path, usual_headers = usual[wire]
    connection = http.client.HTTPConnection(server.url.removeprefix("http://"), timeout=20)
    try:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = dict(usual_headers if headers is None else headers)
        connection.request("POST", path or usual_path, raw, sent)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        return response.status, names, response.read().decode()
    finally:
        connection.close()


VALID = {"model": "m", "messages": QUESTION, "max_tokens": 5}


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer "}, {"x-api-key": ""}])
@BOTH_WIRES
def test_a_request_without_a_key_is_refused(wire: str, headers: Mapping[str, str]) -> None:
    with ProviderServer([]) as server:
        status, _, text = post(server, wire, VALID, headers=headers)

    assert status == 401
    assert "key" in json.loads(text)["error"]["message"]


@pytest.mark.parametrize("headers", [{"x-api-key": "k"}, {"Authorization": "Bearer k"}])
def test_anthropic_takes_a_key_in_either_header(headers: Mapping[str, str]) -> None:
    with ProviderServer([Answer("ok")]) as server:
        sent = {**headers, "anthropic-version": "2023-06-01"}
        status, _, _ = post(server, "anthropic", VALID, headers=sent)

    assert status == 200


def test_anthropic_wants_a_version() -> None:
    with ProviderServer([]) as server:
        status, _, text = post(server, "anthropic", VALID, headers={"x-api-key": "k"})

    assert status == 400
    assert "anthropic-version" in text


@pytest.mark.parametrize("path", ["/", "/openai/v1/nothing", "/anthropic/v1/nothing"])
def test_an_unknown_path_is_not_found(path: str) -> None:
    with ProviderServer([]) as server:
        status, headers, text = post(server, "openai-chat", VALID, path=path)

    assert status == 404
    assert json.loads(text)["error"]["message"]
    assert "x-request-id" in headers or "request-id" in headers


@BOTH_WIRES
@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_a_body_that_is_no_json_object_is_refused(wire: str, body: bytes) -> None:
    with ProviderServer([]) as server:
        status, _, _ = post(server, wire, body)

    assert status == 400


@BOTH_WIRES
def test_a_script_that_is_used_up_is_said_and_kept(wire: str) -> None:
    with ProviderServer([]) as server:
        status, _, text = post(server, wire, VALID)

    assert status == 500
    assert "the script has 0 answers" in text
    assert [type(error) for error in server.script_errors] == [LookupError]


def test_tokens_are_a_quarter_of_the_characters_when_nobody_says_otherwise() -> None:
    with ProviderServer([Answer("a" * 9)]) as server:
        _, _, text = post(server, "openai-chat", VALID)

    usage = json.loads(text)["usage"]
    assert usage["completion_tokens"] == 3
    assert usage["prompt_tokens"] == -(-len(json.dumps({"messages": QUESTION})) // 4)


def test_two_servers_give_the_same_ids_in_the_same_order() -> None:
    answers: list[str] = []
    for _ in range(2):
        with ProviderServer([Answer(calls=(Call("f", {}),))]) as server:
            answers.append(post(server, "anthropic", VALID)[2])

    assert answers[0] == answers[1]


async def test_requests_at_once_are_all_answered_and_recorded() -> None:
    with ProviderServer(lambda seen: Answer(seen.last_user_text)) as server:
        async with connected("openai-chat", server) as client:
            asked = [str(n) for n in range(20)]
            answers = await asyncio.gather(
                *(client.ask(messages=[{"role": "user", "content": n}]) for n in asked)
            )

    assert [got.text for got in answers] == asked
    assert sorted(seen.last_user_text for seen in server.requests) == sorted(asked)


async def test_closing_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    with ProviderServer(lambda seen: Answer("ok")) as server:
        async with connected("openai-chat", server) as one, connected("anthropic", server) as other:
            await one.ask()
            await other.ask(stream=True)
            server.close()  # while both connections are kept alive
            left = {t for t in threading.enumerate() if t.name.startswith("midstream-provider")}

    assert left - before == set()


def test_a_closed_server_has_no_address_and_can_be_closed_again() -> None:
    server = ProviderServer([]).start()
    address = server.url
    server.close()
    server.close()

    with pytest.raises(RuntimeError, match="not running"):
        _ = server.url
    with pytest.raises(ConnectionRefusedError):
        http.client.HTTPConnection(address.removeprefix("http://"), timeout=5).connect()


def test_importing_the_package_imports_no_sdk() -> None:
    code = (
        "import sys, midstream.testing; sys.exit(bool({'openai', 'anthropic'} & set(sys.modules)))"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_key_is_not_in_the_repr_of_a_request() -> None:
    with ProviderServer([Answer("ok")]) as server:
        post(server, "openai-chat", VALID, headers={"Authorization": "Bearer secret-key"})

    assert "secret-key" not in repr(server.requests)
