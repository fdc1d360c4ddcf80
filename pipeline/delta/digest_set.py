"""
Digests on disk: Parquet in 64 buckets of persons, written once, read by column.

A set is a folder. Files are private; what is kept for another year is plain Parquet
without any index, so that every later version can read it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

import polars as pl

from pipeline.delta.digests import N_BUCKETS, bucket_of
from pipeline.errors import JournalDamagedError
from pipeline.files import make_private_dir, replacing, using

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

# 17 fields take about 180 bytes a row.
HELD_ROWS: Final = 400_000


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
        self._n_flushes = 0
        self._files: list[tuple[int, int, Path]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self._flush()

    def add(self, frame: pl.DataFrame) -> None:
        """
        Keep rows of any buckets; *frame* has `KEY_COLUMNS`.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        self._held.append(frame)
        self._n_held += frame.height
        if self._n_held >= self._held_rows:
            self._flush()

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
        self, bucket: int, columns: Sequence[str] | None = None
    ) -> pl.DataFrame | None:
        """
        Return a bucket, or these columns of it; None when nothing was written of it.

        Args:
            columns: `KEY_COLUMNS` among them.

        Raises:
            JournalDamagedError: A file cannot be read as what was written.
        """
        found = []
        chosen = None if columns is None else list(columns)
        for first, last, path in self._listed():
            if not first <= bucket <= last:
                continue
            try:
                frame = pl.read_parquet(path, columns=chosen)
            except (OSError, pl.exceptions.PolarsError):
                raise JournalDamagedError(
                    f"the delta state is damaged: {path} cannot be read. Move the "
                    f"folder {self._folder.parent} away; the next plan then sends "
                    "every row"
                ) from None
            alone = first == last
            found.append(frame if alone else frame.filter(bucket_of() == bucket))
        return pl.concat(found) if found else None

    def _listed(self) -> list[tuple[int, int, Path]]:
        """Return first bucket, last bucket, path of each file; looked up once."""
        if self._files is None:
            self._files = []
            for path in sorted(self._folder.glob("*.parquet")):
                first, last = (int(part) for part in path.stem.split("-")[:2])
                self._files.append((first, last, path))
        return self._files

    def _flush(self) -> None:
        if not self._n_held:
            return
        make_private_dir(self._folder)
        self._files = None
        frame = pl.concat(self._held).with_columns(bucket_of())
        self._held.clear()
        self._n_held = 0
        parts = frame.partition_by("bucket", as_dict=True, include_key=False)
        for (bucket,), part in parts.items():
            path = (
                self._folder
                / f"{bucket:02d}-{bucket:02d}-{self._n_flushes:06d}.parquet"
            )
            with using(path):
                path.touch(mode=0o600)
                part.write_parquet(path, compression="uncompressed", statistics=False)
        self._n_flushes += 1


def all_buckets() -> range:
    """Return the numbers of all buckets."""
    return range(N_BUCKETS)
