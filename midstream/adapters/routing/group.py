"""A group, a pool or an endpoint as an `Adapter` like any other."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.routing.neutral import asked, told
from midstream.adapters.routing.router import Router
from midstream.adapters.view import Segment, View


class GroupAdapter:
    """Answers for `group:NAME`, `pool:NAME` or `endpoint:NAME`, by whoever is chosen.

    Its views are neutral: nothing is lost or repaired before it is known who answers.

    Args:
        router: Chooses; stays the caller's to close.
        kind: `group`, `pool` or `endpoint`.
    """

    def __init__(self, router: Router, kind: str = "group") -> None:
        self._router = router
        self._kind = kind

    @property
    def provider(self) -> str:
        """See `Adapter.provider`."""
        return self._kind

    def capabilities(self, model: str) -> Capabilities:
        """Return what one or another of its endpoints can; the largest window of them."""
        route = self._router.table.route(f"{self._kind}:{model}")
        stages = [stage for instance in route.instances for stage in instance.stages]
        members = [self._router.capable(one) for stage in stages for one in stage.endpoints]
        found = [one for one in members if not isinstance(one, str)] or [Capabilities()]
        windows = [one.context_window for one in found]
        known = [window for window in windows if window is not None]
        return replace(
            found[0],
            context_window=max(known) if len(known) == len(windows) else None,
            max_output=None,
            images=any(one.images for one in found),
            documents=any(one.documents for one in found),
            audio=any(one.audio for one in found),
            tools=any(one.tools for one in found),
            reasoning=any(one.reasoning for one in found),
            settings=frozenset[str]().union(*(one.settings for one in found)),
        )

    def begin(self, model: str) -> View:
        """See `Adapter.begin`."""
        return View(model)

    def render(self, view: View, segment: Segment) -> View:
        """See `Adapter.render`."""
        return told(view, segment)

    def request(self, view: View, settings: Settings) -> ModelRequest:
        """See `Adapter.request`."""
        return asked(view, settings)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        """See `Adapter.complete`; its one sending is a whole walk."""
        return await self._router.answer(f"{self._kind}:{request.model}", request, None)

    async def stream(self, request: ModelRequest) -> AsyncIterator[Delta | ModelResponse]:
        """See `StreamingAdapter.stream`; a piece with `restart` says that the answer begins anew."""
        queue: asyncio.Queue[Delta | None] = asyncio.Queue()
        target = f"{self._kind}:{request.model}"
        task = asyncio.ensure_future(self._router.answer(target, request, queue.put_nowait))
        task.add_done_callback(lambda _: queue.put_nowait(None))
        try:
            while (piece := await queue.get()) is not None:
                yield piece
            yield await task
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def close(self) -> None:
        """See `Adapter.close`; the router is closed by whoever made it."""
