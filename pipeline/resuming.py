"""
What an interrupted run still has to send, worked out from the journal alone.

Nothing is counted from a "last row": batches are recorded as workers take them, so one
may be recorded while the one before it is not. A run's planned batches are stretches of
their lanes; what lies in none was never recorded and is cut anew. A row belongs to the
highest numbered batch that holds it: parts of a batch override it, row by row.

A row as one number is `source_no * ROWS_A_FILE + row_no`, see `identity.packed_row`.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    JournalDamagedError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
)
from pipeline.journal_tables import FIRST_CHILD_NO, RunState
from pipeline.records import ROWS_A_FILE, BatchState

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from pipeline.journal_tables import Run, StoredBatch
    from pipeline.records import Fingerprint, RowRange, RowRef

# So many times the process died with this batch out, or so many attempts came to
# nothing; then it is suspected.
CRASHES_OF_A_SUSPECT: Final = 3
ATTEMPTS_OF_A_SUSPECT: Final = 8
_ACCEPTED: Final = 0
_REJECTED: Final = -1


@dataclass(frozen=True, slots=True)
class Part:
    """
    Rows of a planned batch that have to be sent, as one body.

    Attributes:
        batch_no: What it is sent under. A rest may need several numbers, this one and
            those that follow, at most one a row.
        parent_no: None for a planned batch that is sent again as it was.
        digest: Of the very bytes that were recorded; None for a rest, which was never
            sent by itself.
        rows: Packed; None for all rows that no other part holds and nothing proves.
    """

    batch_no: int
    parent_no: int | None
    digest: str | None
    rows: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class Stretch:
    """
    A planned batch: the rows of a lane from *first* to *last*, packed.

    Attributes:
        digest: Of its body as it was planned.
        proven: Rows, packed, that are through although others of it are not.
        parts: What of it has to be sent; empty when every row is proven.
    """

    batch_no: int
    lane: int
    first: int
    last: int
    n_rows: int
    digest: str
    proven: frozenset[int] = frozenset()
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class ResumePlan:
    """
    Everything that a run sends again, and where new batches may be cut.

    Attributes:
        lanes: Lane → its planned batches in the order of its rows; they do not overlap.
        next_no: For the first new planned batch.
        next_child_no: For the first new part; those before it are in use or promised to
            the parts of this plan.
        attempts: Batch → attempts made already, of those that are sent as they were.
        suspects: Of these, the batches whose process died `CRASHES_OF_A_SUSPECT` times
            while they were out, or that failed for a whole patience: what passes may
            have passed before this resumption, so nothing else would prove that a row
            of them is at fault. To be sent in halves.
        then: Versions the bodies were made with; *now* those at work.
        is_same_source: Whether the fingerprints are equal; says whose fault a body is
            that comes out different.
        is_replanned: Bodies may differ: what is not proven is sent as new parts.
        n_accepted: Rows, as the next two; of rows in no batch nothing is known here.
        n_again: Rows to send that were recorded once.
    """

    lanes: Mapping[int, tuple[Stretch, ...]]
    next_no: int = 1
    next_child_no: int = FIRST_CHILD_NO
    attempts: Mapping[int, int] = field(default_factory=dict)
    suspects: frozenset[int] = frozenset()
    then: Mapping[str, str] = field(default_factory=dict)
    now: Mapping[str, str] = field(default_factory=dict)
    is_same_source: bool = True
    is_replanned: bool = False
    n_accepted: int = 0
    n_rejected: int = 0
    n_again: int = 0


# -- which run ---------------------------------------------------------------------


def unfinished_runs(runs: Iterable[Run]) -> list[Run]:
    """
    Return the runs that can be resumed, in the order in which they began.

    That is the newest run of each dataset, unless nothing of it is left to send. One
    that is at work is among them: a lock tells them apart, not the journal.
    """
    newest: dict[tuple[str | None, str], Run] = {}
    for run in sorted(runs, key=lambda run: run.generation):
        newest.pop((run.workspace, run.dataset), None)
        newest[run.workspace, run.dataset] = run
    return [run for run in newest.values() if run.state is not RunState.DONE]


def newest_of(runs: Iterable[Run], run: Run) -> Run:
    """Return the run of the same dataset that began last; perhaps *run* itself."""
    place = (run.workspace, run.dataset)
    same = (other for other in runs if (other.workspace, other.dataset) == place)
    return max(same, key=lambda other: other.generation)


def continued_run(
    runs: Iterable[Run],
    *,
    workspace: str | None,
    dataset: str,
    settings_digest: str,
    fingerprints: Sequence[Fingerprint],
) -> Run | None:
    """Return the unfinished run that an import of the same rows goes on with."""
    for run in unfinished_runs(runs):
        if (
            (run.workspace, run.dataset) == (workspace, dataset)
            and run.settings_digest == settings_digest
            and has_same_content(run.fingerprints, fingerprints)
        ):
            return run
    return None


def check_newest(run_id: str, newer_id: str | None) -> None:
    """
    Refuse to go on with a run when there is a newer one of its dataset.

    Raises:
        StaleRunError: There is: *newer_id*.
    """
    if newer_id is not None:
        raise StaleRunError(
            f"run {run_id} cannot go on: run {newer_id} of the same dataset has begun "
            "since, and older values must not replace newer ones. Continue that run, "
            "or import the file anew with --fresh"
        )


def check_resumable(
    run: Run, *, settings_digest: str, fingerprints: Sequence[Fingerprint]
) -> None:
    """
    Refuse to go on with other rows than those that the run began with.

    Raises:
        SourceChangedError: The files are not those of the run.
        SettingsError: The job or the flags would make other bodies of them.
    """
    if not has_same_content(run.fingerprints, fingerprints):
        raise SourceChangedError(
            f"the source is not the one that run {run.run_id} began with. Bring back "
            f"{', '.join(known.path for known in run.fingerprints)} as it was, or "
            "import the new one with --fresh"
        )
    if run.settings_digest != settings_digest:
        raise SettingsError(
            f"the job is not the one that run {run.run_id} began with. Bring back the "
            "job file and the flags as they were, or begin anew with --fresh"
        )


def has_same_content(then: Sequence[Fingerprint], now: Sequence[Fingerprint]) -> bool:
    """Compare contents file by file: a copy, or a new time, changes no row."""
    return [(f.size_bytes, f.sha256) for f in then] == [
        (f.size_bytes, f.sha256) for f in now
    ]


# -- what of it --------------------------------------------------------------------


def plan_resume(
    run: Run,
    batches: Iterable[StoredBatch],
    *,
    now: Mapping[str, str],
    is_same_source: bool = True,
    replan: bool = False,
) -> ResumePlan:
    """
    Say what is proven, what is sent again and where rows were never recorded.

    Args:
        run: Resumed.
        batches: All that the journal has of it.
        now: Versions at work.
        is_same_source: See `ResumePlan`.
        replan: Make new bodies of whatever is not proven.

    Raises:
        JournalDamagedError: The records contradict each other.

    Cost: a few microseconds a batch; a row at a time only in batches that were split.
    """
    known = sorted(batches, key=lambda batch: batch.batch_no)
    next_child_no = max(FIRST_CHILD_NO, *(batch.batch_no + 1 for batch in known), 0)
    lanes: dict[int, list[Stretch]] = defaultdict(list)
    again: set[int] = set()
    n_accepted = n_rejected = n_rows = 0
    for family in _families(known):
        stretch, next_child_no, proven = _stretch(family, next_child_no, replan=replan)
        lanes[stretch.lane].append(stretch)
        again.update(part.batch_no for part in stretch.parts if part.digest is not None)
        n_accepted += proven[0]
        n_rejected += proven[1]
        n_rows += stretch.n_rows
    planned = [batch.batch_no for batch in known if batch.parent_no is None]
    resent = [batch for batch in known if batch.batch_no in again]
    return ResumePlan(
        lanes={lane: _in_order(found) for lane, found in sorted(lanes.items())},
        next_no=max(planned, default=0) + 1,
        next_child_no=next_child_no,
        attempts={batch.batch_no: batch.n_attempts for batch in resent},
        suspects=frozenset(batch.batch_no for batch in resent if _is_suspect(batch)),
        then=dict(run.versions),
        now=dict(now),
        is_same_source=is_same_source,
        is_replanned=replan,
        n_accepted=n_accepted,
        n_rejected=n_rejected,
        n_again=n_rows - n_accepted - n_rejected,
    )


def _families(known: Sequence[StoredBatch]) -> list[list[StoredBatch]]:
    """Return each planned batch with all that was cut from it, by ascending number."""
    root_of: dict[int, int] = {}
    families: dict[int, list[StoredBatch]] = defaultdict(list)
    for batch in known:
        root = batch.batch_no
        if batch.parent_no is not None:
            if batch.parent_no not in root_of:
                raise JournalDamagedError(
                    f"the journal is damaged: batch {batch.batch_no} is part of batch "
                    f"{batch.parent_no}, which is missing; keep a copy, move the file "
                    "away and begin a fresh run"
                )
            root = root_of[batch.parent_no]
        root_of[batch.batch_no] = root
        families[root].append(batch)
    return list(families.values())


def _stretch(
    family: Sequence[StoredBatch], next_child_no: int, *, replan: bool
) -> tuple[Stretch, int, tuple[int, int]]:
    """Return a planned batch, the next free number, and rows accepted and rejected."""
    root = family[0]
    word: dict[int, int] = {}
    for batch in family:
        if batch is not root:
            word |= dict.fromkeys(_packed(batch.members), _word(batch))
        if batch.rejected:
            word |= dict.fromkeys(_packed(batch.rejected), _REJECTED)
    n_rows = dict(Counter(word.values())) if word else {}
    own = _word(root)
    n_rows[own] = n_rows.get(own, 0) + root.n_rows - len(word)
    if len(word) > root.n_rows:
        raise JournalDamagedError(
            f"the journal is damaged: the parts of batch {root.batch_no} hold more "
            "rows than it has; keep a copy, move the file away and begin a fresh run"
        )
    parts: list[Part] = []
    for batch in family:
        n_undone = n_rows.get(batch.batch_no, 0)
        if n_undone == 0:
            continue
        rows = None
        if batch is not root:
            rows = frozenset(row for row, no in word.items() if no == batch.batch_no)
        if n_undone == batch.n_rows and not replan:
            parts.append(Part(batch.batch_no, batch.parent_no, batch.digest, rows))
        else:
            parts.append(Part(next_child_no, batch.batch_no, None, rows))
            next_child_no += batch.n_rows
    stretch = Stretch(
        batch_no=root.batch_no,
        lane=root.lane,
        first=_number(root.first),
        last=_number(root.last),
        n_rows=root.n_rows,
        digest=root.digest,
        proven=frozenset(row for row, no in word.items() if no <= 0),
        parts=tuple(parts),
    )
    proven = n_rows.get(_ACCEPTED, 0), n_rows.get(_REJECTED, 0)
    return stretch, next_child_no, proven


def _word(batch: StoredBatch) -> int:
    """Return what a batch says of its rows: proven so or so, or open and its own."""
    if batch.state is BatchState.ACCEPTED:
        return _ACCEPTED
    return _REJECTED if batch.state is BatchState.REJECTED else batch.batch_no


def _is_suspect(batch: StoredBatch) -> bool:
    is_failing = (
        batch.state is BatchState.UNKNOWN and batch.n_attempts >= ATTEMPTS_OF_A_SUSPECT
    )
    return batch.n_rows > 1 and (is_failing or batch.n_crashes >= CRASHES_OF_A_SUSPECT)


def _in_order(stretches: Iterable[Stretch]) -> tuple[Stretch, ...]:
    ordered = sorted(stretches, key=lambda stretch: stretch.first)
    for before, after in pairwise(ordered):
        if before.last >= after.first:
            raise JournalDamagedError(
                f"the journal is damaged: batches {before.batch_no} and "
                f"{after.batch_no} hold the same rows; keep a copy, move the file away "
                "and begin a fresh run"
            )
    return tuple(ordered)


def _packed(ranges: Iterable[RowRange]) -> Iterator[int]:
    for part in ranges:
        start = part.source_no * ROWS_A_FILE
        yield from range(start + part.first_row_no, start + part.last_row_no + 1)


def _number(ref: RowRef) -> int:
    return ref.source_no * ROWS_A_FILE + ref.row_no
