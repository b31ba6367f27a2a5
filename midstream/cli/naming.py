"""Which run is meant: an id, the unique beginning of one, `@last` or `@last-failed`."""

from __future__ import annotations

from midstream.errors import ConfigError, RunNotFoundError
from midstream.events.store import EventStore, RunInfo, RunQuery

_SHOWN = 4


async def find_run(store: EventStore, wanted: str) -> RunInfo:
    """Return the run that is meant.

    Raises:
        RunNotFoundError: There is no such run.
        ConfigError: Several runs begin like that.
    """
    if wanted.startswith("@"):
        return await _by_place(store, wanted)
    found = await store.runs(RunQuery(prefix=wanted)) if wanted else ()
    for info in found:
        if info.run_id == wanted:
            return info
    if not found:
        raise RunNotFoundError(wanted)
    if len(found) > 1:
        listed = ", ".join(info.run_id for info in found[:_SHOWN])
        more = ", …" if len(found) > _SHOWN else ""
        raise ConfigError(
            f"{len(found)} runs begin with {wanted!r}: {listed}{more}; give more of the id"
        )
    return found[0]


async def _by_place(store: EventStore, wanted: str) -> RunInfo:
    queries = {
        "@last": RunQuery(limit=1),
        "@last-failed": RunQuery(status=frozenset(("failed",)), limit=1),
    }
    query = queries.get(wanted)
    if query is None:
        raise ConfigError(f"{wanted!r} means no run; write an id, {' or '.join(queries)}")
    found = await store.runs(query)
    if not found:
        raise RunNotFoundError(wanted, "the store holds none")
    return found[0]
