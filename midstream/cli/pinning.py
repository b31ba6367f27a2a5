"""`midstream export pytest`: a test that holds the code to what a recorded run decided, up to a moment."""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from midstream.cli.exits import OK
from midstream.cli.moments import moment_of, split_moment
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import say
from midstream.cli.summary import SOURCE
from midstream.cli.writing import write
from midstream.engine.driving.moments import cut_at
from midstream.errors import ConfigError
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines, is_sealed
from midstream.events.store import EventStore, RunInfo
from midstream.projections.run_state import RunState

_PLACE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*)", re.ASCII)
_LONGEST = 400
"""Letters of an output that is written into the test; the replay compares longer ones as well."""

_HEAD = '''\
"""Holds the code of a graph to what a recorded run decided, up to a moment.

Written by `midstream export pytest`. The log is {where}, with everything that was said in it.
A test that fails shows the first step that is decided otherwise, and what can be done about it.
"""

{imports}from midstream.testing.pinned import Pinned

from {module} import {graph}

{log}
PINNED = Pinned(LOG, run={run}, graph={graph})


def test_the_code_decides_as_it_did_up_to_event_{seq}():
    PINNED.replay().check()


def test_the_run_stands_where_it_stood_at_event_{seq}():
    state = PINNED.state()
    assert (state.seq, state.status) == ({seq}, {status})
'''


async def pin(wanted: str, *, at: str, place: str, out: str, inline: bool) -> int:
    """Write a test.

    Args:
        wanted: The run, or a moment of it as `RUN@N`.
        at: Up to this event, or before this step; empty for all there is.
        place: `MODULE:GRAPH`; empty for what `midstream start` was given.
        out: The test's file; its log is put beside it. Empty for stdout, with the log in it.
        inline: The log in the test in any case.
    """
    name, moment = split_moment(wanted)
    async with reading() as store:
        info = await find_run(store, name)
        module, graph = _place(info, place)
        cut = await cut_at(store, info.run_id, moment_of(at) or moment)
        lines = [line async for line in _lines(store, info.run_id, cut.head.seq)]
    beside = Path(out).with_suffix(".jsonl") if out and not inline else None
    text = _test(info.run_id, cut.state, module, graph, lines, beside)
    if beside is not None:
        write(str(beside), lines)
    write(out, [text.encode()])
    if out:
        say(
            f"{out} is written{'' if beside is None else f', and its log, {beside}'}; run it with `pytest {out}`"
        )
    return OK


def _place(info: RunInfo, given: str) -> tuple[str, str]:
    """Return the module and the name of the code; a log does not decide what else stands in a test."""
    place = given or info.tags.get(SOURCE, "")
    found = _PLACE.fullmatch(place)
    words = [] if found is None else [*found[1].split("."), found[2]]
    if found is None or any(map(keyword.iskeyword, words)):
        what = (
            f"{place!r} names no code"
            if place
            else f"nobody knows where the code of {info.graph!r} is"
        )
        raise ConfigError(
            f"{what}; pass --graph MODULE:GRAPH, as in 'trips:trip' for `trip` in trips.py"
        )
    return found[1], found[2]


async def _lines(store: EventStore, run_id: RunId, seq: int) -> AsyncIterator[bytes]:
    """Iterate over the lines of a log that ends with an event, and holds no more of other runs than this one shares."""
    ends = {part.run_id: part.to or seq for part in await store.lineage(run_id) if part.after < seq}
    held, wanted, last = list[bytes](), False, 0
    async for line in export_lines(store, [run_id], opened=await is_sealed(store, run_id)):
        row: dict[str, Any] = orjson.loads(line)
        if "run" in row:
            wanted, last = row["run"] in ends, min(ends.get(row["run"], 0), seq)
            held = []
        elif "blob" in row:
            held.append(line)  # it belongs to the next event
            continue
        elif "seq" in row:
            wanted = row["seq"] <= last
            if wanted:
                for blob in held:
                    yield blob
            held = []
        else:
            wanted = True
        if wanted:
            yield line


def _test(
    run_id: str,
    state: RunState,
    module: str,
    graph: str,
    lines: Sequence[bytes],
    beside: Path | None,
) -> str:
    if beside is None:
        # In letters of ASCII, so that nothing in the log can look like something else in an editor.
        rows = "".join(f"{json.dumps(orjson.loads(line))}\n" for line in lines)
        imports, log, where = "", f'LOG = r"""{rows}"""\n', "in this file"
    else:
        imports = "from pathlib import Path\n\n"
        log = f"LOG = Path(__file__).with_name({beside.name!a})\n"
        where = "beside this file"
    text = _HEAD.format(
        where=where,
        imports=imports,
        module=module,
        graph=graph,
        log=log.rstrip("\n"),
        run=ascii(run_id),
        seq=state.seq,
        status=ascii(state.status),
    )
    return text + "".join(_outputs(state))


def _outputs(state: RunState) -> Sequence[str]:
    found: list[str] = []
    for address, one in state.activations.items():
        said = ascii(one.output)
        if one.status == "completed" and len(said) <= _LONGEST:
            found.append(f"    assert state.activations[{str(address)!a}].output == {said}\n")
    return found
