"""
Files as they lie on disk: hashing them, and replacing them whole or not at all.

The only place that writes a file under its final name. A reader of that name sees the
old content or the new one, never a part; after a crash at most a hidden temporary file
is left beside it, for `remove_drafts`. What is written may hold personal data, so it is
private: files 0600, folders 0700.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import (
    CannotWriteError,
    SourceError,
    SourceMissingError,
    SourceReadError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_PRIVATE_DIR = 0o700
# What a disk or a network drive says when it fails, rather than refuses.
_FAILURES = frozenset(
    (errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ETIMEDOUT)
)
# polars hands on the number of an error in its text alone.
_NUMBER = re.compile(r"\(os error (\d+)\)")
# A hidden name, and what `mkstemp` adds to it.
_DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}")
_MARK_CHARS = 9


def sha256_of(path: Path) -> str:
    """
    Return the SHA-256 of the bytes of *path*, hexadecimal.

    Raises:
        SourceMissingError: It cannot be opened.
        SourceReadError: The disk fails.

    Cost: one read of the file, about 1.5 GB/s, constant memory.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> SourceError:
    """Return what to say when *path* cannot be opened or read: refused, or broken."""
    reason = _reason(error)
    if error.errno in _FAILURES:
        return SourceReadError(
            f"{path} could not be read to its end ({reason}). "
            "Check the disk or the network drive, then start again."
        )
    return SourceMissingError(
        f"{path} cannot be opened ({reason}). Check the path and its permissions."
    )


@contextmanager
def using(path: Path) -> Iterator[None]:
    """
    Run a block that writes *path*, or reads what was written there.

    Raises:
        CannotWriteError: In place of an OSError of the block; it names the file that
            the system named, else *path*.
    """
    try:
        yield
    except OSError as error:
        raise _cannot_write(Path(error.filename or path), error) from error


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """
    Give a temporary file to write to, and put it in the place of *path* at the end.

    Effects: the temporary file (0600) lies in the same folder; when the block ends it
    is flushed to disk and renamed, then the folder is flushed. When the block raises,
    it is removed and *path* is what it was.

    Args:
        overwrite: False refuses a *path* that exists, before and after the writing.

    Raises:
        CannotWriteError: The folder is missing, full or forbidden, or *path* exists.
            An OSError of the block itself becomes one too: it wrote to this file.
    """
    if not overwrite and os.path.lexists(path):
        raise _exists(path)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise _cannot_write(path, error) from error
    draft = Path(name)
    try:
        yield draft
        _publish(draft, path, overwrite=overwrite)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        # A disk that refuses even this has said so already.
        with suppress(OSError):
            draft.unlink(missing_ok=True)


def remove_drafts(folder: Path, name: str = "") -> None:
    """
    Remove the temporary files that `replacing` left when its process died.

    Args:
        name: Of the file that they were to become; any, when not given. Nobody else
            may write it, or to the *folder*, meanwhile.

    Raises:
        CannotWriteError: One cannot be removed; it may hold personal data.
    """
    for path in folder.glob(".*"):
        is_draft = _DRAFT.fullmatch(path.name) is not None
        if is_draft and (not name or path.name[1:-_MARK_CHARS] == name):
            try:
                path.unlink()
            except OSError as error:
                raise _cannot_write(path, error) from error


def remove_drafts_of_runs(work_dir: Path) -> None:
    """
    Do the same for every run of a work folder, while nobody else is at work in it.

    Raises:
        CannotWriteError: As `remove_drafts`.
    """
    for folder in (work_dir / "runs").glob("*"):
        remove_drafts(folder)


def make_private_dir(path: Path) -> Path:
    """
    Create the folder *path* and its parents, and return it.

    Effects: *path* is 0700 afterwards, also when it existed; parents that existed are
    left alone, new ones are 0700. What is new outlives a power cut: without that,
    a flushed file in it might not.

    Raises:
        CannotWriteError: It cannot be created, or is not a folder.
    """
    try:
        for folder in reversed((path, *path.parents)):
            if not folder.is_dir():
                folder.mkdir(mode=_PRIVATE_DIR, exist_ok=True)
                _flush(folder.parent)
        path.chmod(_PRIVATE_DIR)
    except OSError as error:
        raise CannotWriteError(
            f"The folder {path} cannot be created ({_reason(error)}). "
            "Choose another one, or repair its permissions."
        ) from error
    return path


def make_work_dir(path: Path) -> None:
    """
    Create a work folder that git does not look into.

    Raises:
        CannotWriteError: It cannot be created or written.
    """
    ignored = make_private_dir(path) / ".gitignore"
    with using(ignored):
        ignored.write_text("*\n", encoding="utf-8")


def _publish(draft: Path, path: Path, *, overwrite: bool) -> None:
    _flush(draft)
    if overwrite:
        draft.replace(path)
    else:
        # A hard link is the rename that refuses to overwrite.
        try:
            path.hardlink_to(draft)
        except FileExistsError:
            raise _exists(path) from None
    _flush(path.parent)


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _exists(path: Path) -> CannotWriteError:
    return CannotWriteError(
        f"{path} exists already and is not overwritten. "
        "Move it away, or choose another name."
    )


def _cannot_write(path: Path, error: OSError) -> CannotWriteError:
    return CannotWriteError(
        f"{path} cannot be written ({_reason(error)}). "
        "Check the folder, its permissions and the space left on the disk."
    )


def _reason(error: OSError) -> str:
    if error.strerror:
        return error.strerror
    number = _NUMBER.search(str(error))
    return os.strerror(int(number[1])) if number else "the system gives no reason"
