"""
What a CSV file says about itself: its delimiter and its header.

Both are found in the first records and refused when they are not certain, because a
wrong delimiter makes one column out of many, silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from pipeline.errors import SettingsError, SourceUnusableError
from pipeline.records import ROW_KEY
from pipeline.sources.csv_records import count_cells, grammar, walk

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CANDIDATES: Final = (",", ";", "\t", "|")
# What the first line of a file without a header may hold; it is not to be shown.
_CELL: Final = re.compile(r"\s*(?:\S+@\S+\.\w+|\+?[0-9][0-9 ()-]{7,}[0-9])\s*")
_NAMES: Final = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SAMPLE_RECORDS = 200


@dataclass(frozen=True, slots=True)
class CsvDialect:
    """
    How a CSV file is written, so that rejected rows can be handed back alike.

    Attributes:
        encoding: Python's name of it; UTF-8 when none was declared.
        line_end: Of the header line; others may be mixed in.
        bom: Whether the file begins with the UTF-8 mark.
        compression: `gzip`, `zstd` or None.
    """

    delimiter: str
    encoding: str
    line_end: str
    bom: bool = False
    compression: str | None = None


def check_delimiter(delimiter: str | None) -> None:
    """
    Refuse a declared delimiter that cannot work.

    Raises:
        SettingsError: It is not one ASCII character, or a quote or line break.
    """
    if delimiter is not None and (
        len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n\0'
    ):
        raise SettingsError(
            f"delimiter {delimiter!r} cannot be used. Write one ASCII character that "
            "is neither a quote nor a line break."
        )


def find_delimiter(sample: bytes, path: Path) -> str:
    """
    Return the delimiter of the records in *sample*, the header among them.

    It is the one candidate that occurs equally often, and at least once, in every
    record. Where damaged records spoil that, it is the one candidate of the header, if
    half of the records agree with the header. Without any candidate anywhere the file
    has one column, and a comma is as good as any.

    Raises:
        SourceUnusableError: More than one candidate would do, or none.
    """
    counts = {name: _counts(sample, name) for name in CANDIDATES}
    seen = [name for name in CANDIDATES if any(counts[name])]
    if not seen:
        return CANDIDATES[0]
    in_header = [name for name in seen if counts[name][0]]
    even = [name for name in in_header if len(set(counts[name])) == 1]
    if len(even) == 1:
        return even[0]
    if not even and len(in_header) == 1:
        column = counts[in_header[0]]
        if 2 * column.count(column[0]) >= len(column):
            return in_header[0]
    listed = ", ".join(
        f"{_NAMES[name]} {min(counts[name])} to {max(counts[name])} times"
        for name in seen
    )
    raise SourceUnusableError(
        f"{path}: the delimiter is not certain. In the first {len(counts[seen[0]])} "
        f"records a line has {listed}. Name it with --delimiter."
    )


def _counts(sample: bytes, delimiter: str) -> list[int]:
    """Return how often the delimiter parts each legal record of *sample*."""
    patterns = grammar(delimiter)
    counts: list[int] = []
    for span in islice(walk(sample, delimiter), _SAMPLE_RECORDS):
        bare = sample[span.start : span.end].removesuffix(b"\r")
        if bare and span.end is not None and span.fault is None:
            counts.append(count_cells(bare, patterns) - 1)
    return counts


def check_columns(columns: Sequence[str], place: str) -> None:
    """
    Refuse a header that does not name its columns apart.

    Args:
        place: Of the names, for a message.

    Raises:
        SourceUnusableError: A name is empty, reserved, a cell by its looks, or differs
            from another in nothing but case or outer blanks.
    """
    empty = [str(n) for n, name in enumerate(columns, 1) if not name.strip()]
    if empty:
        raise SourceUnusableError(
            f"{place}: column {', '.join(empty)} has no name. "
            "Name every column in the header."
        )
    cells = [str(n) for n, name in enumerate(columns, 1) if _CELL.fullmatch(name)]
    if cells:
        raise SourceUnusableError(
            f"{place}: column {', '.join(cells)} has an e-mail address or a phone "
            "number for a name. Put a line that names the columns on top."
        )
    reserved = [name for name in columns if name in ROW_KEY]
    if reserved:
        raise SourceUnusableError(
            f"{place}: the column name {reserved[0]!r} is reserved for this "
            "tool. Rename the column."
        )
    taken: dict[str, str] = {}
    for name in columns:
        key = name.strip().casefold()
        if key in taken:
            raise SourceUnusableError(
                f"{place}: the columns {taken[key]!r} and {name!r} cannot be "
                "told apart. Rename or remove one."
            )
        taken[key] = name
