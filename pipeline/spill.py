"""
Frames that wait on disk: bounded memory for what pass 1 and pass 2 must hold back.

Entries are spread over buckets by digest; each bucket is read back alone. Files are
private (0600), live in a folder of their own, and are removed when the spill closes;
after a crash the folder is left for the next run's clean-up and is never read again.
"""

from __future__ import annotations

import shutil
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

import polars as pl

from pipeline.files import make_private_dir, using

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SCRATCH_NAME: Final = "scratch"
N_BUCKETS: Final = 64
# About 20 MB of entries (25 bytes each); sorting them out takes several times that.
MAX_ROWS_IN_MEMORY: Final = 800_000
# Some three million rows of 17 columns (measured: 347 bytes a row).
MAX_STORE_BYTES: Final = 2**30


class Spill:
    """
    Frames of one shape, spread over buckets by a column of bucket numbers.

    Effects: nothing is written before *max_rows* rows are held. Use as a context
    manager; leaving it removes the folder.

    Args:
        folder: Made when needed; must not exist with other content.
        cut_by: A column of numbers, such as digests: a bucket of more than *max_rows*
            is given back in parts, in which rows of one number stay together.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_rows: int = MAX_ROWS_IN_MEMORY,
        cut_by: str | None = None,
    ) -> None:
        self._folder = folder
        self._max_rows = max_rows
        self._cut_by = cut_by
        self._held: list[pl.DataFrame] = []
        self._n_held_rows = 0
        self._n_flushes = 0
        self._rows_on_disk: Counter[int] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.clear()
        if self._n_flushes:
            shutil.rmtree(self._folder, ignore_errors=True)

    def add(self, frame: pl.DataFrame) -> None:
        """
        Keep *frame*, which has a column `bucket`.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        if frame.is_empty():
            return
        self._held.append(frame)
        self._n_held_rows += frame.height
        if self._n_held_rows >= self._max_rows:
            self._flush()

    def buckets(self) -> Iterator[pl.DataFrame]:
        """
        Give the frames back, some whole buckets each, ascending, without `bucket`.

        While nothing is on disk one frame holds everything, in the order it came.
        Can be called again. Memory: one large bucket, or half of what is held; with
        `cut_by`, what is held. A bucket is read once for each of its parts.
        """
        if not self._n_flushes:
            if self._held:
                yield pl.concat(self._held).drop("bucket")
            return
        for paths, n_rows in self._groups():
            n_parts = 1 if self._cut_by is None else -(-n_rows // self._max_rows)
            if n_parts == 1:
                yield read_bucket(paths)
            else:
                yield from (self._part(paths, n, n_parts) for n in range(n_parts))

    def _part(self, paths: Iterable[Path], n: int, n_parts: int) -> pl.DataFrame:
        """Return the rows of a bucket whose numbers are of the n-th of some kinds."""
        # The bucket itself may follow from what is left of the number.
        is_in = pl.col(self._cut_by or "") // N_BUCKETS % n_parts == n
        return pl.concat(part.filter(is_in) for part in _parts(paths))

    def groups(self) -> Iterator[list[Path]]:
        """
        Give the files of what `buckets` gives, for `read_bucket`; all is on disk then.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        for paths, _ in self._groups():
            yield paths

    def _groups(self) -> Iterator[tuple[list[Path], int]]:
        self._flush()
        paths: list[Path] = []
        n_rows = 0
        for bucket, n_more in sorted(self._rows_on_disk.items()):
            paths += sorted(self._folder.glob(f"{bucket:06d}-*.ipc"))
            n_rows += n_more
            if 2 * n_rows >= self._max_rows:
                yield paths, n_rows
                paths, n_rows = [], 0
        if paths:
            yield paths, n_rows

    def _flush(self) -> None:
        if not self._held:
            return
        make_private_dir(self._folder)
        frame = pl.concat(self._held)
        self._held.clear()
        self._n_held_rows = 0
        parts = frame.partition_by("bucket", as_dict=True, include_key=False)
        for (bucket,), part in parts.items():
            number = int(str(bucket))
            self._rows_on_disk[number] += part.height
            path = self._folder / f"{number:06d}-{self._n_flushes:06d}.ipc"
            with using(path):
                path.touch(mode=0o600)
                # As a stream: small files are written twice as fast as with a footer,
                # and read five times as fast.
                part.write_ipc_stream(path)
        self._n_flushes += 1


class SliceStore:
    """
    The encoded rows of pass 1, kept for pass 2, so that one encoding serves both.

    Beyond *max_bytes* it gives up and removes what it has; pass 2 then reads the source
    again. Use as a context manager; leaving it removes the folder.

    Args:
        max_bytes: Of the files; 0 keeps nothing at all.
    """

    def __init__(self, folder: Path, *, max_bytes: int = MAX_STORE_BYTES) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._n_bytes = 0
        self._paths: list[Path] = []
        self.is_complete = max_bytes > 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_up()

    def add(self, frame: pl.DataFrame) -> None:
        """
        Keep the next slice.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        if not self.is_complete:
            return
        make_private_dir(self._folder)
        path = self._folder / f"{len(self._paths):06d}.ipc"
        self._paths.append(path)
        with using(path):
            path.touch(mode=0o600)
            frame.write_ipc(path)
        self._n_bytes += path.stat().st_size
        if self._n_bytes > self._max_bytes:
            self._give_up()

    def frames(self) -> Iterator[pl.DataFrame]:
        """Give the slices back in order; only while `is_complete`."""
        yield from map(read_frame, self._paths)

    def _give_up(self) -> None:
        self.is_complete = False
        if self._paths:
            self._paths.clear()
            shutil.rmtree(self._folder, ignore_errors=True)


def read_bucket(paths: Iterable[Path]) -> pl.DataFrame:
    """
    Return the frames of some files as one; there is one at least.

    Raises:
        CannotWriteError: One cannot be read.
    """
    return pl.concat(_parts(paths))


def _parts(paths: Iterable[Path]) -> Iterator[pl.DataFrame]:
    for path in paths:
        with using(path):
            yield pl.read_ipc_stream(path)


def read_frame(path: Path) -> pl.DataFrame:
    """
    Return the frame of a file, which may be removed then.

    Raises:
        CannotWriteError: It cannot be read.
    """
    # Not by its path: a mapped file counts as memory until it is unmapped.
    with using(path):
        return pl.read_ipc(path.read_bytes())


@contextmanager
def fresh_scratch(work_dir: Path) -> Iterator[Path]:
    """
    Give an empty folder for what a run spills, and remove it at the end.

    Effects: what a crash left there is removed first. It may hold personal data.
    """
    folder = work_dir / SCRATCH_NAME
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield make_private_dir(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def by_digest(entries: pl.DataFrame) -> pl.DataFrame:
    """Add the bucket of each entry: equal digests, equal buckets."""
    return entries.with_columns(
        (pl.col("digest") % N_BUCKETS).cast(pl.UInt32).alias("bucket")
    )
