"""
Locks between processes: who works here, and who writes to a workspace.

Each is an open file that the kernel holds for us (`flock`): a process that dies, even
by `kill -9` or with its machine, holds nothing. Nobody waits: a lock that is taken is
refused at once, and the message names the holder. The files stay behind and mean
nothing without a holder.

`lock_folder` keeps a work folder to one run, and `lock_verification` to one reading
back beside it. `lock_partition` keeps a part of a run to one worker of a cluster.
`lock_workspace` keeps a workspace to one run among all that use the same folder of
locks; two jobs with work folders of their own meet only when they are given one folder
of locks in common. Not covered: another machine, and another user's folder. There the
workspace has no lock that this tool could take; run the jobs of one workspace from one
place.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import socket
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from pipeline.errors import CannotWriteError, LockedError
from pipeline.files import make_private_dir
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOCK_NAME: Final = "lock"
HEALTH_LOCK_NAME: Final = "health.lock"
_HOLDER_BYTES: Final = 400
_HEALTH_TRIES: Final = 301  # longer than an alert may take in all
_WAIT_S: Final = 0.1
# Longer than a worker waits for the scheduler and then for what it has in flight.
PARTITION_PATIENCE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Holder:
    """
    Whoever takes a lock, and how; the defaults are this process and the kernel.

    Attributes:
        now: Seconds since 1970.
        flock: Takes the lock of an open file.
    """

    now: Callable[[], float] = time.time
    flock: Callable[[int, int], None] = fcntl.flock

    def described(self, about: str) -> str:
        """Return one line: process, host, since when, and *about*."""
        began = datetime.fromtimestamp(self.now(), UTC).isoformat(timespec="seconds")
        who = f"process {os.getpid()} on {socket.gethostname()}, since {began}"
        return f"{who}, {about}" if about else who


_SELF: Final = Holder()


@contextmanager
def lock_folder(folder: Path, *, holder: Holder = _SELF) -> Iterator[None]:
    """
    Hold the work folder alone.

    Raises:
        LockedError: Another process holds it; the message names it.
        CannotWriteError: The folder cannot be written, or its disk knows no locks.
    """
    advice = "wait for it, or use another --work-dir for another workspace"
    with _held(folder / LOCK_NAME, ("this work folder", "", advice), holder):
        yield


@contextmanager
def lock_verification(folder: Path, *, holder: Holder = _SELF) -> Iterator[None]:
    """
    Be the only one that makes sent rows again in *folder*; imports may go on.

    Raises:
        LockedError: Another process does; the message names it.
        CannotWriteError: The folder cannot be written, or its disk knows no locks.
    """
    told = ("the verifications of this work folder", "", "wait for it")
    with _held(folder / LOCK_NAME, told, holder):
        yield


@contextmanager
def lock_workspace(
    folder: Path, *, host: str, guid: str, dataset: str, holder: Holder = _SELF
) -> Iterator[None]:
    """
    Be the only run that writes to a workspace, whatever its dataset.

    Args:
        folder: Of the locks; made when needed. Runs with the same one meet.
        host: Of the API; a guid counts only there.
        guid: Of the workspace.
        dataset: Named to whoever is refused.

    Raises:
        LockedError: Another run writes to the workspace; the message names it.
        CannotWriteError: The folder cannot be written, or its disk knows no locks.
    """
    make_private_dir(folder)
    key = hashlib.sha256(f"{host}\0{guid}".encode()).hexdigest()[:24]
    advice = (
        "two runs must not write to one workspace at the same time, because the order "
        "of their values would be chance; wait for it"
    )
    told = ("this workspace", f"dataset {dataset}", advice)
    with _held(folder / f"workspace-{key}.lock", told, holder):
        yield


@contextmanager
def lock_partition(
    folder: Path,
    number: int,
    *,
    holder: Holder = _SELF,
    patience_s: float = PARTITION_PATIENCE_S,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """
    Be the only one who sends rows of a partition, or takes over its journal.

    A worker that is given up by its cluster lets go within *patience_s*, unless it
    does not run at all.

    Raises:
        LockedError: Another process has held it for so long.
        CannotWriteError: The folder cannot be written, or its disk knows no locks.
    """
    advice = "it is a worker that was given up; end it, then run the same command"
    told = (f"partition {number} of the run", "", advice)
    path = folder / f"{number:06}.lock"
    with _held_patiently(path, told, holder, int(patience_s / _WAIT_S), sleep):
        yield


@contextmanager
def lock_health(
    folder: Path,
    *,
    holder: Holder = _SELF,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """
    Hold the health of a work folder alone; whoever holds it is soon done.

    Raises:
        LockedError: Another process has held it for half a minute.
        CannotWriteError: The folder cannot be written, or its disk knows no locks.
    """
    told = ("the health of the datasets", "", "the next run keeps it")
    path = folder / HEALTH_LOCK_NAME
    with _held_patiently(path, told, holder, _HEALTH_TRIES, sleep):
        yield


@contextmanager
def _held_patiently(
    path: Path,
    told: tuple[str, str, str],
    holder: Holder,
    n_tries: int,
    sleep: Callable[[float], None],
) -> Iterator[None]:
    """Hold one lock file as `_held`, and ask again while another one has it."""
    with ExitStack() as stack:
        for left in reversed(range(max(1, n_tries))):
            try:
                stack.enter_context(_held(path, told, holder))
                break
            except LockedError:
                if not left:
                    raise
                sleep(_WAIT_S)
        yield


@contextmanager
def _held(path: Path, told: tuple[str, str, str], holder: Holder) -> Iterator[None]:
    """Hold one lock file; *told* is what it is about, for whom, and the advice."""
    what, about, advice = told
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise _cannot(path, error.strerror) from error
    try:
        if not _taken(handle, path, holder):
            found = os.pread(handle, _HOLDER_BYTES, 0).decode(errors="replace")
            raise LockedError(
                f"another run holds {what} "
                f"({printable(found) or 'it has just started'}); {advice}"
            )
        _check_that_it_holds(path, holder)
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, holder.described(about).encode()[:_HOLDER_BYTES], 0)
        except OSError as error:
            raise _cannot(path, error.strerror) from error
        yield
    finally:
        os.close(handle)


def _taken(handle: int, path: Path, holder: Holder) -> bool:
    try:
        holder.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _cannot(path, error.strerror) from error
    return True


def _check_that_it_holds(path: Path, holder: Holder) -> None:
    """Try to take it once more: some network disks grant a lock to everybody."""
    try:
        second = os.open(path, os.O_RDWR | os.O_NOFOLLOW)
    except OSError as error:
        raise _cannot(path, error.strerror) from error
    try:
        if _taken(second, path, holder):
            raise _cannot(path, "its disk grants one lock to two")
    finally:
        os.close(second)


def _cannot(path: Path, reason: str | None) -> CannotWriteError:
    return CannotWriteError(
        f"{path} cannot be locked ({reason}); nothing was sent. "
        "Put the work folder on a local disk that you may write to."
    )
