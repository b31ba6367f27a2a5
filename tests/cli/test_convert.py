"""`midstream convert`, from file to file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
from typer.testing import CliRunner

from midstream.cli.app import app
from midstream.cli.exits import BAD, OK
from midstream.cli.exits import WRONG_USAGE as USAGE

REQUEST: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hi", "name": "ada"}],
}
ANSWER = 'data: {"choices": [{"delta": {"content": "hello"}, "finish_reason": "stop"}]}\n\n'


def run(*words: str) -> Any:
    return CliRunner().invoke(app, ["convert", *words])


def test_a_request_and_its_answer_are_written_with_a_report(tmp_path: Path) -> None:
    (tmp_path / "in.json").write_bytes(orjson.dumps(REQUEST))
    (tmp_path / "answer.sse").write_text(ANSWER, encoding="utf-8")
    files = [str(tmp_path / name) for name in ("in.json", "answer.sse", "out.json", "report.json")]
    done = run(
        *("--from", "openai-chat", "--to", "anthropic", "--model", "claude-opus-4-8", files[0]),
        *("--response", files[1], "-o", files[2], "--report", files[3]),
    )
    assert done.exit_code == OK, done.output
    body = orjson.loads(Path(files[2]).read_bytes())
    assert body["model"] == "claude-opus-4-8"
    assert [message["role"] for message in body["messages"]][:2] == ["user", "assistant"]
    report = orjson.loads(Path(files[3]).read_bytes())
    assert report["losses"][0].keys() == {"kind", "seq", "part", "detail"}


def test_a_batch_goes_on_after_a_bad_line(tmp_path: Path) -> None:
    row = {"id": 7, "source": "openai-chat", "request": REQUEST, "targets": ["anthropic"]}
    (tmp_path / "in.jsonl").write_bytes(b"{\n" + orjson.dumps(row) + b"\n")
    done = run("--batch", str(tmp_path / "in.jsonl"), "-o", str(tmp_path / "out.jsonl"))
    assert done.exit_code == OK, done.output
    rows = [orjson.loads(line) for line in (tmp_path / "out.jsonl").read_bytes().splitlines()]
    assert [row["id"] for row in rows] == [None, 7]
    assert "error" in rows[0]
    assert "request" in rows[1]


def test_what_is_missing_or_wrong_is_said(tmp_path: Path) -> None:
    assert run().exit_code == USAGE
    assert (
        run("--from", "openai-chat", "--to", "anthropic", str(tmp_path / "no")).exit_code == USAGE
    )
    (tmp_path / "in.json").write_bytes(b"{")
    wrong = run("--from", "openai-chat", "--to", "anthropic", str(tmp_path / "in.json"))
    assert wrong.exit_code in (BAD, USAGE)
    unknown = run("--from", "openai-chat", "--to", "smoke", str(tmp_path / "in.json"))
    assert unknown.exit_code == USAGE or unknown.exit_code == BAD


def test_an_integer_of_any_length_keeps_its_digits(tmp_path: Path) -> None:
    call = {"type": "tool_use", "id": "call_1", "name": "f", "input": {"n": 10**29 + 1}}
    talk = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [call]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "call_1"}]},
    ]
    request = {"model": "claude-sonnet-4-5", "max_tokens": 99, "messages": talk}
    (tmp_path / "in.json").write_text(json.dumps(request))
    line = {"id": 1, "source": "anthropic", "request": request, "targets": ["anthropic"]}
    (tmp_path / "in.jsonl").write_text(json.dumps(line))
    one = run("--from", "anthropic", "--to", "anthropic", str(tmp_path / "in.json"))
    many = run("--batch", str(tmp_path / "in.jsonl"))
    assert json.loads(one.stdout) == request
    assert json.loads(many.stdout)["request"] == request
