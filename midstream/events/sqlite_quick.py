"""The hot path: plain appends to runs whose heads are known become the rows of one statement, and nothing is read.

A head only ever moves on, so what is known of it is right or behind. Where it is behind, the statement fails on
`UNIQUE (run, seq)`, and the file is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence

from midstream.events.envelope import ENGINE, Draft, chain_each
from midstream.events.ids import RunId
from midstream.events.sqlite_batch import Run
from midstream.events.sqlite_insert import Rows
from midstream.events.sqlite_line import Append, Command
from midstream.events.sqlite_rows import row_of
from midstream.events.sqlite_squeeze import squeezed
from midstream.events.store import Head


class Quick:
    """Rows of events, and the answers once they are written.

    Attributes:
        rows: The rows.
        count: How many they are.
    """

    def __init__(self) -> None:
        self.rows = Rows()
        self.count = 0
        self._ends: list[tuple[Append, Run, int, bytes]] = []

    def take(
        self,
        commands: Sequence[Command],
        known: MutableMapping[RunId, Run],
        numbers: Mapping[tuple[str, int], int],
    ) -> bool:
        """Take in commands that are all plain appends, or return False where what is known does not suffice.

        The runs in `known` move on as they will once the rows are written; where that fails, they have to be dropped.
        """
        for command in commands:
            assert isinstance(command, Append)
            run = known.get(command.run_id)
            if run is None or not _is_next(command, run):
                return False
            drafts: Sequence[Draft] = command.drafts
            if run.sealer is not None:
                seal, run_id = run.sealer.draft, run.run_id
                drafts = [seal(run_id, seq, one) for seq, one in enumerate(drafts, run.seq + 1)]
            kinds = [numbers.get((draft.type, draft.version), 0) for draft in drafts]
            if 0 in kinds:
                return False
            digests = chain_each(run.digest, run.seq + 1, drafts, command.epoch)
            if len(commands) == 1 and _are_bare(drafts):
                self._take_alike(run, command.epoch, drafts, kinds, digests)
            else:
                self._take_apart(run, command.epoch, drafts, kinds, digests)
            run.seq, run.digest = run.seq + len(drafts), digests[-1]
            self.count += len(drafts)
            self._ends.append((command, run, self.count - 1, digests[-1]))
        return True

    def _take_alike(
        self,
        run: Run,
        epoch: int | None,
        drafts: Sequence[Draft],
        kinds: Sequence[int],
        digests: Sequence[bytes],
    ) -> None:
        self.rows.common = (run.key, None, None, epoch)
        values, seq = self.rows.values, run.seq
        for draft, kind, digest in zip(drafts, kinds, digests, strict=True):
            seq += 1
            values += (seq, kind, draft.at, draft.address, squeezed(draft.body), digest)

    def _take_apart(
        self,
        run: Run,
        epoch: int | None,
        drafts: Sequence[Draft],
        kinds: Sequence[int],
        digests: Sequence[bytes],
    ) -> None:
        values, seq, key = self.rows.values, run.seq, run.key
        for draft, kind, digest in zip(drafts, kinds, digests, strict=True):
            seq += 1
            values.append(key)
            values += row_of(seq, kind, draft, epoch, digest)

    def heads(self, first: int) -> list[tuple[Append, Head]]:
        """Return each append's head, given the position of the first row; the runs learn theirs."""
        heads: list[tuple[Append, Head]] = []
        for command, run, row, digest in self._ends:
            run.position = first + row
            heads.append((command, Head(command.end, first + row, digest)))
        return heads


def _is_next(command: Append, run: Run) -> bool:
    return (
        not run.erased
        and run.seq == command.expected
        and (command.epoch is None or command.epoch == run.epoch)
        and (command.ahead is None or not command.ahead.refused)
    )


def _are_bare(drafts: Sequence[Draft]) -> bool:
    """Say whether the engine recorded all of them by itself, and not because of another event."""
    return all(draft.cause is None and draft.actor == ENGINE for draft in drafts)
