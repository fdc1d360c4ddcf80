"""Old runs lose their personal data, whatever is in their folders, and nothing else."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import CannotWriteError, LockedError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run, RunState
from pipeline.locks import lock_folder, lock_verification
from pipeline.records import Batch
from pipeline.retention import DAY_S, Purged, purge_runs

RUN = Run("done", "import", "customers", workspace="guid")
TODAY = 100 * DAY_S


def fill(folder: Path) -> Path:
    """Write what a run leaves, with a canary in everything that holds values."""
    (folder / "clean").mkdir(parents=True)
    (folder / "clean" / "000000.ipc").write_bytes(b"canary")
    for name in ("rejected.csv", "unreadable.txt", "findings.csv", ".later.kind"):
        (folder / name).write_bytes(b"canary")
    for name in ("outcomes.parquet", "summary.json"):
        (folder / name).write_bytes(b"numbers")
    return folder


@pytest.fixture
def work_dir(tmp_path: Path) -> Path:
    """Give a folder with an old run, an old interrupted one, a new and a dry one."""
    began = {"done": 10, "cut": 20, "resumed": 30, "new": 80}
    times = iter(
        [began["done"], 11, began["cut"], began["resumed"], 90, began["new"], 81]
    )
    with Journal.open(
        tmp_path / JOURNAL_NAME, now=lambda: next(times) * DAY_S
    ) as journal:
        journal.begin_run(RUN)
        journal.end_run("done", 3, state=RunState.DONE)
        journal.begin_run(replace(RUN, run_id="cut", dataset="suppliers"))
        journal.begin_run(replace(RUN, run_id="resumed", dataset="orders"))
        journal.resume_run("resumed")
        journal.begin_run(replace(RUN, run_id="new", dataset="stores"))
        journal.end_run("new", 0, state=RunState.DONE)
    with Journal.open(tmp_path / JOURNAL_NAME, now=lambda: 0.0) as journal:
        rows = pl.DataFrame({"source_no": [0], "row_no": [1]})
        batch = Batch(1, 2, rows, b"[]", "digest")

        async def main() -> None:
            for run_id in began:
                await journal.intend(run_id, batch, target_bytes=1)

        asyncio.run(main())
    for run_id in began:
        fill(tmp_path / "runs" / run_id)
    for name, day in (("dry-old", 5), ("dry-new", 99)):
        os.utime(fill(tmp_path / "runs" / name), (day * DAY_S, day * DAY_S))
    return tmp_path


def left(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def purge(work_dir: Path) -> Purged:
    return purge_runs(work_dir, now=lambda: TODAY)


def test_old_runs_keep_their_numbers_and_lose_their_values(work_dir: Path) -> None:
    untouched = left(work_dir / "runs" / "new")
    purged = purge(work_dir)

    runs = work_dir / "runs"
    for name in ("done", "cut", "dry-old"):
        assert left(runs / name) == {"outcomes.parquet", "summary.json"}
    for name in ("new", "resumed", "dry-new"):
        assert left(runs / name) == untouched
    assert purged == Purged(("cut", "done", "dry-old"), 15, 90, ("cut",))


def test_the_journal_keeps_runs_and_what_a_resumption_needs(work_dir: Path) -> None:
    purge(work_dir)
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        runs = {run.run_id: run.purged_at for run in journal.runs()}
        n_batches = {run_id: len(journal.batches(run_id)) for run_id in runs}

    assert runs == {"done": TODAY, "cut": TODAY, "resumed": None, "new": None}
    assert n_batches == {"done": 0, "cut": 1, "resumed": 1, "new": 1}


def test_a_second_purge_finds_nothing_and_keeps_the_first_date(work_dir: Path) -> None:
    purge(work_dir)

    assert purge_runs(work_dir, now=lambda: TODAY + 1) == Purged()
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        assert journal.runs()[0].purged_at == TODAY


def test_batches_go_once_a_newer_run_bars_the_old_one(work_dir: Path) -> None:
    purge(work_dir)
    with Journal.open(work_dir / JOURNAL_NAME, now=lambda: TODAY) as journal:
        journal.begin_run(replace(RUN, run_id="cut-2", dataset="suppliers"))
    purge(work_dir)

    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        assert journal.batches("cut") == []


def test_days_can_be_chosen(work_dir: Path) -> None:
    purged = purge_runs(work_dir, keep_days=1000, now=lambda: TODAY)
    assert purged == Purged()
    purged = purge_runs(work_dir, keep_days=0, now=lambda: TODAY)
    assert set(purged.run_ids) == {p.name for p in (work_dir / "runs").iterdir()}


def test_links_are_removed_and_never_followed(work_dir: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious.csv").write_text("kept")
    (work_dir / "runs" / "done" / "link").symlink_to(outside)
    (work_dir / "runs" / "done" / "clean" / "link").symlink_to(outside)
    (work_dir / "runs" / "linked").symlink_to(outside)
    os.utime(outside, (0, 0))
    purge(work_dir)

    assert (outside / "precious.csv").read_text() == "kept"
    assert not (work_dir / "runs" / "done" / "link").is_symlink()
    assert (work_dir / "runs" / "linked").is_symlink()


def test_nothing_is_removed_while_a_run_is_at_work(work_dir: Path) -> None:
    before = left(work_dir / "runs")
    with lock_folder(work_dir), pytest.raises(LockedError):
        purge(work_dir)

    assert left(work_dir / "runs") == before


def test_what_a_verification_left_goes_unless_one_is_at_work(work_dir: Path) -> None:
    own = work_dir / "verify"
    rows = own / "scratch" / "clean" / "000000.ipc"
    rows.parent.mkdir(parents=True)
    rows.write_bytes(b"personal")
    with lock_verification(own):
        purge(work_dir)
        assert rows.exists()
    purge(work_dir)

    assert left(own) == {"lock"}


def test_a_folder_that_no_run_has_used_stays_as_it_is(tmp_path: Path) -> None:
    assert purge_runs(tmp_path) == Purged()
    assert list(tmp_path.iterdir()) == []
    with Journal.open(tmp_path / JOURNAL_NAME) as journal:
        journal.begin_run(RUN)
    assert purge_runs(tmp_path) == Purged()  # a journal, and no folder of a run


def test_what_cannot_be_removed_is_named(work_dir: Path) -> None:
    class Stubborn(type(work_dir)):  # type: ignore[misc]
        """A file that the disk does not give up."""

        def unlink(self, missing_ok: bool = False) -> None:  # noqa: FBT001, FBT002 - as in pathlib
            if self.name == "rejected.csv":
                raise PermissionError(1, "Operation not permitted")
            super().unlink(missing_ok)

    with pytest.raises(CannotWriteError, match=r"runs/cut .*personal data"):
        purge(Stubborn(work_dir))
    purged = purge(work_dir)

    assert "cut" in purged.run_ids
    assert left(work_dir / "runs" / "cut") == {"outcomes.parquet", "summary.json"}


def test_a_spool_stays_as_long_as_somebody_may_need_it(work_dir: Path) -> None:
    runs = work_dir / "runs"
    for name in ("done", "cut", "resumed", "new"):
        (runs / name / "spool").mkdir()
        (runs / name / "spool" / "query.parquet").write_bytes(b"canary")

    purge_runs(work_dir, now=lambda: TODAY)
    assert not (runs / "done" / "spool").exists(), "old, and nothing is left to send"
    assert (runs / "cut" / "spool").exists(), "it can be resumed"
    assert (runs / "new" / "spool").exists(), "it is not verified"

    (runs / "new" / "verify.json").write_bytes(b"{}")
    purged = purge_runs(work_dir, now=lambda: TODAY)
    assert purged.run_ids == ("new",)
    assert not (runs / "new" / "spool").exists()
    assert (runs / "new" / "rejected.csv").exists()
