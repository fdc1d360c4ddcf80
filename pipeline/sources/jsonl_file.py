"""
A JSONL file as slices: one object a line, every value as it is written.

Exactness comes before speed: numbers keep their digits (`1.0`, integers beyond 2^53),
so every line goes through the standard library's parser with numbers left as text, and
a key that is given twice is a fault, not a silent choice. About 64,000 lines a second,
and one pass more than other files need, because only the last line tells all keys.

A column that holds nothing but text is String. Any other is a `JSON_CELL`: there a text
stays a text, and a number, true, false, a list or an object stands as compact JSON. So
12, 12.50 and "12" stay three values. An absent key is null in the frame; the null of
JSON is a value, because it is a blank cell: it may erase, what is absent never does.
The objects `attributes` and `agreements` are opened one level: `attributes.NAME`.

A first object that this tool wrote names under `_columns` the keys that no line has.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import MAX_CELL_BYTES, TOOL_COLUMNS
from pipeline.errors import SourceChangedError, SourceUnusableError
from pipeline.json_values import JSON_CELL, NAMES_KEY, TEXT_FIELD, VALUE_FIELD
from pipeline.records import UNREADABLE_SCHEMA
from pipeline.sources.csv_dialect import check_columns
from pipeline.sources.slicing import Parsed, cut_slices, numbers

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.records import Fingerprint, Slice
    from pipeline.sources.text import TextFile

OPENED = ("attributes", "agreements")
ROW_NO_KEY = TOOL_COLUMNS[0]
_MIB = 1 << 20
_TEXT = pl.String()
_Row = dict[str, str]
_Fault = tuple[str, str]


class _Json(str):
    """The JSON text of anything but a text: told apart from text by this type."""

    __slots__ = ()


_TRUE, _FALSE, _NULL = _Json("true"), _Json("false"), _Json("null")


class _NotARowError(ValueError):
    """Why a line is no row; holds no value of it."""


class JsonlFile:
    """
    One JSONL file whose keys have all been seen.

    Attributes:
        columns: Every key, in the order of its first appearance.
        dtypes: String where every value is text, else `JSON_CELL`.
    """

    def __init__(self, text: TextFile) -> None:
        """
        Read the whole file for its keys and their types.

        Raises:
            SourceError: The file is missing, empty, not text, or two keys cannot be
                told apart.
        """
        self.path = text.path
        self._text = text
        dtypes: dict[str, pl.DataType] = {}
        n_lines = n_objects = 0
        for _, lines in self._blocks():
            n_lines += len(lines)
            for line in lines:
                row = _row(line) if line.strip() else {}
                if isinstance(row, dict):
                    n_objects += 1
                    _widen(dtypes, dict.fromkeys(_named(row), ""))
                    _widen(dtypes, row)
        if not n_lines:
            raise SourceUnusableError(f"{self.path} is empty. It has no line.")
        self.columns = tuple(dtypes)
        if not n_objects:
            raise SourceUnusableError(
                f"{self.path}: none of its {n_lines} lines is a JSON object. "
                "Write one object a line, or declare its --format."
            )
        check_columns(self.columns, str(self.path))
        self.dtypes = dtypes

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
                _named(row)
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
        known = self.dtypes.keys()
        columns = {name: [row.get(name) for row in rows] for name in self.columns}
        if any(not row.keys() <= known for row in rows) or any(
            self.dtypes[name] is _TEXT and _Json in set(map(type, cells))
            for name, cells in columns.items()
        ):
            raise SourceChangedError(
                f"{self.path} changed while it was read: a key is new, or a type under "
                "a key. Wait until it is written completely, then start again."
            )
        return pl.DataFrame(
            [_column(name, cells, self.dtypes[name]) for name, cells in columns.items()]
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


def _widen(dtypes: dict[str, pl.DataType], row: _Row) -> None:
    """Add the keys of *row*, and note where a value is no text."""
    if not row.keys() <= dtypes.keys():
        dtypes.update({name: _TEXT for name in row if name not in dtypes})
    for name, cell in row.items():
        if type(cell) is _Json and dtypes[name] is _TEXT:
            dtypes[name] = JSON_CELL


def _named(row: _Row) -> list[str]:
    """Take out the keys that an object of ours names; no key of anybody else's."""
    if NAMES_KEY not in row or ROW_NO_KEY not in row:
        return []
    names = json.loads(row[NAMES_KEY]) if type(row[NAMES_KEY]) is _Json else None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return []
    del row[NAMES_KEY]
    return names


def _column(name: str, cells: Sequence[str | None], dtype: pl.DataType) -> pl.Series:
    column = pl.Series(name, cells, dtype=_TEXT)
    if dtype is _TEXT:
        return column
    is_value = pl.Series([type(cell) is _Json for cell in cells], dtype=pl.Boolean)
    cell = pl.struct(
        pl.when(~is_value).then(column).alias(TEXT_FIELD),
        pl.when(is_value).then(column).alias(VALUE_FIELD),
    )
    return pl.select(pl.when(column.is_not_null()).then(cell).alias(name)).to_series()


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
        if type(item) is str or type(item) is _Json:
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


def _text(value: object) -> str:
    if type(value) is str or type(value) is _Json:
        return value
    if value is None:
        return _NULL
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    return _Json(_compact(value))


def _compact(value: object) -> str:
    """Return JSON without blanks, numbers digit by digit as they were."""
    if isinstance(value, _Json):
        return str(value)
    if isinstance(value, dict):
        members = (f"{_compact(key)}:{_compact(item)}" for key, item in value.items())
        return "{" + ",".join(members) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=_Json,
    parse_float=_Json,
    parse_constant=_no_constant,
)
