"""
Cells that hold JSON: arrays of texts, and any JSON that is to be sent as it stands.

JSON is read to know that it is JSON; what is sent is the text of the cell without its
blanks, so that a number keeps its digits.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Sequence


def string_arrays(cells: pl.Series) -> pl.Series:
    """Return lists of texts; null where a cell is no JSON array of texts."""
    return pl.Series([_string_array(cell) for cell in cells], dtype=pl.List(pl.String))


def _string_array(cell: str | None) -> list[str] | None:
    if cell is None or not cell.startswith("["):
        return None
    try:
        read = json.loads(cell)
        json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    return read if all(isinstance(item, str) for item in read) else None


def json_texts(cells: pl.Series) -> pl.Series:
    """Compact JSON texts, each distinct one parsed once; null where it is not JSON."""
    distinct = {cell: _json_text(cell) for cell in cells.unique() if cell is not None}
    return pl.Series([distinct.get(cell) for cell in cells], dtype=pl.String)


_JSON_BLANK = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def _json_text(cell: str) -> str | None:
    """Return JSON text without blanks, its numbers untouched; None if it is none."""
    try:
        read = json.loads(
            cell, parse_constant=refuse_constant, object_pairs_hook=unique_keys
        )
        json.dumps(read, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None
    if read in (None, "") or (isinstance(read, str) and "\0" in read):
        return None
    return without_blanks(cell)


def without_blanks(text: str) -> str:
    """Return JSON text without the blanks between its tokens."""
    return _JSON_BLANK.sub(lambda match: match.group(1) or "", text)


def refuse_constant(name: str) -> None:
    """Refuse NaN and the infinities, which Python reads as JSON: ValueError."""
    raise ValueError(name)


def unique_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    """Make an object of its members; ValueError where a key stands twice."""
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice")
    return read
