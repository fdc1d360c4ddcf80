"""
How text becomes a value, for each kind of field.

A reading is three expressions in stages: what was given, the value it means, whether it
is invalid. A blank cell is null and never invalid. Typed columns: `typed_values.py`.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.contract import (
    AGREEMENT_WORDS,
    COUNTRY_PATTERN,
    FIRST_BIRTH_DATE,
    FORBIDDEN_TEXT,
    SEXES,
    FieldKind,
)
from pipeline.errors import SettingsError
from pipeline.json_cells import json_texts, string_arrays

if TYPE_CHECKING:
    from pipeline.settings import ColumnMapping, FieldRule

# ASCII white space and the no-break space: what spreadsheets leave around a value.
OUTER_WHITE_SPACE: Final = " \t\n\r\x0b\x0c\u00a0"
IDENTIFIER_KINDS: Final = frozenset(
    {
        FieldKind.EMAIL,
        FieldKind.PHONE,
        FieldKind.CUSTOM_ID,
        FieldKind.UUID,
        FieldKind.CLIENT_ID,
    }
)
ISO_DATE: Final = "%Y-%m-%d"
# No cell without one of them matches `FORBIDDEN_TEXT`.
_ODD_CHARACTERS: Final = "\0" + "".join(map(chr, range(0xFE00, 0xFE10)))
# A double keeps 15 significant decimal digits, always (IEEE 754).
_EXACT_DIGITS: Final = 15
_NUMBER: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_INTEGER: Final = r"^[+-]?[0-9]{1,19}$"
_SMALLEST_NORMAL: Final = 2.2250738585072014e-308
_FIRST_WRITTEN_YEAR: Final = 1000
# Microseconds are what a column keeps; a leap second or a finer part would be changed.
_MOMENT: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-5][0-9](\.[0-9]{1,6}0*)?"
    r"(Z|[+-][0-9]{2}:?[0-9]{2})?$"
)
_RFC_3339: Final = "%Y-%m-%dT%H:%M:%S%.f%:z"


@dataclass(frozen=True, slots=True)
class Shortcut:
    """
    A cheaper way to the value of most cells; it never comes to another one.

    Attributes:
        holds: From `given`: whether the shortcut may be taken; null where it is null.
        value: From `given`, for cells where it holds.
    """

    holds: pl.Expr
    value: pl.Expr


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How a field is read from its column.

    Attributes:
        given: From the source frame: null where the cell is blank.
        value: From a frame with the column `given`; None where it is the same.
        invalid: From a frame with `given` and `value`; None where nothing can be.
        code: Of an invalid cell; an expression of the same frame where it depends.
        raw: Whether the value is JSON text already.
        shortcut: For the cells that it holds for, instead of `value`.
        suspects: Characters without any of which no cell is invalid; "" where that
            cannot be said. Looking for them costs half of what `invalid` does.
        alien: From the source frame: the cell is of a type that the field cannot take,
            so it is invalid (`TYPE`); `given` is null there. None where none can be.
        token: From the source frame: the cell is the null token; `given` is null there.
            None where no token is declared, or the column holds no text.
    """

    rule: FieldRule
    given: pl.Expr
    value: pl.Expr | None = None
    invalid: pl.Expr | None = None
    code: str | pl.Expr = "VALUE"
    raw: bool = False
    shortcut: Shortcut | None = None
    suspects: str = ""
    alien: pl.Expr | None = None
    token: pl.Expr | None = None


GIVEN = pl.col("given")
VALUE = pl.col("value")
UNREADABLE = GIVEN.is_not_null() & VALUE.is_null()


# -- from text ---------------------------------------------------------------------


def read_text(  # noqa: PLR0911 - one line a kind
    rule: FieldRule, column: pl.Expr, timezone: str | None
) -> Reading:
    """
    Read a text column for any kind of field.

    Raises:
        SettingsError: `values` do not fit the field, or a zone is missing.
    """
    options = rule.options
    text = column.str.strip_chars(OUTER_WHITE_SPACE) if options.trim else column
    given = pl.when(text != "").then(text)
    if rule.kind is FieldKind.TAGS or options.split is not None:
        return _tags(rule, given)
    if options.values is not None:
        return _through_values(rule, given)
    match rule.kind:
        case FieldKind.BIRTH_DATE:
            reading = birth_date(rule, given, _date(GIVEN, options))
            is_iso = options.format in (None, ISO_DATE)
            return replace(reading, shortcut=_ISO_BIRTH_DATE if is_iso else None)
        case FieldKind.SEX:
            known = pl.when(GIVEN.is_in(SEXES)).then(GIVEN)
            return Reading(rule, given, known, UNREADABLE, "VALUE")
        case FieldKind.COUNTRY:
            country = pl.when(GIVEN.str.contains(COUNTRY_PATTERN)).then(GIVEN)
            return Reading(rule, given, country, UNREADABLE, "VALUE")
        case FieldKind.AGREEMENT:
            return Reading(rule, given, _truth(GIVEN), UNREADABLE, "VALUE")
        case FieldKind.ATTRIBUTE:
            return _attribute_from_text(rule, given, timezone)
        case _:
            return _plain(rule, given)


def _plain(rule: FieldRule, given: pl.Expr) -> Reading:
    is_odd = VALUE.str.contains(FORBIDDEN_TEXT)
    return Reading(rule, given, None, is_odd, "TEXT", suspects=_ODD_CHARACTERS)


def _truth(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().replace_strict(
        AGREEMENT_WORDS, default=None, return_dtype=pl.Boolean
    )


def _through_values(rule: FieldRule, given: pl.Expr) -> Reading:
    meanings, dtype = _meanings(rule)
    value = GIVEN.replace_strict(meanings, default=None, return_dtype=dtype)
    return Reading(rule, given, value, UNREADABLE, "VALUE")


def _meanings(rule: FieldRule) -> tuple[dict[str, Any], pl.DataType]:
    """Return `values`, which the mapping has checked, and the type they mean."""
    values = rule.options.values or {}
    kinds = {type(meaning) for meaning in values.values()}
    if kinds == {int, float}:
        return {word: float(n) for word, n in values.items()}, pl.Float64()
    dtypes = {bool: pl.Boolean(), int: pl.Int64(), float: pl.Float64()}
    return values, dtypes.get(kinds.pop(), pl.String())


def _tags(rule: FieldRule, given: pl.Expr) -> Reading:
    """Read a list: split by the declared separator, or a JSON array, or one tag."""
    if rule.options.split is not None:
        tags = GIVEN.str.split(rule.options.split)
    else:
        is_array = GIVEN.str.starts_with("[")
        tags = (
            pl.when(is_array)
            .then(GIVEN.map_batches(string_arrays, return_dtype=pl.List(pl.String)))
            .when(GIVEN.is_not_null())
            .then(pl.concat_list(GIVEN))
        )
    return tag_list(rule, given, tags)


def tag_list(rule: FieldRule, given: pl.Expr, tags: pl.Expr) -> Reading:
    """Read a list of texts: each trimmed, blank ones dropped; a repeated tag once."""
    element = pl.element()
    if rule.options.trim:
        tags = tags.list.eval(element.str.strip_chars(OUTER_WHITE_SPACE))
    kept = tags.list.eval(element.filter(element != ""))
    is_odd = element.str.contains(FORBIDDEN_TEXT)
    if rule.options.values is not None:
        words, dtype = _meanings(rule)
        kept = kept.list.eval(
            element.replace_strict(words, default=None, return_dtype=dtype)
        )
        is_odd = element.is_null()
    if rule.kind is FieldKind.TAGS:
        kept = kept.list.unique(maintain_order=True)
    value = pl.when(kept.list.len() > 0).then(kept)
    has_odd = VALUE.list.eval(is_odd).list.any().fill_null(value=False)
    not_a_list = GIVEN.is_not_null() & tags.is_null()
    code = "TEXT" if rule.options.values is None else "VALUE"
    return Reading(
        rule,
        given,
        value,
        has_odd | not_a_list,
        pl.when(VALUE.is_null()).then(pl.lit("TYPE")).otherwise(pl.lit(code)),
    )


# -- dates -------------------------------------------------------------------------


def _date(text: pl.Expr, options: ColumnMapping) -> pl.Expr:
    pattern = options.format or ISO_DATE
    return _in_full(text.str.to_date(pattern, strict=False, exact=True))


def _in_full(date: pl.Expr) -> pl.Expr:
    """Return dates whose year was written in full: `24` for `%Y` is not the year 24."""
    return pl.when(date.dt.year() >= _FIRST_WRITTEN_YEAR).then(date)


def birth_date(rule: FieldRule, given: pl.Expr, date: pl.Expr) -> Reading:
    """Read a Date expression as a birth date within the API's bounds."""
    in_bounds = date.is_between(dt.date.fromisoformat(FIRST_BIRTH_DATE), dt.date.max)
    value = pl.when(in_bounds).then(date.dt.to_string("iso"))
    return Reading(rule, given, value, UNREADABLE, "DATE")


def iso_text(date: pl.Expr) -> pl.Expr:
    """Return *date* as text; null for a year that has not four digits."""
    has_four_digits = date.is_between(dt.date.min, dt.date.max)
    return pl.when(has_four_digits).then(date.dt.to_string("iso"))


def local_moment(rule: FieldRule, naive: pl.Expr, timezone: str | None) -> pl.Expr:
    """Return RFC 3339 text of date-times without an offset, read in their zone."""
    zone = rule.options.zone or timezone
    if zone is None:
        raise SettingsError(
            f"column {rule.column!r} holds date-times without an offset: say which "
            f"zone they are in with mapping.{rule.name}.zone or workspace.timezone"
        )
    try:
        pl.Series([], dtype=pl.Datetime).dt.replace_time_zone(zone)
    except pl.exceptions.ComputeError:
        raise SettingsError(
            f"the time zone {zone!r} of {rule.name} is not known: write an IANA name, "
            "such as Europe/Warsaw"
        ) from None
    aware = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return rfc3339(aware)


def rfc3339(aware: pl.Expr) -> pl.Expr:
    """Return RFC 3339 text of date-times that know their zone."""
    # Local mean times of old have offsets with seconds, which the form cannot hold.
    offset = aware.dt.base_utc_offset() + aware.dt.dst_offset()
    text = (
        pl.when(offset.dt.total_seconds() % 60 == 0)
        .then(aware.dt.to_string(_RFC_3339))
        .otherwise(aware.dt.convert_time_zone("UTC").dt.to_string(_RFC_3339))
    )
    return pl.when(aware.dt.year().is_between(1, 9999)).then(text)


def _datetime_from_text(
    rule: FieldRule, given: pl.Expr, timezone: str | None
) -> Reading:
    pattern = rule.options.format
    if pattern is None:
        offset = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
        well_formed = pl.when(GIVEN.str.contains(_MOMENT)).then(GIVEN)
        text = well_formed.str.replace(" ", "T", literal=True)
        with_offset = pl.when(text.str.contains(offset)).then(
            text.str.replace("Z$", "+00:00")
        )
        absolute = rfc3339(
            with_offset.str.to_datetime(
                "%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_zone="UTC"
            )
        )
        if (rule.options.zone or timezone) is None:
            return Reading(rule, given, absolute, UNREADABLE, "DATE")
        local = local_moment(
            rule, text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False), timezone
        )
        return Reading(rule, given, pl.coalesce(absolute, local), UNREADABLE, "DATE")
    if "%z" in pattern:
        aware = GIVEN.str.to_datetime(pattern, strict=False, time_zone="UTC")
        value = rfc3339(_in_full(aware))
    else:
        naive = GIVEN.str.to_datetime(pattern, strict=False)
        value = local_moment(rule, _in_full(naive), timezone)
    return Reading(rule, given, value, UNREADABLE, "DATE")


# -- attributes --------------------------------------------------------------------


def _attribute_from_text(
    rule: FieldRule, given: pl.Expr, timezone: str | None
) -> Reading:
    match rule.options.type:
        case "integer":
            whole = pl.when(GIVEN.str.contains(_INTEGER)).then(GIVEN)
            value = whole.cast(pl.Int64, strict=False)
        case "number":
            value = _number(rule.options.decimal)
            shortcut = _PLAIN_NUMBER if rule.options.decimal == "." else None
            return Reading(rule, given, value, UNREADABLE, "TYPE", shortcut=shortcut)
        case "boolean":
            value = _truth(GIVEN)
        case "date":
            return Reading(
                rule, given, iso_text(_date(GIVEN, rule.options)), UNREADABLE, "DATE"
            )
        case "datetime":
            return _datetime_from_text(rule, given, timezone)
        case "json":
            value = GIVEN.map_batches(json_texts, return_dtype=pl.String)
            return Reading(rule, given, value, UNREADABLE, "TYPE", raw=True)
        case _:
            return _plain(rule, given)
    return Reading(rule, given, value, UNREADABLE, "TYPE")


def _number(decimal: str) -> pl.Expr:
    """Read a number that a double holds without losing a digit; others are null."""
    text = GIVEN
    if decimal != ".":  # then a point is no part of a number
        text = pl.when(~GIVEN.str.contains(".", literal=True)).then(GIVEN)
        text = text.str.replace(",", ".", literal=True)
    digits = (
        text.str.replace(r"[eE].*$", "")
        .str.replace_all(r"[^0-9]", "")
        .str.strip_chars_start("0")
        .str.len_bytes()
    )
    is_number = text.str.contains(_NUMBER)
    number = pl.when(is_number).then(text).cast(pl.Float64, strict=False)
    is_exact = (digits <= _EXACT_DIGITS) | (number.cast(pl.String) == text)
    # More digits, or smaller ones, a double loses, unless it prints them itself.
    is_normal = (number.abs() >= _SMALLEST_NORMAL) | (digits == 0)
    return pl.when(number.is_finite() & is_normal & is_exact).then(number)


# At most 15 digits in plain form: 58 ns a cell against 660, measured.
_PLAIN_NUMBER: Final = Shortcut(
    GIVEN.str.contains(r"^-?(?:0|[1-9][0-9]{0,8})(?:\.[0-9]{1,6})?$"),
    GIVEN.cast(pl.Float64, strict=False),
)


# Written as it is sent; such text sorts as its dates do. Measured:
# 130 instead of 320 CPU ms a million rows.
_ISO_BIRTH_DATE: Final = Shortcut(
    GIVEN.str.contains(r"^(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]$"),
    pl.when(
        GIVEN.str.to_date(ISO_DATE, strict=False).is_not_null()
        & (GIVEN >= FIRST_BIRTH_DATE)
    ).then(GIVEN),
)
