"""A page of events as one row of a few long values, which is read without the interpreter's lock.

The driver takes the lock back for each row that it hands over, makes eleven objects of it, and waits for whoever computes
meanwhile. A page that is one row is put together by SQLite on its own, beside the decoding of the page before, and taken
apart by few calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import orjson

_DIGEST = 32
"""Bytes of a digest."""

_ENVELOPES = "json_array(run, seq, id, at, kind, actor, cause, address, epoch, length(body))"
_BYTES = ", ".join(f"CAST(group_concat({column}, '') AS BLOB)" for column in ("body", "digest"))

PACKED = (
    f"SELECT count(*), max(id), sum(typeof(body) <> 'blob'), json_group_array({_ENVELOPES}), {_BYTES}"
    " FROM ({})"
)
"""Selects a page as one row: how many events it has, the last position, and the rest for `rows_of`; of a query for
`sqlite_rows.COLUMNS`, in order."""


def rows_of(packed: Sequence[Any]) -> list[list[Any]] | None:
    """Return the rows of a page, as they would have been selected by `COLUMNS`.

    Returns:
        None where something in it is not of the type that is written: then it is to be read by rows.
    """
    count, _, odd, listed, bodies, digests = packed
    if not count:
        return []
    try:
        rows: list[list[Any]] = orjson.loads(listed)
    except orjson.JSONDecodeError:
        return None
    ends = [*accumulate([row[9] for row in rows], initial=0)]
    if odd or ends[-1] != len(bodies) or len(digests) != count * _DIGEST:
        return None
    after = 0
    for row, (start, end) in zip(rows, pairwise(ends), strict=True):
        row[9] = bodies[start:end]
        row.append(digests[after : after + _DIGEST])
        after += _DIGEST
    return rows
