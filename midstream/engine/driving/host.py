"""Drives runs in one process: for as long as it is open, it shows signs of life, and hears of what others append."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midstream.engine.driving.taking_over import TakingOver
from midstream.events.ids import RunId
from midstream.events.seizing import Seizing


class Host(TakingOver):
    """Drives runs in this process, and appends to any run on behalf of whoever wants something of it; see `Process`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._tasks: list[asyncio.Task[None]] = []
        self._unwatch: Callable[[], None] = lambda: None

    async def open(self, *, scan: bool) -> None:
        """Show signs of life for as long as this is open; the first one at once, or with the first run that is held here.

        Args:
            scan: Take over runs of known graphs whose lease runs out, for as long as this is open.
        """
        self._unwatch = self.store.watch(self._noticed)
        if not isinstance(self.store, Seizing):
            await self.appear()
        self._tasks.append(asyncio.create_task(self._every(self.lease / 3, self._beat)))
        if scan:
            self._tasks.append(asyncio.create_task(self._every(self.lease / 2, self._scan)))

    async def drain(self, seconds: float) -> None:
        """Take nothing over any more, and wait until what is driven here has ended or waits, or the time is up."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                while self.live:
                    await asyncio.wait([live.task for live in self.live.values()])
        except TimeoutError:
            self._log.info("handing over", runs=len(self.live))

    async def close(self, *, providers: bool = True) -> None:
        """Stop driving; every run can be resumed at once by whoever wants to. No task is left.

        Args:
            providers: Close them, too.
        """
        self._unwatch()
        await self.lot.close()
        await self.subruns.close()
        own = (*self._tasks, *self._waking)
        for task in own:
            task.cancel()
        if own:
            await asyncio.wait(own)
        driven = dict(self.live)
        for live in driven.values():
            live.task.cancel()
        if driven:
            await asyncio.wait([live.task for live in driven.values()])
        held = {run_id: live.runner.recorder.epoch for run_id, live in driven.items()}
        held |= {run_id: place.epoch for run_id, place in self.lot.all().items()}
        await asyncio.gather(*(self._give_up(run_id, epoch) for run_id, epoch in held.items()))
        if providers:
            await self.providers.close()

    def _noticed(self, run_id: RunId, seq: int) -> None:
        live = self.live.get(run_id)
        if live is not None:
            live.runner.recorder.noticed(seq)
        elif run_id in self.lot:
            self._wake_soon(run_id)
        else:
            self.subruns.noticed(run_id)

    async def _every(self, seconds: float, job: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                done = job()
                if asyncio.iscoroutine(done):
                    await done
            except Exception as error:  # noqa: BLE001  # a sign of life must not end for an error of any kind
                self._log.warning(
                    "will be tried again", job=getattr(job, "__name__", ""), error=str(error)
                )

    async def _beat(self) -> None:
        if self.seen:  # who has held no run has nothing to hold
            await self.store.beat(self.name, until=self.clock.now() + self.lease)

    async def _scan(self) -> None:
        await self.recover()
