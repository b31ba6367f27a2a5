"""`midstream export otel`: runs as spans, in the JSON that collectors take."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import orjson

from midstream import __version__
from midstream.cli.exits import OK
from midstream.cli.naming import find_run
from midstream.cli.opening import reading
from midstream.cli.output import say
from midstream.cli.progress import progress
from midstream.cli.writing import write
from midstream.errors import ConfigError
from midstream.projections.otlp import request
from midstream.projections.span_names import Edition
from midstream.projections.spans import Spans, read_spans


async def export(
    wanted: Sequence[str], *, out: str, content: bool, edition: str, unfinished: bool, service: str
) -> int:
    """Write runs as spans, a request to a collector on a line for each.

    Args:
        wanted: The runs.
        out: A file, or empty for stdout.
        content: What was said, too.
        edition: Of the names.
        unfinished: Also what has not ended.
        service: Whose spans they are.
    """
    names = _edition(edition)
    lines: list[bytes] = []
    async with reading() as store:
        runs = [(await find_run(store, name)).run_id for name in wanted]
        with progress("exporting", len(runs)) as advance:
            for run_id in runs:
                made = Spans(run_id, content=content, edition=names)
                found = await read_spans(made, store.read(run_id), unfinished=unfinished)
                lines.append(
                    orjson.dumps(request(found, service=service, version=__version__)) + b"\n"
                )
                if made.open and not unfinished:
                    say(f"run {run_id}: {len(made.open)} spans have not ended; see --unfinished")
                advance(1)
    write(out, lines)
    return OK


def _edition(text: str) -> Edition:
    for known in get_args(Edition):
        if text == known:
            return text  # type: ignore[return-value]  # one of them
    raise ConfigError(f"--semconv {text!r} is none of {', '.join(get_args(Edition))}")
