"""
Pages of profiles become frames: exactly, and fast where counting proves it exact.

polars reads JSON fast and forgives much: a schema drops what it does not know, a number
among texts becomes a text, a truth value among numbers a number. So a page is taken
from it only when the tokens of the page add up: as many keys, texts, truth values and
nulls in the frame as in the bytes. Any other page is read by Python, cell by cell.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.contract import LIST_SEX_TO_NATIVE
from pipeline.export.marks import marks_of
from pipeline.export.plain import (
    AGREEMENT_COLUMNS,
    FIXED,
    ID,
    PARENTS,
    PROFILES,
    TEXT_COLUMNS,
    Page,
    count_of,
    native_name,
    read_exactly,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.export.marks import Marks

_TAGS: Final = pl.List(pl.String())
_SCALARS: Final = (pl.String, pl.Int64, pl.Float64, pl.Boolean, pl.Null)
_LISTED: Final = (pl.String, pl.Null)
_SAFE_INTEGER: Final = 2**53
_NO_ROWS: Final = pl.DataFrame(schema={ID: pl.Int64()})
# API 3.8: a tag is a text; what else may stand among them is shown as JSON.
_TAG: Final = pl.element().fill_null("null")
_ESCAPED: Final = re.compile(rb'\\(?:"|u[dD])')
_WHOLE_FLOAT: Final = re.compile(rb"\.0+[,}\]eE]")


class PageReader:
    """
    Reads pages of one list; the types of one page are tried on the next.

    Attributes:
        n_exact: Pages that Python had to read.
    """

    def __init__(self) -> None:
        self._schema: dict[str, Any] | None = None
        self._plan: _Plan | None = None
        self.n_exact = 0

    def read(self, body: bytes) -> Page:
        """
        Read the documented wrapper, or a bare array of profiles (API 6.1, 6.2).

        Raises:
            ContractError: It is neither, or a profile in it has no id.

        Cost: some 2 µs a profile; 10 µs where Python has to read.
        """
        page = self._fast(body)
        if page is None:
            self.n_exact += 1
            page = read_exactly(body)
        return page

    def _fast(self, body: bytes) -> Page | None:
        # An escaped quote makes counting worthless; half a surrogate is no text.
        if b"\\" in body and _ESCAPED.search(body):
            return None
        if self._schema is not None:
            page = self._planned(_parsed(body, self._schema), body)
            if page is not None:
                return page
        read = _parsed(body, None)
        page = self._planned(read, body)
        self._schema = None if page is None or read is None else _pinned(read.schema)
        return page

    def _planned(self, read: _Read | None, body: bytes) -> Page | None:
        if read is None:
            return None
        schema, needs_escapes = read.rows.schema, b"\\" in body
        if self._plan is None or (self._plan.schema, self._plan.needs_escapes) != (
            schema,
            needs_escapes,
        ):
            self._plan = _plan_of(schema, needs_escapes=needs_escapes)
        return _page_of(read, body, self._plan)


@dataclass(frozen=True, slots=True)
class _Read:
    """
    What polars made of a body.

    Attributes:
        wrapper: One row without the profiles; of no column for a bare array.
        n_beside: Cells beside those of the rows: of the wrapper, and the objects that
            attributes and agreements are.
        rows: One for each profile; attributes and agreements are columns of their own.
        schema: Of the whole body.
    """

    wrapper: pl.DataFrame
    n_beside: int
    rows: pl.DataFrame
    schema: Mapping[str, pl.DataType]


def _parsed(body: bytes, schema: dict[str, Any] | None) -> _Read | None:
    try:
        frame = pl.read_json(body, schema=schema, infer_schema_length=None)
    except pl.exceptions.PolarsError:
        return None
    found = frame.schema
    if body.lstrip()[:1] == b"[":
        return _spread(pl.DataFrame(), 0, frame if frame.height else _NO_ROWS, found)
    dtype = found.get(PROFILES)
    if not isinstance(dtype, pl.List):
        return None
    n_wrapped = frame.width - sum(frame.null_count().row(0))
    profiles, wrapper = frame[PROFILES], frame.drop(PROFILES)
    if not profiles.list.len()[0]:
        return _spread(wrapper, n_wrapped, _NO_ROWS, found)
    if not isinstance(dtype.inner, pl.Struct):
        return None
    return _spread(wrapper, n_wrapped, profiles.explode().struct.unnest(), found)


def _spread(
    wrapper: pl.DataFrame,
    n_wrapped: int,
    rows: pl.DataFrame,
    schema: Mapping[str, pl.DataType],
) -> _Read:
    parents = [name for name in PARENTS if isinstance(rows.schema.get(name), pl.Struct)]
    n_parents = sum(rows.height - rows[name].null_count() for name in parents)
    spread = rows.unnest(parents, separator=".") if parents else rows
    return _Read(wrapper, n_wrapped + n_parents, spread, schema)


def _pinned(schema: Mapping[str, pl.DataType]) -> dict[str, Any]:
    return {name: _pin(dtype) for name, dtype in schema.items()}


def _pin(dtype: Any) -> Any:  # noqa: ANN401 - a type of polars, or its class
    """Return the type to try next: one that cuts no number off."""
    if isinstance(dtype, pl.List):
        return pl.List(_pin(dtype.inner))
    if isinstance(dtype, pl.Struct):
        return pl.Struct({field.name: _pin(field.dtype) for field in dtype.fields})
    if dtype == pl.Null:
        return pl.String()
    return pl.Float64() if dtype.is_numeric() else dtype


@dataclass(frozen=True, slots=True)
class _Plan:
    """
    What is asked of a frame of these types; the same for most pages of a list.

    Attributes:
        asked: Counts, in one row.
        is_numeric: Whether a column of numbers could hide a truth value.
        id_column: Null-free and whole, or Python has to read.
        fixed: The fixed columns of a plain frame.
        others: Column → its cell in a plain frame.
    """

    schema: Mapping[str, pl.DataType]
    needs_escapes: bool
    asked: Sequence[pl.Expr]
    texts: Sequence[str]
    truths: Sequence[str]
    floats: Sequence[str]
    is_numeric: bool
    id_column: str
    fixed: Sequence[pl.Expr]
    others: Mapping[str, pl.Expr]


def _plan_of(schema: Mapping[str, pl.DataType], *, needs_escapes: bool) -> _Plan | None:
    """Plan; None where a column is of a type that polars may have bent."""
    native = {native_name(name): name for name in schema}
    if len(native) < len(schema) or ID not in native:
        return None
    if not all(map(_is_simple, schema.values())):
        return None
    # Python writes powers of ten in another way.
    if any(schema.get(native.get(name, "")) == pl.Float64 for name in TEXT_COLUMNS):
        return None
    cells = {
        told: _cell_of(told, pl.col(name), schema[name], needs_escapes=needs_escapes)
        for told, name in native.items()
    }
    sound = {name: cell.alias(name) for name, cell in cells.items() if cell is not None}
    if len(sound) < len(cells):
        return None
    texts = [name for name, dtype in schema.items() if dtype in (pl.String, _TAGS)]
    truths = [name for name, dtype in schema.items() if dtype == pl.Boolean]
    floats = [name for name, dtype in schema.items() if dtype == pl.Float64]
    return _Plan(
        schema,
        needs_escapes,
        asked=[
            *(pl.col(name).count().alias(f"cells {name}") for name in schema),
            *(
                (pl.col(name).explode() if schema[name] == _TAGS else pl.col(name))
                .count()
                .alias(f"texts {name}")
                for name in texts
            ),
            *(pl.col(name).sum().alias(f"true {name}") for name in truths),
            *(_is_whole(pl.col(n)).sum().alias(f"whole {n}") for n in floats),
            *(_is_large(pl.col(n)).sum().alias(f"large {n}") for n in floats),
        ],
        texts=texts,
        truths=truths,
        floats=floats,
        is_numeric=any(dtype.is_numeric() for dtype in schema.values()),
        id_column=native[ID],
        fixed=[
            sound.get(name, pl.lit(None, dtype=dtype).alias(name))
            for name, dtype in FIXED.items()
        ],
        others={native[n]: cell for n, cell in sound.items() if n not in FIXED},
    )


def _is_simple(dtype: pl.DataType) -> bool:
    return dtype.inner in _LISTED if isinstance(dtype, pl.List) else dtype in _SCALARS


def _page_of(read: _Read, body: bytes, plan: _Plan | None) -> Page | None:
    """Return the page when the frame holds all that the body holds, else None."""
    told = read.wrapper.row(0, named=True) if read.wrapper.width else {}
    totals = count_of(told.get("all")), count_of(told.get("matching"))
    n_wrapped_texts = sum(isinstance(value, str) for value in told.values())
    if plan is None:
        return None
    found = read.rows.select_seq(plan.asked).row(0, named=True)
    n_true = sum(found[f"true {name}"] or 0 for name in plan.truths)
    counts = _Counts(
        n_cells=sum(found[f"cells {name}"] for name in plan.schema) + read.n_beside,
        n_texts=sum(found[f"texts {name}"] for name in plan.texts) + n_wrapped_texts,
        n_true=n_true if plan.is_numeric else None,
        n_false=sum(found[f"cells {name}"] for name in plan.truths) - n_true,
    )
    marks = marks_of(body)
    if not _adds_up(marks, counts):
        return None
    n_whole = {name: found[f"whole {name}"] for name in plan.floats}
    n_ids = n_whole.get(plan.id_column, found[f"cells {plan.id_column}"])
    if n_ids < read.rows.height:
        return None
    if any(found[f"large {name}"] for name in plan.floats):
        return None
    if any(n_whole.values()) and marks.has_point_zero and _WHOLE_FLOAT.search(body):
        return None
    others = [cell for name, cell in plan.others.items() if found[f"cells {name}"]]
    return Page(read.rows.select_seq(*plan.fixed, *others), *totals)


@dataclass(frozen=True, slots=True)
class _Counts:
    """
    What a page holds, counted as tokens of JSON.

    Attributes:
        n_true: None when no column of numbers could hide a truth value.
    """

    n_cells: int
    n_texts: int
    n_true: int | None
    n_false: int


def _is_large(column: pl.Expr) -> pl.Expr:
    """Whether a double is too large to tell whether it was a whole number."""
    return column.abs() >= _SAFE_INTEGER


def _is_whole(column: pl.Expr) -> pl.Expr:
    return (column == column.floor()) & (column.abs() < _SAFE_INTEGER)


def _adds_up(marks: Marks, counts: _Counts) -> bool:
    """
    Compare with the tokens of the bytes: keys, texts, truth values and nulls.

    Where no quote is escaped, a quote before a colon ends a key, and all other pairs
    of quotes are texts. A number among texts, or a text among numbers, changes their
    number; a key that the schema lacks changes the number of keys.
    """
    if marks.keys != counts.n_cells + marks.nulls:
        return False
    if marks.quotes != 2 * (marks.keys + counts.n_texts):
        return False
    if counts.n_true is None:
        return True
    return (marks.trues, marks.falses) == (counts.n_true, counts.n_false)


def _cell_of(  # noqa: PLR0911 - a table, read from top to bottom
    name: str, column: pl.Expr, dtype: pl.DataType, *, needs_escapes: bool
) -> pl.Expr | None:
    if dtype == pl.Null:
        return column.cast(FIXED.get(name, pl.String()))
    if name == ID:
        return column.cast(pl.Int64) if dtype in (pl.Int64, pl.Float64) else None
    if name == "tags":
        if dtype != _TAGS:
            return None
        return pl.when(column.list.len() > 0).then(column.list.eval(_TAG))
    if name in AGREEMENT_COLUMNS:
        return column if dtype == pl.Boolean else None
    if name in TEXT_COLUMNS and dtype == pl.String:
        given = column.replace(LIST_SEX_TO_NATIVE) if name == "sex" else column
        return pl.when(given != "").then(given)
    if dtype == pl.String and not needs_escapes:
        return pl.format('"{}"', column)
    if dtype in (pl.Int64, pl.Boolean):
        return column.cast(pl.String)
    text = pl.when(column.is_not_null()).then(column.struct.json_encode())
    if dtype != pl.Float64:
        return text
    # As they were written, but for a power of ten.
    whole = column.cast(pl.Int64, strict=False).cast(pl.String)
    return pl.when(_is_whole(column)).then(whole).otherwise(text)
