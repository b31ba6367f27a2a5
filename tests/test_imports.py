"""What an import loads: exactly, so that what few programs need does not come back by the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import midstream

HERE = Path(midstream.__file__).parent

RARE = {
    "midstream.adapters.convert",
    "midstream.adapters.prices",
    "midstream.adapters.routing",
    "midstream.engine.agents.events",
    "midstream.engine.debugging.finding",
    "midstream.engine.debugging.replay",
    "midstream.engine.debugging.what_if",
    "midstream.engine.driving.fork",
    "midstream.engine.driving.rehearsal_cast",
    "midstream.engine.experience.index",
    "midstream.engine.experience.library",
    "midstream.engine.graphs.documents.reading",
    "midstream.engine.graphs.documents.writing",
    "midstream.engine.graphs.rewiring",
    "midstream.engine.keeping",
    "midstream.engine.models.hedging",
    "midstream.engine.models.routed",
    "midstream.engine.nodes.node_spec",
    "midstream.engine.people.answers",
    "midstream.engine.planning.planning",
    "midstream.engine.planning.replanning",
    "midstream.engine.policies",
    "midstream.engine.ready.functions",
    "midstream.engine.ready.plan",
    "midstream.engine.recording.rehearsal",
    "midstream.engine.recording.tape",
    "midstream.engine.spending.budget",
    "midstream.events.agent_facts",
    "midstream.events.experience_facts",
    "midstream.events.flow_facts",
    "midstream.events.people_facts",
    "midstream.events.redaction",
    "midstream.events.routing_facts",
    "midstream.events.sealing",
    "midstream.events.sqlite",
    "midstream.projections.diff",
    "midstream.projections.experience",
    "midstream.projections.query",
    "midstream.projections.trace",
    "midstream.testing",
    "jinja2",
    "yaml",
    "httpx",
    "structlog",
    "genai_prices",
    "pydantic_settings",
}
"""What a program that starts an engine and drives a graph may never need."""


def loaded_by(statement: str) -> set[str]:
    code = f"import json, sys\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        check=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    [
        "from midstream import Engine, Graph, Context",
        "from midstream.engine import Engine",
        "import midstream.projections, midstream.events, midstream.adapters",
    ],
)
def test_an_import_loads_nothing_that_is_rarely_needed(statement: str) -> None:
    assert loaded_by(statement) & RARE == set()


def test_what_is_rarely_needed_is_there() -> None:
    loaded = loaded_by(f"import {', '.join(sorted(RARE - {'midstream.testing'}))}")
    assert loaded >= RARE - {"midstream.testing"}


START = """
import asyncio, sys
from pathlib import Path
from midstream import Engine, Graph

graph = Graph("g")

@graph.node(output=True)
async def answer(question: str) -> str:
    return question

async def main():
    async with Engine.open("r.db", recover=False) as engine:
        assert await (await engine.start(graph, question="why")) == "why"

asyncio.run(main())
"""


def test_a_run_of_a_plain_graph_loads_nothing_that_is_rarely_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    needed = {"midstream.events.sqlite", "midstream.events.sealing"}
    assert loaded_by(START) & RARE == needed


@pytest.mark.parametrize(
    "room", ["adapters", "engine", "errors", "events", "projections", "testing"]
)
def test_what_is_below_the_package_is_found_with_it_alone(room: str) -> None:
    code = f"import midstream; print(midstream.{room}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"midstream.{room}"
