"""
Two sets of digests against one another: what changed, who vanished, in which fields.

`python benchmarks/delta.py [ROWS] [FOLDER]` makes two sets of 16 fields, of which 3 %
of the rows differ and 1 % are new and gone, and prints as JSON what it took to compare
them, to name the fields of the rows that changed, and to digest rows. Each step is a
process of its own, so that its peak memory is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.cli.memory import peak_rss_bytes
from pipeline.delta.changes import GONE, STATE_KEYS, WHOLE, compare_bucket, whole_digest
from pipeline.delta.digest_set import DigestSet, spans
from pipeline.delta.digests import KEY_COLUMNS, digests_of

if TYPE_CHECKING:
    from collections.abc import Callable

N_ROWS: Final = 10_000_000
N_FIELDS: Final = 16
SLICE_ROWS: Final = 200_000
CHANGED: Final = 33  # one row of so many
NEW: Final = 100
FIELDS: Final = tuple(f"d:attributes.a{n}" for n in range(N_FIELDS))
KEY: Final = "5e" * 32


def rows(first: int, n: int, *, is_today: bool) -> pl.DataFrame:
    """Return digests of persons by number; some of today's differ in one field."""
    number = pl.col("row")
    is_changed = (number % CHANGED == 0) & is_today
    fields = {
        name: (number + is_changed.cast(pl.UInt64) if k == 0 else number).hash(10 + k)
        for k, name in enumerate(FIELDS)
    }
    return (
        pl.select(pl.int_range(first, first + n, dtype=pl.UInt64).alias("row"))
        .with_columns(key_hi=number.hash(1), key_lo=number.hash(2), **fields)
        .with_columns(whole_digest(FIELDS), pl.lit(value=False).alias(GONE))
    )


def make(folder: Path, n_rows: int) -> dict[str, Any]:
    """Write both sets; the one of the state begins and ends later."""
    shift = n_rows // NEW
    for name, first in (("today", 0), ("state", shift)):
        with DigestSet(folder / name) as found:
            for at in range(first, first + n_rows, SLICE_ROWS):
                n = min(SLICE_ROWS, first + n_rows - at)
                found.add(rows(at, n, is_today=name == "today"))
    return {"rows": n_rows}


def compare(folder: Path, n_rows: int) -> dict[str, Any]:
    """Compare them; the reading and naming of changed fields is timed apart."""
    today, state = DigestSet(folder / "today"), DigestSet(folder / "state")
    naming_s = 0.0
    n_vanished = 0
    counts: Counter[str] = Counter()

    def named(buckets: range) -> Callable[..., tuple[pl.DataFrame, pl.DataFrame]]:
        def fields_of(
            here: pl.Series, there: pl.Series
        ) -> tuple[pl.DataFrame, pl.DataFrame]:
            nonlocal naming_s
            began = time.perf_counter()
            now, was = today.read(buckets), state.read(buckets)
            if now is None or was is None:
                raise RuntimeError("a bucket has gone")
            chosen = now[here], was[there]
            naming_s += time.perf_counter() - began
            return chosen

        return fields_of

    began = time.perf_counter()
    for buckets in spans(n_rows):
        now = today.read(buckets, ["row", *KEY_COLUMNS, WHOLE])
        was = state.read(buckets, list(STATE_KEYS))
        if now is None or was is None:
            continue
        found = compare_bucket(now, was, named(buckets))
        n_vanished += found.vanished.height
        counts["new"] += len(found.new)
        counts["unchanged"] += len(found.equal)
        counts["changed"] += found.differing.height
    wall_s = time.perf_counter() - began
    return {
        "rows": n_rows,
        "compare_s": wall_s - naming_s,
        "naming_s": naming_s,
        "vanished": n_vanished,
        **counts,
    }


def digest(folder: Path, n_rows: int) -> dict[str, Any]:
    """Digest rows of two identifiers and five other fields."""
    del folder
    number = pl.col("row_no")
    took_s = 0.0
    for at in range(0, n_rows, SLICE_ROWS):
        clean = pl.select(
            pl.lit(0, dtype=pl.UInt32).alias("source_no"),
            pl.int_range(at, at + SLICE_ROWS, dtype=pl.UInt64).alias("row_no"),
        ).with_columns(
            pl.format("C{}", number).alias("customId"),
            pl.format("p{}@example.com", number).alias("email"),
            *(
                pl.format("value {} {}", pl.lit(k), number).alias(f"attributes.a{k}")
                for k in range(5)
            ),
        )
        began = time.perf_counter()
        digests_of(clean, ("customId", "email"), KEY)
        took_s += time.perf_counter() - began
    return {"rows": n_rows, "digest_s": took_s}


STEPS: Final[dict[str, Callable[[Path, int], dict[str, Any]]]] = {
    "make": make,
    "compare": compare,
    "digest": digest,
}


def main(n_rows: int, folder: Path) -> None:
    """Run each step in a process of its own."""
    for step in STEPS:
        words = [sys.executable, __file__, step, str(n_rows), str(folder)]
        ended = subprocess.run(words, check=True, capture_output=True, text=True)
        print(step, ended.stdout.strip(), flush=True)


if __name__ == "__main__":
    _told = sys.argv[1:]
    if _told[:1] and _told[0] in STEPS:
        _result = STEPS[_told[0]](Path(_told[2]), int(_told[1]))
        _result["cpu_s"] = round(time.process_time(), 1)
        _result["peak_mb"] = round(peak_rss_bytes() / 1e6)
        print(json.dumps(_result))
    else:
        with tempfile.TemporaryDirectory(dir=_told[1] if _told[1:] else None) as _name:
            main(int(_told[0]) if _told else N_ROWS, Path(_name))
