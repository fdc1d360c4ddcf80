"""
The journals of partitions: each in a file of its own, taken over into that of the run.

A worker writes into the journal of its partition and nobody else does meanwhile (a
lock). Numbers of batches are such that the journals of a run never speak of the same
batch, but for what the run's own journal said first. So taking over is copying, it may
be done twice, and afterwards a run looks as if one machine had sent it.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Final

from pipeline.files import make_private_dir, using
from pipeline.journal import Journal
from pipeline.locks import PARTITION_PATIENCE_S, lock_partition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.distributed.partitions import Partition
    from pipeline.journal_tables import Run, StoredBatch

FOLDER_NAME: Final = "partitions"
_SUFFIX: Final = ".sqlite"


def partition_journal(folder: Path, number: int) -> Path:
    """Return where the journal of a partition is; *folder* is that of the run's."""
    return folder / f"{number:06}{_SUFFIX}"


def hand_over(
    journal: Journal,
    run: Run,
    partition: Partition,
    folder: Path,
    batches: Iterable[StoredBatch],
) -> None:
    """
    Give a partition what the run's journal knows of its batches.

    Args:
        batches: All of the run.

    Effects: the journal of the partition; a worker makes it where nothing is known.
    """
    wanted = set(partition.planned)
    for batch in sorted(batches, key=lambda batch: batch.batch_no):
        if batch.parent_no in wanted:  # a part has a higher number than its whole
            wanted.add(batch.batch_no)
    if wanted:
        make_private_dir(folder)
        with Journal.open(partition_journal(folder, partition.number)) as own:
            own.begin_run(run)
            own.add_records(journal.records(run.run_id, wanted))


def take_over(
    journal: Journal, run_folder: Path, *, patience_s: float = PARTITION_PATIENCE_S
) -> None:
    """
    Copy what the workers of a run recorded into its journal, and remove their files.

    A crash between the two leaves files that are copied again, which changes nothing.

    Raises:
        LockedError: A worker that was given up is still at work; others are done.
        JournalDamagedError, CannotWriteError: The disk of the work folder.
    """
    folder = run_folder / FOLDER_NAME
    if not folder.is_dir() or journal.run(run_folder.name) is None:
        return
    for path in sorted(folder.glob(f"*{_SUFFIX}")):
        number = int(path.stem)
        with lock_partition(folder, number, patience_s=patience_s):
            with Journal.open(path) as own:
                records = own.records(run_folder.name)
            journal.add_records(records)
            with using(path):
                path.unlink()
    with using(folder):
        shutil.rmtree(folder)


def take_over_all(journal: Journal, work_dir: Path) -> None:
    """
    Do the same for every run of a work folder: what a lost driver left behind.

    Raises:
        LockedError: A worker of an earlier run is still at work.
        JournalDamagedError, CannotWriteError: As `take_over`.
    """
    for folder in sorted((work_dir / "runs").glob(f"*/{FOLDER_NAME}")):
        take_over(journal, folder.parent)
