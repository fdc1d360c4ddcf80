"""Can the work folder keep a run: space, durable writes, locks, a journal."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.doctor.diagnosis import NETWORK_DISKS, failure, file_system, fine, warning
from pipeline.errors import CannotWriteError, PipelineError
from pipeline.files import replacing, using
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_file import RESERVE_BYTES
from pipeline.locks import lock_folder
from pipeline.spill import MAX_STORE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.doctor.diagnosis import Checked

MOUNTS: Final = Path("/proc/self/mounts")
SLOW_S: Final = 1.0


def look_at_disk(
    work_dir: Path,
    *,
    free_bytes: Callable[[Path], int] = lambda path: shutil.disk_usage(path).free,
    mounts: Path = MOUNTS,
) -> Iterator[Checked]:
    """
    Try in a folder of its own, beside the runs, what a run does; it is removed again.

    Where there is no work folder yet, its nearest parent is looked at.
    """
    home = next(place for place in (work_dir, *_parents(work_dir)) if place.exists())
    where = f"{work_dir}" if home == work_dir else f"{work_dir}, to be made in {home}"
    try:
        with (
            using(home),
            tempfile.TemporaryDirectory(prefix=".doctor-", dir=home) as name,
        ):
            yield fine("work folder", where)
            yield _space(free_bytes(home))
            yield from _kind(home, mounts)
            trial = Path(name)
            for look in (_durable, _locks, _journal):
                yield look(trial)
    except CannotWriteError as error:
        yield failure("work folder", error)


def _parents(path: Path) -> tuple[Path, ...]:
    return tuple(path.absolute().parents)


def _space(n_bytes: int) -> Checked:
    free = f"{n_bytes / 1e9:,.1f} GB free"
    if n_bytes < RESERVE_BYTES:
        return failure(
            "space",
            CannotWriteError(
                f"{free}, and a run needs {RESERVE_BYTES >> 20} MiB for its journal "
                "alone; make room, or name another --work-dir"
            ),
        )
    if n_bytes < MAX_STORE_BYTES:
        return warning(
            "space",
            f"{free}; an import keeps up to {MAX_STORE_BYTES >> 30} GiB there while it "
            "runs, and its rejected rows afterwards",
        )
    return fine("space", free)


def _kind(home: Path, mounts: Path) -> Iterator[Checked]:
    """Warn of a network disk; where the system tells no types, nothing is said."""
    try:
        told = mounts.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    kind = file_system(told, str(home.resolve()))
    if kind in NETWORK_DISKS:
        yield warning(
            "disk",
            f"the work folder is on a network disk ({kind}), where locks and flushed "
            "writes may not hold what they promise; put it on a local disk",
        )


def _durable(trial: Path) -> Checked:
    began_s = time.monotonic()
    try:
        with replacing(trial / "probe") as draft:
            draft.write_bytes(b"probe")
    except PipelineError as error:
        return failure("durable writes", error)
    took_s = time.monotonic() - began_s
    told = f"a file was replaced and flushed in {took_s * 1000:.0f} ms"
    if took_s > SLOW_S:
        return warning("durable writes", f"{told}; the journal will slow down a run")
    return fine("durable writes", told)


def _locks(trial: Path) -> Checked:
    try:
        with lock_folder(trial):
            return fine("locks", "a lock keeps others out")
    except PipelineError as error:
        return failure("locks", error)


def _journal(trial: Path) -> Checked:
    path = trial / JOURNAL_NAME
    try:
        with Journal.open(path) as journal:
            journal.runs()
            if path.with_name(f"{JOURNAL_NAME}-wal").exists():
                return fine("journal", "SQLite keeps a write-ahead log")
    except PipelineError as error:
        return failure("journal", error)
    told = "this disk lets SQLite keep no write-ahead log; name another --work-dir"
    return failure("journal", CannotWriteError(told))
