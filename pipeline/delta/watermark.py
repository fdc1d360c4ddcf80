"""
The watermark: until when everything in a source is known to be confirmed.

It is a value of a column that the source sets whenever it touches a row. What lies more
than the lag before it need not be read again. It moves only with a run of which every
row was accepted, so it is never ahead of what was confirmed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Mapping

_TEXT_FORMS: Final = ("%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f")
_DAY_FORM: Final = "%Y-%m-%d"
_UTC: Final = "UTC"


class MomentKind(StrEnum):
    """How a column tells a moment; those of one kind are not compared with others."""

    INSTANT = "instant"
    LOCAL = "local"
    DAY = "day"
    TEXT = "text"


# What a database compares with a column of that kind, and with no other.
_LITERALS: Final[dict[MomentKind, tuple[str, str]]] = {
    MomentKind.INSTANT: ("TIMESTAMPTZ", "%Y-%m-%d %H:%M:%S.%f+00"),
    MomentKind.LOCAL: ("TIMESTAMP", "%Y-%m-%d %H:%M:%S.%f"),
    MomentKind.DAY: ("DATE", "%Y-%m-%d"),
}


# Of which a moment may be no more than a day: all of it is read again.
_OF_DAYS: Final = (MomentKind.DAY, MomentKind.TEXT)


@dataclass(frozen=True, slots=True)
class Watermark:
    """
    A moment up to which all rows were confirmed.

    Attributes:
        kind: A `MomentKind`.
        value: ISO 8601; of an instant in UTC, else as it stands in the source.
        shape: Digest of everything that makes rows of the source, and of the lag.
    """

    column: str
    kind: str
    value: str
    shape: str


@dataclass(frozen=True, slots=True)
class Since:
    """
    Which rows of a source are read: from *bound* on, and those without a moment.

    Attributes:
        bound: Without a zone.
    """

    column: str
    kind: MomentKind
    bound: datetime

    def condition(self, column: str) -> str | None:
        """
        Return SQL that is true of the rows to read; None where only we can tell.

        Args:
            column: As SQL writes it.
        """
        if self.kind not in _LITERALS:
            return None
        name, form = _LITERALS[self.kind]
        return f"{column} >= {name} '{self.bound:{form}}' OR {column} IS NULL"

    def rows(self, schema: Mapping[str, pl.DataType]) -> pl.Expr:
        """Return what is true of the rows to read, and of all if it cannot be told."""
        dtype = schema.get(self.column)
        if dtype is None or kind_of(dtype) is None:
            return pl.lit(value=True)
        moment = moments(self.column, dtype)
        return moment.is_null() | (moment >= self.bound)


def watermark_of(told: dict[str, str] | None) -> Watermark | None:
    """Return a watermark as a file has it; raises TypeError where it is none."""
    return None if told is None else Watermark(**told)


def since(mark: Watermark, lag_s: float) -> Since:
    """Return which rows have to be read again."""
    try:
        bound = datetime.fromisoformat(mark.value) - timedelta(seconds=lag_s)
    except OverflowError:
        bound = datetime.min  # noqa: DTZ901 - moments of a source have no zone here
    kind = MomentKind(mark.kind)
    if kind in _OF_DAYS:
        bound = datetime.combine(bound, time.min)
    return Since(mark.column, kind, bound)


def kind_of(dtype: pl.DataType) -> MomentKind | None:
    """Return how a column tells moments; None if it tells none."""
    if isinstance(dtype, pl.Datetime):
        return MomentKind.LOCAL if dtype.time_zone is None else MomentKind.INSTANT
    if dtype == pl.Date():
        return MomentKind.DAY
    return MomentKind.TEXT if dtype == pl.String() else None


def moments(column: str, dtype: pl.DataType) -> pl.Expr:
    """
    Return the moments of a column whose `kind_of` is not None.

    Frame:
        out  Datetime in microseconds without a zone; null where a cell is null, or is a
             text that is none of `yyyy-mm-dd`, with or without `hh:mm:ss`
    """
    cells = pl.col(column)
    if dtype == pl.String():
        forms = (*_TEXT_FORMS, _DAY_FORM)
        return pl.coalesce(
            cells.str.to_datetime(form, time_unit="us", strict=False) for form in forms
        )
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        cells = cells.dt.convert_time_zone(_UTC).dt.replace_time_zone(None)
    return cells.cast(pl.Datetime("us"))


def highest(column: str, dtype: pl.DataType, now_s: float) -> pl.Expr:
    """
    Return the last moment of a column that is over.

    A moment in the future would keep rows out that are still to come.

    Args:
        now_s: Seconds since 1970.
    """
    now = datetime.fromtimestamp(now_s, UTC).replace(tzinfo=None)
    found = moments(column, dtype)
    return found.filter(found <= now).max()


def kept(
    before: Watermark | None,
    found: Watermark | None,
    *,
    is_whole: bool,
    is_confirmed: bool,
) -> Watermark | None:
    """
    Return the watermark after a run, or after a part of it.

    Args:
        before: As it was when the run was planned.
        found: What the plan would have it become.
        is_whole: Whether the whole source was read; else, from *before* on.
        is_confirmed: Whether every planned row was accepted.
    """
    if is_confirmed:
        return found
    # What is not proven of a whole source may lie anywhere in it.
    return None if is_whole else before
