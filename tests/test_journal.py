"""What the journal says was committed is on the disk, and it says nothing more."""

import asyncio
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import (
    CannotWriteError,
    InvariantError,
    JournalDamagedError,
    StaleRunError,
)
from pipeline.journal import JOURNAL_NAME, Journal, list_runs
from pipeline.journal_file import RESERVE_BYTES, Reserve, connect
from pipeline.journal_tables import (
    FIRST_CHILD_NO,
    ActionState,
    Attempt,
    Run,
    RunState,
    StoredBatch,
    ranges_of,
)
from pipeline.locks import lock_folder
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
    begun = replace(RUN, began_at=1000.0, generation=1)
    assert journal.runs() == [begun]
    journal.end_run("r1", 3, state=RunState.DONE)

    assert journal.run("r1") == replace(
        begun, ended_at=1000.0, exit_code=3, state=RunState.DONE
    )
    assert journal.run("r2") is None


@pytest.mark.parametrize("state", [RunState.DONE, RunState.PENDING])
def test_how_a_run_stands_is_told_beside_its_exit_code(
    journal: Journal, state: RunState
) -> None:
    journal.end_run("r1", 3, state=state)

    [run] = journal.runs()
    assert (run.state, run.exit_code) == (state, 3)


def test_a_resumed_run_is_open_again(journal: Journal) -> None:
    journal.end_run("r1", 75, state=RunState.PENDING)
    resumed = journal.resume_run("r1", versions={"tool": "0.2.0"})

    assert journal.runs() == [resumed]
    assert (resumed.state, resumed.exit_code, resumed.ended_at) == (
        RunState.OPEN,
        None,
        None,
    )
    assert (resumed.n_begun, resumed.resumed_at) == (2, 1000.0)
    assert resumed.versions == {"tool": "0.2.0"}
    assert journal.resume_run("r1").versions == {"tool": "0.2.0"}


def test_a_run_that_does_not_exist_is_not_resumed(journal: Journal) -> None:
    with pytest.raises(InvariantError, match="no run r9"):
        journal.resume_run("r9")
    with pytest.raises(InvariantError, match="no run r9"):
        journal.end_run("r9", 0, state=RunState.DONE)


@pytest.mark.parametrize("workspace", [RUN.workspace, None])
def test_a_run_is_refused_once_a_newer_one_of_its_dataset_began(
    tmp_path: Path, workspace: str | None
) -> None:
    run = replace(RUN, workspace=workspace)
    clock = count(90, -10)  # set back again and again
    with Journal.open(tmp_path / "j.sqlite", now=lambda: next(clock)) as journal:
        journal.begin_run(run)
        journal.begin_run(replace(run, run_id="other", dataset="suppliers"))
        journal.begin_run(replace(run, run_id="elsewhere", workspace="another"))
        assert journal.resume_run("r1").run_id == "r1"
        journal.begin_run(replace(run, run_id="r2"))
        with pytest.raises(StaleRunError, match="run r2 of the same dataset"):
            journal.resume_run("r1")
        runs = journal.runs()

    assert [run.run_id for run in runs] == ["r1", "other", "elsewhere", "r2"]
    assert [run.generation for run in runs] == [1, 2, 3, 4]
    assert runs[0].n_begun == 2


def test_the_batches_of_old_runs_can_be_dropped(journal: Journal) -> None:
    async def main() -> None:
        for run_id in ("r1", "r2"):
            await journal.intend(run_id, batch(1, [1]), target_bytes=1)
            await journal.record(run_id, 1, 1, ACCEPTED)

    journal.begin_run(replace(RUN, run_id="r2"))
    asyncio.run(main())
    journal.forget(["r1", "r2"], keep_batches=["r2"])

    assert (len(journal.batches("r1")), len(journal.batches("r2"))) == (0, 1)
    assert [run.purged_at for run in journal.runs()] == [1000.0, 1000.0]
    assert n_rows_of(journal, "attempt") == n_rows_of(journal, "verdict") == 1


def test_actions_are_what_was_last_proven_of_them(journal: Journal) -> None:
    told = {
        1: [ActionState.BEGUN],
        2: [ActionState.BEGUN, ActionState.DONE],
        3: [ActionState.REFUSED],
        4: [ActionState.DONE],
    }

    async def main() -> None:
        for number, states in told.items():
            for state in states:
                await journal.note_action("r1", number, state)

    asyncio.run(main())

    assert journal.actions("r1") == {n: states[-1] for n, states in told.items()}
    assert journal.actions("r2") == {}
    journal.forget(["r1"], keep_batches=[])
    assert journal.actions("r1") == {}


def n_rows_of(journal: Journal, table: str) -> int:
    text = f"SELECT count(*) FROM {table}"  # noqa: S608 - a name of ours
    return int(journal._select(text)[0][0])  # noqa: SLF001 - no other way to see it


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


def test_attempts_are_counted_and_those_a_crash_cut_off(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1]), target_bytes=1)
        await journal.record("r1", 1, 1, TORN)
        await journal.attempt("r1", 1, 2)
        await journal.attempt("r1", 1, 3)
        await journal.intend("r1", batch(2, [2]), target_bytes=1)
        await journal.record("r1", 2, 1, ACCEPTED)

    asyncio.run(main())

    assert [(b.n_attempts, b.n_crashes) for b in journal.batches("r1")] == [
        (3, 2),
        (1, 0),
    ]


def test_attempts_are_told_with_their_times(tmp_path: Path) -> None:
    clock = iter(range(100, 200))

    async def main(journal: Journal) -> None:
        await journal.intend("r1", batch(1, [1, 2]), target_bytes=1)  # 101
        await journal.record("r1", 1, 1, TORN)  # 102
        await journal.attempt("r1", 1, 2)  # 103
        await journal.record("r1", 1, 2, ACCEPTED)  # 104
        await journal.intend("r1", batch(2, [3]), target_bytes=1)  # 105

    with Journal.open(tmp_path / JOURNAL_NAME, now=lambda: next(clock)) as journal:
        journal.begin_run(RUN)
        asyncio.run(main(journal))
        told = journal.attempts("r1")
        late = journal.attempts("r1", since=103)

    assert told == [
        Attempt(101, 102, 2, BatchState.UNKNOWN),
        Attempt(103, 104, 2, BatchState.ACCEPTED),
        Attempt(105, None, 1, None),
    ]
    assert late == told[1:]


def test_a_batch_of_another_run_is_not_mixed_in(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1]), target_bytes=1)
        await journal.intend("r2", batch(1, [7]), target_bytes=1)
        await journal.record("r2", 1, 1, ACCEPTED)

    asyncio.run(main())

    assert states(journal) == {1: BatchState.UNKNOWN}


def test_rejected_rows_are_kept_one_by_one(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1, 2, 3]), target_bytes=1)
        await journal.record("r1", 1, 1, REFUSED, rejected=[RowRange(0, 2, 2)])

    asyncio.run(main())
    (outcome,) = journal.outcomes("r1")

    assert outcome.rejected == (RowRange(0, 2, 2),)
    assert outcome.state is BatchState.PENDING


def test_rows_rejected_in_two_attempts_are_all_rejected(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1, 2, 3]), target_bytes=1)
        await journal.record("r1", 1, 1, REFUSED, rejected=[RowRange(0, 2, 2)])
        await journal.attempt("r1", 1, 2)
        await journal.record("r1", 1, 2, REFUSED, rejected=[RowRange(0, 1, 1)])

    asyncio.run(main())
    (outcome,) = journal.outcomes("r1")

    assert set(outcome.rejected) == {RowRange(0, 1, 1), RowRange(0, 2, 2)}


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


def test_the_files_are_private_and_hold_no_value(
    tmp_path: Path, journal: Journal
) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1, 2, 5]), target_bytes=1)
        await journal.record("r1", 1, 1, REFUSED, rejected=[RowRange(0, 2, 2)])
        part = batch(FIRST_CHILD_NO, [1, 5], parent_no=1)
        await journal.intend("r1", part, target_bytes=1)
        await journal.attempt("r1", FIRST_CHILD_NO, 2)
        await journal.record("r1", FIRST_CHILD_NO, 2, ACCEPTED)

    def looked_at() -> set[str]:
        for path in tmp_path.iterdir():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            assert b"canary" not in path.read_bytes()
        return {path.name for path in tmp_path.iterdir()}

    asyncio.run(main())
    at_work = looked_at()
    journal.end_run("r1", 0, state=RunState.DONE)
    journal.close()

    assert at_work == {
        "journal.sqlite",
        "journal.sqlite-wal",
        "journal.sqlite-shm",
        "journal.sqlite.reserve",
    }
    assert looked_at() == {"journal.sqlite"}


def test_durability_is_full(tmp_path: Path, journal: Journal) -> None:
    select = journal._select  # noqa: SLF001 - no other way to see it
    modes = select("PRAGMA synchronous"), select("PRAGMA journal_mode")

    assert modes == ([(2,)], [("wal",)])
    assert (tmp_path / "journal.sqlite-wal").exists()


def test_what_lets_bytes_leave_is_flushed_and_a_verdict_need_not_be(
    tmp_path: Path,
) -> None:
    path = tmp_path / "journal.sqlite"
    connection = connect(path)
    said: list[str] = []
    connection.set_trace_callback(said.append)

    async def main(journal: Journal) -> None:
        await journal.intend("r1", batch(1, [1]), target_bytes=1)
        await journal.record("r1", 1, 1, TORN)
        await journal.attempt("r1", 1, 2)
        await journal.record("r1", 1, 2, ACCEPTED)

    with Journal(connection, lambda: 1.0, Reserve(tmp_path / "reserve")) as journal:
        journal.begin_run(RUN)
        asyncio.run(main(journal))
        journal.resume_run("r1")

    written: dict[str, set[str]] = {}
    level, is_begun = "", False
    for text in said:
        words = text.split()
        if words[:2] == ["PRAGMA", "synchronous"]:
            assert not is_begun, "within a transaction it is without effect"
            level = words[-1]
        is_begun = words[0] == "BEGIN" or (is_begun and words[0] != "COMMIT")
        if words[0] in ("INSERT", "UPDATE"):
            table = words[1 + (words[0] == "INSERT")]
            written.setdefault(table, set()).add(level)
    assert written == {
        "run": {"FULL"},
        "batch": {"FULL"},
        "attempt": {"FULL"},
        "verdict": {"NORMAL"},
    }


class Disk(Reserve):
    """A disk that is full to the last page, until the reserve is given back."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        super().__init__(path)
        self.connection = connection

    def fill(self) -> None:
        n_pages = self.connection.execute("PRAGMA page_count").fetchone()[0]
        self.connection.execute(f"PRAGMA max_page_count = {n_pages}")

    def release(self) -> bool:
        had_room = super().release()
        if had_room:
            self.connection.execute("PRAGMA max_page_count = 1000000")
        return had_room


def test_a_full_disk_admits_nothing_and_keeps_the_last_verdicts(
    tmp_path: Path,
) -> None:
    connection = connect(tmp_path / "journal.sqlite")
    disk = Disk(tmp_path / "reserve", connection)
    parts = [batch(no, [no]) for no in range(1, 200)]

    async def main(journal: Journal) -> list[BaseException | None]:
        for part in parts:
            await journal.intend("r1", part, target_bytes=1)
        assert (tmp_path / "reserve").stat().st_size == RESERVE_BYTES
        disk.fill()
        work = [journal.record("r1", part.batch_no, 1, ACCEPTED) for part in parts]
        work.append(journal.intend("r1", batch(500, [500]), target_bytes=1))
        work.append(journal.attempt("r1", 1, 2))
        return await asyncio.gather(*work, return_exceptions=True)

    with Journal(connection, lambda: 0.0, disk) as journal:
        journal.begin_run(RUN)
        *recorded, intent, attempt = asyncio.run(main(journal))
        found = journal.batches("r1")
        journal.end_run("r1", 73, state=RunState.PENDING)
        run = journal.run("r1")

    assert set(recorded) == {None}
    assert isinstance(intent, CannotWriteError)
    assert isinstance(attempt, CannotWriteError)
    assert "Free the disk" in str(intent)
    assert [b.batch_no for b in found] == [part.batch_no for part in parts]
    assert {(b.state, b.n_attempts) for b in found} == {(BatchState.ACCEPTED, 1)}
    assert run is not None
    assert run.exit_code == 73
    assert not (tmp_path / "reserve").exists()


def test_a_disk_that_stays_full_is_told_to_whoever_waits(journal: Journal) -> None:
    journal._select("PRAGMA max_page_count = 1")  # noqa: SLF001 - a disk that is full

    async def main() -> None:
        named = [RowRange(0, n, n) for n in range(1, 20_000, 2)]
        await journal.record("r1", 1, 1, REFUSED, rejected=named)

    with pytest.raises(CannotWriteError, match="nothing is lost"):
        asyncio.run(main())


class Failing(sqlite3.Connection):
    """A database on a disk that fails at the n-th commit, and then again works."""

    commits_left = 1_000

    def execute(self, sql: str, *rest: object) -> sqlite3.Cursor:
        if sql == "COMMIT":
            self.commits_left -= 1
            if self.commits_left == 0:
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
        return super().execute(sql, *rest)  # type: ignore[arg-type]


def test_after_an_error_of_the_disk_nothing_is_trusted_any_more(
    tmp_path: Path,
) -> None:
    connect(tmp_path / "j.sqlite").close()
    connection = sqlite3.connect(
        tmp_path / "j.sqlite",
        isolation_level=None,
        check_same_thread=False,
        factory=Failing,
    )

    async def main(journal: Journal) -> list[BaseException | None]:
        await journal.intend("r1", batch(1, [1]), target_bytes=1)
        connection.commits_left = 1
        work = [
            journal.record("r1", 1, 1, ACCEPTED),
            journal.intend("r1", batch(2, [2]), target_bytes=1),
        ]
        first = await asyncio.gather(*work, return_exceptions=True)
        with pytest.raises(JournalDamagedError):
            await journal.intend("r1", batch(3, [3]), target_bytes=1)
        return first

    with Journal(connection, lambda: 0.0, Reserve(tmp_path / "reserve")) as journal:
        journal.begin_run(RUN)
        errors = asyncio.run(main(journal))
        with pytest.raises(JournalDamagedError, match="Repair the disk"):
            journal.end_run("r1", 0, state=RunState.DONE)
    with Journal.open(tmp_path / "j.sqlite") as reopened:
        found = states(reopened)

    assert [type(error) for error in errors] == [JournalDamagedError] * 2
    assert found == {1: BatchState.UNKNOWN}


def test_a_stored_batch_is_what_outcomes_are_made_from(journal: Journal) -> None:
    async def main() -> None:
        await journal.intend("r1", batch(1, [1, 2]), target_bytes=1)
        await journal.record("r1", 1, 1, REFUSED)

    asyncio.run(main())
    (stored,) = journal.batches("r1")
    (outcome,) = journal.outcomes("r1")
    shared = ("batch_no", "lane", "parent_no", "first", "last", "n_rows", "members")

    assert isinstance(stored, StoredBatch)
    for name in (*shared, "state", "code", "rejected"):
        assert getattr(stored, name) == getattr(outcome, name)


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
        assert list_runs(tmp_path) == [replace(RUN, began_at=5.0, generation=1)]
