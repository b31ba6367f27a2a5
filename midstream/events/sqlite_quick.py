"""The hot path: plain appends to runs whose heads are known become the rows of one statement, and nothing is read.

A head only ever moves on, so what is known of it is right or behind. Where it is behind, the statement fails on
`UNIQUE (run, seq)`, and the file is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from midstream.events.envelope import chain
from midstream.events.ids import RunId
from midstream.events.sqlite_batch import Run
from midstream.events.sqlite_line import Append, Command
from midstream.events.sqlite_rows import row_of
from midstream.events.store import Head


class Quick:
    """Rows of events, and the answers once they are written.

    Attributes:
        values: The values of all rows, one after the other.
        rows: How many rows they are.
    """

    def __init__(self) -> None:
        self.values: list[Any] = []
        self.rows = 0
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
        values = self.values
        for command in commands:
            assert isinstance(command, Append)
            run = known.get(command.run_id)
            if run is None or not _is_next(command, run):
                return False
            epoch, seq, digest = command.epoch, run.seq, run.digest
            sealer = run.sealer
            for draft in command.drafts:
                kind = numbers.get((draft.type, draft.version))
                if kind is None:
                    return False
                seq += 1
                if sealer is not None:
                    draft = sealer.draft(run.run_id, seq, draft)  # what is written
                digest = chain(digest, seq, draft, epoch)
                values.append(run.key)
                values += row_of(seq, kind, draft, epoch, digest)
            run.seq, run.digest = seq, digest
            self.rows += len(command.drafts)
            self._ends.append((command, run, self.rows - 1, digest))
        return True

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
