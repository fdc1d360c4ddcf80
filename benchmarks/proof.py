"""
Compares every profile that reached the sink with the truth of the data's maker.

The expected records come from `data.clean_frame` and plain Python: rows of one person
are laid over each other in file order, the last given value wins. Compared are digests
of whole records, numbers with their types, in any order.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import orjson

from benchmarks.data import COLUMNS, ONE_REPEATS, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator


def expected(n_rows: int) -> Iterator[dict[str, object]]:
    """Give the true profiles; those of several rows come at the end."""
    several: set[int] = set()
    for chunk in chunks(n_rows):
        repeated = chunk.filter(chunk["n"] % ONE_REPEATS == ONE_REPEATS - 1)
        several.update(repeated["person"])
    held: dict[int, dict[str, object]] = {}
    for chunk in chunks(n_rows):
        for row in chunk.iter_rows(named=True):
            given = {n: row[n] for n in COLUMNS.values() if row[n] is not None}
            if row["person"] in several:
                held[row["person"]] = held.get(row["person"], {}) | given
            else:
                yield nested(given)
    yield from map(nested, held.values())


def nested(given: dict[str, object]) -> dict[str, object]:
    """Turn dotted names into objects."""
    record: dict[str, object] = {}
    inner: dict[str, dict[str, object]] = {}
    for name, value in given.items():
        parent, _, key = name.partition(".")
        if key:
            inner.setdefault(parent, {})[key] = value
        else:
            record[name] = value
    return record | inner


def sent(dump: Path) -> Iterator[dict[str, object]]:
    """Read the bodies that the sink kept, by another JSON reader than ours."""
    with dump.open("rb") as file:
        for body in file:
            yield from json.loads(body)


def digest(record: dict[str, object]) -> bytes:
    """Return the digest of a record, whatever the order of its keys."""
    text = orjson.dumps(record, option=orjson.OPT_SORT_KEYS)
    return hashlib.blake2b(text, digest_size=16).digest()


def main(dump: Path, n_rows: int) -> None:
    """Print how many profiles came, and how many differ, as JSON."""
    came = Counter(map(digest, sent(dump)))
    n_came = came.total()
    truth = Counter(map(digest, expected(n_rows)))
    n_wrong = (came - truth).total()
    n_missing = (truth - came).total()
    print(json.dumps({"came": n_came, "wrong": n_wrong, "missing": n_missing}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
