"""
Compares what a script sent with the cells of the file: every row, every cell.

The scripts normalise nothing, so the truth is the file itself, read by Python's own
reader: the columns under their names, text as it stands, blank cells left out. Compared
are digests of whole records, in any order.
"""

from __future__ import annotations

import csv
import json
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.proof import digest, sent

if TYPE_CHECKING:
    from collections.abc import Iterator


def cells(path: Path) -> Iterator[dict[str, object]]:
    """Give the rows of the file without their blank cells."""
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            yield {name: text for name, text in row.items() if text}


def compared(dump: Path, path: Path) -> dict[str, int]:
    """Return how many rows came, how many of them are not the file's, and its rest."""
    came = Counter(map(digest, sent(dump)))
    truth = Counter(map(digest, cells(path)))
    n_wrong = (came - truth).total()
    n_missing = (truth - came).total()
    return {"came": came.total(), "wrong": n_wrong, "missing": n_missing}


if __name__ == "__main__":
    print(json.dumps(compared(Path(sys.argv[1]), Path(sys.argv[2]))))
