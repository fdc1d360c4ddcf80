"""
Where a CSV record ends, exactly: RFC 4180, with any line end, and nothing forgiven.

A record that breaks the quoting rules is set aside only when its end is certain; else
nobody can say where the next record begins, and the file is refused. Its end, the next
line feed, is certain when

- nothing in the rest of the line opens a quoted cell without closing it, and
- if a cell at fault began with a quote, which may then be open still: the rest of the
  line has an even number of quotes, the record has as many cells as the header, and
  what follows does not close that cell (`csv_doubt`).

Only damaged blocks are split here (`split_records`), in Python; sound ones are proven
and parsed as a whole, see `csv_blocks`. Where blocks are cut, see `csv_cutter`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pipeline.contract import MAX_CELL_BYTES
from pipeline.errors import SourceUnusableError
from pipeline.sources.csv_doubt import Doubt
from pipeline.sources.text import UTF8_MARK

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DOS_END = b"\x1a"
_ROW_QUOTE = (
    "A quote inside an unquoted cell, or text after a closing quote. "
    "Put the whole cell in quotes and double the quotes inside it."
)


@dataclass(frozen=True, slots=True)
class Block:
    """
    Records as they stand in the file; it begins where a record begins.

    Attributes:
        data: UTF-8, ends with a line feed.
        offset: Of its first byte in the text.
        first_line_no: Physical line of its first byte.
        must_end: Whether it has to end with a record: at the end of the file, or when
            a record has grown too long.
    """

    data: bytes
    offset: int
    first_line_no: int
    must_end: bool = False


@dataclass(slots=True)
class Split:
    """
    A block taken apart.

    Attributes:
        legal: Records that polars can parse, each with a line feed.
        legal_rows: Index in the block of each of them.
        legal_lines: Physical line of each of them.
        empty: Index of each empty line.
        unreadable: (index, physical line, code, message, text) of the others.
        doubts: Of them, those that may not have ended.
        n_rows: Records in all.
        n_bytes: Length of these records; what is behind them is half a record.
    """

    legal: list[bytes] = field(default_factory=list)
    legal_rows: list[int] = field(default_factory=list)
    legal_lines: list[int] = field(default_factory=list)
    empty: list[int] = field(default_factory=list)
    unreadable: list[tuple[int, int, str, str, str]] = field(default_factory=list)
    doubts: list[Doubt] = field(default_factory=list)
    n_rows: int = 0
    n_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Grammar:
    """
    The patterns of one delimiter. All are possessive: linear, whatever the input.

    Attributes:
        quoted: A quoted cell.
        cell: A cell and the delimiter behind it.
        legal: A legal record without its line feed; the legal beginning of another.
        rest: The rest of a line from a fault on, when it leaves no cell open.
        loose: A cell and the delimiter behind it, text behind a closing quote included.
    """

    delimiter: bytes
    quoted: re.Pattern[bytes]
    cell: re.Pattern[bytes]
    legal: re.Pattern[bytes]
    rest: re.Pattern[bytes]
    loose: re.Pattern[bytes]


@lru_cache(maxsize=8)
def grammar(delimiter: str) -> Grammar:
    """Return the patterns for *delimiter*."""
    mark = re.escape(delimiter.encode())
    quoted = rb'"(?:[^"]++|"")*+"'
    cell = rb'(?:%b|[^"\n%b]*+)' % (quoted, mark)
    text = rb"[^\n%b]*+" % mark
    return Grammar(
        delimiter=delimiter.encode(),
        quoted=re.compile(quoted),
        cell=re.compile(rb"(%b)%b" % (cell, mark)),
        legal=re.compile(rb"(?:%b%b)*+%b" % (cell, mark, cell)),
        rest=re.compile(rb'%b(?:%b(?:%b|(?!"))%b)*+' % (text, mark, quoted, text)),
        loose=re.compile(rb"(?:%b)?+%b%b" % (quoted, text, mark)),
    )


def too_long(line_no: int, path: Path) -> SourceUnusableError:
    """Return what is said about a record that has no end within the limits."""
    return SourceUnusableError(
        f"{path}, line {line_no}: the record is too long. "
        "This does not look like a CSV file with lines."
    )


@dataclass(frozen=True, slots=True)
class Span:
    """
    Where a record lies in a text.

    Attributes:
        start: Of its first byte.
        end: Of its line feed; None when it is not in the text.
        fault: Of the first byte that breaks the quoting rules.
    """

    start: int
    end: int | None
    fault: int | None = None


def walk(data: bytes, delimiter: str) -> Iterator[Span]:
    """Give the records of *data*; behind one without an end there is no more."""
    legal = grammar(delimiter).legal
    at = 0
    while at < len(data):
        end: int = data.find(b"\n", at)
        if end < 0:
            yield Span(at, None)
            return
        if data.find(b'"', at, end) < 0:
            yield Span(at, end)
        else:
            span = _quoted_span(data, at, legal, delimiter)
            yield span
            if span.end is None:
                return
            end = span.end
        at = end + 1


def _quoted_span(
    data: bytes, at: int, legal: re.Pattern[bytes], delimiter: str
) -> Span:
    found = legal.match(data, at)
    stop = found.end() if found else at
    if data.startswith((b"\n", b"\r\n"), stop):
        return Span(at, data.index(b"\n", stop))
    begins = stop == at or data[stop - 1 : stop] == delimiter.encode()
    if begins and data.startswith(b'"', stop):
        return Span(at, None, stop)  # a quoted cell that never closes
    end = data.find(b"\n", stop)
    return Span(at, None if end < 0 else end, stop)


def cells_of(record: bytes, delimiter: str) -> list[str]:
    """Return the cells of a legal record, without their quotes."""
    patterns = grammar(delimiter)
    cells = patterns.cell.findall(record + patterns.delimiter)
    return [
        (cell[1:-1].replace(b'""', b'"') if cell[:1] == b'"' else cell).decode()
        for cell in cells
    ]


def split_records(
    block: Block, n_columns: int, delimiter: str, path: Path, stop_bytes: int
) -> Split:
    """
    Tell legal records from empty and damaged ones, from the start of a block.

    Args:
        stop_bytes: Go no further than the record that reaches this length.

    Raises:
        SourceUnusableError: A record whose end is not certain; with its line.

    Cost: about 4 microseconds a record.
    """
    patterns = grammar(delimiter)
    data = block.data
    split = Split()
    line_no = block.first_line_no
    for span in walk(data, delimiter):
        if span.end is None:
            if block.must_end:
                raise _never_closed(data, span, line_no, path)
            break
        record = data[span.start : span.end]
        bare = record.removesuffix(b"\r")
        fault: tuple[str, str] | None
        if span.fault is not None:
            at = span.fault - span.start
            at_line_no = line_no + record.count(b"\n", 0, at)
            if _leaves_doubt(bare, at, n_columns, patterns, (path, at_line_no)):
                split.doubts.append(Doubt(span.end + 1, at_line_no))
            fault = "ROW_QUOTE", _ROW_QUOTE
        else:
            fault = _shape_fault(bare, n_columns, patterns) if bare else None
        if not bare:
            split.empty.append(split.n_rows)
        elif fault:
            text = record.decode()
            split.unreadable.append((split.n_rows, line_no, *fault, text))
        else:
            split.legal.append(_plain(bare, patterns) + b"\n")
            split.legal_rows.append(split.n_rows)
            split.legal_lines.append(line_no)
        split.n_rows += 1
        split.n_bytes = span.end + 1
        line_no += 1 + record.count(b"\n")
        if split.n_bytes >= stop_bytes:
            break
    return split


def _never_closed(
    data: bytes, span: Span, line_no: int, path: Path
) -> SourceUnusableError:
    if span.fault is None:
        return too_long(line_no, path)
    line_no += data.count(b"\n", span.start, span.fault)
    return SourceUnusableError(
        f"{path}, line {line_no}: a quote opens a cell here and never closes. "
        "Close it, or double it and put the whole cell in quotes."
    )


def _leaves_doubt(
    bare: bytes, at: int, n_columns: int, patterns: Grammar, place: tuple[Path, int]
) -> bool:
    """
    Return whether a damaged record may go on behind its line feed.

    Args:
        at: Of the fault in *bare*.
        place: Of the fault: file, line.

    Raises:
        SourceUnusableError: It is as likely to go on as to end.
    """
    rest = bare[at:]
    in_quoted_cell = not rest.startswith(b'"')
    cells = patterns.loose.findall(bare + patterns.delimiter)
    may_go_on = any(
        cell.startswith(b'"') and not patterns.cell.fullmatch(cell) for cell in cells
    )
    if (
        not patterns.rest.fullmatch(rest)
        or (in_quoted_cell and rest.count(b'"') % 2)
        or (may_go_on and len(cells) != n_columns)
    ):
        path, line_no = place
        raise SourceUnusableError(
            f"{path}, line {line_no}: a quote stands inside a cell or before more "
            "text, and the end of the record is not certain. Put the whole cell in "
            "quotes and double the quotes inside it."
        )
    return may_go_on


def _shape_fault(
    bare: bytes, n_columns: int, patterns: Grammar
) -> tuple[str, str] | None:
    if bare == _DOS_END:
        return "ROW_TOO_SHORT", "Only the end mark of an old program, 0x1A; delete it."
    n_cells = count_cells(bare, patterns)
    if n_cells != n_columns:
        code = "ROW_TOO_WIDE" if n_cells > n_columns else "ROW_TOO_SHORT"
        return code, f"The record has {n_cells} cells, the header {n_columns} columns."
    if len(bare) > MAX_CELL_BYTES:
        longest = max(map(len, _contents(bare, patterns)))
        if longest > MAX_CELL_BYTES:
            return "TOO_LARGE", f"A cell of {longest} bytes; at most {MAX_CELL_BYTES}."
    return None


def count_cells(record: bytes, patterns: Grammar) -> int:
    """Return the number of cells of a legal record."""
    outside = patterns.quoted.sub(b"", record) if b'"' in record else record
    return outside.count(patterns.delimiter) + 1


def _contents(bare: bytes, patterns: Grammar) -> Iterator[bytes]:
    for cell in patterns.cell.findall(bare + patterns.delimiter):
        yield cell[1:-1].replace(b'""', b'"') if cell[:1] == b'"' else cell


def _plain(bare: bytes, patterns: Grammar) -> bytes:
    """
    Quote every cell of a record that polars would not keep as it is.

    It drops a carriage return before a delimiter, and a byte order mark at the start.
    """
    if b"\r" not in bare and not bare.startswith(UTF8_MARK):
        return bare
    cells = patterns.cell.findall(bare + patterns.delimiter)
    return patterns.delimiter.join(
        cell if cell[:1] == b'"' else b'"%b"' % cell for cell in cells
    )
