"""
What changed: the digests of today's rows against the last confirmed ones.

Everything works on a span of buckets at a time, some 200,000 persons, so memory follows
neither side. A field that is not given today says nothing: it neither makes a row
changed nor takes from the state what the CRM holds.
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
# Where a row stands among those of today, and of the state.
_HERE: Final = "here"
_THERE: Final = "there"
_DIFFERING: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "fields": pl.String(),
    "lost": pl.String(),
}
_SEPARATOR: Final = ","


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
    A bucket of persons, compared; each row of today stands in one of the first three.

    Attributes:
        new: row UInt64, of persons that the state does not know.
        equal: row UInt64, of persons of whom all digests are as they were.
        differing: row UInt64; fields String: what is given now and was not so before,
            as numbers in the order of the digest columns, comma-separated, "" where
            fields were only lost; lost String: likewise, what the state knows and the
            row lacks.
        vanished: `KEY_COLUMNS` of persons of the state without a row today.
    """

    new: pl.Series
    equal: pl.Series
    differing: pl.DataFrame
    vanished: pl.DataFrame


def whole_digest(columns: Iterable[str]) -> pl.Expr:
    """Return one number for all field digests of a row; xor, so the order is free."""
    parts = [pl.col(name).fill_null(0) for name in columns]
    return pl.fold(
        pl.lit(0, dtype=pl.UInt64), lambda a, b: a ^ b, parts, return_dtype=pl.UInt64
    ).alias(WHOLE)


def compare_bucket(
    today: pl.DataFrame,
    state: pl.DataFrame,
    fields_of: Callable[[pl.Series, pl.Series], tuple[pl.DataFrame, pl.DataFrame]],
) -> Compared:
    """
    Compare the persons of a span of buckets.

    Args:
        today: row, `KEY_COLUMNS`, `WHOLE`; one row a person.
        state: `STATE_KEYS`; one row a person.
        fields_of: Given places of today and of the state, counted from 0, returns the
            digest columns of these rows, in that order. Called only when some differ.
    """
    both = _met(today, state)
    here, there = pl.col(_HERE), pl.col(_THERE)
    is_equal = pl.col(WHOLE) == pl.col(WHOLE + _WAS)
    pairs = both.filter(here.is_not_null() & there.is_not_null())
    unlike = pairs.filter(~is_equal)
    differing = pl.DataFrame(schema=_DIFFERING)
    if unlike.height:
        now, was = fields_of(unlike[_HERE], unlike[_THERE])
        differing = _differing(unlike["row"], now, was)
    return Compared(
        both.filter(there.is_null())["row"],
        pairs.filter(is_equal)["row"],
        differing,
        both.filter(here.is_null()).select(
            pl.col(name + _WAS).alias(name) for name in KEY_COLUMNS
        ),
    )


def _met(today: pl.DataFrame, state: pl.DataFrame) -> pl.DataFrame:
    """
    Join on the persons whom the state trusts, keeping what has no partner.

    Half of a key tells persons apart, but for one pair in 3e5 times ten million of
    them, and joining on one number takes a third of the time of joining on two. So the
    other half is compared afterwards, and where that does not add up it is joined on
    both.
    """
    key_hi, key_lo = KEY_COLUMNS
    trusted = (
        state.with_row_index(_THERE)
        .filter(~pl.col(GONE))
        .select(*KEY_COLUMNS, WHOLE, _THERE)
    )
    rows = today.with_row_index(_HERE)
    both = rows.join(trusted, on=key_hi, how="full", suffix=_WAS)
    n_here, n_there, n_unlike = both.select(
        pl.col(_HERE).count(),
        pl.col(_THERE).count(),
        (pl.col(key_lo) != pl.col(key_lo + _WAS)).sum(),
    ).row(0)
    if (n_here, n_there, n_unlike) == (rows.height, trusted.height, 0):
        return both
    return rows.join(trusted, on=KEY_COLUMNS, how="full", suffix=_WAS)


def _differing(rows: pl.Series, now: pl.DataFrame, was: pl.DataFrame) -> pl.DataFrame:
    """Name the fields in which rows differ; all three are in one order."""
    columns = field_columns(now.columns)
    before = _with_fields(was, columns).select(
        pl.col(name).alias(name + _WAS) for name in columns
    )
    both = now.select(rows.alias("row"), *columns).hstack(before)
    changed: list[pl.Expr] = []
    lost: list[pl.Expr] = []
    for n, name in enumerate(columns):
        digest, former = pl.col(name), pl.col(name + _WAS)
        mark = pl.lit(str(n))
        changed.append(
            pl.when(digest.is_not_null() & digest.ne_missing(former)).then(mark)
        )
        lost.append(pl.when(digest.is_null() & former.is_not_null()).then(mark))
    return both.select("row", _listed(changed, "fields"), _listed(lost, "lost"))


def named_fields(numbers: str, columns: Iterable[str]) -> tuple[str, ...]:
    """Return the fields that `Compared.differing` numbers, by their dotted paths."""
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
