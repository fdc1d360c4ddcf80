"""
Values of a database become columns: exact numbers and JSON as they are in JSONL.

A driver that gives frames has columns of one type each. One that gives Python values
may give another type with every row (SQLite does): parts of its rows are written down
with the type that they have, and in the end a column has the type that all parts share,
or is a `JSON_CELL`. No type is guessed from a text.
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.errors import SettingsError
from pipeline.files import using
from pipeline.json_cells import without_blanks
from pipeline.json_values import JSON_CELL, NULL_VALUE, TEXT_FIELD, VALUE_FIELD
from pipeline.sources.rows import Rows, check_names, no_such_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

_TEXT: Final = pl.String()
_NOTHING: Final = pl.Null()
_LOCAL: Final = pl.Datetime("us")
_UTC: Final = pl.Datetime("us", "UTC")
_TEMPORAL: Final = (pl.Date(), _LOCAL, _UTC)
_INT64: Final = range(-(2**63), 2**63)
_JSON_TYPES: Final = (bool, int, float, Decimal, str, list, tuple, dict)


# -- columns of one type -----------------------------------------------------------


def number_cells(name: str) -> pl.Expr:
    """Return the column of decimal texts *name* as `JSON_CELL`, digit by digit."""
    return _cells(name, pl.lit(None, _TEXT), pl.col(name))


def json_cells(name: str) -> pl.Expr:
    """Return the column of JSON texts *name* as `JSON_CELL`; its null is a blank."""
    return pl.col(name).map_batches(_json_cells, return_dtype=JSON_CELL)


def _json_cells(column: pl.Series) -> pl.Series:
    distinct = column.drop_nulls().unique()
    read = [_read_json(text) for text in distinct]
    known = pl.DataFrame(
        {
            "json": distinct,
            TEXT_FIELD: pl.Series([text for text, _ in read], dtype=_TEXT),
            VALUE_FIELD: pl.Series([value for _, value in read], dtype=_TEXT),
        }
    )
    cells = column.to_frame("json").join(
        known, on="json", how="left", maintain_order="left"
    )
    nothing = cells["json"].is_null() | (cells[VALUE_FIELD] == NULL_VALUE)
    cell = pl.struct(TEXT_FIELD, VALUE_FIELD)
    return cells.select(
        pl.when(~nothing.fill_null(value=False)).then(cell).alias(column.name)
    ).to_series()


def _read_json(text: str) -> tuple[str | None, str | None]:
    compact = without_blanks(text)
    return (json.loads(compact), None) if compact[:1] == '"' else (None, compact)


def _cells(name: str, text: pl.Expr, value: pl.Expr) -> pl.Expr:
    cell = pl.struct(text.alias(TEXT_FIELD), value.alias(VALUE_FIELD))
    return pl.when(pl.col(name).is_not_null()).then(cell).alias(name)


# -- rows of Python values ---------------------------------------------------------


def rows_of_values(
    names: Sequence[str],
    parts: Iterable[Sequence[Sequence[object]]],
    place: str,
    folder: Path,
) -> Rows:
    """
    Read rows of Python values to their end.

    Args:
        parts: Some thousand rows at a time.
        place: Of the database, for messages.
        folder: An empty one for the parts; they hold personal data.

    Raises:
        SettingsError: A column holds values of a type, or of a mixture, that no field
            can take, or has no proper name.
        CannotWriteError: The disk refuses.

    Cost: memory of a part; each value is a Python object once.
    """
    check_names(names, place)
    schema: dict[str, pl.DataType] = dict.fromkeys(names, _NOTHING)
    paths: list[Path] = []
    for rows in parts:
        columns = zip(*rows, strict=True)
        series = [
            _series(name, cells) for name, cells in zip(names, columns, strict=True)
        ]
        for column in series:
            schema[column.name] = _wider(column.name, schema[column.name], column.dtype)
        paths.append(folder / f"part-{len(paths)}")
        with using(paths[-1]):
            paths[-1].touch(mode=0o600)
            pl.DataFrame(series).write_ipc(paths[-1])
    known = {
        name: _TEXT if dtype == _NOTHING else dtype for name, dtype in schema.items()
    }

    def frames() -> Iterator[pl.DataFrame]:
        for path in paths:
            with using(path):
                frame = pl.read_ipc(path.read_bytes())
            yield frame.select(
                _widened(name, frame.schema[name], dtype)
                for name, dtype in known.items()
            )

    return Rows(known, frames)


def _series(name: str, cells: Sequence[object]) -> pl.Series:
    """Return a part of a column with the one type of its values, or as cells."""
    kinds = {type(cell) for cell in cells if cell is not None}
    dtype = _dtype_of(kinds, cells)
    if dtype is not None:
        return pl.Series(name, cells, dtype=dtype, strict=True)
    told = [_cell(name, cell) for cell in cells]
    return pl.Series(name, told, dtype=JSON_CELL)


def _dtype_of(kinds: set[type], cells: Sequence[object]) -> pl.DataType | None:
    if len(kinds) > 1:
        return None
    kind = next(iter(kinds), None)
    if kind is dt.datetime:
        zoned = {
            cell.tzinfo is not None for cell in cells if isinstance(cell, dt.datetime)
        }
        return None if len(zoned) > 1 else _UTC if zoned == {True} else _LOCAL
    if kind is int and any(cell not in _INT64 for cell in cells if cell is not None):
        return None
    plain: dict[type | None, pl.DataType] = {
        None: _NOTHING,
        str: _TEXT,
        int: pl.Int64(),
        float: pl.Float64(),
        bool: pl.Boolean(),
        dt.date: pl.Date(),
    }
    return plain.get(kind)


def _wider(name: str, known: pl.DataType, new: pl.DataType) -> pl.DataType:
    """Return the type of a column whose parts have these two."""
    if new in (known, _NOTHING):
        return known
    if known == _NOTHING:
        return new
    if known in _TEMPORAL or new in _TEMPORAL:
        raise SettingsError(
            f"column {name!r} of the query holds {known} and {new}: convert it in the "
            "query, so that all of its values have one type"
        )
    return JSON_CELL


def _widened(name: str, part: pl.DataType, dtype: pl.DataType) -> pl.Expr:
    nothing = pl.lit(None, _TEXT)
    column = pl.col(name)
    if dtype != JSON_CELL or part in (JSON_CELL, _NOTHING):
        return column.cast(dtype)
    if part == _TEXT:
        return _cells(name, column, nothing)
    return _cells(name, nothing, column.cast(_TEXT))


def _cell(name: str, value: object) -> dict[str, str | None] | None:
    if value is None:
        return None
    if isinstance(value, str | uuid.UUID):
        return {TEXT_FIELD: str(value), VALUE_FIELD: None}
    if not isinstance(value, _JSON_TYPES):
        raise no_such_type(name, type(value).__name__)
    return {TEXT_FIELD: None, VALUE_FIELD: _json(name, value)}


def _json(name: str, value: object) -> str:
    """Return compact JSON; an exact number keeps its digits, NaN stays no JSON."""
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, dict):
        members = (
            f"{json.dumps(str(key), ensure_ascii=False)}:{_json(name, item)}"
            for key, item in value.items()
        )
        return "{" + ",".join(members) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(_json(name, item) for item in value) + "]"
    if isinstance(value, dt.date | dt.datetime):
        return json.dumps(value.isoformat())
    if isinstance(value, uuid.UUID):
        return json.dumps(str(value))
    if value is None or isinstance(value, str | bool | int | float):
        return json.dumps(value, ensure_ascii=False)
    raise no_such_type(name, type(value).__name__)
