"""
Which columns an exported file has, and what stands in them.

The types of a file are the same whatever the profiles hold: clientId Int64, agreements
Boolean, tags List(String), all else String. A column that holds anything but texts
holds JSON in every cell; the certificate names those columns, and `import` reads it.
JSONL keeps every value as it is.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import AGREEMENTS
from pipeline.errors import SettingsError
from pipeline.export.plain import AGREEMENT_COLUMNS, FIXED, ID
from pipeline.json_values import JSON_CELL, TEXT_FIELD, VALUE_FIELD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pipeline.settings import SourceFormat

# What the list has and a profile in full has not (API 3.10), and the other way round.
_LIST_ONLY: Final = (
    "anonymous_type",
    "country_id",
    "lastActivityDate",
    "created",
    "updated",
    "deletedAt",
)
_FULL_ONLY: Final = ("anonymous", "lastActivityDate")
_NOT_LISTED: Final = ("displayName", *AGREEMENT_COLUMNS)
# API 3.1: made by the platform, never data of anybody.
SYSTEM_COLUMNS: Final = ("attributes.correlationId", "attributes.eventCreateTime")
_EMPTY_COLUMNS: Final = ("previousClients",)  # API 3.1: always empty on reads
GENERATED: Final = "_generated"
_GRAVATAR: Final = r"^https?://(?:www\.|secure\.)?gravatar\.com/avatar/([0-9a-f]{32})$"


@dataclass(frozen=True, slots=True)
class Columns:
    """
    The columns of a file, in order.

    Attributes:
        names: As they stand in the file.
        json: Of them, those that hold JSON in every cell.
        keeps_generated: Columns named by the operator are left as they are.
    """

    names: tuple[str, ...]
    json: tuple[str, ...]
    keeps_generated: frozenset[str]

    def schema(self, kind: SourceFormat) -> dict[str, pl.DataType]:
        """Return the types that a file of this kind is written with."""
        return {
            name: JSON_CELL
            if kind == "jsonl" and name in self.json
            else FIXED.get(name, pl.String())
            for name in self.names
        }


def check_fields(fields: Sequence[str], *, is_full: bool) -> None:
    """
    Refuse fields that no export of this detail has.

    Raises:
        SettingsError: There are some.
    """
    known = {*FIXED, *_FULL_ONLY, "agreements", GENERATED}
    if not is_full:
        known = ({*FIXED, *_LIST_ONLY, GENERATED}) - {*_NOT_LISTED}
    odd = [
        name
        for name in fields
        if name not in known
        and not (is_full and (name == "attributes" or name.startswith("attributes.")))
    ]
    if odd:
        advice = (
            f"there are {', '.join(sorted(known))}"
            if is_full
            else "attributes, agreements and displayName need --detail full; the list "
            f"has {', '.join(sorted(known))}"
        )
        raise SettingsError(
            f"--fields names {', '.join(odd)}, which no export has; {advice}"
            + (" and attributes.NAME" if is_full else "")
        )


def columns_of(
    frames: Callable[[], Iterable[pl.DataFrame]],
    fields: Sequence[str],
    *,
    is_full: bool,
) -> Columns:
    """
    Decide the columns: the known ones always, then what else the profiles have.

    Args:
        frames: Plain ones; read once.
        fields: To be written, in this order; all when empty. `attributes` and
            `agreements` stand for all of theirs.
    """
    found: dict[str, bool] = {}
    for frame in frames():
        for name in frame.columns:
            if name not in FIXED:
                is_text = _is_text(frame[name])
                found[name] = found.get(name, True) and is_text
    left_out = {*_EMPTY_COLUMNS, *(() if fields else SYSTEM_COLUMNS)}
    fixed = [n for n in FIXED if is_full or n not in _NOT_LISTED]
    known = [*fixed, *(_FULL_ONLY if is_full else _LIST_ONLY)]
    late = sorted(found.keys() - set(known) - left_out, key=_attributes_first)
    names = [*known, *late, GENERATED]
    if fields:
        names = [one for name in fields for one in _meant_by(name, names)]
    texts = {*FIXED, GENERATED}
    in_json = tuple(n for n in names if n not in texts and not found.get(n, True))
    return Columns(tuple(dict.fromkeys(names)), in_json, frozenset(fields))


def _attributes_first(name: str) -> tuple[bool, str]:
    return not name.startswith("attributes."), name


def _meant_by(name: str, names: Sequence[str]) -> list[str]:
    if name in ("attributes", "agreements"):
        known = [one for one in names if one.startswith(f"{name}.")]
        return known or [f"agreements.{k}" for k in AGREEMENTS if name == "agreements"]
    return [name]


def _is_text(column: pl.Series) -> bool:
    return bool(column.drop_nulls().str.starts_with('"').all())


def finished(
    frames: Iterable[pl.DataFrame], columns: Columns, kind: SourceFormat
) -> Iterator[pl.DataFrame]:
    """
    Turn plain frames into frames of the file.

    Rows: count and order unchanged.

    Frame:
        out  `Columns.schema`; a gravatar of the profile's own e-mail is null, and
             `_generated` names the fields that look as if nobody had sent them
    """
    for frame in frames:
        given = frame.with_columns(
            pl.lit(None, dtype=FIXED.get(name, pl.String())).alias(name)
            for name in columns.names
            if name not in frame.columns and name != GENERATED
        )
        if "avatarUrl" not in columns.keeps_generated:
            given = given.with_columns(_own_avatar(given))
        marked = given.with_columns(_marks().alias(GENERATED))
        yield marked.select(
            _cell(name, kind, is_json=name in columns.json).alias(name)
            for name in columns.names
        )


def _cell(name: str, kind: SourceFormat, *, is_json: bool) -> pl.Expr:
    column = pl.col(name)
    if name in FIXED or name == GENERATED:
        return column
    is_text = column.str.starts_with('"')
    text = pl.when(is_text).then(column).str.json_decode(pl.String)
    if not is_json:
        return text
    if kind != "jsonl":
        return column
    cell = pl.struct(
        text.alias(TEXT_FIELD), pl.when(~is_text).then(column).alias(VALUE_FIELD)
    )
    return pl.when(column.is_not_null()).then(cell)


def _own_avatar(frame: pl.DataFrame) -> pl.Series:
    """Return the avatars without those that the platform makes of an e-mail."""
    avatars = frame["avatarUrl"]
    told = avatars.str.extract(_GRAVATAR)
    if not told.count():
        return avatars
    made = pl.Series(
        [
            None
            if email is None or digest is None
            else hashlib.md5(
                email.strip().lower().encode(), usedforsecurity=False
            ).hexdigest()
            for email, digest in zip(frame["email"], told, strict=True)
        ],
        dtype=pl.String,
    )
    return avatars.set((told == made).fill_null(value=False), None)


def _marks() -> pl.Expr:
    """API 3.1: a first name made from the e-mail; a real one may look the same."""
    local = pl.col("email").str.split("@").list.first().str.to_lowercase()
    is_made = pl.col("firstName").str.to_lowercase() == local
    return pl.when(is_made).then(pl.lit("firstName"))


def without(
    frames: Iterable[pl.DataFrame], is_left_out: Callable[[pl.Series], pl.Series]
) -> Iterator[pl.DataFrame]:
    """Give frames without the profiles whose ids are to be left out."""
    for frame in frames:
        yield frame.filter(~is_left_out(frame[ID]))
