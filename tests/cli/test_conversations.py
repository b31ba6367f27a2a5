"""`import`, `say` and `messages`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midstream.cli.conversations import seen
from midstream.errors import ConversionError
from midstream.testing import Answer, ProviderServer
from tests.engine.test_conversation import ANSWER, CHAT, MESSAGES

from .conftest import Command


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    made: dict[str, str] = {}
    both = {"source": "openai-chat", "request": CHAT, "response": ANSWER}
    bodies = {"chat": CHAT, "answer": ANSWER, "claude": MESSAGES, "both": both, "list": [1]}
    for name, body in bodies.items():
        made[name] = str(tmp_path / f"{name}.json")
        Path(made[name]).write_text(json.dumps(body))
    return made


def test_a_recorded_conversation_becomes_a_run(command: Command, files: dict[str, str]) -> None:
    done = command(
        "import", files["chat"], "--response", files["answer"], "--as-run", "--id", "trip"
    )
    assert (done.code, done.out) == (0, "trip\n")
    assert "5 messages with openai:gpt-4o, read as openai-chat" in done.err
    assert "settle trip" in command("show", "trip").out
    assert command("import", files["both"], "--as-run", "--id", "same", "--json").rows == [
        {"run_id": "same", "dialect": "openai-chat", "model": "openai:gpt-4o", "messages": 5}
    ]
    rows = [command("messages", run, "--json").rows for run in ("trip", "same")]
    assert rows[0] == rows[1]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("chat",), 2, "--as-run"),
        (("list", "--as-run"), 2, "no request body"),
        (("nothing", "--as-run"), 2, "cannot read"),
        (("chat", "--as-run", "--from", "latin"), 2, "not known"),
    ],
)
def test_what_is_no_conversation_is_refused(
    command: Command, files: dict[str, str], words: tuple[str, ...], code: int, said: str
) -> None:
    done = command("import", files.get(words[0], words[0]), *words[1:])
    assert done.code != 0
    assert said in done.err
    assert code


SEEN: list[tuple[dict[str, Any], str]] = [
    ({"contents": []}, "gemini"),
    ({"input": "x"}, "openai-responses"),
    ({"messages": []}, "openai-chat"),
    ({"messages": [], "system": "x"}, "anthropic"),
    ({"messages": [], "tools": [{"input_schema": {}}]}, "anthropic"),
    ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "anthropic"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "openai-chat"),
]


@pytest.mark.parametrize(("request_", "dialect"), SEEN)
def test_the_wire_format_is_seen_from_the_body(request_: dict[str, Any], dialect: str) -> None:
    assert seen(request_) == dialect


def test_a_body_that_looks_like_none_is_an_error() -> None:
    with pytest.raises(ConversionError, match="--from"):
        seen({"prompt": "x"})


@pytest.mark.parametrize("columns", [80, 140])
def test_two_views_stand_side_by_side_with_what_is_lost(
    command: Command, files: dict[str, str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    command("import", files["claude"], "--as-run", "--id", "c")
    lines = command("messages", "c", "--versus", "openai").out.splitlines()
    *table, one, other = lines
    assert max(map(len, table)) <= columns
    assert "anthropic:claude-opus-4-8" in table[1]
    assert "openai:gpt-4o" in table[1]
    assert "reasoning_dropped" in " ".join(table)
    assert "0 losses, 0 repairs" in one
    assert "4 losses, 0 repairs" in other


def test_messages_are_those_after_an_event(command: Command, files: dict[str, str]) -> None:
    command("import", files["chat"], "--as-run", "--id", "c")
    assert len(command("messages", "c", "--json").rows) == 4
    assert len(command("messages", "c", "--json", "--at", "4").rows) == 3
    assert "no model was asked yet" in command("messages", "c", "--at", "2").out
    assert command("messages", "c", "--thread", "x").code != 0
    view = command("messages", "c", "--json", "--provider", "openai").rows[0]
    assert view["request"] == CHAT


def test_a_conversation_goes_on_from_the_command_line(
    command: Command, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [Answer(text="Yes."), Answer(text="No."), Answer(text="Bye.")]
    with ProviderServer(answers) as server:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", server.anthropic_url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
        command("import", files["both"], "--as-run", "--id", "c")
        command("migrate", "c", "--to", "anthropic:claude-opus-4-8", "--handoff", "brief")
        waiting = command("resume", "c")
        assert "weather" in waiting.err
        step = "talk#1/llm:imported#2/call:0#1"
        assert command("settle", "c", step, "--result", '"rain"').code == 0
        assert command("resume", "c").out == "Yes.\n"
        assert command("say", "c", "And in Oslo?", "-q").out == "No.\n"
        assert "say c TEXT" in command("show", "c").out
        ended = command("say", "c", "Bye!", "--end", "--json").rows[-1]
        assert ended == {"run_id": "c", "status": "completed", "output": "Bye."}
        assert server.refused == []
    assert command("say", "c", "Hello?").code != 0


def test_only_conversations_hear(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "first")
    assert "hears nobody" in command("say", "first", "x").err
    assert "say what?" in command("say", "first").err
