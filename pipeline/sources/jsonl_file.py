"""
A JSONL file as slices: one object a line, every value kept as text.

Exactness comes before speed: numbers keep their digits (`1.0`, integers beyond 2^53),
so every line goes through the standard library's parser with numbers left as text, and
a key that is given twice is a fault, not a silent choice. About 64,000 lines a second,
and one pass more than other files need, because only the last line tells all keys.

What a line gives to a column: text as it is; numbers, true and false as JSON writes
them; null like a key that is absent; a list or object as compact JSON. The objects
`attributes` and `agreements` are opened one level: `attributes.NAME`.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import MAX_CELL_BYTES
from pipeline.errors import SourceChangedError, SourceUnusableError
from pipeline.records import UNREADABLE_SCHEMA
from pipeline.sources.csv_dialect import check_columns
from pipeline.sources.slicing import Parsed, cut_slices, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.records import Fingerprint, Slice
    from pipeline.sources.text import TextFile

OPENED = ("attributes", "agreements")
_MIB = 1 << 20
_Row = dict[str, str | None]
_Fault = tuple[str, str]


class _Number(str):
    """The digits of a number, told apart from text."""

    __slots__ = ()


class _NotARowError(ValueError):
    """Why a line is no row; holds no value of it."""


class JsonlFile:
    """
    One JSONL file whose keys have all been seen.

    Attributes:
        columns: Every key, in the order of its first appearance.
        dtypes: Every column is String.
    """

    def __init__(self, text: TextFile) -> None:
        """
        Read the whole file for its keys.

        Raises:
            SourceError: The file is missing, empty, not text, or two keys cannot be
                told apart.
        """
        self.path = text.path
        self._text = text
        keys: dict[str, None] = {}
        n_lines = 0
        for _, lines in self._blocks():
            n_lines += len(lines)
            for line in lines:
                row = _row(line) if line.strip() else {}
                if isinstance(row, dict):
                    keys.update(dict.fromkeys(row))
        if not n_lines:
            raise SourceUnusableError(f"{self.path} is empty. It has no line.")
        self.columns = tuple(keys)
        check_columns(self.columns, self.path)
        self.dtypes: dict[str, pl.DataType] = dict.fromkeys(self.columns, pl.String())

    @property
    def fingerprint(self) -> Fingerprint | None:
        """Of the bytes of the last complete pass."""
        return self._text.fingerprint

    def slices(self, source_no: int) -> Iterator[Slice]:
        """
        Give the lines in file order; a missing value is null.

        Raises:
            SourceError: The file cannot be read to its end, or has a new key.
        """
        for line_no, lines in self._blocks():
            yield from cut_slices(
                self._parse(lines, line_no),
                source_no,
                line_no,
                self._text.limits.slice_rows,
            )

    def _parse(self, lines: Sequence[bytes], first_line_no: int) -> Parsed:
        rows: list[_Row] = []
        indexes: list[int] = []
        empty: list[int] = []
        unreadable: list[tuple[int, int, str, str, str]] = []
        for index, line in enumerate(lines):
            if not line.strip():
                empty.append(index)
                continue
            row = _row(line)
            if isinstance(row, dict):
                rows.append(row)
                indexes.append(index)
            else:
                text = line.decode()
                unreadable.append((index, first_line_no + index, *row, text))
        return Parsed(
            frame=self._frame(rows),
            rows=numbers(indexes),
            lines=numbers(indexes) + first_line_no,
            empty=numbers(empty),
            unreadable=pl.DataFrame(unreadable, schema=UNREADABLE_SCHEMA, orient="row"),
            n_rows=len(lines),
            n_bytes=sum(map(len, lines)) + len(lines),
        )

    def _frame(self, rows: list[_Row]) -> pl.DataFrame:
        if any(not row.keys() <= self.dtypes.keys() for row in rows):
            raise SourceChangedError(
                f"{self.path} changed while it was read: a key is new. "
                "Wait until it is written completely, then start again."
            )
        return pl.DataFrame(
            {name: [row.get(name) for row in rows] for name in self.columns},
            schema=self.dtypes,
        )

    def _blocks(self) -> Iterator[tuple[int, list[bytes]]]:
        """Give lines in blocks, and the number of the first of each block."""
        line_no, rest = 1, b""
        blocks = self._text.blocks()
        following = next(blocks, b"")
        while block := following:
            following = next(blocks, b"")
            *lines, rest = (rest + block).split(b"\n")
            if rest and not following:
                lines.append(rest)
                rest = b""
            if lines:
                yield line_no, lines
            line_no += len(lines)
            if len(rest) > self._text.limits.record_bytes:
                raise SourceUnusableError(
                    f"{self.path}, line {line_no}: the line is longer than "
                    f"{self._text.limits.record_bytes // _MIB} MiB. "
                    "Write one object a line."
                )


def first_object(line: bytes) -> bool:
    """Return whether *line* is a JSON object."""
    return isinstance(_row(line), dict)


def _row(line: bytes) -> _Row | _Fault:
    try:
        value = _DECODER.decode(line.decode())
        if not isinstance(value, dict):
            return "ROW_JSON", "The line is not a JSON object."
        row = _flat(value)
    except _NotARowError as error:
        return "ROW_JSON", str(error)
    except json.JSONDecodeError as error:
        return "ROW_JSON", f"The line is not JSON: a fault at character {error.pos}."
    except RecursionError:
        return "ROW_JSON", "The line is not usable JSON: it is nested too deeply."
    if b"\\u" not in line and len(line) <= MAX_CELL_BYTES:
        return row  # then no value is too long, and none is half a character
    return _measured(row)


def _measured(row: _Row) -> _Row | _Fault:
    for text in row.values():
        if text is None:
            continue
        try:
            n_bytes = len(text.encode())
        except UnicodeEncodeError:
            return "ROW_JSON", "Half a character (a lone surrogate) cannot be kept."
        if n_bytes > MAX_CELL_BYTES:
            message = f"A value of {n_bytes} bytes; at most {MAX_CELL_BYTES}."
            return "TOO_LARGE", message
    return row


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _NotARowError("A key is given twice.")
    return found


def _no_constant(_: str) -> object:
    raise _NotARowError("NaN and Infinity are not JSON.")


def _flat(value: dict[str, object]) -> _Row:
    row: _Row = {}
    for key, item in value.items():
        if type(item) is str:
            row[key] = item
        elif key in OPENED and (item is None or isinstance(item, dict)):
            for name, part in (item or {}).items():
                path = f"{key}.{name}"
                if path in row or path in value:
                    raise _NotARowError("A key is given twice, once with a dot.")
                row[path] = _text(part)
        else:
            row[key] = _text(item)
    if fault := _names_fault(tuple(row)):
        raise _NotARowError(fault)
    return row


@lru_cache(maxsize=1024)
def _names_fault(names: tuple[str, ...]) -> str:
    if not all(map(str.strip, names)):
        return "A key is blank."
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return "A key holds half a character."
    return ""


def _text(value: object) -> str | None:
    return value if value is None or type(value) is str else _compact(value)


def _compact(value: object) -> str:
    """Return JSON without blanks, numbers digit by digit as they were."""
    if isinstance(value, _Number):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_compact(key)}:{_compact(item)}" for key, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_Number,
    parse_float=_Number,
    parse_constant=_no_constant,
)
