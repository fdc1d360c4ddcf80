"""
What one look at the cells of a slice finds: counts, and where the first ones stand.

Evidence of slices adds up in any order. Most columns are sound, so each is first asked
one cheap question for each family of signs, and only what answers is looked at closer.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

import polars as pl

from pipeline.contract import IDENTIFIERS, FieldKind
from pipeline.identity import packed_row
from pipeline.json_values import JSON_CELL, NULL_VALUE, TEXT_FIELD, VALUE_FIELD
from pipeline.lint.signs import (
    ANY_CUSTOM_ID_SIGN,
    ANY_TEXT_SIGN,
    ISO_PATTERNS,
    MOJIBAKE,
    NEEDS_JOINERS,
    Role,
    Sign,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_Key = TypeVar("_Key")
MAX_ROWS: Final = 20
MAX_SHAPE_ROWS: Final = 1
_DIGITS: Final = "^[0-9]{1,40}$"
_EXACT_DIGITS: Final = 15
_SERIAL_DIGITS: Final = 5
_PROBED_ROWS: Final = 400


@dataclass(frozen=True, slots=True)
class Seen:
    """
    How often something was seen, and where first.

    Attributes:
        rows: Packed as `identity.packed_row` does, ascending; a few of them.
    """

    n_cells: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class ColumnEvidence:
    """
    What was seen in one column.

    Attributes:
        n_given: Cells that are neither null nor empty.
        signs: The signs seen. Dates in ISO order are counted only until one of them
            lies after the 12th, since then they prove nothing.
        shapes: (length, first digit) of cells of 1 to 40 digits.
    """

    n_given: int = 0
    signs: Mapping[Sign, Seen] = field(default_factory=dict)
    shapes: Mapping[tuple[int, int], Seen] = field(default_factory=dict)

    def count(self, *signs: Sign) -> int:
        """Return how many cells show one of *signs*; a cell may count twice."""
        return sum(self.signs[sign].n_cells for sign in signs if sign in self.signs)

    def rows(self, *signs: Sign) -> tuple[int, ...]:
        """Return the first rows that show one of *signs*."""
        found = {
            r for sign in signs if sign in self.signs for r in self.signs[sign].rows
        }
        return tuple(sorted(found)[:MAX_ROWS])


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen, by column; bounded, whatever the number of rows."""

    columns: Mapping[str, ColumnEvidence] = field(default_factory=dict)


def observe(
    frame: pl.DataFrame,
    roles: Mapping[str, Role],
    refused: pl.DataFrame | None = None,
) -> Evidence:
    """
    Look at every column that has a role.

    Frame:
        in   source_no, row_no, the source's columns: text, `JSON_CELL`, and of
             identifiers integers and floats; columns of other types are passed over.
             refused: row_no, field, of the cells of this frame that the transform
             refused; a strict column is looked at in these only. Without it,
             everywhere, which finds the same but for what a declared repair removed.

    Cost: 20 to 30 ns a row and column on the file of the benchmarks with *refused*, 30
        to 40 without, most of it for proving that text is sound. A column full of
        signs costs up to ten times as much.
    """
    rows = frame.select(packed_row())["row"]
    found: dict[str, ColumnEvidence] = {}
    for name, role in roles.items():
        column = frame[name]
        if role.field in IDENTIFIERS and column.dtype.is_float():
            found[name] = _float_evidence(column, rows)
        elif (cells := _text_cells(column, role)) is not None:
            whole = _Cells(cells, rows)
            signs = _iso_signs(whole) if role.reads_dates else {}
            shapes: dict[tuple[int, int], Seen] = {}
            if role.is_strict and refused is not None:
                of_field = refused.filter(pl.col("field") == role.field)["row_no"]
                whole = whole.among(frame["row_no"], of_field)
            if not _is_sound(whole.texts, role):
                text_signs = _text_signs(whole, role)
                numbers, shapes = _number_signs(whole, role)
                signs |= _word_signs(whole, role) | text_signs | numbers
            found[name] = ColumnEvidence(_n_given(column, cells), signs, shapes)
    return Evidence(found)


def merge(one: Evidence, other: Evidence) -> Evidence:
    """Add up the evidence of two disjoint sets of rows; the order does not matter."""
    columns = dict(one.columns)
    for name, theirs in other.columns.items():
        ours = columns.get(name, ColumnEvidence())
        columns[name] = ColumnEvidence(
            ours.n_given + theirs.n_given,
            _added(ours.signs, theirs.signs, MAX_ROWS),
            _added(ours.shapes, theirs.shapes, MAX_SHAPE_ROWS),
        )
    return Evidence(columns)


def _added(
    one: Mapping[_Key, Seen], other: Mapping[_Key, Seen], max_rows: int
) -> dict[_Key, Seen]:
    total = dict(one)
    for key, seen in other.items():
        known = total.get(key, Seen(0))
        rows = tuple(sorted(known.rows + seen.rows)[:max_rows])
        total[key] = Seen(known.n_cells + seen.n_cells, rows)
    return total


def _text_cells(column: pl.Series, role: Role) -> pl.Series | None:
    """Return the cells as text, or None where there is nothing to look at."""
    if column.dtype == pl.String:
        return column
    if column.dtype == JSON_CELL:
        text, value = column.struct.field(TEXT_FIELD), _values(column)
        # An attribute of no declared type keeps a number as it is.
        is_kept = role.kind is FieldKind.ATTRIBUTE and not role.is_strict
        return text if is_kept else pl.select(pl.coalesce(text, value)).to_series()
    is_word = column.dtype in (pl.Categorical, pl.Enum)
    if is_word or (role.field in IDENTIFIERS and column.dtype.is_integer()):
        return column.cast(pl.String)
    return None


def _values(column: pl.Series) -> pl.Series:
    """Return what is no text of a `JSON_CELL` column; the null of JSON is blank."""
    value = column.struct.field(VALUE_FIELD)
    return pl.select(pl.when(value != NULL_VALUE).then(value)).to_series()


def _n_given(column: pl.Series, cells: pl.Series) -> int:
    n_given = _n_true(cells != "")
    if column.dtype != JSON_CELL:
        return n_given
    others = _values(column).is_not_null() & cells.is_null()
    return n_given + _n_true(others)


@dataclass(frozen=True, slots=True)
class _Cells:
    """Cells of one column, and the row of each."""

    texts: pl.Series
    rows: pl.Series

    def only(self, wanted: pl.Series) -> _Cells:
        return _Cells(self.texts.filter(wanted), self.rows.filter(wanted))

    def among(self, row_nos: pl.Series, wanted: pl.Series) -> _Cells:
        if wanted.is_empty():
            return _Cells(self.texts.clear(), self.rows.clear())
        return self.only(row_nos.is_in(wanted.implode()))

    def seen(self, sign: Sign, hits: pl.Series) -> dict[Sign, Seen]:
        n_cells = _n_true(hits)
        if not n_cells:
            return {}
        return {sign: Seen(n_cells, tuple(self.rows.filter(hits).head(MAX_ROWS)))}

    def matches(self, patterns: Mapping[Sign, str]) -> dict[Sign, Seen]:
        found: dict[Sign, Seen] = {}
        for sign, pattern in patterns.items():
            found |= self.seen(sign, self.texts.str.contains(pattern))
        return found


def _n_true(hits: pl.Series) -> int:
    return int(hits.sum() or 0)


def _is_sound(texts: pl.Series, role: Role) -> bool:
    """Return whether the distinct cells, where they are few, show no sign."""
    if texts.is_empty():
        return True
    if role.counts_digits or texts.head(_PROBED_ROWS).n_unique() > _PROBED_ROWS // 4:
        return False
    distinct = texts.unique()
    cells = _Cells(distinct, distinct)
    return not (
        _word_signs(cells, role)
        or _text_signs(cells, role)
        or _number_signs(cells, role)[0]
    )


def _word_signs(cells: _Cells, role: Role) -> dict[Sign, Seen]:
    if not role.words:
        return {}
    return cells.seen(Sign.NULL_WORD, cells.texts.is_in(list(role.words)))


def _text_signs(cells: _Cells, role: Role) -> dict[Sign, Seen]:
    """Look at cells that are not pure ASCII."""
    wide = cells.texts.str.len_bytes() != cells.texts.str.len_chars()
    if not wide.any():
        return {}
    is_custom_id = role.kind is FieldKind.CUSTOM_ID
    any_sign = ANY_CUSTOM_ID_SIGN if is_custom_id else ANY_TEXT_SIGN
    # One search in all of them together costs a third of one in each.
    together = cells.texts.filter(wide).str.join("\n")
    if not together.str.contains(any_sign).any():
        return {}
    cells = cells.only(wide)
    hidden = cells.texts.str.contains(role.invisible)
    if hidden.any():
        hidden &= ~cells.texts.str.contains(NEEDS_JOINERS)
    signs = cells.matches({Sign.BOM: role.bom, Sign.MOJIBAKE: MOJIBAKE})
    return signs | cells.seen(Sign.INVISIBLE, hidden)


def _number_signs(
    cells: _Cells, role: Role
) -> tuple[dict[Sign, Seen], dict[tuple[int, int], Seen]]:
    """Look at cells that begin like a number or a date."""
    patterns = {sign: f"^(?:{pattern})$" for sign, pattern in role.patterns.items()}
    sought = [*patterns.values(), *([_DIGITS] if role.counts_digits else [])]
    if not sought:
        return {}, {}
    # Digits and the signs of numbers sort before the colon.
    early = (cells.texts < ":") & (cells.texts != "")
    is_sign = cells.texts.filter(early).str.contains("|".join(sought))
    if not is_sign.any():
        return {}, {}
    cells = cells.only(early).only(is_sign)
    if not role.counts_digits:
        return cells.matches(patterns), {}
    is_digits = cells.texts.str.contains(_DIGITS)
    lengths = cells.texts.str.len_bytes()
    # Of digits alone, only long ones and day numbers are signs of more.
    is_plain = is_digits & (lengths <= _EXACT_DIGITS) & (lengths != _SERIAL_DIGITS)
    return cells.only(~is_plain).matches(patterns), _shapes(cells.only(is_digits))


def _iso_signs(cells: _Cells) -> dict[Sign, Seen]:
    probe = _Cells(cells.texts.head(_PROBED_ROWS), cells.rows.head(_PROBED_ROWS))
    late = Sign.ISO_LATE
    return probe.matches({late: ISO_PATTERNS[late]}) or cells.matches(ISO_PATTERNS)


def _shapes(digits: _Cells) -> dict[tuple[int, int], Seen]:
    cell = pl.col("cell").str
    shape = cell.len_bytes() * 10 + cell.head(1).cast(pl.UInt32)
    counted = (
        pl.DataFrame({"cell": digits.texts, "row": digits.rows})
        .group_by(shape.alias("shape"))
        .agg(pl.col("row").min(), pl.len())
    )
    return {
        divmod(shape, 10): Seen(n_cells, (row,))
        for shape, row, n_cells in counted.iter_rows()
    }


def _float_evidence(column: pl.Series, rows: pl.Series) -> ColumnEvidence:
    """Look at identifiers that a file keeps as floats."""
    cells = _Cells(column, rows)
    whole = column.is_finite() & (column == column.round())
    beyond = column.abs() >= (2**53 if column.dtype == pl.Float64 else 2**24)
    signs = cells.seen(Sign.FLOAT, whole)
    signs |= cells.seen(Sign.FLOAT_LOST, whole & beyond)
    return ColumnEvidence(len(column) - column.null_count(), signs)
