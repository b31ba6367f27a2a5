"""Logs that released versions wrote: this one must read, verify, fold, replay and export every one of them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import orjson
import pytest

from midstream.engine.debugging.replay import replay_run
from midstream.engine.providers import Providers
from midstream.events.codec import decode, encode
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines, import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.events.paging import pages
from midstream.events.payloads import VERSIONS
from midstream.events.verify import verify
from midstream.projections.fold import fold_async
from midstream.projections.run_state import fold_run
from midstream.projections.timeline import line
from midstream.projections.trace import trace_of
from midstream.projections.usage import USAGE
from tests.histories import shapes
from tests.histories.scenes import SCENES

FILES = sorted(file for file in Path(__file__).parent.glob("*.jsonl") if file != shapes.FILE)
SHAPES = shapes.lines()
LOGS = {file: file.read_bytes() for file in FILES}

ENDS = {
    "chain": "completed",
    "fan-out": "completed",
    "migrated": "completed",
    "cancelled": "cancelled",
    "failed": "failed",
    "trunk": "completed",
    "forked": "completed",
    "asked": "completed",
    "steered": "completed",
    "upgraded": "completed",
    "worked": "completed",
    "talked": "completed",
}


VIEWED = frozenset(f"{number:04}" for number in range(1, 7))
"""Logs whose digests of views are of an earlier kind; see docs/decisions/0045-requests-are-sent-as-bytes.md."""


async def opened(file: Path) -> tuple[MemoryStore, list[RunId]]:
    store = MemoryStore()
    runs = read_lines(LOGS[file].splitlines())
    await import_runs(store, runs, now=0.0)
    return store, [run.run_id for run in runs]


def test_every_scene_has_a_log_and_every_log_a_scene() -> None:
    assert [file.stem for file in FILES] == sorted(SCENES)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_it_is_read_verified_and_written_again_as_it_is(file: Path) -> None:
    store, runs = await opened(file)
    for run_id in runs:
        assert (await verify(store, run_id)).sound
    assert b"".join([made async for made in export_lines(store, runs)]) == LOGS[file]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_it_is_folded_and_told(file: Path) -> None:
    store, runs = await opened(file)
    for run_id in runs:
        events = [event async for event in store.read(run_id)]
        state = fold_run(events)
        assert (state.seq, state.status) == (len(events), ENDS[run_id])
        assert all(line(event).text is not None for event in events)
        assert all(event.payload for event in events)
        usage = await fold_async(USAGE, store.read(run_id))
        answered = sum(event.type == "model.responded" for event in events)
        assert (usage.total.calls, usage.total.cost > Decimal(0)) == (answered, answered > 0)
        steps = (await trace_of(pages(store, run_id))).steps
        assert set(steps) >= set(state.activations)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
async def test_its_code_still_does_what_it_says(file: Path) -> None:
    store, runs = await opened(file)
    for run_id in runs:
        code = SCENES[file.stem][1]()
        strict = file.stem[:4] not in VIEWED
        report = await replay_run(store, run_id, code, Providers(), strict=strict)
        assert report.identical, report
        if not strict:
            report = await replay_run(store, run_id, code, Providers())
            assert report.divergence is not None
            assert [one.path for one in report.divergence.differences] == ["view"]


def test_every_fact_of_this_version_is_among_the_shapes() -> None:
    assert list(shapes.missing()) == [], "python -m scripts.write_histories adds them"


@pytest.mark.parametrize(
    "shape", [pytest.param(shape, id=f"{n}-{shape['type']}") for n, shape in enumerate(SHAPES, 1)]
)
def test_every_shape_that_was_ever_written_is_read_and_told(shape: dict[str, Any]) -> None:
    body = orjson.dumps(shape["data"])
    row = (RunId("r"), 1, 1, 1, shape["type"], shape["version"], "engine", None, None, None)
    event = decode((*row, body, b""), {})
    assert event.type in VERSIONS, "an upcaster leads to a fact of this version"
    assert event.payload
    assert line(event).text is not None
    if (event.type, event.version) == (shape["type"], shape["version"]):
        assert orjson.loads(encode(event.payload, at=1).body) == shape["data"]
