"""
What a worker does with buckets of a comparison: reads them, compares, leaves files.

To the worker and back travel names of files, rules and counts. Cells, and what is told
of them, lie in private files that the driver sees as well.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.distributed.work import check_place
from pipeline.files import replacing, using
from pipeline.reconcile.bucket import BucketResult, compare_bucket
from pipeline.spill import read_bucket, read_frame

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pipeline.distributed.limiting import Link
    from pipeline.reconcile.bucket import BucketCounts, BucketRules

_NOBODY: Final = pl.Series([], dtype=pl.UInt32)
_DOUBTFUL: Final = "doubtful"
_RULED_ROWS: Final = "rows.ipc"


@dataclass(frozen=True, slots=True)
class BucketTask:
    """
    All that travels to a worker; no cell.

    Attributes:
        number: From 1, in the order of the buckets.
        files: Of one or several whole buckets, for `spill.read_bucket`.
        rules: As `leave_rows` returned them.
        folder: Where it left the numbers of rows; for what is found, too.
        versions: Of the driver; a worker has the same.
    """

    number: int
    files: tuple[Path, ...]
    rules: BucketRules
    folder: Path
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BucketAnswer:
    """
    All that travels back.

    Attributes:
        lines, marks, examples: Files with the frames of the result.
    """

    counts: BucketCounts
    lines: Path
    marks: Path
    examples: Path


def leave_rows(rules: BucketRules, folder: Path) -> BucketRules:
    """
    Write the numbers of the rows that rules name, and return the rules without them.

    Raises:
        CannotWriteError: The disk refuses.
    """
    named = {found.value: rows for found, rows in rules.conflicts.items()}
    parts = [
        pl.DataFrame({"row": rows}).with_columns(rule=pl.lit(word))
        for word, rows in (*named.items(), (_DOUBTFUL, rules.doubtful))
    ]
    _write(folder / _RULED_ROWS, pl.concat(parts))
    conflicts = dict.fromkeys(rules.conflicts, _NOBODY)
    return replace(rules, conflicts=conflicts, doubtful=_NOBODY)


def _with_rows(rules: BucketRules, folder: Path) -> BucketRules:
    named = read_frame(folder / _RULED_ROWS)

    def rows(word: str) -> pl.Series:
        return named.filter(pl.col("rule") == word)["row"]

    conflicts = {found: rows(found.value) for found in rules.conflicts}
    return replace(rules, conflicts=conflicts, doubtful=rows(_DOUBTFUL))


async def compare_files(task: BucketTask, link: Link) -> BucketAnswer:
    """
    Compare the rows of buckets with their profiles.

    Args:
        link: Not asked: nothing is sent, so no place is needed.

    Effects: three files in the folder of the task, each whole or absent. Doing it
        twice leaves the same.

    Raises:
        SettingsError: This worker cannot do what the driver would do.
        CannotWriteError: The disk refuses.
    """
    del link
    check_place(task.folder, task.versions)
    rules = _with_rows(task.rules, task.folder)
    result = compare_bucket(read_bucket(task.files), rules)
    frames = {
        "lines": result.lines,
        "marks": result.marks,
        "examples": result.examples,
    }
    paths = {name: task.folder / f"{task.number:06}-{name}.ipc" for name in frames}
    for name, frame in frames.items():
        _write(paths[name], frame)
    return BucketAnswer(result.counts, **paths)


def fetched(answer: BucketAnswer) -> BucketResult:
    """
    Read what buckets came to, and remove its files.

    Raises:
        CannotWriteError: They cannot be read or removed.
    """
    lines, marks, examples = (
        _taken(path) for path in (answer.lines, answer.marks, answer.examples)
    )
    return BucketResult(answer.counts, lines=lines, marks=marks, examples=examples)


def _taken(path: Path) -> pl.DataFrame:
    frame = read_frame(path)
    with using(path):
        path.unlink()
    return frame


def _write(path: Path, frame: pl.DataFrame) -> None:
    with replacing(path) as draft:
        frame.write_ipc(draft)
