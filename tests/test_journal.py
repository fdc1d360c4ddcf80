"""What the journal says was committed is on the disk, and it says nothing more."""

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import (
    CannotWriteError,
    InvariantError,
    JournalDamagedError,
    LockedError,
)
from pipeline.journal import JOURNAL_NAME, Journal, list_runs, lock_folder
from pipeline.journal_tables import FIRST_CHILD_NO, Run, ranges_of
from pipeline.records import (
    Batch,
    BatchState,
    Fingerprint,
    RowRange,
    RowRef,
    Step,
    Verdict,
)

RUN = Run(
    "r1",
    "import",
    "customers",
    workspace="guid",
    settings_digest="d1",
    versions={"tool": "0.1.0", "polars": "2.1.0"},
    fingerprints=(Fingerprint("/data/customers.csv", 10, 20, "ab"),),
)
ACCEPTED = Verdict(Step.DONE, BatchState.ACCEPTED, "HTTP_202", 202)
REJECTED = Verdict(Step.REFUSED, BatchState.REJECTED, "REFUSED", 400)
REFUSED = Verdict(Step.REFUSED, BatchState.PENDING, "HTTP_400", 400)
THROTTLED = Verdict(Step.AGAIN, BatchState.PENDING, "HTTP_429", 429)
TORN = Verdict(Step.AGAIN, BatchState.UNKNOWN, "READ_ERROR")


def batch(no: int, row_nos: list[int], parent_no: int | None = None) -> Batch:
    rows = pl.DataFrame(
        {"source_no": [0] * len(row_nos), "row_no": row_nos},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    return Batch(no, 2, rows, b'[{"email":"canary@example.com"}]', "ab", parent_no)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal.sqlite", now=lambda: 1000.0) as journal:
        journal.begin_run(RUN)
        yield journal


def states(journal: Journal) -> dict[int, BatchState]:
    return {found.batch_no: found.state for found in journal.outcomes("r1")}


def test_a_run_is_kept_as_it_was_begun(journal: Journal) -> None:
    begun = replace(RUN, began_at=1000.0)
    assert journal.runs() == [begun]
    journal.end_run("r1", 3)

    assert journal.run("r1") == replace(begun, ended_at=1000.0, exit_code=3)
    assert journal.run("r2") is None


def test_a_batch_is_kept_by_its_membership(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [3, 4, 9]), target_bytes=950_000)
        child = batch(FIRST_CHILD_NO, [3, 4, 9], parent_no=1)
        await journal.intend("r1", child, target_bytes=950_000)

    asyncio.run(main())
    planned, child = journal.batches("r1")

    assert (planned.first, planned.last) == (RowRef(0, 3), RowRef(0, 9))
    assert (planned.n_rows, planned.target_bytes, planned.digest) == (3, 950_000, "ab")
    assert planned.members == ()
    assert child.members == (RowRange(0, 3, 4), RowRange(0, 9, 9))
    assert (child.parent_no, child.lane) == (1, 2)


@pytest.mark.parametrize(
    ("verdicts", "state", "code"),
    [
        ([None], BatchState.UNKNOWN, None),
        ([ACCEPTED], BatchState.ACCEPTED, "HTTP_202"),
        ([THROTTLED], BatchState.PENDING, "HTTP_429"),
        ([THROTTLED, None], BatchState.UNKNOWN, "HTTP_429"),
        ([TORN], BatchState.UNKNOWN, "READ_ERROR"),
        ([TORN, THROTTLED], BatchState.UNKNOWN, "HTTP_429"),
        ([TORN, ACCEPTED], BatchState.ACCEPTED, "HTTP_202"),
        ([TORN, REJECTED], BatchState.REJECTED, "REFUSED"),
        ([REFUSED], BatchState.PENDING, "HTTP_400"),
    ],
)
def test_a_batch_is_what_all_its_attempts_prove(
    journal: Journal,
    verdicts: list[Verdict | None],
    state: BatchState,
    code: str | None,
) -> None:
    async def main() -> None:
        for n, verdict in enumerate(verdicts, 1):
            if n == 1:
                await journal.intend("r1", batch(1, [1]), target_bytes=1)
            else:
                await journal.attempt("r1", 1, n)
            if verdict is not None:
                await journal.record("r1", 1, n, verdict)

    asyncio.run(main())
    (outcome,) = journal.outcomes("r1")

    assert (outcome.state, outcome.code) == (state, code)


def test_rejected_rows_are_kept_one_by_one(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1, 2, 3]), target_bytes=1)
        await journal.record("r1", 1, 1, REFUSED, rejected=[RowRange(0, 2, 2)])

    asyncio.run(main())
    (outcome,) = journal.outcomes("r1")

    assert outcome.rejected == (RowRange(0, 2, 2),)
    assert outcome.state is BatchState.PENDING


def test_numbers_of_parts_never_meet_planned_ones(journal: Journal) -> None:
    assert journal.next_child_no("r1") == FIRST_CHILD_NO

    async def main() -> None:
        await journal.intend("r1", batch(7, [1]), target_bytes=1)
        await journal.intend("r1", batch(FIRST_CHILD_NO, [1], 7), target_bytes=1)

    asyncio.run(main())
    assert journal.next_child_no("r1") == FIRST_CHILD_NO + 1


def test_many_writers_share_commits(journal: Journal) -> None:
    async def one(no: int) -> None:
        await journal.intend("r1", batch(no, [no]), target_bytes=1)
        await journal.record("r1", no, 1, ACCEPTED)

    async def main() -> None:
        await asyncio.gather(*(one(no) for no in range(1, 201)))

    before = journal.n_commits
    asyncio.run(main())

    assert set(states(journal).values()) == {BatchState.ACCEPTED}
    assert len(states(journal)) == 200
    assert journal.n_commits - before < 40


def test_one_bad_record_harms_no_other_of_its_group(journal: Journal) -> None:
    async def main() -> list[BaseException | None]:
        twice = [journal.intend("r1", batch(n, [n]), target_bytes=1) for n in (1, 2, 1)]
        return await asyncio.gather(*twice, return_exceptions=True)

    first, second, third = asyncio.run(main())

    assert (first, second) == (None, None)
    assert isinstance(third, InvariantError)
    assert set(states(journal)) == {1, 2}


def test_a_cancelled_wait_loses_no_record(journal: Journal) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(
            journal.intend("r1", batch(1, [1]), target_bytes=1)
        )
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await journal.intend("r1", batch(2, [2]), target_bytes=1)

    asyncio.run(main())
    assert set(states(journal)) == {1, 2}


def test_a_closed_journal_says_so(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.sqlite")
    journal.close()
    with pytest.raises(InvariantError, match="closed"):
        journal.runs()
    journal.close()


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    script = textwrap.dedent("""
        import asyncio, os, signal, sys
        from pathlib import Path
        import polars as pl
        from pipeline.journal import Journal
        from pipeline.journal_tables import Run
        from pipeline.records import Batch, Reply
        from pipeline.verdict import classify

        async def main():
            journal = Journal.open(Path(sys.argv[1]))
            journal.begin_run(Run("r1", "import", "d"))
            rows = pl.DataFrame({"source_no": [0], "row_no": [1]})
            for n in range(1, 6):
                batch = Batch(n, 2, rows, b"[]", "d")
                await journal.intend("r1", batch, target_bytes=1)
                if n < 5:
                    await journal.record("r1", n, 1, classify(Reply(202, {}, b"")))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """)
    path = tmp_path / "journal.sqlite"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], check=False, timeout=50
    )
    assert done.returncode == -signal.SIGKILL
    with Journal.open(path) as journal:
        found = states(journal)
        run = journal.run("r1")

    expected = dict.fromkeys(range(1, 5), BatchState.ACCEPTED)
    assert found == {**expected, 5: BatchState.UNKNOWN}
    assert run is not None
    assert run.ended_at is None


def test_the_file_is_private_and_holds_no_value(
    tmp_path: Path, journal: Journal
) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1]), target_bytes=1)
        await journal.record("r1", 1, 1, ACCEPTED)

    asyncio.run(main())
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert b"canary" not in path.read_bytes()


def test_durability_is_full(tmp_path: Path, journal: Journal) -> None:
    select = journal._select  # noqa: SLF001 - no other way to see it
    modes = select("PRAGMA synchronous"), select("PRAGMA journal_mode")

    assert modes == ([(2,)], [("wal",)])
    assert (tmp_path / "journal.sqlite-wal").exists()


@pytest.mark.parametrize("content", [b"not a database at all" * 99, b"SQLite format 3"])
def test_a_damaged_journal_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="move the file"):
        Journal.open(path)


def test_a_damaged_page_is_found_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        for n in range(500):
            journal.begin_run(replace(RUN, run_id=f"r{n}"))
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(JournalDamagedError):
        Journal.open(path)


def test_a_journal_of_another_version_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal.open(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalDamagedError, match="version 99"):
        Journal.open(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.touch()
    (tmp_path / "journal.sqlite").symlink_to(target)
    with pytest.raises(CannotWriteError, match=r"journal\.sqlite"):
        Journal.open(tmp_path / "journal.sqlite")
    with pytest.raises(CannotWriteError):
        Journal.open(tmp_path / "missing" / "journal.sqlite")


def test_a_full_disk_is_told_to_whoever_waits(journal: Journal) -> None:
    journal._select("PRAGMA max_page_count = 1")  # noqa: SLF001 - a disk that is full

    async def main() -> None:
        many = list(range(1, 20_000, 2))
        part = batch(FIRST_CHILD_NO, many, parent_no=1)
        await journal.intend("r1", part, target_bytes=1)

    with pytest.raises(CannotWriteError, match="nothing is lost"):
        asyncio.run(main())


def test_only_one_process_holds_a_folder(tmp_path: Path) -> None:
    with lock_folder(tmp_path, now=lambda: 0.0):
        with (
            pytest.raises(LockedError, match=rf"process {os.getpid()}, since 1970-01"),
            lock_folder(tmp_path),
        ):
            pass
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    with lock_folder(tmp_path):
        pass


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pipeline.journal import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, timeout=50
    )
    with lock_folder(tmp_path):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError), lock_folder(tmp_path / "missing"):
        pass


def test_rows_become_ranges_file_by_file() -> None:
    rows = pl.DataFrame(
        {"source_no": [0, 0, 0, 1, 1], "row_no": [1, 2, 4, 5, 6]},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )

    assert ranges_of(rows) == (
        RowRange(0, 1, 2),
        RowRange(0, 4, 4),
        RowRange(1, 5, 6),
    )


def test_runs_are_listed_without_holding_the_folder(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    with Journal.open(tmp_path / JOURNAL_NAME, now=lambda: 5.0) as journal:
        journal.begin_run(RUN)

    with lock_folder(tmp_path):
        assert list_runs(tmp_path) == [replace(RUN, began_at=5.0)]
