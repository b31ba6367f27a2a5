"""Erasing the content of runs, and what was learnt from them."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from midstream.engine.experience.library import Experience
from midstream.engine.keeping.pruning import swept
from midstream.errors import ConfigError, RunNotFoundError, StoreError
from midstream.events.codec import SEALED
from midstream.events.ids import RunId
from midstream.events.keeping import Erasing, Removing
from midstream.events.sealing import owner_of
from midstream.events.store import EventStore, RunQuery, as_stored
from midstream.projections.experience import stream_of

_STREAMS = stream_of("")


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure came to.

    Attributes:
        runs: The runs whose content is gone, forks of the wanted ones among them.
        lessons: The lessons that retired, because they rested on nothing else.
    """

    runs: tuple[RunId, ...]
    lessons: tuple[str, ...]


def check_sealed(store: EventStore) -> None:
    """Refuse a subject where nothing of it could be erased.

    Raises:
        ConfigError: The store does not seal content.
    """
    if not isinstance(store, Erasing) or not store.encrypted:
        raise ConfigError(
            "subject= promises that content can be erased, and this store does not seal it; "
            "open it with Engine.open(path, encryption=Encryption(…)), see docs/keeping.md"
        )


async def erase(
    store: EventStore,
    experience: Experience,
    run_id: str | None,
    *,
    subject: str,
    subruns: bool | None,
    at: float,
    actor: str,
    reason: str,
) -> Erased:
    """Destroy the keys of a run or of a subject's runs, and forget what was learnt from them; see `Engine.erase`.

    Args:
        store: Where they are.
        experience: What was learnt.
        run_id: The run, or None.
        subject: The subject, or empty.
        subruns: The runs that the run has started are erased, too; None refuses where there are any.
        at: Now, in seconds since 1970.
        actor: Who wants it.
        reason: Why; recorded.

    Raises:
        ConfigError: Not exactly one of the two is given, or the run has started others and nobody says what becomes of them.
        RunNotFoundError: There is no such run; nothing was erased.
        StoreError: The run was recorded without encryption; nothing was erased.
    """
    if (run_id is not None) == bool(subject):
        raise ConfigError("erase takes exactly one of a run and subject=")
    if not isinstance(store, Erasing):
        raise StoreError(
            f"content cannot be erased in a {type(store).__name__}, which does not seal it; remove the whole run (`prune`)"
        )
    wanted = [] if run_id is None else [RunId(run_id)]
    if run_id is not None and subruns is not False:
        begun = await begun_by(store, RunId(run_id))
        if begun and subruns is None:
            raise ConfigError(
                f"run {run_id!r} has started {len(begun)} other run(s), such as {begun[0]!r}, whose content would stay: pass "
                "subruns=True to erase them, too, or subruns=False to leave them"
            )
        wanted += begun
    runs = await store.erase(
        wanted, subject=subject, at=int(at * 1_000_000), actor=actor, reason=reason
    )
    lessons: list[str] = []
    for info in await store.runs(RunQuery(prefix=_STREAMS)):
        tenant = info.run_id.removeprefix(_STREAMS)
        taught = await _taught(store, info.run_id, runs)
        lessons += await experience.forget(runs, taught, tenant=tenant, reason=reason, actor=actor)
    if isinstance(store, Removing):
        await swept(store)
    return Erased(tuple(runs), tuple(lessons))


async def begun_by(store: EventStore, run_id: RunId) -> list[RunId]:
    """Return the runs that a run has started, and those that these have, whose content is there.

    Of a run that was erased, those are found whose ids say so, which is so unless its own was very long.

    Raises:
        RunNotFoundError: There is no such run.
    """
    found: dict[RunId, None] = {}
    left = [run_id]
    while left:
        one = left.pop()
        asked = [event async for event in store.read(one) if event.type == "subrun.requested"]
        named = {RunId(event.data["run"]) for event in asked if "run" in event.data}
        for info in await store.runs(RunQuery(prefix=f"{one}~")):
            named.add(info.run_id)
        for child in sorted(named - found.keys() - {run_id}):
            if await store.head(child) is not None:
                found[child] = None
                left.append(child)
    gone = {info.run_id for info in await store.runs(RunQuery(prefix=run_id)) if info.erased}
    return [child for child in found if child not in gone]


async def _taught(store: EventStore, stream: RunId, runs: Sequence[RunId]) -> Collection[RunId]:
    """Return those of the runs whose content stands in a stream of lessons, readable or not."""
    wanted, found = set(runs), set[RunId]()
    with contextlib.suppress(RunNotFoundError):
        async for event in as_stored(store, stream):
            if event.body.startswith(SEALED) and (owner := owner_of(event)) in wanted:
                found.add(RunId(owner))
    return found
