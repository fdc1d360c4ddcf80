"""
The file of the journal: opened, checked, brought to the newest version, kept writable.

What SQLite and the disk report becomes an error of this tool here. An error of the
disk itself is final: after a failed flush nobody knows what is on the disk, and asking
again may answer "all is well" without it being so.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from pipeline.errors import (
    CannotWriteError,
    InvariantError,
    JournalDamagedError,
    SettingsError,
)
from pipeline.files import replacing
from pipeline.journal_tables import MIGRATIONS, SCHEMA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RESERVE_BYTES: Final = 4 * 2**20
BUSY_S: Final = 5.0  # as long as Python's own SQLite waits for another's transaction
# Primary result codes after which the file is not to be trusted any more.
_FINAL_CODES: Final = frozenset(
    {sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
)
_NO_INDEX: Final = frozenset(
    {sqlite3.SQLITE_IOERR_SHMOPEN, sqlite3.SQLITE_IOERR_SHMSIZE}
)


def connect(path: Path, busy_s: float = BUSY_S) -> sqlite3.Connection:
    """
    Open or create the file, private, checked and of the newest version.

    Effects: an older journal is copied to `journal.v1.sqlite` (its version) before
    its tables change, and they change in one transaction: a crash leaves the old ones.

    Args:
        busy_s: How long it is waited for another process that holds the file.

    Raises:
        JournalDamagedError: It fails SQLite's check.
        SettingsError: A newer version of the tool has written it.
        CannotWriteError: The file cannot be made or written.
    """
    with disk_errors(path.name):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600))
        with ExitStack() as on_failure:
            connection = sqlite3.connect(
                path, timeout=busy_s, isolation_level=None, check_same_thread=False
            )
            on_failure.callback(connection.close)
            _prepare(connection, busy_s)
            _bring_up_to_date(connection, path)
            on_failure.pop_all()
    return connection


@contextmanager
def disk_errors(name: str) -> Iterator[None]:
    """
    Turn what SQLite and the disk report into errors of this tool.

    Raises:
        JournalDamagedError: The file or the disk under it cannot be trusted; final.
        CannotWriteError: It cannot be written now; what was committed stays.
        InvariantError: A record exists already.
    """
    try:
        yield
    except sqlite3.IntegrityError:
        raise InvariantError(
            "a record of the journal was to be written twice; please report this"
        ) from None
    except sqlite3.Error as error:
        code = _primary_code(error)
        if code == sqlite3.SQLITE_IOERR:
            raise JournalDamagedError(
                f"the disk failed under the journal ({name}): {error}; nothing more is "
                "sent. Repair the disk, then run the same command: the journal is "
                "checked when it is opened, and what is not proven is sent again"
            ) from error
        if code in _FINAL_CODES or not isinstance(
            error, sqlite3.OperationalError | sqlite3.InterfaceError
        ):
            raise JournalDamagedError(
                f"the journal ({name}) is damaged: {error}; keep a copy, move the file "
                "away and begin a fresh run; sending rows a second time does no harm"
            ) from error
        if code == sqlite3.SQLITE_BUSY:
            raise CannotWriteError(
                f"the journal ({name}) is in use by another process; run the same "
                "command when that has ended"
            ) from error
        raise CannotWriteError(
            f"the journal ({name}) cannot be written: {error}; free the disk or the "
            "folder, then run the same command; nothing is lost"
        ) from error
    except OSError as error:
        raise CannotWriteError(
            f"the journal ({name}) cannot be opened: {error.strerror}; "
            "check the work folder and its owner"
        ) from error


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error of `disk_errors` says that there is no space left."""
    cause = error.__cause__
    return (
        isinstance(cause, sqlite3.Error) and _primary_code(cause) == sqlite3.SQLITE_FULL
    )


class Reserve:
    """
    Space beside the journal, given back when the disk is full: for the last verdicts.

    What a batch in flight is answered can then still be recorded, so it need not be
    sent again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_held = False

    def take(self) -> None:
        """
        Occupy the space, before anything is sent.

        Raises:
            CannotWriteError: There is not that much left.
        """
        if self._is_held:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
        try:
            handle = os.open(self._path, flags, 0o600)
            self._is_held = True
            with os.fdopen(handle, "wb") as file:
                # Written, not only promised: a promise is no space on every disk.
                file.write(bytes(RESERVE_BYTES))
                file.flush()
                os.fsync(handle)
        except OSError as error:
            self.release()
            raise CannotWriteError(
                f"the work folder has no room for {RESERVE_BYTES >> 20} MiB that the "
                f"journal keeps for its last records: {error.strerror}; nothing was "
                "sent. Free the disk, then run the same command"
            ) from error

    def release(self) -> bool:
        """Give the space back; return whether there was any."""
        was_held, self._is_held = self._is_held, False
        if was_held:
            with suppress(OSError):
                self._path.unlink()
        return was_held


def _primary_code(error: sqlite3.Error) -> int:
    """
    Return the code without its details; what Python itself raises has none.

    That the index in shared memory cannot be made or grow is a full disk: nothing of
    the journal itself has failed.
    """
    code: int = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_MISUSE)
    return sqlite3.SQLITE_FULL if code in _NO_INDEX else code & 0xFF


def _is_busy(error: BaseException) -> bool:
    return (
        isinstance(error, sqlite3.Error) and _primary_code(error) == sqlite3.SQLITE_BUSY
    )


def _prepare(connection: sqlite3.Connection, busy_s: float) -> None:
    """Set the durability, and check the file."""
    # SQLite itself does not wait for others that make the same new file into a WAL one.
    Retrying(
        retry=retry_if_exception(_is_busy),
        wait=wait_fixed(0.01),
        stop=stop_after_delay(busy_s),
        reraise=True,
    )(connection.execute, "PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA fullfsync = ON")  # macOS; elsewhere without effect
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise sqlite3.DatabaseError(f"quick_check: {found}")


def _bring_up_to_date(connection: sqlite3.Connection, path: Path) -> None:
    version = _version(connection)
    if version > SCHEMA_VERSION:
        raise SettingsError(
            f"the journal ({path.name}) has version {version} and this tool knows "
            f"versions up to {SCHEMA_VERSION}; use the version of the tool that began "
            "the run, or another --work-dir"
        )
    if version == SCHEMA_VERSION:
        return
    if version:
        copy = path.with_name(f"{path.stem}.v{version}{path.suffix}")
        with replacing(copy) as draft:
            connection.execute("VACUUM INTO ?", (str(draft),))
    connection.execute("BEGIN IMMEDIATE")
    # Looked at again: another process may have done it meanwhile.
    for step in range(_version(connection), SCHEMA_VERSION):
        for statement in MIGRATIONS[step]:
            connection.execute(statement)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    connection.execute("COMMIT")


def _version(connection: sqlite3.Connection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version
