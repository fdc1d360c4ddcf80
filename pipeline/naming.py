"""
Which rows of a request an error body speaks of.

Two shapes are documented for an entry (API 5.3, 7.3): `{code, field, message,
rejectedValue}` and `{path, timestamp, errorCode, status, message, traceId}`; how one
points at a row is documented for neither. `field` or `path` such as `list[3].email`
is the likely form; where it is absent, a refused value that stands in one row alone
names that row. Where both are there and contradict each other (positions counted from
1, say), neither is believed. What names no row is counted, never guessed.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.contract import FIELD_BY_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

# "list[3].email"; the word before the bracket must not be a profile field, or
# "tags[3]" would name row 3.
_ROW = re.compile(r"\$?\.?([A-Za-z]*)\[([0-9]{1,6})\]\.?")
_LIST_FIELDS: Final = frozenset(FIELD_BY_NAME) | {"attributes", "agreements"}
_ENTRY_KEYS: Final = frozenset({"field", "path", "code", "errorCode", "message"})
_SUCCESS: Final = range(200, 300)
_MISSING: Final = object()


@dataclass(frozen=True, slots=True)
class Naming:
    """
    What the entries of an error body point at.

    Attributes:
        positions: In the body that was sent, from 0, sorted, each once.
        n_unplaced: Entries that point at no row of it.
    """

    positions: tuple[int, ...]
    n_unplaced: int


def read_naming(body: bytes, n_rows: int, sent: bytes = b"") -> Naming | None:
    """
    Read an error body; None when it is not a list of errors.

    Args:
        body: Of the reply: an array of entries, or an object with them as `errors`.
        n_rows: In the request; every error about a single row is about that row.
        sent: Body of the request, to find refused values in; parsed only when needed.
    """
    entries = _entries(body)
    if entries is None:
        return None
    if n_rows == 1:
        return Naming((0,), 0)
    rows = _Rows(sent)
    found = [_position(entry, n_rows, rows) for entry in entries]
    positions = tuple(sorted({n for n in found if n is not None}))
    return Naming(positions, found.count(None))


def _entries(body: bytes) -> list[dict[str, Any]] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    entries = content.get("errors") if isinstance(content, dict) else content
    if not isinstance(entries, list) or not entries:
        return None
    return entries if all(map(_is_error, entries)) else None


def _is_error(entry: object) -> bool:
    if not isinstance(entry, dict) or not _ENTRY_KEYS & entry.keys():
        return False
    return entry.get("status") not in _SUCCESS


class _Rows:
    """The rows that were sent; parsed at the first question."""

    def __init__(self, sent: bytes) -> None:
        self._sent = sent
        self._rows: list[Any] | None = None

    def holding(self, value: object, field: str) -> list[int]:
        """Return which rows hold *value*: in *field*, or anywhere without one."""
        if self._rows is None:
            rows = json.loads(self._sent or b"[]")
            self._rows = rows if isinstance(rows, list) else []
        return [n for n, row in enumerate(self._rows) if _holds(row, value, field)]


def _position(entry: dict[str, Any], n_rows: int, rows: _Rows) -> int | None:
    place = next(
        (entry[key] for key in ("field", "path") if isinstance(entry.get(key), str)), ""
    )
    match = _ROW.match(place)
    if match is not None and match[1] in _LIST_FIELDS:
        match = None
    field = place[match.end() :] if match else place
    value = entry.get("rejectedValue")
    holders = [] if value in (None, "") else rows.holding(value, field)
    if match is None:
        return holders[0] if len(holders) == 1 else None
    index = int(match[2])
    contradicted = bool(holders) and index not in holders
    return None if contradicted or index >= n_rows else index


def _holds(row: object, value: object, field: str) -> bool:
    if not field:
        return any(_is_same(found, value) for found in _leaves(row))
    return _is_same(_at(row, field), value)


def _at(row: object, field: str) -> object:
    """Return what stands under a dotted name, `_MISSING` when nothing does."""
    here = row
    for key in field.split("."):
        if not isinstance(here, dict) or key not in here:
            return _MISSING
        here = here[key]
    return here


def _leaves(value: object) -> Iterator[object]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from _leaves(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _leaves(inner)
    else:
        yield value


def _is_same(found: object, value: object) -> bool:
    """Compare; a service may tell the value as text, whatever its type."""
    if found is _MISSING or found is None:
        return False
    if found == value:
        return True
    if not isinstance(value, str) or isinstance(found, str):
        return False
    return value == json.dumps(found, ensure_ascii=False, separators=(",", ":"))
