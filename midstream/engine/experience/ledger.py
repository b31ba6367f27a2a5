"""One tenant's stream: read, folded and indexed as far as it goes, and appended to on what was just read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from midstream.engine.driving.host import Host
from midstream.engine.experience.embedding import Embedder
from midstream.errors import ConcurrencyError, ConfigError, RunNotFoundError
from midstream.events.envelope import ENGINE, Event
from midstream.events.ids import NODE_NAME
from midstream.events.patience import append_patiently
from midstream.events.payloads import Fact
from midstream.events.system import opening

if TYPE_CHECKING:
    from collections.abc import Callable

    from midstream.projections.experience import ExperienceState

    Decide = Callable[[ExperienceState], Sequence[Fact]]
    """What is to be recorded, given what has been learnt so far."""

DEFAULT = "default"
"""The tenant of runs that name none in their tag `tenant`."""


class Ledger:
    """What one tenant has learnt, as this process has read it.

    Args:
        host: Where the store and the clock are.
        tenant: Whose.
        embedder: Makes vectors of lessons.
    """

    def __init__(self, host: Host, tenant: str, embedder: Embedder) -> None:
        from midstream.engine.experience.index import Index
        from midstream.projections.experience import ExperienceState, stream_of

        if not NODE_NAME.fullmatch(tenant.replace("-", "_")):
            raise ConfigError(
                f"tenant {tenant!r} must begin with a letter and hold at most 100 letters, digits, '.', '-' and '_'"
            )
        self.tenant = tenant
        self.state = ExperienceState()
        self.index = Index(embedder)
        self._host = host
        self._stream = stream_of(tenant)
        self._reading = asyncio.Lock()

    async def refresh(self) -> ExperienceState:
        """Fold and index what was appended since, by whichever process, and return what has been learnt."""
        from midstream.projections.experience import apply_experience

        async with self._reading:
            changed: set[str] = set()
            try:
                forgotten = False
                async for event in self._host.store.read(self._stream, after=self.state.seq):
                    apply_experience(self.state, event)
                    changed |= _touched(self.state, event)
                    forgotten |= bool(event.data.get("forgotten"))
                if forgotten:
                    return await self._anew()
            except RunNotFoundError:
                return self.state  # nothing has been learnt yet
            if changed:
                self.index.update(self.state, sorted(changed & self.state.lessons.keys()))
            return self.state

    async def _anew(self) -> ExperienceState:
        """Read all of it again: what was erased is not there any more, and is not to stay in memory."""
        from midstream.projections.experience import ExperienceState, apply_experience

        self.state = ExperienceState()
        async for event in self._host.store.read(self._stream):
            apply_experience(self.state, event)
        self.index.rebuild(self.state)
        return self.state

    async def record(self, decide: Decide, *, actor: str = ENGINE) -> Sequence[Fact]:
        """Append what is decided on the newest state, all or none; decided again where somebody else was quicker.

        Returns:
            What was recorded.
        """
        while True:
            state = await self.refresh()
            facts = decide(state)
            if not facts:
                return facts
            drafts = [self._host.draft(fact, actor=actor)._replace(of=_of(fact)) for fact in facts]
            begin = () if state.seq else opening(self._stream, drafts[0].at)
            try:
                await append_patiently(
                    self._host.store, self._stream, [*begin, *drafts], expected=state.seq
                )
            except ConcurrencyError:
                continue
            await self.refresh()
            return facts


def _of(fact: Fact) -> str:
    """Return the run whose content a fact is: its words come from nowhere else."""
    from midstream.events.experience_facts import ExperienceDistilled, LessonDrafted

    if isinstance(fact, ExperienceDistilled):
        return fact.run
    if isinstance(fact, LessonDrafted):
        runs = {one.run for one in fact.evidence}
        return runs.pop() if len(runs) == 1 else ""
    return ""


def _touched(state: ExperienceState, event: Event) -> set[str]:
    """Return the lessons whose entry in the index an event changes."""
    if event.type == "experience.erased":
        return set(state.lessons)
    if event.type not in ("lesson.drafted", "lesson.moved"):
        return set()
    lesson = state.lessons.get(event.data["id"])
    return set() if lesson is None else {lesson.id, lesson.data.get("supersedes", "")}


class Ledgers:
    """The ledgers of one process, one for each tenant.

    Args:
        host: Where the store is.
        embedder: Makes vectors.
    """

    def __init__(self, host: Host, embedder: Embedder) -> None:
        self._host = host
        self._embedder = embedder
        self._of: dict[str, Ledger] = {}

    def of(self, tenant: str) -> Ledger:
        """Return a tenant's ledger; it is read when it is first refreshed.

        Raises:
            ConfigError: That is no name of a tenant.
        """
        known = self._of.get(tenant)
        if known is None:
            known = self._of[tenant] = Ledger(self._host, tenant, self._embedder)
        return known

    def close(self) -> None:
        """Let go of the indexes."""
        for ledger in self._of.values():
            ledger.index.close()
        self._of.clear()
