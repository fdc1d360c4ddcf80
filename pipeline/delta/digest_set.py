"""
Digests on disk: Parquet by buckets of persons, written once, read by column.

A set is a folder. Files are private; what is kept for another year is plain Parquet
without any index, so that every later version can read it.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Self, TypeVar

import polars as pl

from pipeline.delta.digests import N_BUCKETS, bucket_of, is_in
from pipeline.errors import JournalDamagedError
from pipeline.files import make_private_dir, replacing, using

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

# 17 fields take about 180 bytes a row.
HELD_ROWS: Final = 400_000
# So many rows are looked at in one go; looking at a few of them 64 times takes longer
# than all the rest of a small night.
SPAN_ROWS: Final = 200_000


_T = TypeVar("_T")


class DigestSet:
    """
    A folder of digests; a context manager that writes what is held when it ends.

    Args:
        folder: Made when the first row is written.
    """

    def __init__(self, folder: Path, *, held_rows: int = HELD_ROWS) -> None:
        self._folder = folder
        self._held_rows = held_rows
        self._held: list[pl.DataFrame] = []
        self._n_held = 0
        self._n_added = 0
        self._n_flushes = 0
        self._files: list[tuple[int, int, Path]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush(is_last=True)

    def add(self, frame: pl.DataFrame) -> None:
        """
        Keep rows of any buckets; *frame* has `KEY_COLUMNS`.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        self._held.append(frame)
        self._n_held += frame.height
        self._n_added += frame.height
        if self._n_held >= self._held_rows:
            self._flush(is_last=False)

    def n_rows(self) -> int:
        """
        Return how many rows there are.

        Raises:
            JournalDamagedError: A file cannot be read as what was written.

        Cost: a look at the end of each file, for a set that was not written here.
        """
        if self._n_added:
            return self._n_added
        return sum(self._looked_at(path, _n_rows_in) for *_, path in self._listed())

    def put(self, first: int, last: int, frame: pl.DataFrame) -> None:
        """
        Write all rows of some buckets; they are on the disk when this returns.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        self._files = None
        name = f"{first:02d}-{last:02d}.parquet"
        with replacing(make_private_dir(self._folder) / name) as draft:
            # Digests do not shrink, and nobody asks for their least and largest.
            frame.write_parquet(draft, compression="uncompressed", statistics=False)

    def read(
        self, buckets: range, columns: Sequence[str] | None = None
    ) -> pl.DataFrame | None:
        """
        Return the rows of some buckets, in an order that is the same at every call.

        None when nothing was written of them.

        Args:
            columns: `KEY_COLUMNS` among them.

        Raises:
            JournalDamagedError: A file cannot be read as what was written.
        """
        found = []
        chosen = None if columns is None else list(columns)
        look = partial(pl.read_parquet, columns=chosen)
        for first, last, path in self._listed():
            if last < buckets.start or buckets.stop <= first:
                continue
            frame = self._looked_at(path, look)
            is_whole = first in buckets and last in buckets
            found.append(frame if is_whole else frame.filter(is_in(buckets)))
        return pl.concat(found, how="diagonal") if found else None

    def _looked_at(self, path: Path, look: Callable[[Path], _T]) -> _T:
        try:
            return look(path)
        except (OSError, pl.exceptions.PolarsError):
            raise JournalDamagedError(
                f"the delta state is damaged: {path} cannot be read. Move the folder "
                f"{self._folder.parent} away; the next plan then sends every row"
            ) from None

    def _listed(self) -> list[tuple[int, int, Path]]:
        """Return first bucket, last bucket, path of each file; looked up once."""
        if self._files is None:
            self._files = []
            for path in sorted(self._folder.glob("*.parquet")):
                first, last = (int(part) for part in path.stem.split("-")[:2])
                self._files.append((first, last, path))
        return self._files

    def _flush(self, *, is_last: bool) -> None:
        if not self._n_held:
            return
        make_private_dir(self._folder)
        self._files = None
        frame = pl.concat(self._held)
        self._held.clear()
        self._n_held = 0
        if is_last and not self._n_flushes and frame.height <= SPAN_ROWS:
            self._write(frame, 0, N_BUCKETS - 1)
        else:
            parts = frame.with_columns(bucket_of()).partition_by(
                "bucket", as_dict=True, include_key=False
            )
            for (bucket,), part in parts.items():
                self._write(part, bucket, bucket)
        self._n_flushes += 1

    def _write(self, frame: pl.DataFrame, first: int, last: int) -> None:
        path = self._folder / f"{first:02d}-{last:02d}-{self._n_flushes:06d}.parquet"
        with using(path):
            path.touch(mode=0o600)
            frame.write_parquet(path, compression="uncompressed", statistics=False)


def spans(n_rows: int) -> list[range]:
    """Return all buckets, in spans that hold about `SPAN_ROWS` of so many rows."""
    width = min(N_BUCKETS, max(1, N_BUCKETS * SPAN_ROWS // max(1, n_rows)))
    return [
        range(first, min(first + width, N_BUCKETS))
        for first in range(0, N_BUCKETS, width)
    ]


def _n_rows_in(path: Path) -> int:
    return int(pl.scan_parquet(path).select(pl.len()).collect().item())
