"""Judging a batch of commands: pure. What each of them gets for an answer, and what is written for all of them.

The store's promises are decided here, on the state of the runs as it was read under the lock or as it is known from this
process's own last commit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from midstream.errors import (
    ConcurrencyError,
    LeaseHeldError,
    LeaseLostError,
    MidstreamError,
    RunErasedError,
    RunNotFoundError,
)
from midstream.events.catalog import FORKED, check_first, check_origin
from midstream.events.envelope import Draft, chain, genesis
from midstream.events.ids import RunId
from midstream.events.keeping import Tombstone
from midstream.events.sealing import Sealer, subject_id
from midstream.events.sqlite_line import Acquire, Append, Beat, Command, Release, Save
from midstream.events.sqlite_rows import Kinds, row_of
from midstream.events.store import OPEN, Head, Status


@dataclass(slots=True, eq=False)
class Run:
    """What the writer knows of a run.

    Attributes:
        key: Its number in the file; 0 until it is written.
        seq: Its newest event.
        position: The place of that event in the store.
        digest: The digest of that event.
        row: Which row of the batch that event is, or -1 where it is written already.
        created: Its line in the list of runs, where this batch makes it: graph, tags as JSON, time, and of a fork the
            number of its parent and the last event it shares; whether it is sealed, and its subject.
        sealer: Seals its content; None where that is not sealed, or was erased.
        erased: Its content was erased.
    """

    run_id: RunId
    key: int
    seq: int
    position: int
    digest: bytes
    status: Status
    epoch: int
    holder: str | None
    row: int = -1
    created: tuple[str, str, int, int | None, int, int, str | None] | None = None
    sealer: Sealer | None = None
    erased: bool = False


class Placed(NamedTuple):
    """A head whose position is known once the rows of its batch are written."""

    seq: int
    row: int
    position: int
    digest: bytes

    def head(self, first: int) -> Head:
        """Return the head, given the position of the batch's first row."""
        return Head(self.seq, first + self.row if self.row >= 0 else self.position, self.digest)


@dataclass(slots=True)
class Batch:
    """Commands and what they come to.

    Attributes:
        runs: The runs concerned, by id, changed as the commands are judged; a run that does not exist is missing.
        kinds: The numbers of types.
        alive: Until when each driver's lease holds.
        answers: For each command its answer or its error.
        rows: What is written of each event: the run, and the columns after it.
        changed: Runs whose own line changed.
        takeovers: How often any run had been taken over before.
        taken: How many runs this batch takes over.
        origins: For each fork that is to be made, the number of the run that recorded the event it is forked at, and
            that event's digest and its subject; one whose parent has no such event is missing.
        blobs: What was put aside, by digest.
        uses: Which run needs which of the blobs.
        gone: Of the runs that do not exist, those that did.
        sealers: What seals content, by run; None where it was erased.
        inherited: The subjects of runs that begin in another run.
        new_key: Makes the key of a run that begins; None where new runs are not sealed.
    """

    runs: dict[RunId, Run]
    kinds: Kinds
    alive: dict[str, float] = field(default_factory=dict[str, float])
    answers: list[tuple[Command, object]] = field(default_factory=list[tuple[Command, object]])
    rows: list[tuple[Run, tuple[Any, ...]]] = field(
        default_factory=list[tuple[Run, tuple[Any, ...]]]
    )
    new: list[Run] = field(default_factory=list[Run])
    changed: dict[RunId, Run] = field(default_factory=dict[RunId, Run])
    blobs: dict[str, bytes] = field(default_factory=dict[str, bytes])
    uses: list[tuple[Run, str]] = field(default_factory=list[tuple[Run, str]])
    beats: dict[str, float] = field(default_factory=dict[str, float])
    snapshots: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])
    takeovers: int = 0
    taken: int = 0
    origins: Mapping[RunId, tuple[int, bytes, str | None]] = field(
        default_factory=dict[RunId, tuple[int, bytes, str | None]]
    )
    sealers: Mapping[str, Sealer | None] = field(default_factory=dict[str, Sealer | None])
    inherited: Mapping[RunId, str] = field(default_factory=dict[RunId, str])
    new_key: Callable[[RunId, str | None], Sealer] | None = None
    gone: Mapping[RunId, Tombstone] = field(default_factory=dict[RunId, Tombstone])

    def judge(self, command: Command) -> None:
        """Take one command in; after all before it, and before all after it."""
        answer: object
        try:
            answer = self._answer(command)
        except MidstreamError as error:
            answer = error
        if isinstance(command, Append):
            command.refused = isinstance(answer, MidstreamError)
        self.answers.append((command, answer))

    def _answer(self, command: Command) -> object:
        match command:
            case Append():
                return self._append(command)
            case Acquire():
                return self._acquire(command)
            case Beat():
                self.beats[command.holder] = self.alive[command.holder] = command.until
            case Release():
                run = self._run(command.run_id)
                if run.epoch == command.epoch:
                    run.holder = None
                    self._change(run)
            case Save():
                run = self._run(command.run_id)
                body = command.snapshot.body
                if run.erased:
                    raise RunErasedError(run.run_id)
                if run.sealer is not None:
                    command.snapshot = command.snapshot._replace(body=run.sealer.blob(body)[1])
                self.snapshots.append((run, command.name, *command.snapshot))
        return None

    def _run(self, run_id: RunId) -> Run:
        try:
            return self.runs[run_id]
        except KeyError:
            raise self._missing(run_id) from None

    def _missing(self, run_id: RunId) -> RunNotFoundError:
        return self.gone[run_id].error() if run_id in self.gone else RunNotFoundError(run_id)

    def _change(self, run: Run) -> None:
        if run.created is None:
            self.changed[run.run_id] = run

    def _append(self, command: Append) -> Placed:
        check_first(command.run_id, command.drafts, command.expected)
        run = self.runs.get(command.run_id)
        fresh = run is None
        if run is None:
            run = self._created(command)
        elif is_fork(command):
            raise ConcurrencyError(command.run_id, command.expected, run.seq)  # it exists already
        epoch = self._epoch(command, run)
        if command.epoch is not None and command.epoch != epoch:
            raise LeaseLostError(command.run_id, command.epoch, epoch)
        if run.seq != command.expected:
            raise ConcurrencyError(command.run_id, command.expected, run.seq)
        if command.ahead is not None and command.ahead.refused:
            # Somebody else's events stand where those ahead of this one should.
            raise ConcurrencyError(command.run_id, command.ahead.expected, run.seq)
        drafts = self._sealed(command, run)
        rows, digest = self._rows(command, run, drafts)
        self._take_with(command, run)
        if fresh:
            self.runs[command.run_id] = run
            self.new.append(run)
        run.seq, run.digest = command.end, digest
        status = command.status if run.status in OPEN else None
        if status is not None and status != run.status:
            run.status = status
            self._change(run)
        if rows:
            self.rows += rows
            run.row = len(self.rows) - 1
        for name, body in (blob for draft in drafts for blob in draft.blobs):
            self.blobs[name] = body
            self.uses.append((run, name))
        return Placed(run.seq, run.row, run.position, run.digest)

    def _created(self, command: Append) -> Run:
        run_id, base = command.run_id, command.expected
        if run_id in self.gone:
            raise self._missing(run_id)
        if not command.drafts or (base != 0 and not is_fork(command)):
            raise RunNotFoundError(run_id)
        first = command.drafts[0]
        parent, digest, subject = self.origins.get(run_id, (None, None, None))
        if base:
            check_origin(run_id, first, digest)
        tags = orjson.dumps(first.data.get("tags", {})).decode()
        if given := first.data.get("subject"):
            subject = subject_id(given)
        subject = subject or self.inherited.get(run_id)
        sealer = None if self.new_key is None else self.new_key(run_id, subject)
        graph, is_sealed = str(first.data.get("graph", "")), int(sealer is not None)
        created = (graph, tags, first.at, parent, base, is_sealed, subject)
        epoch = 0 if command.holder is None else 1
        begin = digest or genesis(run_id)
        line: Any = {"created": created, "sealer": sealer}
        return Run(run_id, 0, base, 0, begin, "running", epoch, command.holder, **line)

    def _sealed(self, command: Append, run: Run) -> Sequence[Draft]:
        """Return the drafts as they are stored."""
        if run.erased and command.drafts:
            raise RunErasedError(run.run_id)
        if run.sealer is None:
            return command.drafts
        sealed: list[Draft] = []
        for seq, draft in enumerate(command.drafts, command.expected + 1):
            owner = self.sealers.get(draft.of) if draft.of else None
            if draft.of and owner is None and draft.of in self.sealers:
                raise RunErasedError(draft.of)
            used = (run.sealer, "") if owner is None else (owner, draft.of)
            sealed.append(used[0].draft(run.run_id, seq, draft, used[1]))
        return sealed

    def _rows(
        self, command: Append, run: Run, drafts: Sequence[Draft]
    ) -> tuple[list[tuple[Run, tuple[Any, ...]]], bytes]:
        rows: list[tuple[Run, tuple[Any, ...]]] = []
        digest = run.digest
        epoch = command.epoch
        for seq, draft in enumerate(drafts, command.expected + 1):
            digest = chain(digest, seq, draft, epoch)
            kind = self.kinds.number[draft.type, draft.version]
            rows.append((run, row_of(seq, kind, draft, epoch, digest)))
        return rows, digest

    def _epoch(self, command: Append, run: Run) -> int:
        """Return the epoch that an append is judged by."""
        if command.taken is None or command.holder is None:
            return run.epoch
        self._check_free(run, command.holder, command.taken.now)
        return run.epoch + 1

    def _take_with(self, command: Append, run: Run) -> None:
        """Take the run over if that is wanted, once nothing can refuse it any more."""
        if command.taken is not None and command.holder is not None:
            self.beats[command.holder] = self.alive[command.holder] = command.taken.until
            self._take(run, command.holder)

    def _acquire(self, command: Acquire) -> int:
        run = self._run(command.run_id)
        self._check_free(run, command.holder, command.now)
        self._take(run, command.holder)
        return run.epoch

    def _check_free(self, run: Run, holder: str, now: float) -> None:
        if run.holder is not None and run.holder != holder:
            until = self.alive.get(run.holder, 0.0)
            if until > now:
                raise LeaseHeldError(run.run_id, run.holder, until, now)

    def _take(self, run: Run, holder: str) -> None:
        run.holder = holder
        run.epoch += 1
        self.taken += 1
        self._change(run)


def is_fork(command: Command) -> bool:
    """Say whether a command makes a fork."""
    return isinstance(command, Append) and bool(command.drafts) and command.drafts[0].type == FORKED
