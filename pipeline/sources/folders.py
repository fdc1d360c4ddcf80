"""
Folders as writers of big tables leave them: partitions, markers, a log.

A file in a folder that is named `column=value` has that column, with that text. Nothing
is inferred: `7` stays a text, and what stands for a missing value is a null.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from pipeline.errors import SourceUnusableError

if TYPE_CHECKING:
    from pathlib import Path

DELTA_LOG: Final = "_delta_log"
_NO_VALUE: Final = "__HIVE_DEFAULT_PARTITION__"
_MARKERS: Final = frozenset(("_SUCCESS", "_metadata", "_common_metadata"))
_MARKER_BEGINS: Final = ("_committed_", "_started_")
_PARQUET_SUFFIXES: Final = frozenset((".parquet", ".pq"))


def is_marker(name: str) -> bool:
    """Return whether a file says something about a table, and holds no rows of it."""
    return name in _MARKERS or name.startswith(_MARKER_BEGINS)


def partition_of(folder: str) -> tuple[str, str | None] | None:
    """Return the column and the value that the name of a folder gives to its files."""
    column, sign, value = folder.partition("=")
    if not sign or not column:
        return None
    return unquote(column), None if value == _NO_VALUE else unquote(value)


def partitions_of(path: Path) -> dict[str, str | None]:
    """Return the columns that *path* has by the folders right above it."""
    found: dict[str, str | None] = {}
    for parent in path.parents:
        partition = partition_of(parent.name)
        if partition is None:
            break
        found = {partition[0]: partition[1], **found}
    return found


def files_below(folder: Path) -> list[Path]:
    """
    Return the files of a folder, and those in its partitions, in the order of names.

    Hidden files, markers and other folders are left out.

    Raises:
        SourceUnusableError: A partition holds a file that is not Parquet: no other
            kind gets the column of its folder.
    """
    found: list[Path] = []
    for child in sorted(folder.iterdir()):
        if child.name.startswith(".") or is_marker(child.name):
            continue
        if not child.is_dir():
            found.append(child)
        elif partition_of(child.name) is not None:
            found += _parquet_below(child)
    return found


def _parquet_below(folder: Path) -> list[Path]:
    found = files_below(folder)
    for path in found:
        if path.suffix.lower() not in _PARQUET_SUFFIXES:
            raise SourceUnusableError(
                f"{path} lies in a partition, and only Parquet files are read from "
                "there. Name the files themselves, or a pattern."
            )
    return found
