"""`demo`: end to end, and what its claims stand on."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from midstream.cli.demo_answers import answer
from midstream.cli.demo_checks import states_facts
from midstream.testing import Seen, SeenResult, SeenTurn

from .conftest import Command
from .processes import processes_below, spawn

LIMIT = 110


@pytest.mark.timeout(240)
def test_the_demo_ends_well_twice_in_a_row_and_leaves_no_process(
    command: Command, tmp_path: Path
) -> None:
    outputs: list[str] = []
    for words in (("demo",), ("demo", "--json", "--keep")):
        process = spawn(tmp_path, *words)
        out, err = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, out + err
        outputs.append(out)
    assert processes_below(tmp_path) == []
    told, row = outputs[0], json.loads(outputs[1])
    assert "kill -9" in told
    assert "✗" not in told
    assert (row["status"], row["fine"]) == ("completed", True)
    assert sorted(file.name for file in (tmp_path / row["run_id"]).iterdir()) == [
        "effects.jsonl",
        "gate",
        "resume.log",
        "start.log",
    ]
    types = [event["type"] for event in command("tail", row["run_id"], "--json").rows]
    assert [types.count(name) for name in ("run.resumed", "model.switched", "run.completed")] == [
        1,
        1,
        1,
    ]
    assert command("verify", row["run_id"]).code == 3


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_no_process(tmp_path: Path, sign: signal.Signals) -> None:
    process = spawn(tmp_path, "demo")
    assert process.stdout is not None
    while "run.created" not in (line := process.stdout.readline()):
        assert line
    process.send_signal(sign)
    _, err = process.communicate(timeout=LIMIT)
    assert (process.returncode, err) == (130, "")
    assert processes_below(tmp_path) == []


def test_a_live_demo_without_keys_says_which_are_missing(command: Command) -> None:
    began = time.monotonic()
    done = command("demo", "--live")
    assert done.code == 2
    assert "--live needs OPENAI_API_KEY and ANTHROPIC_API_KEY" in done.said
    assert time.monotonic() - began < LIMIT


def seen(asked: str, results: tuple[SeenResult, ...], said: str = "") -> Seen:
    turns = (
        SeenTurn("user", "Look up how the blue kettle is doing: …"),
        SeenTurn("tool", results=results),
        SeenTurn("assistant", said),
        SeenTurn("user", asked),
    )
    return Seen("openai-chat", "gpt-4o", False, "", turns, (), {}, {})


SALES = SeenResult("1", "weekly_sales", '{"units_per_week": 312}')
STOCK = SeenResult("2", "units_in_stock", '{"units": 1092}')
PRICE = SeenResult("3", "unit_price", '{"euros": 24.5}')
ANALYSIS = "The stock lasts 3.5 weeks; a week's sales are worth 7644.00 euros."


def test_the_stand_in_works_with_the_results_it_is_sent() -> None:
    assert answer(seen("Analyse: …", (SALES, STOCK, PRICE))).text == ANALYSIS
    assert states_facts(answer(seen("Write …", (SALES, STOCK, PRICE), ANALYSIS)).text)


@pytest.mark.parametrize("lost", [SALES, STOCK, PRICE])
def test_a_history_that_lost_a_result_ends_in_sentences_that_say_so(lost: SeenResult) -> None:
    left = tuple(result for result in (SALES, STOCK, PRICE) if result is not lost)
    assert "holds no result of" in answer(seen("Analyse: …", left)).text
    written = answer(seen("Write …", left, ANALYSIS)).text
    assert lost.name in written
    assert not states_facts(written)


def test_a_history_whose_results_are_mixed_up_states_other_facts() -> None:
    swapped = (
        SeenResult("1", "weekly_sales", STOCK.text),
        SeenResult("2", "units_in_stock", SALES.text),
        PRICE,
    )
    analysis = answer(seen("Analyse: …", swapped)).text
    assert not states_facts(answer(seen("Write …", swapped, analysis)).text)


def test_a_history_that_lost_an_answer_ends_in_a_sentence_that_says_so() -> None:
    assert "lacks my analysis" in answer(seen("Write …", (SALES, STOCK, PRICE))).text


def test_facts_are_found_however_their_numbers_are_written() -> None:
    assert states_facts("312 a week, 1,092 in stock at €24.50: 3.5 weeks, worth 7,644.00 euros.")
    assert not states_facts("312 a week, 1,092 in stock at €24.50: 3.5 weeks.")
