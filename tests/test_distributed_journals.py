"""Journals of partitions: handed over whole, taken over once or twice, never lost."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import polars as pl
import pytest

from pipeline import purge_runs
from pipeline.distributed.journals import (
    FOLDER_NAME,
    hand_over,
    partition_journal,
    take_over,
    take_over_all,
)
from pipeline.distributed.partitions import Partition
from pipeline.errors import LockedError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import FIRST_CHILD_NO, Run
from pipeline.locks import lock_partition
from pipeline.records import MAIN_LANE, Batch, BatchState, Step, Verdict

if TYPE_CHECKING:
    from pathlib import Path

RUN = Run("20260101-000000-abcd", "import", "people")
ACCEPTED = Verdict(Step.DONE, BatchState.ACCEPTED, "HTTP_202", status=202)


def batch(number: int, first: int, n_rows: int, parent: int | None = None) -> Batch:
    rows = pl.DataFrame(
        {"source_no": [0] * n_rows, "row_no": range(first, first + n_rows)},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    return Batch(number, MAIN_LANE, rows, b"[]", "digest", parent)


def record(journal: Journal, *batches: Batch, verdict: Verdict | None) -> None:
    async def all_of_them() -> None:
        for each in batches:
            await journal.intend(RUN.run_id, each, target_bytes=1000)
            if verdict is not None:
                await journal.record(RUN.run_id, each.batch_no, 1, verdict)

    asyncio.run(all_of_them())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a run that its journal knows, with a partition left in it."""
    path = tmp_path / "runs" / RUN.run_id
    (path / FOLDER_NAME).mkdir(parents=True)
    with Journal.open(tmp_path / JOURNAL_NAME) as journal:
        journal.begin_run(RUN)
        record(journal, batch(1, 1, 10), verdict=ACCEPTED)
    with Journal.open(partition_journal(path / FOLDER_NAME, 2)) as own:
        own.begin_run(RUN)
        record(own, batch(11, 11, 10), verdict=ACCEPTED)
        record(own, batch(12, 21, 10), verdict=None)
    return path


def states(folder: Path) -> dict[int, BatchState]:
    with Journal.open(folder.parents[1] / JOURNAL_NAME) as journal:
        return {each.batch_no: each.state for each in journal.batches(RUN.run_id)}


EVERYTHING = {
    1: BatchState.ACCEPTED,
    11: BatchState.ACCEPTED,
    12: BatchState.UNKNOWN,
}


def test_what_a_partition_proved_becomes_part_of_the_run(folder: Path) -> None:
    with Journal.open(folder.parents[1] / JOURNAL_NAME) as journal:
        take_over_all(journal, folder.parents[1])

    assert states(folder) == EVERYTHING
    assert not (folder / FOLDER_NAME).exists()


def test_taking_over_twice_changes_nothing(folder: Path) -> None:
    own = partition_journal(folder / FOLDER_NAME, 2)
    kept = own.read_bytes()
    for _ in range(2):  # a crash came before the file was removed
        own.parent.mkdir(exist_ok=True)
        own.write_bytes(kept)
        with Journal.open(folder.parents[1] / JOURNAL_NAME) as journal:
            take_over(journal, folder)

    assert states(folder) == EVERYTHING


def test_whoever_purges_takes_it_over_first(folder: Path) -> None:
    purge_runs(folder.parents[1], keep_days=0.0, now=lambda: 2e9)

    assert states(folder) == EVERYTHING


def test_a_partition_that_somebody_holds_is_left_alone(folder: Path) -> None:
    with (
        lock_partition(folder / FOLDER_NAME, 2),
        Journal.open(folder.parents[1] / JOURNAL_NAME) as journal,
        pytest.raises(LockedError, match="another run holds partition 2 of the run"),
    ):
        take_over(journal, folder, patience_s=0.0)

    assert partition_journal(folder / FOLDER_NAME, 2).exists()


def test_a_run_that_the_journal_does_not_know_is_left_alone(folder: Path) -> None:
    other = folder.with_name("20250101-000000-abcd")
    folder.rename(other)
    with Journal.open(folder.parents[1] / JOURNAL_NAME) as journal:
        take_over_all(journal, folder.parents[1])

    assert (other / FOLDER_NAME).exists()


def test_a_partition_gets_its_batches_with_all_their_parts(folder: Path) -> None:
    with Journal.open(folder.parents[1] / JOURNAL_NAME) as journal:
        part = batch(FIRST_CHILD_NO, 1, 5, parent=1)
        below = batch(FIRST_CHILD_NO + 1, 1, 2, parent=FIRST_CHILD_NO)
        record(journal, part, below, batch(2, 31, 4), verdict=ACCEPTED)
        partition = Partition(7, MAIN_LANE, 1, 20, 20, 100, FIRST_CHILD_NO + 9, (1,))
        place = folder / FOLDER_NAME
        hand_over(journal, RUN, partition, place, journal.batches(RUN.run_id))
    with Journal.open(partition_journal(place, 7)) as own:
        found = [each.batch_no for each in own.batches(RUN.run_id)]

    assert found == [1, FIRST_CHILD_NO, FIRST_CHILD_NO + 1]
