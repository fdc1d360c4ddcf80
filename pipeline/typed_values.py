"""
How typed columns (of Parquet files and queries) become values.

Numbers stay numbers in attributes; a whole number may be an identifier, a float never,
since it has lost what it lost; NaN and the infinities have no form in JSON.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from pipeline.contract import FieldKind
from pipeline.errors import SettingsError
from pipeline.json_cells import json_texts
from pipeline.values import (
    GIVEN,
    UNREADABLE,
    VALUE,
    Reading,
    birth_date,
    iso_text,
    local_moment,
    read_text,
    rfc3339,
    tag_list,
)

if TYPE_CHECKING:
    from pipeline.settings import FieldRule


def reading_of(rule: FieldRule, dtype: pl.DataType, timezone: str | None) -> Reading:
    """
    Choose how *rule* reads a column of type *dtype*.

    Args:
        timezone: Of the workspace; for date-times without an offset.

    Raises:
        SettingsError: The type of the column cannot serve the field at all.
    """
    if dtype in (pl.Binary(), pl.Time()) or dtype == pl.Duration:
        raise SettingsError(
            f"column {rule.column!r} has the type {dtype}, which no profile field can "
            f"hold; convert it in the source or leave {rule.name} out"
        )
    if dtype in (pl.Categorical, pl.Enum, pl.Null):
        cast = pl.col(rule.column).cast(pl.String)
        return read_text(rule, cast, timezone)
    if dtype == pl.String:
        return read_text(rule, pl.col(rule.column), timezone)
    if rule.kind is FieldKind.ATTRIBUTE and rule.options.values is None:
        return _attribute_from_typed(rule, dtype, timezone)
    return _native_from_typed(rule, dtype, timezone)


def identifier_text(rule: FieldRule, dtype: pl.DataType) -> Reading:
    """
    Return the text of an identifier column; a float or a truth value is invalid.

    A whole number keeps every digit it has; a float has lost what it lost.
    """
    column = pl.col(rule.column)
    if dtype == pl.String:
        return Reading(rule, column)
    if dtype.is_integer() or dtype in (pl.Categorical, pl.Enum, pl.Null):
        return Reading(rule, column.cast(pl.String))
    nothing = pl.lit(None, dtype=pl.String)
    return Reading(rule, column, nothing, GIVEN.is_not_null(), "TYPE")


def _attribute_from_typed(
    rule: FieldRule, dtype: pl.DataType, timezone: str | None
) -> Reading:
    column = pl.col(rule.column)
    if dtype.is_float():
        wide = column.cast(pl.Float64)
        return Reading(rule, wide, None, ~VALUE.is_finite(), "TYPE")
    moment = _moment(rule, dtype, timezone)
    if moment is not None:
        return moment
    if dtype == pl.List(pl.String):
        return tag_list(rule, column, GIVEN)
    if dtype.is_nested():
        return _nested(rule, dtype)
    return Reading(rule, column)


def _nested(rule: FieldRule, dtype: pl.DataType) -> Reading:
    odd = [inner for inner in _leaves(dtype) if not _is_jsonable(inner)]
    if odd:
        raise SettingsError(
            f"column {rule.column!r} holds {odd[0]} inside {dtype.base_type()}, which "
            "has no unambiguous form in JSON; convert it in the source"
        )
    column = pl.col(rule.column)
    text = GIVEN.struct.json_encode()
    if not any(inner.is_float() for inner in _leaves(dtype)):
        return Reading(rule, column)
    # NaN and the infinities become the text null in there: nothing else would tell.
    value = text.map_batches(json_texts, return_dtype=pl.String)
    exact = GIVEN.map_batches(_has_only_finite, return_dtype=pl.Boolean)
    return Reading(
        rule, column, pl.when(exact).then(value), UNREADABLE, "TYPE", raw=True
    )


def _has_only_finite(cells: pl.Series) -> pl.Series:
    return pl.Series([_is_finite(cell) for cell in cells.to_list()], dtype=pl.Boolean)


def _is_finite(value: object) -> bool:
    if isinstance(value, float):
        return value - value == 0.0
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return True


def _leaves(dtype: pl.DataType) -> list[pl.DataType]:
    if isinstance(dtype, pl.List | pl.Array):
        inner = dtype.inner
        return _leaves(inner() if isinstance(inner, type) else inner)
    if isinstance(dtype, pl.Struct):
        found = [
            f.dtype() if isinstance(f.dtype, type) else f.dtype for f in dtype.fields
        ]
        return [leaf for inner in found for leaf in _leaves(inner)]
    return [dtype]


def _is_jsonable(dtype: pl.DataType) -> bool:
    plain = (pl.String(), pl.Boolean(), pl.Null(), pl.Date())
    return dtype in plain or dtype.is_integer() or dtype.is_float()


def _native_from_typed(
    rule: FieldRule, dtype: pl.DataType, timezone: str | None
) -> Reading:
    column = pl.col(rule.column)
    if rule.kind is FieldKind.TAGS and dtype == pl.List(pl.String):
        return tag_list(rule, column, GIVEN)
    if dtype.is_nested():
        raise SettingsError(
            f"column {rule.column!r} holds {dtype.base_type()} values; {rule.name} "
            "takes text. Map it to an attribute, or convert it in the source"
        )
    if rule.kind is FieldKind.BIRTH_DATE and dtype.is_temporal():
        return birth_date(rule, column, GIVEN.dt.date())
    if rule.kind is FieldKind.AGREEMENT and dtype == pl.Boolean:
        return Reading(rule, column)
    if dtype.is_float():
        nothing = pl.lit(None, dtype=pl.String)
        return Reading(rule, column, nothing, GIVEN.is_not_null(), "TYPE")
    if rule.kind is FieldKind.TEXT and rule.options.values is None:
        moment = _moment(rule, dtype, timezone)
        if moment is not None:
            return moment
    return read_text(rule, column.cast(pl.String), timezone)


def _moment(
    rule: FieldRule, dtype: pl.DataType, timezone: str | None
) -> Reading | None:
    """Read a date or a date-time as text; None where the type is neither."""
    if dtype == pl.Date:
        text = iso_text(GIVEN)
    elif isinstance(dtype, pl.Datetime):
        text = (
            rfc3339(GIVEN) if dtype.time_zone else local_moment(rule, GIVEN, timezone)
        )
    else:
        return None
    return Reading(rule, pl.col(rule.column), text, UNREADABLE, "DATE")
