"""
Which column of a file of profiles is which field, and how its cells become JSON texts.

The file is an export: of this tool (native names, `attributes.NAME`), or of the
platform's portal, whose names are those of the list endpoint, whose attributes stand
under their bare names, and whose tags are columns of true and false (API 3.10, 6.3).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import (
    FIELD_BY_NAME,
    LIST_SEX_TO_NATIVE,
    PORTAL_TO_NATIVE,
    READ_ONLY_NAMES,
    TOOL_COLUMNS,
)
from pipeline.encoder import NESTED
from pipeline.errors import SourceUnusableError
from pipeline.json_values import JSON_CELL, NULL_VALUE, TEXT_FIELD, VALUE_FIELD
from pipeline.mapping import field_of_column

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.settings import SourceFormat

_TAG: Final = "tags."
_TEXTS: Final = (pl.String, pl.Categorical, pl.Enum)
# Of a profile, in the order of how surely they name it.
_NAMES: Final = ("clientId", "customId", "email", "uuid", "phone")


@dataclass(frozen=True, slots=True)
class SideColumns:
    """
    How a file of profiles is read.

    Attributes:
        cells: Field → the JSON text of its cells; an empty cell is null.
        untyped: Fields whose cells are texts that may mean other values.
        lacking: Fields that were asked for and that the file does not have.
        unknown: Columns that are no field of a profile, as far as can be told.
        profile: How a profile is called to people: the surest of its identifiers.
    """

    cells: Mapping[str, pl.Expr]
    untyped: frozenset[str]
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]
    profile: pl.Expr


def plan_columns(
    dtypes: Mapping[str, pl.DataType],
    kind: SourceFormat,
    wanted: Sequence[str],
    identifiers: Sequence[str],
    *,
    whole: AbstractSet[str] = frozenset(),
    name: str,
) -> SideColumns:
    """
    Find the fields of *wanted* in a file.

    Args:
        dtypes: Column → type, in the order of the file.
        identifiers: Fields by which rows of the source can be found.
        whole: Of `attributes` and `agreements`, those of which the file is known to
            hold all: a part without a column is empty everywhere, not unknown.
        name: Of the file, for messages.

    Raises:
        SourceUnusableError: It has none of the *identifiers*.
    """
    claimed, unknown = _claims(dtypes, wanted)
    if kind == "jsonl":  # an object that is there is there as a whole
        parts = {field.partition(".")[0] for field in claimed}
        whole = whole | (parts & set(NESTED))
    cells: dict[str, pl.Expr] = {}
    untyped = set()
    for field in dict.fromkeys((*wanted, *_NAMES)):
        if field in claimed:
            column = claimed[field]
            cells[field] = _cell(field, pl.col(column), dtypes[column])
            if _is_untyped(field, dtypes[column], kind):
                untyped.add(field)
        elif (inner := _inside(field, dtypes)) is not None:
            cells[field] = inner
            untyped.add(field)
        elif field == "tags" and (tags := _tag_columns(dtypes)):
            cells[field] = _joined_tags(tags, dtypes)
        elif field.partition(".")[0] in whole and field in wanted:
            cells[field] = pl.lit(None, pl.String)
    if not any(field in cells for field in identifiers):
        raise SourceUnusableError(
            f"{name} has no column with {' or '.join(identifiers)}, so none of its "
            f"profiles can be found. It has: {', '.join(dtypes)}. Export it with an "
            "identifier that the source has"
        )
    told = [
        pl.format(f"{field}={{}}", cells[field].str.strip_chars('"'))
        for field in _NAMES
        if field in cells
    ]
    return SideColumns(
        {field: cell for field, cell in cells.items() if field in wanted},
        frozenset(untyped),
        tuple(field for field in wanted if field not in cells),
        tuple(unknown),
        pl.coalesce(told),
    )


def _claims(
    columns: Iterable[str], wanted: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return field → column, the surest name first, and the columns that are none."""
    names = list(columns)
    claimed: dict[str, str] = {}
    attributes = {field for field in wanted if field.startswith("attributes.")}

    def exact(column: str) -> str | None:
        is_native = column in FIELD_BY_NAME or column in attributes
        return column if is_native else None

    def bare(column: str) -> str | None:
        field = f"attributes.{column}"
        return field if field in attributes else None

    for rule in (exact, PORTAL_TO_NATIVE.get, bare, field_of_column):
        for column in names:
            field = rule(column)
            if field is not None and column not in claimed.values():
                claimed.setdefault(field, column)
    taken = {*claimed.values(), *TOOL_COLUMNS, *READ_ONLY_NAMES, *NESTED}
    left = [
        column
        for column in names
        if column not in taken
        and not column.startswith((_TAG, "attributes.", "agreements."))
        and PORTAL_TO_NATIVE.get(column) not in READ_ONLY_NAMES
    ]
    return claimed, left


def _is_untyped(field: str, dtype: pl.DataType, kind: SourceFormat) -> bool:
    """Whether a text may be another value: every cell of CSV, attributes of Parquet."""
    if not field.startswith("attributes.") or dtype not in _TEXTS:
        return False
    return kind != "jsonl"


def _cell(field: str, column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Return the JSON text of a column, null where it is empty."""
    if dtype == JSON_CELL:
        text = column.struct.field(TEXT_FIELD)
        value = column.struct.field(VALUE_FIELD)
        value = pl.when(value != NULL_VALUE).then(value)
        if _is_text(field):
            return _quoted(field, pl.coalesce(text, value))
        return pl.coalesce(_quoted(field, text), value)
    if dtype in _TEXTS:
        return _quoted(field, column.cast(pl.String))
    if dtype.is_temporal():
        form = "%Y-%m-%d" if field == "birthDate" else "iso:strict"
        return _quoted(field, column.dt.to_string(form))
    if _is_text(field) and not dtype.is_nested():
        return _quoted(field, column.cast(pl.String))
    if dtype.is_float():
        column = pl.when(column.is_finite()).then(column)
    return pl.when(column.is_not_null()).then(column.struct.json_encode())


def _is_text(field: str) -> bool:
    return field not in ("tags", "clientId") and not field.startswith(
        ("attributes.", "agreements.")
    )


def _quoted(field: str, text: pl.Expr) -> pl.Expr:
    """Return JSON for texts; of tags, a list, whether it is written as one or not."""
    given: pl.Expr = pl.when(text != "").then(text)
    if field == "sex":
        given = given.replace(LIST_SEX_TO_NATIVE)
    encoded = pl.when(given.is_not_null()).then(given.struct.json_encode())
    if field == "tags":
        alone = pl.format("[{}]", encoded)
        return pl.when(given.str.starts_with("[")).then(given).otherwise(alone)
    return encoded


def _inside(field: str, dtypes: Mapping[str, pl.DataType]) -> pl.Expr | None:
    """Return a part of a column that holds a whole object, if there is one."""
    parent, _, part = field.partition(".")
    dtype = dtypes.get(parent) if part else None
    if isinstance(dtype, pl.Struct):
        inner = pl.Schema([(member.name, member.dtype) for member in dtype.fields])
        if part not in inner:
            return pl.lit(None, pl.String)
        return _cell(field, pl.col(parent).struct.field(part), inner[part])
    if dtype == pl.String and not set(part) & set("'\\"):
        return _quoted(field, pl.col(parent).str.json_path_match(f"$['{part}']"))
    return None


def _tag_columns(columns: Iterable[str]) -> list[str]:
    return [column for column in columns if column.startswith(_TAG)]


def _joined_tags(columns: Sequence[str], dtypes: Mapping[str, pl.DataType]) -> pl.Expr:
    """Return the tags whose column is true, as a list; none of them is no value."""
    tags = []
    for column in columns:
        text = _cell("attributes.tag", pl.col(column), dtypes[column])
        is_set = text.str.strip_chars('"').str.to_lowercase().is_in(["true", "1"])
        name = json.dumps(column.removeprefix(_TAG), ensure_ascii=False)
        tags.append(pl.when(is_set).then(pl.lit(name)))
    joined = pl.concat_str(tags, separator=",", ignore_nulls=True)
    return pl.when(joined != "").then(pl.format("[{}]", joined))
