"""
Make a source and an export of the same people in another order, edited.

One profile in a hundred has another city, one in a hundred is not there, and as many
are strangers. Prints what a comparison has to find.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

import polars as pl

from benchmarks.data import (
    CHUNK_ROWS,
    COLUMNS,
    JOB,
    JOB_WORDS,
    ONE_REPEATS,
    N,
    clean_rows,
    dirty_frame,
)

ONE_IN: Final = 100
AN_EDITED_ONE: Final = 7
A_MISSING_ONE: Final = 13
LAST_PLACE: Final = ONE_REPEATS - 1  # of a group: it repeats a person
# Without a common factor with any number of rows that is round.
STRIDE: Final = 7_654_321


def source_numbers(first: int, n_rows: int) -> pl.Series:
    """Return the rows of a stretch that repeat nobody."""
    numbers = pl.int_range(first, first + n_rows, dtype=pl.UInt64, eager=True)
    return numbers.filter(numbers % ONE_REPEATS != LAST_PLACE)


def profiles(numbers: pl.Series) -> pl.DataFrame:
    """Make the profiles of rows, with what was edited there."""
    is_edited = (N % ONE_IN == AN_EDITED_ONE) & pl.col("city").is_not_null()
    edited = pl.when(is_edited).then(pl.col("city") + pl.lit(" II"))
    city = edited.otherwise(pl.col("city")).alias("city")
    return (
        clean_rows(numbers)
        .filter(N % ONE_IN != A_MISSING_ONE)
        .with_columns(city, is_edited=is_edited)
        .select(*COLUMNS.values(), "is_edited")
    )


def make(folder: Path, n_rows: int, kind: str) -> dict[str, int]:
    """Write `source.csv`, its job, and `crm.KIND`; return what has to be found."""
    words = JOB_WORDS["csv"]
    job = JOB
    for word, told in words.items():
        job = job.replace(word, told)
    (folder / "job.yaml").write_text(job, encoding="utf-8")
    n_source = n_there = n_edited = 0
    parts = []
    with (folder / "source.csv").open("wb") as file:
        for first in range(0, n_rows, CHUNK_ROWS):
            n_chunk = min(CHUNK_ROWS, n_rows - first)
            dirty = dirty_frame(
                clean_rows(source_numbers(first, n_chunk)), is_typed=False
            )
            dirty.write_csv(file, include_header=first == 0)
            n_source += dirty.height
            shuffled = pl.int_range(first, first + n_chunk, dtype=pl.UInt64, eager=True)
            shuffled = shuffled * STRIDE % n_rows
            found = profiles(shuffled.filter(shuffled % ONE_REPEATS != LAST_PLACE))
            n_there += found.height
            n_edited += int(found["is_edited"].sum())
            parts.append(folder / f"part-{first:09d}.parquet")
            found.drop("is_edited").write_parquet(parts[-1])
    strangers = pl.select(
        pl.format("X-{}", pl.int_range(n_rows // ONE_IN)).alias("customId")
    )
    parts.append(folder / "part-strangers.parquet")
    empty = profiles(pl.Series([], dtype=pl.UInt64)).drop("is_edited")
    pl.concat([empty, strangers], how="diagonal").write_parquet(parts[-1])
    together = pl.scan_parquet(parts)
    if kind == "csv":
        tags = pl.col("tags").struct.json_encode()
        flat = pl.when(pl.col("tags").is_not_null()).then(tags).alias("tags")
        together.with_columns(flat).sink_csv(folder / "crm.csv")
    else:
        together.sink_parquet(folder / "crm.parquet")
    for part in parts:
        part.unlink()
    return {
        "compared": n_source,
        "matched": n_there,
        "only_in_source": n_source - n_there,
        "only_in_crm": strangers.height,
        "differing": n_edited,
    }


if __name__ == "__main__":
    print(json.dumps(make(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])))
