"""Runs as spans of OpenTelemetry, through its SDK: live, while they happen, or afterwards (extra `midstream[otel]`).

It needs neither a tracer nor instrumentation: spans are made of events, so their ids and times are those of the log, and a
run of another process is exported as one of this one.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

import structlog
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event as SdkEvent
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SdkLink
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from midstream.errors import StoreError
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.events.system import is_system
from midstream.projections.span import Span
from midstream.projections.span_names import SCHEMA_URL, Edition
from midstream.projections.spans import Spans, read_spans

if TYPE_CHECKING:
    from midstream.engine.engine import Engine

_LOG: structlog.stdlib.BoundLogger = structlog.get_logger("midstream.otel")
_SCOPE = InstrumentationScope("midstream", None, SCHEMA_URL)
_KINDS = {"internal": SpanKind.INTERNAL, "client": SpanKind.CLIENT}
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_KEPT = 1000
"""Runs that go on, whose open spans are kept; others are read again from their beginning."""

_SEEN = 100_000
"""Runs of which it is known how far they were exported."""


def readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return a span as the SDK's exporters take it."""
    context = _context(span.trace_id, span.span_id)
    parent = _context(span.trace_id, span.parent_id) if span.parent_id else None
    status = Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET)
    return ReadableSpan(
        name=span.name,
        context=context,
        parent=parent,
        resource=resource,
        attributes=dict(span.attributes),
        events=[
            SdkEvent(event.name, dict(event.attributes), event.at * 1000) for event in span.events
        ],
        links=[SdkLink(_context(link.trace_id, link.span_id)) for link in span.links],
        kind=_KINDS[span.kind],
        status=status,
        start_time=span.began_at * 1000,
        end_time=span.ended_at * 1000,
        instrumentation_scope=_SCOPE,
    )


def _context(trace: str, span: str) -> SpanContext:
    return SpanContext(int(trace, 16), int(span, 16), is_remote=False, trace_flags=_SAMPLED)


async def export_run(
    store: EventStore,
    run_id: str,
    exporter: SpanExporter,
    *,
    content: bool = False,
    edition: Edition = "1.41",
    unfinished: bool = False,
    resource: Resource | None = None,
) -> int:
    """Export a run that is in the log; doing so again sends the same spans with the same ids.

    Args:
        store: Where it is.
        run_id: The run.
        exporter: Where to; it stays the caller's to shut down.
        content: Tell what was said, too.
        edition: Of the names.
        unfinished: Also what has not ended, as of the newest event.
        resource: What the spans come from; None for the SDK's own, with `OTEL_SERVICE_NAME` and so on.

    Returns:
        How many spans were exported.

    Raises:
        StoreError: The exporter did not take them.
        RunNotFoundError: There is no such run.
    """
    made = Spans(run_id, content=content, edition=edition)
    spans = await read_spans(made, store.read(RunId(run_id)), unfinished=unfinished)
    whose = resource or Resource.create()
    batch = [readable(span, whose) for span in spans]
    if await asyncio.to_thread(exporter.export, batch) is not SpanExportResult.SUCCESS:
        raise StoreError(
            f"the exporter did not take the {len(batch)} spans of run {run_id!r}; see its own log, then try again"
        )
    return len(batch)


class OtelExporter:
    """Exports spans of all runs of a store as they end, whichever process drives them; an asynchronous context manager.

    It never disturbs a run: it reads the log after each commit, in a task of its own, and what an exporter does not take is
    logged and left out. The log still has it, for `export_run`.

    Args:
        engine: An open engine.
        exporter: Where to; `close` flushes it, and shutting it down stays the caller's.
        content: Tell what was said, too. It leaves the store then.
        edition: Of the names.
        since: Only spans that ended since then, in seconds since 1970; None for now.
        resource: What the spans come from; None for the SDK's own.
    """

    def __init__(
        self,
        engine: Engine,
        exporter: SpanExporter,
        *,
        content: bool = False,
        edition: Edition = "1.41",
        since: float | None = None,
        resource: Resource | None = None,
    ) -> None:
        self._store = engine.store
        self._exporter = exporter
        self._content = content
        self._edition: Edition = edition
        self._since = round((time.time() if since is None else since) * 1e6)
        self._resource = resource or Resource.create()
        self._grown: dict[RunId, int] = {}
        self._changed = asyncio.Event()
        self._runs: dict[RunId, tuple[Spans, int]] = {}
        self._seen: dict[RunId, int] = {}
        self._one_at_a_time = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._unwatch: Callable[[], None] = lambda: None
        self.exported = 0

    async def __aenter__(self) -> Self:
        """Begin to export."""
        self._unwatch = self._store.watch(self._grew)
        self._task = asyncio.get_running_loop().create_task(self._work())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Export what has ended by now, and flush."""
        await self.close()

    async def close(self) -> None:
        """Export what has ended by now, and flush; does nothing when it is closed."""
        self._unwatch()
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait([task])
        await self._export_grown()
        await asyncio.to_thread(self._exporter.force_flush)

    def _grew(self, run_id: RunId, seq: int) -> None:
        if not is_system(run_id):
            self._grown[run_id] = seq
            self._changed.set()

    async def _work(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            # Not cancelled in the middle: what was read would be left out.
            await asyncio.shield(asyncio.ensure_future(self._export_grown()))

    async def _export_grown(self) -> None:
        async with self._one_at_a_time:
            grown, self._grown = self._grown, {}
            for run_id in grown:
                try:
                    await self._send(await self._ended_of(run_id))
                except Exception as error:  # noqa: BLE001  # an exporter is somebody else's code; runs go on
                    _LOG.warning("spans were not exported", run_id=run_id, error=repr(error))

    async def _ended_of(self, run_id: RunId) -> list[Span]:
        kept = self._runs.pop(run_id) if run_id in self._runs else (self._fresh(run_id), 0)
        spans, seq = kept
        seen, ended = self._seen.pop(run_id, 0), list[Span]()
        async for event in self._store.read(run_id, after=seq):
            made = spans.add(event)
            seq = event.seq
            ended += made if seq > seen else ()
        self._seen[run_id] = seq
        if spans.open:  # of a run that has ended, nothing else is kept
            self._runs[run_id] = (spans, seq)
        for table, most in ((self._runs, _KEPT), (self._seen, _SEEN)):
            if len(table) > most:  # the one that has been quiet for longest
                del table[next(iter(table))]
        return [span for span in ended if span.ended_at >= self._since]

    def _fresh(self, run_id: RunId) -> Spans:
        return Spans(run_id, content=self._content, edition=self._edition)

    async def _send(self, spans: Sequence[Span]) -> None:
        if not spans:
            return
        made = [readable(span, self._resource) for span in spans]
        if await asyncio.to_thread(self._exporter.export, made) is SpanExportResult.SUCCESS:
            self.exported += len(made)
        else:
            _LOG.warning("an exporter did not take spans", count=len(made))
