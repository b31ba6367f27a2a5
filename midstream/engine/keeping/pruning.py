"""How long runs are kept: which of them are old enough to go, and removing those."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from midstream.errors import ConfigError, RunNeededError, StoreError
from midstream.events.ids import RunId
from midstream.events.keeping import Removing
from midstream.events.store import OPEN, EventStore, RunInfo

_TOGETHER = 100
"""Runs that are removed in one transaction."""

_ENDED = ("completed", "failed", "cancelled")


@dataclass(frozen=True, slots=True)
class Pruned:
    """What pruning a store came to, or would come to.

    Attributes:
        removed: The runs that were removed, the oldest first.
        events: How many events of their own these had.
        kept: Old runs that were kept, and why.
        dry_run: Nothing was removed; this is what would be.
    """

    removed: tuple[RunId, ...]
    events: int
    kept: Mapping[RunId, str]
    dry_run: bool


class Keep:
    """Which runs are kept however old they are.

    Args:
        words: `completed`, `failed` or `cancelled`; `graph:NAME`; `tag:KEY` or `tag:KEY=VALUE`.

    Raises:
        ConfigError: A word is none of these.
    """

    def __init__(self, words: Iterable[str]) -> None:
        self._words = tuple(dict.fromkeys(words))
        for word in self._words:
            kind, _, rest = word.partition(":")
            if word not in _ENDED and not (kind in ("graph", "tag") and rest):
                raise ConfigError(
                    f"keep {word!r} is none of {', '.join(_ENDED)}, graph:NAME, tag:KEY and tag:KEY=VALUE"
                )

    def reason(self, info: RunInfo) -> str:
        """Return the word because of which a run is kept, or nothing."""
        return next((word for word in self._words if _fits(word, info)), "")


def _fits(word: str, info: RunInfo) -> bool:
    kind, _, rest = word.partition(":")
    if kind == "graph":
        return info.graph == rest
    if kind == "tag":
        key, equals, value = rest.partition("=")
        return key in info.tags and (not equals or info.tags[key] == value)
    return info.status == word


async def prune(
    store: EventStore,
    *,
    before: float,
    keep: Collection[str] = (),
    dry_run: bool = False,
    at: float,
    actor: str = "user",
    reason: str = "",
) -> Pruned:
    """Remove whole runs that ended and of which nothing was recorded since a moment; see `Engine.prune`.

    Args:
        store: Where they are.
        before: That moment, in seconds since 1970.
        keep: Runs that are kept however old they are; see `Keep`.
        dry_run: Only say which runs would go.
        at: Now, in seconds since 1970.
        actor: Who wants it.
        reason: Why; recorded.

    Raises:
        ConfigError: `keep` cannot be understood; nothing was removed.
        StoreError: Runs cannot be removed from this store.
    """
    wanted = Keep(keep)
    if not isinstance(store, Removing):
        raise StoreError(
            f"runs cannot be removed from a {type(store).__name__}; see `midstream.events.keeping.Removing`"
        )
    infos = await store.runs()
    kept: dict[RunId, str] = {}
    old = [info for info in infos if await _is_old(store, info, before)]
    for info in old:
        if word := wanted.reason(info):
            kept[info.run_id] = f"it is {word}"
    going = _whole(infos, [info for info in old if info.run_id not in kept], kept)
    counts = {info.run_id: info.seq - info.forked_at for info in going}
    gone = [info.run_id for info in reversed(going)]
    if not dry_run:
        gone = await _removed(store, going, kept, at=at, actor=actor, reason=reason)
        await swept(store)
    return Pruned(tuple(gone), sum(counts[run_id] for run_id in gone), kept, dry_run)


async def _is_old(store: EventStore, info: RunInfo, before: float) -> bool:
    """Say whether a run has ended and nothing was recorded of it since; feedback of yesterday keeps it."""
    if info.status in OPEN or info.created_at >= before * 1_000_000:
        return False
    newest = 0
    async for event in store.read(info.run_id, after=info.seq - 1):
        newest = event.at
    return newest < before * 1_000_000


def _whole(
    infos: Sequence[RunInfo], old: Sequence[RunInfo], kept: dict[RunId, str]
) -> list[RunInfo]:
    """Return those old runs whose forks are all old, too, and say of the others why they are kept."""
    forks: dict[RunId, list[RunId]] = {}
    for info in infos:
        if info.parent is not None:
            forks.setdefault(info.parent, []).append(info.run_id)
    going = {info.run_id for info in old}
    while True:
        needed = {
            run_id: fork for run_id in going for fork in forks.get(run_id, ()) if fork not in going
        }
        if not needed:
            return [info for info in old if info.run_id in going]
        going -= needed.keys()
        kept.update((run_id, f"its fork {fork} is kept") for run_id, fork in needed.items())


async def _removed(
    store: EventStore,
    going: Sequence[RunInfo],
    kept: dict[RunId, str],
    *,
    at: float,
    actor: str,
    reason: str,
) -> list[RunId]:
    """Remove runs, the newest first: a fork is newer than what it was forked from. Return them, the oldest first."""
    assert isinstance(store, Removing)
    gone: list[RunId] = []
    for start in range(0, len(going), _TOGETHER):
        part = [info.run_id for info in going[start : start + _TOGETHER]]
        while part:
            try:
                await store.remove(part, at=int(at * 1_000_000), actor=actor, reason=reason)
            except RunNeededError as error:  # somebody forked it meanwhile
                kept[RunId(error.run_id)] = str(error)
                part = [run_id for run_id in part if run_id != error.run_id]
            else:
                gone += part
                break
    return gone[::-1]


async def swept(store: Removing) -> None:
    """Delete what removed runs have left; others get a turn to write after each step."""
    while await store.sweep():  # noqa: ASYNC110  # it does something, and pauses for the others
        await asyncio.sleep(0.002)
