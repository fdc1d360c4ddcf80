"""
Which rows of a query are read: all, or those from the watermark on.

The state is looked at before anything is read, and whatever makes it say nothing of the
rows that would be left out makes the whole source be read: no watermark, another key,
another way of reading, a column that tells moments in another way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import polars as pl

from pipeline.connection import workspace_of
from pipeline.continuing import dataset_of
from pipeline.delta.confirming import catch_up
from pipeline.delta.digests import key_id
from pipeline.delta.places import opened_state
from pipeline.delta.plan import reading_digest
from pipeline.delta.watermark import Since, Watermark, highest, kind_of, since
from pipeline.errors import SettingsError, StaleRunError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import open_line
from pipeline.records import State

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.checker import CheckResult
    from pipeline.connection import Connector
    from pipeline.delta.modes import HeldBack
    from pipeline.delta.state import StateRecord
    from pipeline.line import ImportRequest, Line
    from pipeline.settings_sync import WatermarkSettings


@dataclass(frozen=True, slots=True)
class Prefilter:
    """
    Which rows are read, and why.

    Attributes:
        before: The watermark of the state; None where it says nothing.
        since: None when all rows are read.
        reasons: Why so, in words.
        generation: Of the state that was looked at; None when none was.
    """

    before: Watermark | None = None
    since: Since | None = None
    reasons: tuple[str, ...] = ()
    generation: int | None = None

    @property
    def is_whole(self) -> bool:
        """Whether the whole source is read."""
        return self.since is None

    def whole(self, why: str) -> Prefilter:
        """Return that all rows are read, for a reason."""
        told = f"the whole source was read: {why} (sync.watermark)"
        return replace(self, since=None, reasons=(*self.reasons, told))

    def check(self, record: StateRecord | None) -> None:
        """
        Refuse to plan against another state than the one that was looked at.

        Raises:
            StaleRunError: It has changed.
        """
        now = record.generation if record else 0
        if self.generation not in (None, now):
            raise StaleRunError(
                "the state has changed while the source was read, so the rows that "
                "were left out may be missing. Nothing was sent: make a new plan"
            )


async def look_back(
    request: ImportRequest,
    key: str,
    connector: Connector,
    scratch: Path,
    *,
    is_full: bool,
) -> Prefilter:
    """
    Ask the state from where on the source has to be read.

    Raises:
        SettingsError: A watermark is asked for, and the source is no query.
        As `connected`, `opened_state` and `catch_up`.
    """
    job = request.job
    wanted = job.sync.watermark
    if wanted is None or is_full:
        return Prefilter()
    if job.source.query is None:
        raise SettingsError(
            "sync.watermark is for a query (source.query): a file is read to its end "
            "anyway. Leave it out"
        )
    workspace = await workspace_of(connector, job.workspace.guid)
    told = (workspace.guid, dataset_of(job))
    about = "a plan that begins"
    with (
        opened_state(job.sync.state, request.work_dir, told, about) as states,
        Journal.open(request.work_dir / JOURNAL_NAME) as journal,
    ):
        caught = catch_up(states, journal, request.work_dir, scratch / "seen")
    record, told_why = caught.record, caught.reasons
    if record is None or record.key_id != key_id(key):
        # The plan says itself what is wrong.
        return Prefilter(
            reasons=told_why, generation=record.generation if record else 0
        )
    found = Prefilter(record.watermark, None, told_why, record.generation)
    if job.sync.mode == "mirror":
        return found.whole("a mirror has to see who has no row any more")
    mark = record.watermark
    if mark is None:
        return found.whole("no watermark was confirmed by the last night")
    if mark.column != wanted.column:
        return found.whole(f"the watermark that is kept is one of {mark.column}")
    return replace(found, since=since(mark, wanted.lag))


def opened(
    request: ImportRequest, found: Prefilter, scratch: Path
) -> tuple[Line, Prefilter]:
    """
    Open a source for the rows to read; for all of them where others would be missed.

    Raises:
        SettingsError: The source has no such column, or it tells no moments.
        As `open_line`.
    """
    job = request.job
    wanted = job.sync.watermark
    line = open_line(replace(request, since=found.since), scratch)
    if wanted is None:
        return line, found
    dtype = line.source.dtypes.get(wanted.column)
    if dtype is None or kind_of(dtype) is None:
        what = "has no such column" if dtype is None else "has no date-times there"
        raise SettingsError(
            f"sync.watermark is of the column {wanted.column!r}, and the source "
            f"{what}: name another, or leave sync.watermark out"
        )
    if found.since is None or found.before is None:
        return line, found
    if kind_of(dtype) is not found.since.kind:
        why = f"{wanted.column} tells moments in another way than before"
    elif found.before.shape != reading_digest(job, line.mapping):
        why = "the job reads or chooses rows in another way than before"
    else:
        moment = f"{found.since.bound:%Y-%m-%d %H:%M:%S}"
        told = (
            f"only rows with {wanted.column} from {moment} on were read, and those "
            "without it (sync.watermark): who vanished was not looked at"
        )
        return line, replace(found, reasons=(*found.reasons, told))
    return open_line(request, scratch), found.whole(why)


def next_watermark(
    line: Line, check: CheckResult, found: Prefilter, held: HeldBack, now_s: float
) -> tuple[Watermark | None, tuple[str, ...]]:
    """
    Return the watermark that a plan leads to once it is confirmed, or why to none.

    Rows of one person are told from each other only when all are read, so a source that
    has some is read as a whole. A row that the mode holds back may go another night
    without being touched, so it has to be read again.
    """
    wanted = line.request.job.sync.watermark
    if wanted is None:
        return None, ()
    n_held, n_linked = held.exceptions.height, _n_linked(check)
    if n_held:
        why = (
            f"{n_held:,} rows are held back by sync.mode, and may go another night as "
            "they are: no watermark is kept (sync.watermark)"
        )
        return None, (why,)
    if n_linked:
        why = (
            f"{n_linked:,} rows are of persons who have several, and such rows are "
            "only told from each other when all are read: no watermark is kept "
            "(sync.watermark). Let the query give one row a person"
        )
        return None, (why,)
    return _highest(line, wanted, found, now_s), ()


def _highest(
    line: Line, wanted: WatermarkSettings, found: Prefilter, now_s: float
) -> Watermark | None:
    dtype = line.source.dtypes[wanted.column]
    kind = kind_of(dtype)
    moment = (
        pl.scan_parquet(list(line.source.files), glob=False)
        .select(highest(wanted.column, dtype, now_s))
        .collect()
        .item()
    )
    values = [found.before.value] if found.before and not found.is_whole else []
    if moment is not None:
        values.append(moment.isoformat(timespec="microseconds"))
    if not values or kind is None:
        return None
    shape = reading_digest(line.request.job, line.mapping)
    return Watermark(wanted.column, kind.value, max(values), shape)


def _n_linked(check: CheckResult) -> int:
    linked = (pl.col("state") == State.FOLDED.value) | (pl.col("code") == "ID_CONFLICT")
    return check.exceptions.filter(linked).height
