"""
What changed: the digests of today's rows against the last confirmed ones.

Everything works on one bucket of persons at a time, so memory follows the largest
bucket. A field that is not given today says nothing: it neither makes a row changed nor
takes from the state what the CRM holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.delta.digests import KEY_COLUMNS, field_columns, field_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# What a person was told last; whoever left the source is told everything again.
GONE: Final = "is_gone"
# Whether the first confirmed sending of a person followed a look-up that found nobody.
MADE: Final = "is_made"
# A person of whom a deletion was begun: nothing more is known of the profile.
DELETED: Final = "is_deleted"
# All field digests of a person as one number; 0 where none is trusted.
WHOLE: Final = "digest"
STATE_KEYS: Final[dict[str, pl.DataType]] = {
    "key_hi": pl.UInt64(),
    "key_lo": pl.UInt64(),
    "is_gone": pl.Boolean(),
    "digest": pl.UInt64(),
}
_WAS: Final = "_was"
_SEPARATOR: Final = ","


class Change(StrEnum):
    """What a row is against the state."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"


class Proof(StrEnum):
    """
    What became of a planned row, as the state has to know it.

    `accepted`: the CRM took these very values. `doubtful`: they were sent and perhaps
    taken, so nobody knows what the CRM holds of these fields.
    """

    ACCEPTED = "accepted"
    DOUBTFUL = "doubtful"


@dataclass(frozen=True, slots=True)
class Compared:
    """
    A bucket of persons, compared.

    Attributes:
        rows: row UInt64, change String (`Change`), fields String: of a changed row its
            changed fields, comma-separated numbers in the order of the digest columns;
            lost String: likewise, the fields that the state knows and the row lacks.
        vanished: `KEY_COLUMNS` of persons of the state without a row today.
    """

    rows: pl.DataFrame
    vanished: pl.DataFrame


def whole_digest(columns: Iterable[str]) -> pl.Expr:
    """Return one number for all field digests of a row; xor, so the order is free."""
    parts = [pl.col(name).fill_null(0) for name in columns]
    return pl.fold(
        pl.lit(0, dtype=pl.UInt64), lambda a, b: a ^ b, parts, return_dtype=pl.UInt64
    ).alias(WHOLE)


def compare(today: pl.DataFrame, candidates: pl.DataFrame) -> pl.DataFrame:
    """
    Say of rows that may have changed which of their fields did.

    Args:
        today: row, `KEY_COLUMNS`, digest columns, of these rows.
        candidates: `KEY_COLUMNS`, digest columns of the state, of the same persons.

    Frame:
        out  as `Compared.rows`; a row whose given fields are all equal is unchanged
    """
    columns = field_columns(today.columns)
    before = _with_fields(candidates, columns).select(*KEY_COLUMNS, *columns)
    both = today.join(before, on=KEY_COLUMNS, how="left", suffix=_WAS)
    changed: list[pl.Expr] = []
    lost: list[pl.Expr] = []
    for n, name in enumerate(columns):
        now, was = pl.col(name), pl.col(name + _WAS)
        mark = pl.lit(str(n))
        changed.append(pl.when(now.is_not_null() & now.ne_missing(was)).then(mark))
        lost.append(pl.when(now.is_null() & was.is_not_null()).then(mark))
    return both.select("row", _listed(changed, "fields"), _listed(lost, "lost")).select(
        "row",
        pl.when(pl.col("fields") == "")
        .then(pl.lit(Change.UNCHANGED.value))
        .otherwise(pl.lit(Change.CHANGED.value))
        .alias("change"),
        "fields",
        "lost",
    )


def sort_out(
    today: pl.DataFrame, state: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """
    Tell at one look which persons are new, equal, gone, or have to be looked at.

    Args:
        today: row, `KEY_COLUMNS`, `WHOLE`.
        state: `STATE_KEYS`.

    Returns:
        row, change of what is certain; row and `KEY_COLUMNS` of the candidates for
        `compare`; `KEY_COLUMNS` of the vanished.
    """
    trusted = state.filter(~pl.col(GONE)).select(*KEY_COLUMNS, WHOLE)
    both = today.join(trusted, on=KEY_COLUMNS, how="left", suffix=_WAS)
    was = pl.col(WHOLE + _WAS)
    certain = (
        pl.when(was.is_null())
        .then(pl.lit(Change.NEW.value))
        .when(was == pl.col(WHOLE))
        .then(pl.lit(Change.UNCHANGED.value))
    )
    told = both.select("row", *KEY_COLUMNS, certain.alias("change"))
    vanished = trusted.join(today, on=KEY_COLUMNS, how="anti").select(*KEY_COLUMNS)
    return (
        told.filter(pl.col("change").is_not_null()).select("row", "change"),
        told.filter(pl.col("change").is_null()).select("row", *KEY_COLUMNS),
        vanished,
    )


def compare_bucket(
    today: pl.DataFrame,
    state: pl.DataFrame,
    fields_of: Callable[[pl.DataFrame], tuple[pl.DataFrame, pl.DataFrame]],
) -> Compared:
    """
    Compare the persons of one bucket.

    Args:
        today: row, `KEY_COLUMNS`, `WHOLE`.
        state: `STATE_KEYS`.
        fields_of: Given row and `KEY_COLUMNS` of candidates, returns what `compare`
            takes; called only when there are some.
    """
    certain, candidates, vanished = sort_out(today, state)
    told = certain.with_columns(fields=pl.lit(""), lost=pl.lit(""))
    if candidates.height:
        told = pl.concat([told, compare(*fields_of(candidates))])
    return Compared(told, vanished)


def named_fields(numbers: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the fields that `Compared.rows` numbers, by their dotted paths."""
    names = [field_of(name) for name in field_columns(columns)]
    return tuple(names[int(n)] for n in numbers.split(_SEPARATOR) if n)


def overlay(
    state: pl.DataFrame, sent: pl.DataFrame, vanished: pl.DataFrame
) -> pl.DataFrame:
    """
    Return the state of a bucket after a run, or after a part of it.

    Doing it twice, or again when more of the run is proven, is the same as doing it
    once with what is proven in the end.

    Args:
        state: `STATE_KEYS` and digest columns.
        sent: `KEY_COLUMNS`, proof String (`Proof`), digest columns of what was sent;
            null where a field was not sent. One row a person. Maybe `MADE`.
        vanished: `KEY_COLUMNS`; from now on they are not trusted. Maybe `DELETED`.

    Frame:
        out  as *state*, with the fields of *sent* and no others, and `MADE`; sorted
             by key
    """
    names = field_columns(sent.columns)
    before = _marked(_with_fields(state, names), MADE)
    before = before.select(*KEY_COLUMNS, GONE, MADE, *names)
    now = _marked(sent, MADE).select(*KEY_COLUMNS, "proof", MADE, *names)
    both = before.join(now, on=KEY_COLUMNS, how="full", suffix="_now", coalesce=True)
    is_accepted = (pl.col("proof") == Proof.ACCEPTED.value).fill_null(value=False)
    is_doubtful = (pl.col("proof") == Proof.DOUBTFUL.value).fill_null(value=False)
    # A person that was gone has nothing to be trusted but what it is told now.
    was_gone = pl.col(GONE).fill_null(value=True)
    fields = [
        pl.when(is_accepted & pl.col(f"{name}_now").is_not_null())
        .then(pl.col(f"{name}_now"))
        .when(is_accepted & was_gone)
        .then(None)
        .when(is_doubtful & pl.col(f"{name}_now").is_not_null())
        .then(None)
        .otherwise(pl.col(name))
        .alias(name)
        for name in names
    ]
    told = both.select(
        *KEY_COLUMNS,
        pl.when(is_accepted).then(statement=False).otherwise(was_gone).alias(GONE),
        pl.col(MADE).fill_null(value=False)
        | (is_accepted & pl.col(f"{MADE}_now").fill_null(value=False)),
        *fields,
    )
    left = _marked(vanished, DELETED).select(*KEY_COLUMNS, DELETED)
    return (
        told.join(left, on=KEY_COLUMNS, how="left")
        .with_columns(
            pl.col(GONE) | pl.col(DELETED).is_not_null(),
            pl.col(MADE) & ~pl.col(DELETED).fill_null(value=False),
        )
        .select(*KEY_COLUMNS, GONE, MADE, whole_digest(names), *names)
        .sort(KEY_COLUMNS)
    )


def empty_state() -> pl.DataFrame:
    """Return a bucket in which nobody is known."""
    return pl.DataFrame(schema=STATE_KEYS)


def _with_fields(frame: pl.DataFrame, names: Iterable[str]) -> pl.DataFrame:
    missing = set(names) - set(frame.columns)
    return frame.with_columns(pl.lit(None, dtype=pl.UInt64).alias(n) for n in missing)


def _marked(frame: pl.DataFrame, mark: str) -> pl.DataFrame:
    """Return *frame* with a mark that it may have; nobody bears it where it has not."""
    if mark in frame.columns:
        return frame
    return frame.with_columns(pl.lit(value=False).alias(mark))


def _listed(marks: list[pl.Expr], name: str) -> pl.Expr:
    return pl.concat_str(marks, separator=_SEPARATOR, ignore_nulls=True).alias(name)
