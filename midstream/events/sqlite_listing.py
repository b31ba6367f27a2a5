"""The list of runs in SQLite: the statement, its conditions, and what a row says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from midstream.events.store import OPEN, RunInfo, RunQuery
from midstream.events.system import PREFIX, is_system

LIST = """SELECT r.run, r.uid, r.graph, r.status, r.tags, r.created_at, r.epoch, r.holder, coalesce(d.until, 0.0),
    (SELECT max(seq) FROM events WHERE run = r.run), p.uid, r.base, r.erased IS NOT NULL
    FROM runs r LEFT JOIN drivers d ON d.holder = r.holder LEFT JOIN runs p ON p.run = r.parent"""
"""Lists runs, for `info_of`; conditions follow."""


def conditions(query: RunQuery) -> tuple[str, list[Any]]:
    """Return the conditions of a query but that on tags, and what is bound to them."""
    where = " AND r.removed IS NULL"
    parameters: list[Any] = []
    if query.status is not None:
        where += f" AND r.status IN ({', '.join('?' * len(query.status))})"
        parameters += sorted(query.status)
    if query.graph is not None:
        where += " AND r.graph = ?"
        parameters.append(query.graph)
    if not is_system(query.prefix):
        where += " AND substr(r.uid, 1, ?) <> ?"
        parameters += [len(PREFIX), PREFIX]
    if query.prefix:
        where += " AND substr(r.uid, 1, ?) = ?"
        parameters += [len(query.prefix), query.prefix]
    if query.since is not None:
        where += " AND r.created_at >= ?"
        parameters.append(query.since)
    if query.until is not None:
        where += " AND r.created_at < ?"
        parameters.append(query.until)
    if query.orphaned_at is not None:
        marks = ", ".join("?" * len(OPEN))
        where += f" AND r.status IN ({marks}) AND (r.holder IS NULL OR coalesce(d.until, 0.0) <= ?)"
        parameters += [*sorted(OPEN), query.orphaned_at]
    return where, parameters


def info_of(row: Sequence[Any]) -> RunInfo:
    """Return what a row of `LIST` says."""
    _, uid, graph, status, tags, created_at, epoch, holder, until, seq, parent, base, gone = row
    tags = orjson.loads(tags)
    return RunInfo(
        uid,
        graph,
        status,
        tags,
        created_at,
        seq or 0,
        epoch,
        holder,
        until,
        parent,
        base,
        bool(gone),
    )
