"""
How text becomes a value, for each kind of field.

A reading is three polars expressions in stages: what was given, the value it means, and
whether it is invalid. A blank cell gives null and is never invalid; an invalid cell has
a code. Columns that are typed already are read by `typed_values.py`.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

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

if TYPE_CHECKING:
    from collections.abc import Sequence

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
# A double keeps 15 significant decimal digits, always (IEEE 754).
_EXACT_DIGITS: Final = 15
_NUMBER: Final = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,3})?$"
_INTEGER: Final = r"^[+-]?[0-9]{1,19}$"
_LAST_DATE: Final = "9999-12-31"


@dataclass(frozen=True, slots=True)
class Reading:
    """
    How a field is read from its column.

    Attributes:
        given: From the source frame: null where the cell is blank.
        value: From a frame with the column `given`; None where it is the same.
        invalid: From a frame with `given` and `value`; None where nothing can be.
        code: Of an invalid cell.
        raw: Whether the value is JSON text already.
    """

    rule: FieldRule
    given: pl.Expr
    value: pl.Expr | None = None
    invalid: pl.Expr | None = None
    code: str = "VALUE"
    raw: bool = False


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
    if rule.kind is FieldKind.TAGS:
        return _tags(rule, given)
    if options.values is not None:
        return _through_values(rule, given)
    match rule.kind:
        case FieldKind.BIRTH_DATE:
            return birth_date(rule, given, _date(GIVEN, options))
        case FieldKind.SEX:
            known = pl.when(GIVEN.is_in(SEXES)).then(GIVEN)
            return Reading(rule, given, known, UNREADABLE, "VALUE")
        case FieldKind.COUNTRY:
            country = pl.when(GIVEN.str.contains(COUNTRY_PATTERN)).then(GIVEN)
            return Reading(rule, given, country, UNREADABLE, "VALUE")
        case FieldKind.AGREEMENT:
            return Reading(rule, given, _truth(GIVEN), UNREADABLE, "VALUE")
        case FieldKind.ATTRIBUTE:
            return _attributeread_text(rule, given, timezone)
        case _:
            return _plain(rule, given)


def _plain(rule: FieldRule, given: pl.Expr) -> Reading:
    return Reading(rule, given, None, VALUE.str.contains(FORBIDDEN_TEXT), "TEXT")


def _truth(text: pl.Expr) -> pl.Expr:
    return text.str.to_lowercase().replace_strict(
        AGREEMENT_WORDS, default=None, return_dtype=pl.Boolean
    )


def _through_values(rule: FieldRule, given: pl.Expr) -> Reading:
    values = rule.options.values or {}
    kinds = {type(meaning) for meaning in values.values()}
    if rule.kind is FieldKind.AGREEMENT and kinds - {bool}:
        raise SettingsError(f"mapping.{rule.name}.values must map to true or false")
    if rule.kind is FieldKind.SEX and set(values.values()) - set(SEXES):
        raise SettingsError(
            f"mapping.{rule.name}.values must map to {', '.join(SEXES)}"
        )
    if kinds == {int, float}:
        kinds = {float}
    if len(kinds) != 1:
        raise SettingsError(
            f"mapping.{rule.name}.values must map to values of one type, and to some"
        )
    dtypes = {bool: pl.Boolean, int: pl.Int64, float: pl.Float64, str: pl.String}
    value = GIVEN.replace_strict(values, default=None, return_dtype=dtypes[kinds.pop()])
    return Reading(rule, given, value, UNREADABLE, "VALUE")


def _tags(rule: FieldRule, given: pl.Expr) -> Reading:
    """
    Read a list: split by the declared separator, or a JSON array, or one tag.

    Tags are trimmed one by one, and empty ones dropped; a repeated one stays once.
    """
    if rule.options.split is not None:
        tags = GIVEN.str.split(rule.options.split)
    else:
        is_array = GIVEN.str.starts_with("[")
        tags = (
            pl.when(is_array)
            .then(GIVEN.map_batches(_string_arrays, return_dtype=pl.List(pl.String)))
            .when(GIVEN.is_not_null())
            .then(pl.concat_list(GIVEN))
        )
    return tag_list(rule, given, tags)


def tag_list(rule: FieldRule, given: pl.Expr, tags: pl.Expr) -> Reading:
    """Read a list of tags: each trimmed, blank ones dropped, a repeated one once."""
    element = pl.element()
    cleaned = tags.list.eval(element.str.strip_chars(OUTER_WHITE_SPACE))
    kept = cleaned.list.eval(element.filter(element != "")).list.unique(
        maintain_order=True
    )
    value = pl.when(kept.list.len() > 0).then(kept)
    forbidden = VALUE.list.eval(pl.element().str.contains(FORBIDDEN_TEXT)).list.any()
    words = rule.options.values
    if words is not None:
        known = value.list.eval(
            element.replace_strict(words, default=None, return_dtype=pl.String)
        )
        unknown = VALUE.list.eval(pl.element().is_null()).list.any()
        return Reading(rule, given, known, unknown, "VALUE")
    not_a_list = tags.is_null() & GIVEN.is_not_null()
    return Reading(
        rule, given, value, forbidden.fill_null(value=False) | not_a_list, "TEXT"
    )


def _string_arrays(cells: pl.Series) -> pl.Series:
    return pl.Series([_string_array(cell) for cell in cells], dtype=pl.List(pl.String))


def _string_array(cell: str | None) -> list[str] | None:
    if cell is None or not cell.startswith("["):
        return None
    try:
        read = json.loads(cell)
    except ValueError:
        return None
    if isinstance(read, list) and all(isinstance(item, str) for item in read):
        return read
    return None


# -- dates -------------------------------------------------------------------------


def _date(text: pl.Expr, options: ColumnMapping) -> pl.Expr:
    pattern = options.format or ISO_DATE
    return text.str.to_date(pattern, strict=False, exact=True)


def birth_date(rule: FieldRule, given: pl.Expr, date: pl.Expr) -> Reading:
    """Read a Date expression as a birth date within the API's bounds."""
    text = iso_text(date)
    # ISO dates of four-digit years compare as text does.
    value = pl.when(text.is_between(pl.lit(FIRST_BIRTH_DATE), pl.lit(_LAST_DATE))).then(
        text
    )
    return Reading(rule, given, value, UNREADABLE, "DATE")


def iso_text(date: pl.Expr) -> pl.Expr:
    """Return *date* as text; null for a year that has not four digits."""
    return pl.when(date.dt.year().is_between(1, 9999)).then(date.dt.to_string(ISO_DATE))


def local_moment(rule: FieldRule, naive: pl.Expr, timezone: str | None) -> pl.Expr:
    """Return RFC 3339 text of date-times without an offset, read in their zone."""
    zone = rule.options.zone or timezone
    if zone is None:
        raise SettingsError(
            f"column {rule.column!r} holds date-times without an offset: say which "
            f"zone they are in with mapping.{rule.name}.zone or workspace.timezone"
        )
    aware = naive.dt.replace_time_zone(zone, ambiguous="null", non_existent="null")
    return rfc3339(aware)


def rfc3339(aware: pl.Expr) -> pl.Expr:
    """Return RFC 3339 text of date-times that know their zone."""
    return aware.dt.to_string("%Y-%m-%dT%H:%M:%S%.f%:z")


def _datetimeread_text(
    rule: FieldRule, given: pl.Expr, timezone: str | None
) -> Reading:
    pattern = rule.options.format
    if pattern is None:
        offset = r"(Z|[+-][0-9]{2}:?[0-9]{2})$"
        text = GIVEN.str.replace(" ", "T", literal=True)
        aware = pl.when(text.str.contains(offset)).then(
            text.str.replace("Z$", "+00:00")
        )
        absolute = rfc3339(
            aware.str.to_datetime(
                "%Y-%m-%dT%H:%M:%S%.f%z", strict=False, time_zone="UTC"
            )
        )
        has_zone = rule.options.zone or timezone
        if has_zone is None:
            return Reading(rule, given, absolute, UNREADABLE, "DATE")
        naive = text.str.to_datetime("%Y-%m-%dT%H:%M:%S%.f", strict=False)
        local = local_moment(rule, naive, timezone)
        return Reading(rule, given, pl.coalesce(absolute, local), UNREADABLE, "DATE")
    if "%z" in pattern:
        value = rfc3339(GIVEN.str.to_datetime(pattern, strict=False, time_zone="UTC"))
    else:
        value = local_moment(
            rule, GIVEN.str.to_datetime(pattern, strict=False), timezone
        )
    return Reading(rule, given, value, UNREADABLE, "DATE")


# -- attributes --------------------------------------------------------------------


def _attributeread_text(
    rule: FieldRule, given: pl.Expr, timezone: str | None
) -> Reading:
    if rule.options.split is not None:
        return _tags(rule, given)
    match rule.options.type:
        case "integer":
            whole = pl.when(GIVEN.str.contains(_INTEGER)).then(GIVEN)
            value = whole.cast(pl.Int64, strict=False)
        case "number":
            value = _number(rule.options.decimal)
        case "boolean":
            value = _truth(GIVEN)
        case "date":
            return Reading(
                rule, given, iso_text(_date(GIVEN, rule.options)), UNREADABLE, "DATE"
            )
        case "datetime":
            return _datetimeread_text(rule, given, timezone)
        case "json":
            value = GIVEN.map_batches(json_texts, return_dtype=pl.String)
            return Reading(rule, given, value, UNREADABLE, "TYPE", raw=True)
        case _:
            return _plain(rule, given)
    return Reading(rule, given, value, UNREADABLE, "TYPE")


def _number(decimal: str) -> pl.Expr:
    """Read a number that a double holds without losing a digit; others are null."""
    text = GIVEN if decimal == "." else GIVEN.str.replace(",", ".", literal=True)
    if decimal != ".":
        text = pl.when(~GIVEN.str.contains(".", literal=True)).then(text)
    digits = (
        text.str.replace(r"[eE].*$", "")
        .str.replace_all(r"[^0-9]", "")
        .str.strip_chars_start("0")
        .str.len_bytes()
    )
    is_exact = text.str.contains(_NUMBER) & (digits <= _EXACT_DIGITS)
    number = pl.when(is_exact).then(text).cast(pl.Float64, strict=False)
    return pl.when(number.is_finite()).then(number)


def json_texts(cells: pl.Series) -> pl.Series:
    """Compact JSON texts, each distinct one parsed once; null where it is not JSON."""
    distinct = {cell: _json_text(cell) for cell in cells.unique() if cell is not None}
    return pl.Series([distinct.get(cell) for cell in cells], dtype=pl.String)


_JSON_BLANK = re.compile(r'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')


def _json_text(cell: str) -> str | None:
    """Return JSON text without blanks, its numbers untouched; None if it is none."""
    try:
        read = json.loads(
            cell, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys
        )
        json.dumps(read, ensure_ascii=False).encode()
    except ValueError:
        return None
    if read is None or read == "":
        return None
    return _JSON_BLANK.sub(lambda match: match.group(1) or "", cell)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _unique_keys(pairs: Sequence[tuple[str, object]]) -> dict[str, object]:
    read = dict(pairs)
    if len(read) != len(pairs):
        raise ValueError("a key stands twice")
    return read
