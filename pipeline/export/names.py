"""The file that names the profiles to export: an identifier a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import FIELD_BY_NAME, IDENTIFIERS, fold_header
from pipeline.errors import SettingsError
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD
from pipeline.reader import open_source
from pipeline.settings import SourceSettings

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.reader import Source

# The surest first.
_FINDERS: Final = ("clientId", "customId", "email", "uuid", "phone")


@dataclass(frozen=True, slots=True)
class Name:
    """
    A row that names a profile.

    Attributes:
        field: The identifier, in the name of the API.
    """

    row_no: int
    field: str
    value: str


@dataclass(frozen=True, slots=True)
class Names:
    """
    What a file of identifiers holds.

    Attributes:
        names: In the order of the file.
        obstacles: Row number → why it names nobody.
        digest: SHA-256 of the file.
    """

    names: tuple[Name, ...]
    obstacles: dict[int, str]
    digest: str


def read_names(path: Path) -> Names:
    """
    Read a CSV, Parquet or JSONL file with a column of identifiers.

    A row is asked for by the first identifier it gives: clientId, customId, e-mail,
    uuid, phone.

    Raises:
        SettingsError: No column is an identifier.
        SourceError: The file cannot be read to its end.

    Cost: one name a row in memory.
    """
    source = open_source(SourceSettings(path=str(path)))
    columns = _columns_of(source)
    cells = [
        _text(name, source.dtypes[name]).alias(field) for field, name in columns.items()
    ]
    names: list[Name] = []
    obstacles: dict[int, str] = {}
    for piece in source.slices():
        for row_no in piece.unreadable["row_no"]:
            obstacles[row_no] = "the row cannot be read"
        for row_no, *values in piece.frame.select("row_no", *cells).iter_rows():
            pairs = zip(columns, values, strict=True)
            found = next(((f, v) for f, v in pairs if v), None)
            if found is None:
                obstacles[row_no] = "the row gives no identifier"
            elif found[1] in (".", "..") or (
                found[0] == "clientId" and not found[1].isdecimal()
            ):
                obstacles[row_no] = f"its {found[0]} cannot be asked for"
            else:
                names.append(Name(row_no, *found))
    [print_of_file, *_] = source.fingerprints()
    return Names(tuple(names), obstacles, print_of_file.sha256)


def _columns_of(source: Source) -> dict[str, str]:
    known = {
        folded: field
        for field in IDENTIFIERS
        for folded in (fold_header(field), *FIELD_BY_NAME[field].aliases)
    }
    found: dict[str, str] = {}
    for name in source.columns:
        field = known.get(fold_header(name))
        if field is not None:
            found.setdefault(field, name)
    if not found:
        raise SettingsError(
            f"no column of the file of identifiers is one (there are: "
            f"{', '.join(source.columns)}). Name one of them "
            f"{', '.join(_FINDERS)} in its first line"
        )
    return {field: found[field] for field in _FINDERS if field in found}


def _text(name: str, dtype: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if dtype == JSON_CELL:
        column = pl.coalesce(
            column.struct.field(TEXT_FIELD), column.struct.field(VALUE_FIELD)
        )
    return column.cast(pl.String).str.strip_chars()
