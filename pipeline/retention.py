"""
Removing what old runs left behind: the files of a run hold personal data.

Of a run folder stay `outcomes.parquet`, `summary.json`, `verify.json` and `job.json`,
which hold row numbers, states, counts and settings; whatever else is in it goes, also
files that this version does not know, and what a run or a verification that was cut
off had spilled. The run stays in the journal. Its batches go too when nothing can be
resumed, so that the journal does not grow for ever. A copy of the source (the spool)
stays while the run can be resumed, and goes at once when everything was sent and
verified.
"""

from __future__ import annotations

import shutil
import stat
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.distributed.journals import take_over_all
from pipeline.errors import CannotWriteError, LockedError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import RunState
from pipeline.locks import lock_folder, lock_verification
from pipeline.resuming import unfinished_runs
from pipeline.settings import KEEP_RUNS_DAYS
from pipeline.spill import fresh_scratch
from pipeline.spool import SPOOL_NAME
from pipeline.verify.verifier import FOLDER_NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from pipeline.journal_tables import Run

VERIFIED_NAME: Final = "verify.json"
KEPT_FILES: Final = frozenset(
    {"job.json", "outcomes.parquet", "summary.json", VERIFIED_NAME}
)
DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Purged:
    """
    What was removed.

    Attributes:
        run_ids: Run folders that something was removed from; dry runs, which the
            journal does not know, included.
        n_files: Removed.
        n_bytes: Freed.
        resumable: Of *run_ids*, those that can be resumed.
    """

    run_ids: tuple[str, ...] = ()
    n_files: int = 0
    n_bytes: int = 0
    resumable: tuple[str, ...] = ()


def purge_runs(
    work_dir: Path,
    *,
    keep_days: float = KEEP_RUNS_DAYS,
    now: Callable[[], float] = time.time,
) -> Purged:
    """
    Remove the personal data of runs that ended, or were cut off, *keep_days* ago.

    Effects: holds the work folder meanwhile. After a crash, the next call removes the
    rest. Symbolic links are removed, never followed.

    Raises:
        LockedError: A run is at work here.
        CannotWriteError: Something cannot be removed; what was removed stays so.
        JournalDamagedError: The journal cannot be trusted; nothing was removed.
    """
    path = work_dir / JOURNAL_NAME
    if not path.exists() and not (work_dir / "runs").is_dir():
        return Purged()
    with (
        lock_folder(work_dir),
        fresh_scratch(work_dir),
        Journal.open(path, now=now) as journal,
    ):
        take_over_all(journal, work_dir)  # what they prove is not to be lost
        _clear_verification(work_dir / FOLDER_NAME)
        runs = journal.runs()
        open_ids = {run.run_id for run in unfinished_runs(runs)}
        before = now() - keep_days * DAY_S
        latest = {run.run_id: _last_seen(run) for run in runs}
        folders = {
            folder: latest.get(folder.name, folder.lstat().st_mtime) < before
            for folder in _run_folders(work_dir / "runs")
        }
        done = {run.run_id for run in runs if run.state is RunState.DONE}
        emptied, sizes = _empty(folders, open_ids=open_ids, done=done)
        old = [run.run_id for run in runs if _last_seen(run) < before]
        journal.forget(old, keep_batches=sorted(open_ids))
    return Purged(
        run_ids=tuple(emptied),
        n_files=len(sizes),
        n_bytes=sum(sizes),
        resumable=tuple(run_id for run_id in emptied if run_id in open_ids),
    )


def _clear_verification(folder: Path) -> None:
    """Remove what a verification left that was cut off; one at work is let alone."""
    if folder.is_dir() and not folder.is_symlink():
        with suppress(LockedError), lock_verification(folder), fresh_scratch(folder):
            pass


def _last_seen(run: Run) -> float:
    return max(run.began_at, run.resumed_at or 0.0, run.ended_at or 0.0)


def _run_folders(runs: Path) -> Iterator[Path]:
    if runs.is_dir() and not runs.is_symlink():
        yield from sorted(
            folder for folder in runs.iterdir() if stat.S_ISDIR(folder.lstat().st_mode)
        )


def _empty(
    folders: Mapping[Path, bool], *, open_ids: set[str], done: set[str]
) -> tuple[list[str], list[int]]:
    """
    Remove what nothing needs any more.

    Args:
        folders: Folder of a run → whether it is old.
        open_ids: Of runs that can be resumed.
        done: Of runs that sent everything.

    Returns:
        The names of folders that held something, and the sizes of its files.
    """
    names: list[str] = []
    sizes: list[int] = []
    for folder, is_old in folders.items():
        keeps_spool = folder.name in open_ids
        is_proven = folder.name in done and (folder / VERIFIED_NAME).exists()
        try:
            found = [
                path
                for path in folder.iterdir()
                if (is_old and path.name not in {*KEPT_FILES, SPOOL_NAME})
                or (
                    path.name == SPOOL_NAME
                    and not keeps_spool
                    and (is_old or is_proven)
                )
            ]
            for path in found:
                sizes += _remove(path)
        except OSError as error:
            raise CannotWriteError(
                f"{folder} cannot be emptied ({error.strerror}); it may hold personal "
                "data. Remove it yourself, or repair its permissions"
            ) from error
        if found:
            names.append(folder.name)
    return names, sizes


def _remove(path: Path) -> list[int]:
    """Remove a file, link or folder; return the sizes of the files that were in it."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        size = path.lstat().st_size
        path.unlink()
        return [size]
    sizes = [
        inner.lstat().st_size
        for inner in path.rglob("*")
        if not stat.S_ISDIR(inner.lstat().st_mode)
    ]
    shutil.rmtree(path)
    return sizes
