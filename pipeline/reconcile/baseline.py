"""What both sides once had: the accepted rows of a former run, or a former export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from pipeline.continuing import job_of_run
from pipeline.errors import SourceChangedError, SourceMissingError
from pipeline.files import make_private_dir
from pipeline.history import find_run, source_obstacle
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.line import ImportRequest, check_line, open_line
from pipeline.reconcile.sides import NUMBER, SourceRows, open_profiles
from pipeline.resuming import has_same_content
from pipeline.spill import SliceStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.reconcile.sides import ProfileFile


@dataclass(frozen=True, slots=True)
class Baseline:
    """
    A baseline, and what it tells.

    Attributes:
        name: A path, or a run.
        known_empty: Fields of which it tells also that they were empty. A run tells
            nothing of a field that it did not send.
        untyped: Fields whose cells are texts that may mean other values.
    """

    side: FormerRun | ProfileFile
    name: str
    known_empty: frozenset[str]
    untyped: frozenset[str]


def open_baseline(
    wanted: str,
    fields: Sequence[str],
    identifiers: Sequence[str],
    *,
    work_dir: Path,
    scratch: Path,
) -> Baseline:
    """
    Open a file of this name, or else a run.

    Args:
        identifiers: Fields by which rows of the source can be found.
        scratch: An existing folder.

    Raises:
        SettingsError: It is neither, or the job of the run is gone.
        SourceChangedError: The source of the run is gone, or has changed.
        SourceError: The file cannot be used.
    """
    path = Path(wanted)
    if path.exists():
        folder = make_private_dir(scratch / "baseline")
        file = open_profiles(path, fields, identifiers, folder)
        columns = file.columns
        return Baseline(file, wanted, frozenset(columns.cells), columns.untyped)
    if path.suffix:
        raise SourceMissingError(
            f"{path} cannot be opened (there is no such file). Name a former export, "
            "or a run of this work folder"
        )
    former = _former_run(work_dir, wanted, fields, scratch / "former-run")
    return Baseline(former, wanted, frozenset(), frozenset())


@dataclass(frozen=True, slots=True)
class FormerRun:
    """The accepted rows of a run, with the fields of another source."""

    rows: SourceRows
    fields: tuple[str, ...]

    def frames(self) -> Iterator[pl.DataFrame]:
        """Give them as `SourceRows.frames` does; a field it did not send is null."""
        known = frozenset(self.rows.fields)
        nothing = pl.lit(None, pl.String)
        for frame in self.rows.frames():
            yield frame.select(
                NUMBER,
                *(
                    name if name in known else nothing.alias(name)
                    for name in self.fields
                ),
            )


def _former_run(
    work_dir: Path, wanted: str, fields: Sequence[str], scratch: Path
) -> FormerRun:
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        run = find_run(work_dir, journal.runs(), wanted)
        batches = journal.outcomes(run.run_id)
    job = job_of_run(work_dir, run.run_id)
    obstacle = source_obstacle(run)
    if obstacle is None:
        line = open_line(ImportRequest(job, work_dir), make_private_dir(scratch))
        with SliceStore(scratch / "clean", max_bytes=0) as store:
            check = check_line(line, store)
        if has_same_content(run.fingerprints, check.fingerprints):
            return FormerRun(SourceRows(line, check, batches), tuple(fields))
        obstacle = "its source has changed"
    raise SourceChangedError(
        f"run {run.run_id} cannot be the baseline: {obstacle}. What it sent can only "
        "be made again from its source as it was; bring that file back, or name a "
        "former export"
    )
