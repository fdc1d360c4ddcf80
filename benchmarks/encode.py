"""
Clean rows to request bodies: the tool's encoder against three ways people write it.

Called with a way and a file of clean rows, it prints CPU seconds and rows as JSON: one
process a way, so that none profits from another. `equal` compares every body of every
way after parsing, numbers with their types.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import polars as pl

from benchmarks.data import COLUMNS
from pipeline.chunker import BatchLimits, pack
from pipeline.encoder import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BATCH_ROWS: Final = 1000
SLICE_ROWS: Final = 65_536
FIELDS: Final = tuple(COLUMNS.values())
# As the transform plans it: what these hold was checked, and JSON escapes none of it.
PLAIN: Final = frozenset({"phone", "uuid", "countryCode", "birthDate", "sex"})
PLACES: Final = {
    name: (name.partition(".")[0], name.partition(".")[2])
    for name in FIELDS
    if "." in name
}


def ours_texts(frame: pl.DataFrame) -> Iterator[object]:
    """Encode only: a text a row, as the other stations of the line get it."""
    for piece in frame.iter_slices(SLICE_ROWS):
        yield encode(piece, plain=PLAIN)


def ours(frame: pl.DataFrame) -> Iterator[bytes]:
    """Encode and cut into bodies; that includes a SHA-256 of each."""
    slices = frame.iter_slices(SLICE_ROWS)
    encoded = (encode(piece, plain=PLAIN) for piece in slices)
    for batch in pack(encoded, BatchLimits(BATCH_ROWS)):
        yield batch.body


def to_dicts(frame: pl.DataFrame) -> Iterator[bytes]:
    """Make a dict of every row, comprehensions, orjson: what people write."""
    for piece in frame.select(FIELDS).iter_slices(BATCH_ROWS):
        records = []
        for row in piece.to_dicts():
            record = {k: v for k, v in row.items() if v is not None and "." not in k}
            for parent in ("agreements", "attributes"):
                inner = {
                    k.partition(".")[2]: v
                    for k, v in row.items()
                    if v is not None and k.startswith(parent)
                }
                if inner:
                    record[parent] = inner
            records.append(record)
        yield orjson.dumps(records)


def to_dicts_careful(frame: pl.DataFrame) -> Iterator[bytes]:
    """Do the same, but look at every value once."""
    for piece in frame.select(FIELDS).iter_slices(BATCH_ROWS):
        yield orjson.dumps([_nested(row) for row in piece.to_dicts()])


def _nested(row: dict[str, object]) -> dict[str, object]:
    record: dict[str, object] = {}
    inner: dict[str, dict[str, object]] = {}
    for name, value in row.items():
        if value is not None:
            if name in PLACES:
                parent, key = PLACES[name]
                inner.setdefault(parent, {})[key] = value
            else:
                record[name] = value
    return record | inner


def iter_rows(frame: pl.DataFrame) -> Iterator[bytes]:
    """Take tuples, know each place beforehand, orjson: the best of loops over rows."""
    flat = [name for name in FIELDS if "." not in name]
    parents = {
        parent: [name for name in FIELDS if name.startswith(f"{parent}.")]
        for parent in ("agreements", "attributes")
    }
    columns = [*flat, *(name for names in parents.values() for name in names)]
    spans = []
    first = len(flat)
    for parent, names in parents.items():
        keys = [name.partition(".")[2] for name in names]
        spans.append((parent, keys, slice(first, first + len(keys))))
        first += len(keys)
    for piece in frame.select(columns).iter_slices(BATCH_ROWS):
        records = []
        for row in piece.iter_rows():
            # zip ends with the shorter of the two: the flat fields stand first.
            record = {k: v for k, v in zip(flat, row, strict=False) if v is not None}
            for parent, keys, span in spans:
                inner = {
                    k: v for k, v in zip(keys, row[span], strict=True) if v is not None
                }
                if inner:
                    record[parent] = inner
            records.append(record)
        yield orjson.dumps(records)


WAYS: Final[dict[str, Callable[[pl.DataFrame], Iterator[Any]]]] = {
    "ours_texts": ours_texts,
    "ours": ours,
    "to_dicts": to_dicts,
    "to_dicts_careful": to_dicts_careful,
    "iter_rows": iter_rows,
}


def read(path: Path) -> pl.DataFrame:
    """Read clean rows as the transform gives them."""
    frame = pl.read_parquet(path).select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        (pl.col("n") + 1).alias("row_no"),
        *FIELDS,
    )
    return frame.rechunk()


def timed(way: str, path: Path) -> dict[str, float]:
    """Run one way once and count the CPU seconds of all its threads."""
    frame = read(path)
    began_cpu, began = time.process_time(), time.perf_counter()
    for _ in WAYS[way](frame):
        pass
    return {
        "rows": frame.height,
        "cpu_s": time.process_time() - began_cpu,
        "wall_s": time.perf_counter() - began,
    }


def equal(path: Path) -> dict[str, int]:
    """Compare every record of every way; json tells 1 from 1.0, and so do we."""
    frame = read(path)
    n_rows = n_different = 0
    others = (WAYS[way](frame) for way in ("to_dicts", "to_dicts_careful", "iter_rows"))
    for ways in zip_longest(ours(frame), *others):
        texts = [[as_text(r) for r in json.loads(body or "[]")] for body in ways]
        n_rows += max(map(len, texts))
        n_different += sum(len(set(row)) > 1 for row in zip_longest(*texts))
    return {"rows": n_rows, "different": n_different}


def as_text(record: object) -> str:
    """Write a record so that equal text means equal value and type."""
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS).decode()


if __name__ == "__main__":
    _way, _path = sys.argv[1], Path(sys.argv[2])
    print(json.dumps(equal(_path) if _way == "equal" else timed(_way, _path)))
