"""`midstream trace`, `fork`, `replay`, `diff`, `export` and `import` of logs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from midstream.cli.moments import moment_of, seconds_ago, split_moment
from midstream.errors import ConfigError
from midstream.testing import Answer, ProviderServer, Seen

from .conftest import Command

GRAPH = "tests.cli.graphs:greet"


@pytest.fixture
def run(command: Command) -> str:
    assert command("start", GRAPH, "-i", "name=Bob", "--run-id", "r1", "-q").code == 0
    return "r1"


def test_the_steps_of_a_run_are_a_tree(command: Command, run: str) -> None:
    assert "✓ say#1  completed" in command("trace", run).out
    (row,) = command("--json", "trace", run).rows
    assert (row["id"], row["type"], row["status"]) == ("say#1", "node", "completed")
    assert command("--json", "trace", f"{run}@1").rows == []
    assert command("trace", run, "--at", "nobody#1").code == 2


def test_a_run_is_shown_as_it_stood(command: Command, run: str) -> None:
    (row,) = command("--json", "show", f"{run}@2").rows
    assert (row["status"], row["seq"]) == ("running", 2)
    (state,) = command("--json", "show", run, "--state", "--at", "3").rows
    assert (state["outputs"], state["output"]) == ({"say#1": "hello Bob"}, None)
    assert '"inputs": {' in command("show", run, "--state").out


def test_a_fork_with_its_code_is_driven_here(command: Command, run: str) -> None:
    done = command("fork", run, "--set", "inputs.name=Ann", "--graph", GRAPH, "-q")
    assert (done.code, done.out) == (0, "hello Ann\n")
    assert "shares 1 events with r1" in done.err
    assert command("verify", "r1~1").code == 3


def test_a_fork_without_its_code_is_made_and_waits(command: Command, run: str) -> None:
    done = command("fork", run, "--at", "say#1", "--run-id", "mine", "--reason", "to see")
    assert (done.code, done.out) == (0, "mine\n")
    assert "midstream resume mine --graph" in done.err
    (row,) = command("--json", "show", "mine").rows
    assert row["status"] == "paused"
    assert command("fork", run, "--at", "99").code == 2
    assert command("fork", run, "--prompt", "nonsense").code == 2


def test_replay_says_identical_or_where_not(
    command: Command, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("replay", run, "--graph", GRAPH)
    assert (done.code, done.out) == (0, "run r1: identical, 3 events compared\n")
    (tmp_path / "changed.py").write_text(
        "from midstream import Graph\n"
        "greet = Graph('greet')\n"
        "@greet.node(name='say')\n"
        "async def say(name: str, times: int = 1) -> str:\n"
        "    return 'hallo'\n"
    )
    monkeypatch.setattr("sys.path", [str(tmp_path), *sys.path])
    done = command("replay", "--all", "--graph", "changed:greet", "--since", "1h")
    assert done.code == 1
    assert "output: 'hello Bob' → 'hallo'" in done.out
    (row,) = command("--json", "replay", run, "--graph", "changed:greet").rows
    assert (row["identical"], row["divergence"]["seq"], row["divergence"]["line"]) == (False, 3, 3)
    assert command("replay", run).code == 2
    assert command("replay", "--graph", GRAPH).code == 2
    assert command("replay", "--all", "--graph", GRAPH, "--since", "soon").code == 2


def test_diff_exits_as_diff_does(command: Command, run: str) -> None:
    command("fork", run, "--set", "inputs.name=Ann", "--graph", GRAPH, "-q")
    same = command("diff", run, run)
    assert (same.code, same.out.splitlines()[-1]) == (0, "no difference")
    done = command("diff", run, "r1~1")
    assert done.code == 1
    assert "cause    right run: run.forked from run r1 at event 1, with other name" in done.out
    assert "output: 'hello Bob' → 'hello Ann'" in done.out
    assert "hello Ann" not in command("diff", run, "r1~1", "--stat").out.split("output ")[0]
    (row,) = command("--json", "diff", run, "r1~1@2").rows
    assert (row["differs"], row["common"]) == (True, 1)
    assert command("diff", run, "nobody").code == 4


def test_what_is_exported_is_imported(command: Command, run: str, tmp_path: Path) -> None:
    command("fork", run, "--set", "inputs.name=Ann", "--graph", GRAPH, "-q")
    file, other = str(tmp_path / "runs.jsonl"), str(tmp_path / "other.db")
    assert command("export", "jsonl", "r1~1", "-o", file).code == 0
    done = command("--db", other, "import", file)
    assert done.out.splitlines()[1].startswith("r1~1  4 events, 4 of them new")
    assert [row["added"] for row in command("--db", other, "--json", "import", file).rows] == [0, 0]
    assert (
        command("--json", "diff", run, "r1~1").out
        == command("--db", other, "--json", "diff", run, "r1~1").out
    )


def test_a_run_that_has_not_ended_is_imported_only_when_that_is_meant(
    command: Command, run: str, tmp_path: Path
) -> None:
    command("fork", run, "--at", "1", "--paused")
    file, other = str(tmp_path / "runs.jsonl"), str(tmp_path / "other.db")
    command("export", "jsonl", "r1~1", "-o", file)
    done = command("--db", other, "import", file)
    assert (done.code, "pass --open" in done.err) == (2, True)
    assert command("--db", other, "import", file, "--open").code == 0


def test_moments_and_spans_are_read() -> None:
    assert [moment_of(text) for text in ("", "17", "plan#1")] == [None, 17, "plan#1"]
    assert [split_moment(text) for text in ("r@7", "@last", "@last@3", "a@b")] == [
        ("r", 7),
        ("@last", None),
        ("@last", 3),
        ("a@b", None),
    ]
    assert [seconds_ago(text) for text in ("90s", "1.5h", "2w")] == [90, 5400, 1209600]
    with pytest.raises(ConfigError, match="span of time"):
        seconds_ago("7")


TRIP = "tests.cli.graphs:trip"


@pytest.fixture
def trip(command: Command, monkeypatch: pytest.MonkeyPatch) -> Iterator[ProviderServer]:
    """A provider that answers by model, and a run that asked it twice."""

    def answer(seen: Seen) -> Answer:
        return Answer(text=str(seen.body["model"]))

    with ProviderServer(answer) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.openai_url)
        monkeypatch.setenv("OPENAI_API_KEY", "k")
        assert command("start", TRIP, "--run-id", "t1", "-q").code == 0
        yield server


LIVE = ("replay", "t1", "--graph", TRIP, "--live")


def test_a_step_is_tried_after_its_price_was_told(command: Command, trip: ProviderServer) -> None:
    asked = len(trip.requests)
    refused = command(*LIVE, "plan")
    assert (refused.code, refused.out) == (6, "")
    assert "1 tries: about 1 model calls, at most 1 after them; $" in refused.err
    assert "genai-prices" in refused.err
    assert len(trip.requests) == asked
    done = command(*LIVE, "plan", "--times", "2", "--yes")
    assert done.code == 0
    assert len(trip.requests) == asked + 2
    assert [line.split()[:3] for line in done.out.splitlines()[1:4]] == [
        ["log", "t1", "completed"],
        ["1", "t1~1", "completed"],
        ["2", "t1~2", "completed"],
    ]


def test_tries_that_end_otherwise_are_an_exit_code_and_rows(
    command: Command, trip: ProviderServer
) -> None:
    wanted = (*LIVE, "publish", "--model", "publish=openai:gpt-4o-mini", "--yes", "--forget")
    done = command("--json", *wanted)
    assert done.code == 1
    (row,) = done.rows
    assert (row["original"]["output"], row["tries"][0]["output"]) == ("gpt-4o", "gpt-4o-mini")
    assert float(row["tries"][0]["cost"]) < float(row["original"]["cost"])
    assert [run["run_id"] for run in command("--json", "runs").rows] == ["t1"]
    stopped = command(*LIVE, "plan", "--model", "openai:gpt-4o-mini", "--stop", "--yes")
    assert "publish#1/llm:" in stopped.out
    assert "is not asked what it was" in stopped.out


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("moon",), 2, "no step 'moon'"),
        (("plan", "--model", "mini"), 2, "names no model"),
        (("plan", "--limit", "much"), 2, "no amount of US dollars"),
        (("plan", "--limit", "0"), 6, "the limit is $0"),
        (("plan", "--prompt", "nonsense"), 2, "names no step"),
        (("plan", "--all"), 2, "--live tries one run"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    command: Command, trip: ProviderServer, words: tuple[str, ...], code: int, said: str
) -> None:
    done = command(*LIVE, *words, "--yes")
    assert done.code == code
    assert said in done.err


def test_trying_needs_the_code(command: Command, trip: ProviderServer) -> None:
    done = command("replay", "t1", "--live", "plan", "--yes")
    assert done.code == 2
    assert f"midstream replay t1 --graph {TRIP}" in done.err


def test_what_a_run_cost_and_would_have_cost(command: Command, trip: ProviderServer) -> None:
    (plain,) = command("--json", "cost", "t1").rows
    assert (plain["estimate"], plain["unpriced"]) == (False, 0)
    assert [line["node"] for line in plain["lines"]] == ["plan", "publish"]
    (other,) = command("--json", "cost", "t1", "--model", "openai:gpt-4o-mini").rows
    assert other["estimate"]
    assert other["recorded"] == plain["cost"]
    assert float(other["cost"]) < float(plain["cost"])
    (one,) = command("--json", "cost", "t1", "--model", "plan=openai:gpt-4o-mini").rows
    assert float(other["cost"]) < float(one["cost"]) < float(plain["cost"])
    told = command("cost", "t1", "--cache", "none", "--date", "2025-06-01").out
    assert "an estimate by genai-prices" in told
    assert command("cost", "t1@2").out.startswith("total  $0.000000")
    assert command("cost", "t1", "--cache", "much").code == 2
    assert command("cost", "t1", "--date", "soon").code == 2
    assert command("cost", "t1", "--model", "moon=openai:gpt-4o").code == 2


def test_what_runs_cost_together_counts_what_forks_share_once(
    command: Command, trip: ProviderServer
) -> None:
    (one,) = command("--json", "cost", "t1").rows
    assert command("fork", "t1", "--at", "publish#1", "--paused").code == 0
    by_run = command("--json", "cost", "--runs", "", "--by", "run").rows
    assert [(row["key"], row["calls"] > 0) for row in by_run[:-1]] == [
        ("t1", True),
        ("t1~1", False),
    ]
    assert by_run[-1]["by"] == "total"
    for by in ("run", "graph", "model", "node", "tag.team"):
        *rows, total = command("--json", "cost", "--runs", "", "--by", by).rows
        assert float(total["cost"]) == pytest.approx(float(one["cost"]))
        assert sum(float(row["cost"]) for row in rows) == pytest.approx(float(total["cost"]))
        assert sum(row["calls"] for row in rows) == total["calls"] == 2
    shown = command("cost", "--runs", "id:t1", "--by", "node").out
    assert shown.splitlines()[0].split() == ["NODE", "RUNS", "CALLS", "TOKENS", "COST"]
    assert "trip: plan" in shown


def test_what_no_runs_cost_is_said_and_what_cannot_be_summed_by_is_refused(
    command: Command, trip: ProviderServer
) -> None:
    assert command("cost", "--runs", "status:failed").said == "no such runs"
    refused = command("cost", "--runs", "", "--by", "weather")
    assert (refused.code, "none of run, graph, model, node or tag.KEY" in refused.said) == (2, True)
    assert command("cost", "--runs", "moon:full").code == 2
