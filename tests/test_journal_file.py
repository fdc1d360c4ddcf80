"""The file of the journal is private, checked, of one version, and kept writable."""

import asyncio
import resource
import sqlite3
import stat
import threading
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.errors import CannotWriteError, JournalDamagedError, SettingsError
from pipeline.journal import Journal
from pipeline.journal_file import RESERVE_BYTES, Reserve, connect, is_disk_full
from pipeline.journal_tables import MIGRATIONS, SCHEMA_VERSION, Run, RunState
from pipeline.records import BatchState, Fingerprint

RUN = Run("r1", "import", "customers")


def as_version_1(path: Path) -> None:
    """Write a journal as version 0.1.0 of the tool did."""
    with sqlite3.connect(path) as database:
        for statement in MIGRATIONS[0]:
            database.execute(statement)
        prints = '[{"path": "a.csv", "size_bytes": 1, "mtime_ns": 2, "sha256": "ab"}]'
        for run_id, began_at, ended_at, exit_code in (
            ("late", 30.0, 31.0, 75),
            ("early", 10.0, 11.0, 3),
            ("cut", 20.0, None, None),
        ):
            database.execute(
                "INSERT INTO run VALUES (?, 'import', 'd', 'guid', ?, ?, ?, 's', "
                '\'{"tool": "0.1.0"}\', ?)',
                (run_id, began_at, ended_at, exit_code, prints),
            )
        database.execute(
            "INSERT INTO batch VALUES "
            "('cut', 1, 2, 0, 1, 0, 5, 5, 9, 'x', NULL, 9, NULL)"
        )
        database.execute("INSERT INTO attempt VALUES ('cut', 1, 1, 20.5)")
        database.execute(
            "INSERT INTO verdict VALUES "
            "('cut', 1, 1, 'accepted', 202, 'HTTP_202', NULL, 21.0)"
        )
        database.execute("PRAGMA user_version = 1")
    database.close()


def shape(path: Path) -> list[tuple[object, ...]]:
    with sqlite3.connect(path) as database:
        tables = ("run", "batch", "attempt", "verdict")
        found = [
            row[1:]
            for table in tables
            for row in database.execute(f"PRAGMA table_info({table})")
        ]
        found.append(database.execute("PRAGMA user_version").fetchone())
    database.close()
    return found


def test_an_older_journal_is_brought_to_this_version(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    as_version_1(path)
    old_shape = shape(path)
    with Journal.open(path) as journal:
        runs = journal.runs()
        batches = journal.batches("cut")
        journal.begin_run(RUN)
        newest = journal.run("r1")
    connect(tmp_path / "new.sqlite").close()

    assert [(run.run_id, run.generation, run.state) for run in runs] == [
        ("early", 1, RunState.DONE),
        ("cut", 2, RunState.OPEN),
        ("late", 3, RunState.PENDING),
    ]
    assert runs[0].versions == {"tool": "0.1.0"}
    assert runs[0].fingerprints == (Fingerprint("a.csv", 1, 2, "ab"),)
    assert [(b.n_rows, b.state) for b in batches] == [(5, BatchState.ACCEPTED)]
    assert newest is not None
    assert newest.generation == 4
    assert shape(path) == shape(tmp_path / "new.sqlite")
    kept = tmp_path / "journal.v1.sqlite"
    assert shape(kept) == old_shape
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600


def test_a_migration_that_is_cut_off_leaves_the_old_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    as_version_1(path)
    before = shape(path)
    (tmp_path / "journal.v1.sqlite").mkdir()  # the copy cannot be made
    with pytest.raises(CannotWriteError, match=r"journal\.v1\.sqlite"):
        connect(path)

    assert shape(path) == before


def test_two_that_open_a_new_journal_at_once_do_no_harm(tmp_path: Path) -> None:
    async def main() -> list[sqlite3.Connection]:
        paths = [tmp_path / "journal.sqlite"] * 8
        return await asyncio.gather(*(asyncio.to_thread(connect, p) for p in paths))

    for connection in asyncio.run(main()):
        connection.close()
    assert shape(tmp_path / "journal.sqlite")[-1] == (SCHEMA_VERSION,)


def test_a_new_journal_that_another_is_making_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")  # SQLite itself would not wait for it
    ending = threading.Timer(0.3, other.execute, ["COMMIT"])
    ending.start()

    connect(path).close()

    assert ending.finished.is_set()
    other.close()


def test_a_journal_that_stays_locked_is_told_as_that(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(CannotWriteError, match="in use by another process"):
            connect(path, busy_s=0.05)


@pytest.mark.parametrize("version", [SCHEMA_VERSION + 1, 99])
def test_a_journal_of_a_newer_tool_is_left_alone(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    connect(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {version}")
    database.close()
    before = path.read_bytes()
    told = f"version {version} .* up to {SCHEMA_VERSION};"
    with pytest.raises(SettingsError, match=told):
        connect(path)

    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all" * 99, b"SQLite format 3"])
def test_a_damaged_journal_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(JournalDamagedError, match="move the file"):
        connect(path)


def test_a_damaged_page_is_found_at_opening(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal.open(path) as journal:
        for n in range(200):
            journal.begin_run(replace(RUN, run_id=f"r{n}"))
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"\xff" * 8192)
    with pytest.raises(JournalDamagedError):
        connect(path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    target = tmp_path / "elsewhere"
    target.touch()
    (tmp_path / "journal.sqlite").symlink_to(target)
    with pytest.raises(CannotWriteError, match=r"journal\.sqlite"):
        connect(tmp_path / "journal.sqlite")
    with pytest.raises(CannotWriteError):
        connect(tmp_path / "missing" / "journal.sqlite")


def test_no_room_for_the_index_is_a_full_disk_and_no_damage(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**14, hard))  # a small disk
    try:
        with pytest.raises(CannotWriteError, match="free the disk") as refused:
            connect(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert is_disk_full(refused.value)

    connect(path).close()


def test_the_reserve_is_real_space_and_given_back_once(tmp_path: Path) -> None:
    path = tmp_path / "reserve"
    path.write_bytes(b"left by a crash")
    reserve = Reserve(path)
    assert not reserve.release()
    reserve.take()
    reserve.take()

    status = path.stat()
    assert status.st_size == RESERVE_BYTES
    assert status.st_blocks * 512 >= RESERVE_BYTES
    assert reserve.release()
    assert not path.exists()
    assert not reserve.release()


def test_without_room_for_the_reserve_nothing_begins(tmp_path: Path) -> None:
    (tmp_path / "reserve").mkdir()
    with pytest.raises(CannotWriteError, match="no room for 4 MiB"):
        Reserve(tmp_path / "reserve").take()
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))  # a small disk
    try:
        with pytest.raises(CannotWriteError, match="nothing was sent"):
            Reserve(tmp_path / "small").take()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not (tmp_path / "small").exists()
