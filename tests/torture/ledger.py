"""
What a journal says of every row, read from its raw tables, sharing no code with them.

A row is accepted when one batch that holds it was accepted without naming it, rejected
when it was named or its batch was rejected, else pending.
"""

import json
import sqlite3
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

# A row: number of the file, number in the file.
Row = tuple[int, int]


@dataclass(frozen=True)
class Ledger:
    """
    Rows by what is proven, attempts that nobody knows the end of, and all attempts.

    `codes` are of rejected rows; `open` are (batch, attempt); `digests` of batches.
    """

    accepted: frozenset[Row] = frozenset()
    rejected: frozenset[Row] = frozenset()
    codes: Mapping[Row, str] = field(default_factory=dict)
    open: frozenset[tuple[int, int]] = frozenset()
    n_attempts: Mapping[int, int] = field(default_factory=dict)
    digests: Mapping[int, str] = field(default_factory=dict)
    accepted_batches: frozenset[int] = frozenset()


class Reader:
    """Reads the ledger of one run; `lanes` are the rows that are to be sent."""

    def __init__(self, run_id: str, lanes: Mapping[int, Sequence[Row]]) -> None:
        self._run_id = run_id
        self._lanes = lanes
        self._members: dict[int, frozenset[Row]] = {}
        self._digests: dict[int, str] = {}
        self._planned: set[Row] = set()

    def read(self, connection: sqlite3.Connection) -> Ledger:
        """Read all of it; an assertion fails where the records contradict."""
        self._learn_batches(connection)
        accepted: set[Row] = set()
        rejected: dict[Row, str] = {}
        accepted_batches: set[int] = set()
        still_open: set[tuple[int, int]] = set()
        n_attempts: Counter[int] = Counter()
        found = connection.execute(
            "SELECT a.batch_no, a.n, v.state, v.code, v.rejected FROM attempt a "
            "LEFT JOIN verdict v USING (run_id, batch_no, n) "
            "WHERE run_id = ? ORDER BY a.batch_no, a.n",
            (self._run_id,),
        )
        for batch_no, n, state, code, named_text in found:
            members = self._members[batch_no]
            n_attempts[batch_no] += 1
            assert n == n_attempts[batch_no], f"attempt {n} of {batch_no} after a gap"
            named = _rows(named_text)
            assert named <= members, f"batch {batch_no} names rows of others: {named}"
            rejected |= dict.fromkeys(named, "REFUSED")
            if state is None:
                still_open.add((batch_no, n))
            elif state == "accepted":
                accepted |= members - named
                accepted_batches.add(batch_no)
            elif state == "rejected":
                rejected |= dict.fromkeys(members, code)
        (n_orphans,) = connection.execute(
            "SELECT count(*) FROM verdict LEFT JOIN attempt USING (run_id, batch_no, n)"
            " WHERE sent_at IS NULL"
        ).fetchone()
        assert n_orphans == 0, "a verdict without an attempt"
        both = accepted & rejected.keys()
        assert not both, f"accepted and rejected at once: {sorted(both)}"
        return Ledger(
            frozenset(accepted),
            frozenset(rejected),
            rejected,
            frozenset(still_open),
            n_attempts,
            dict(self._digests),
            frozenset(accepted_batches),
        )

    def _learn_batches(self, connection: sqlite3.Connection) -> None:
        found = connection.execute(
            "SELECT batch_no, lane, first_source_no, first_row_no, last_source_no, "
            "last_row_no, n_rows, digest, parent_no, row_ranges FROM batch "
            "WHERE run_id = ? ORDER BY batch_no",
            (self._run_id,),
        )
        for batch_no, lane, *ends, n_rows, digest, parent_no, ranges in found:
            if batch_no in self._members:
                continue
            if parent_no is None:
                members = self._stretch(lane, (ends[0], ends[1]), (ends[2], ends[3]))
                twice = members & self._planned
                assert not twice, f"batch {batch_no} holds rows of others: {twice}"
                self._planned |= members
            else:
                members = _rows(ranges)
                strange = members - self._members[parent_no]
                assert not strange, f"part {batch_no} holds rows of others: {strange}"
            assert len(members) == n_rows, f"batch {batch_no}: {n_rows} rows"
            self._members[batch_no] = members
            self._digests[batch_no] = digest

    def _stretch(self, lane: int, first: Row, last: Row) -> frozenset[Row]:
        rows = self._lanes[lane]
        return frozenset(rows[bisect_left(rows, first) : bisect_right(rows, last)])


def _rows(text: str | None) -> frozenset[Row]:
    return frozenset(
        (source_no, row_no)
        for part in (text or "").split("\n")
        if part
        for source_no, first, last in json.loads(part)
        for row_no in range(first, last + 1)
    )
