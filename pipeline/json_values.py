"""
How JSON values become values: a number stays the number that was written.

A column of a JSONL file that holds anything but text has the type `JSON_CELL`: each of
its cells is a text, or the JSON text of a number, a truth value, a list, an object or
null. A null is a blank cell, as the empty text is; only an absent key is a null here.
So `"12"` stays a text and `12` a number, even in one column, and no digit is lost on
the way: what is sent is the text that was read.
"""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import FORBIDDEN_TEXT, FieldKind
from pipeline.json_cells import refuse_constant, unique_keys
from pipeline.typed_values import identifier_text, reading_of
from pipeline.values import (
    GIVEN,
    IDENTIFIER_KINDS,
    OUTER_WHITE_SPACE,
    Reading,
    read_text,
)

if TYPE_CHECKING:
    from pipeline.settings import FieldRule

# One of the two is given, or the cell is null. The second is compact and never a text.
TEXT_FIELD: Final = "text in JSON"
VALUE_FIELD: Final = "other JSON"
# In a file that is handed back: the keys that its lines may have.
NAMES_KEY: Final = "_columns"
JSON_CELL: Final = pl.Struct({TEXT_FIELD: pl.String(), VALUE_FIELD: pl.String()})

# As a whole number of 64 bits or a double in plain form: nothing to ask about.
_SAFE: Final = r"^(?:true|false|-?[0-9]{1,18}|-?[0-9]{1,9}\.[0-9]{1,6})$"
NULL_VALUE: Final = "null"
_WHOLE: Final = r"^(?:0|-?[1-9][0-9]*)$"
# What reads as a word: a fraction or a power of ten has several spellings.
_WORD: Final = r"^(?:true|false|0|-?[1-9][0-9]*)$"
_SCALAR: Final = r"^[^\[{]"
_MIN_INTEGER, _MAX_INTEGER, _MAX_DIGITS = -(2**63), 2**64 - 1, 20


def reading_by_type(
    rule: FieldRule, dtype: pl.DataType, timezone: str | None
) -> Reading:
    """
    Choose how *rule* reads a column of type *dtype*, whatever the source.

    Args:
        timezone: Of the workspace; for date-times without an offset.

    Raises:
        SettingsError: The type of the column cannot serve the field at all.
    """
    if dtype == JSON_CELL:
        return _reading_of_json(rule, timezone)
    if rule.kind in IDENTIFIER_KINDS:
        return identifier_text(rule, dtype)
    return reading_of(rule, dtype, timezone)


def text_of(rule: FieldRule, dtype: pl.DataType) -> pl.Expr | None:
    """Return the text of a column of type *dtype*, trimmed; None where it has none."""
    column = pl.col(rule.column)
    if dtype == JSON_CELL:
        text = column.struct.field(TEXT_FIELD)
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        text = column.cast(pl.String)
    else:
        return None
    return text.str.strip_chars(OUTER_WHITE_SPACE) if rule.options.trim else text


def repairable(reading: Reading, cells: pl.Series) -> pl.Series | None:
    """
    Return the text that a repair would have changed; null where a cell is no text.

    Args:
        cells: The column as it stands in the source.

    Returns:
        In the form of the reading's values; None where the reading gives text another
        meaning, or the column holds none.
    """
    is_json = cells.dtype == JSON_CELL
    fields = cells.struct.unnest() if is_json else None
    if fields is not None and reading.raw and reading.rule.options.type is None:
        return fields.select(_as_json(pl.col(TEXT_FIELD))).to_series()
    if reading.value is not None and reading.rule.kind not in IDENTIFIER_KINDS:
        return None
    text = cells if fields is None else fields[TEXT_FIELD]
    return text if text.dtype == pl.String else None


def _reading_of_json(rule: FieldRule, timezone: str | None) -> Reading:
    column = pl.col(rule.column)
    text, value = (column.struct.field(name) for name in (TEXT_FIELD, VALUE_FIELD))
    value = pl.when(value != NULL_VALUE).then(value)
    options = rule.options
    if rule.kind in IDENTIFIER_KINDS:
        usable = _matching(value, _WHOLE)
        reading = Reading(rule, pl.coalesce(text, usable))
        return replace(reading, alien=value.is_not_null() & usable.is_null())
    if options.split is not None:
        joined = value.map_batches(
            lambda cells: joined_lists(cells, options.split or ""),
            return_dtype=pl.String,
        )
        usable = pl.coalesce(joined, _matching(value, _WORD))
    elif rule.kind is FieldKind.TAGS:
        usable = _matching(value, rf"{_WORD}|^\[")
    elif rule.kind is not FieldKind.ATTRIBUTE or options.values is not None:
        usable = _matching(value, _WORD)
    elif options.type is None:
        return _as_it_is(rule, text, value)
    elif options.type in ("json", "text"):
        usable = value
    else:
        usable = _matching(value, _SCALAR)
    reading = read_text(rule, pl.coalesce(text, usable), timezone)
    return replace(reading, alien=value.is_not_null() & usable.is_null())


def _matching(value: pl.Expr, pattern: str) -> pl.Expr:
    return pl.when(value.str.contains(pattern)).then(value)


def _as_it_is(rule: FieldRule, text: pl.Expr, value: pl.Expr) -> Reading:
    """Read an attribute whose type nobody declared: every cell keeps its own."""
    if rule.options.trim:
        text = text.str.strip_chars(OUTER_WHITE_SPACE)
    text = pl.when(text != "").then(text)
    given = pl.struct(text.alias(TEXT_FIELD), value.alias(VALUE_FIELD))
    given_text, given_value = map(GIVEN.struct.field, (TEXT_FIELD, VALUE_FIELD))
    is_odd = given_text.str.contains(FORBIDDEN_TEXT).fill_null(value=False)
    is_lost = given_value.map_batches(holds_lost_number, return_dtype=pl.Boolean)
    return Reading(
        rule,
        pl.when(text.is_not_null() | value.is_not_null()).then(given),
        pl.coalesce(given_value, _as_json(given_text)),
        is_odd | is_lost,
        pl.when(is_odd).then(pl.lit("TEXT")).otherwise(pl.lit("TYPE")),
        raw=True,
    )


def _as_json(text: pl.Expr) -> pl.Expr:
    # `struct.json_encode` serves text too, see `encoder`; null becomes the text "null".
    return pl.when(text.is_not_null()).then(text.struct.json_encode())


def holds_lost_number(cells: pl.Series) -> pl.Series:
    """
    Say of JSON texts whether a number in them would not survive being parsed.

    A whole number of 64 bits does, and one that a double prints as it was written. A
    text that is no JSON, such as the NaN of a database, does not.
    """
    odd = cells.filter(~cells.str.contains(_SAFE)).unique()
    lost = pl.Series([cell for cell in odd if not _is_kept(cell)], dtype=pl.String)
    return cells.is_in(lost.implode()).fill_null(value=False)


def _is_kept(cell: str) -> bool:
    try:
        json.loads(
            cell,
            parse_int=_check_integer,
            parse_float=_check_double,
            parse_constant=refuse_constant,
            object_pairs_hook=unique_keys,
        )
    except (ValueError, RecursionError):
        return False
    return True


def _check_integer(digits: str) -> None:
    if len(digits) > _MAX_DIGITS or not _MIN_INTEGER <= int(digits) <= _MAX_INTEGER:
        _check_double(digits)


def _check_double(text: str) -> None:
    # Up to 15 digits a double always prints what it was made of (IEEE 754).
    try:
        is_same = Decimal(text) == Decimal(repr(float(text)))
    except InvalidOperation:  # an exponent beyond all bounds
        is_same = False
    if not is_same:
        raise ValueError("a double holds another number")


def joined_lists(cells: pl.Series, separator: str) -> pl.Series:
    """Write lists of texts as a text to split; whatever else a cell holds is null."""
    told = {cell: _joined_list(cell, separator) for cell in cells.drop_nulls().unique()}
    return pl.Series([told.get(cell) for cell in cells], dtype=pl.String)


def _joined_list(cell: str, separator: str) -> str | None:
    read = json.loads(cell)
    if not isinstance(read, list) or not all(isinstance(item, str) for item in read):
        return None
    return None if any(separator in item for item in read) else separator.join(read)
