"""
From all rows of a source to those that a plan sends: which, in which lane, how much.

Pure: works on frames as they go by.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.contract import IDENTIFIERS
from pipeline.delta.changes import named_fields
from pipeline.delta.digests import (
    FIELD_PREFIX,
    KEY_COLUMNS,
    digest_of,
    field_columns,
    field_of,
)
from pipeline.folding import picked_text
from pipeline.identity import packed_row
from pipeline.records import ROW_KEY

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pipeline.records import Encoded

WITHDRAWAL_LANE: Final = 1
CODE: Final = "code"
_AGREEMENTS: Final = f"{FIELD_PREFIX}agreements."


@dataclass(frozen=True, slots=True)
class Selection:
    """
    How the rows to send are found and made.

    Attributes:
        codes: For each file, what each row is, see `comparing.Comparison`.
        sent: Codes of rows that are sent → the columns of their changed fields; None
            for a row of which everything is news.
        only_changed: Whether a changed row is sent with these fields alone.
        erased: Column → the digest that says "erased".
        withdrawn: Column of an agreement → the digest that says "no"; *granted* "yes".
    """

    codes: Sequence[pl.Series]
    sent: Mapping[int, tuple[str, ...] | None]
    only_changed: bool
    erased: Mapping[str, int]
    withdrawn: Mapping[str, int]
    granted: Mapping[str, int]


@dataclass(slots=True)
class Counts:
    """What the rows that were selected do, by field."""

    erased: Counter[str] = field(default_factory=Counter)
    withdrawn: Counter[str] = field(default_factory=Counter)
    granted: Counter[str] = field(default_factory=Counter)
    n_rows: Counter[int] = field(default_factory=Counter)
    n_bytes: Counter[int] = field(default_factory=Counter)


def selection(
    codes: Sequence[pl.Series],
    sent: Mapping[int, tuple[str, ...] | None],
    columns: Sequence[str],
    key: str,
    *,
    only_changed: bool,
) -> Selection:
    """Return how rows are selected, with the digests that say what a field is told."""
    agreements = [name for name in columns if name.startswith(_AGREEMENTS)]
    return Selection(
        codes,
        sent,
        only_changed,
        {c: digest_of(key, field_of(c), None) for c in columns},
        {c: digest_of(key, field_of(c), value=False) for c in agreements},
        {c: digest_of(key, field_of(c), value=True) for c in agreements},
    )


def changed_columns(numbers: str, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the digest columns that `changes.Compared.differing` numbers."""
    return tuple(f"{FIELD_PREFIX}{name}" for name in named_fields(numbers, columns))


def select_rows(part: Encoded, how: Selection, counts: Counts) -> list[pl.DataFrame]:
    """
    Return the rows of a frame that are sent, a frame for each lane.

    Frame:
        out  `plan_files.PLANNED_SCHEMA` and the digest columns of *part*

    Cost: with `only_changed`, about 20 µs in Python for each changed row.
    """
    frame = part.frame
    columns = field_columns(frame.columns)
    rows = frame.with_columns(codes_of(frame, how.codes)).filter(
        pl.col(CODE).is_in(list(how.sent))
    )
    if rows.is_empty():
        return []
    made = [
        _made(group, how.sent[int(str(code))], columns, how, counts)
        for (code,), group in rows.group_by(CODE, maintain_order=True)
    ]
    lane = pl.when("withdraws").then(pl.lit(WITHDRAWAL_LANE)).otherwise(part.lane)
    planned = (
        pl.concat(made)
        .with_columns(lane.cast(pl.UInt8).alias("lane"))
        .sort(packed_row())
        .select("lane", *ROW_KEY, "json", "n_bytes", *KEY_COLUMNS, *columns)
    )
    lanes = planned.partition_by("lane", maintain_order=True)
    for each in lanes:
        number = int(each["lane"][0])
        counts.n_rows[number] += each.height
        counts.n_bytes[number] += int(each["n_bytes"].sum()) + each.height
    return lanes


def codes_of(frame: pl.DataFrame, codes: Sequence[pl.Series]) -> pl.Series:
    """
    Return what the rows of a frame are.

    Args:
        codes: For each file, a UInt32 for each of its rows.
    """
    found = [
        codes[int(str(source_no))].gather(group["row_no"] - 1)
        for (source_no,), group in frame.group_by("source_no", maintain_order=True)
    ]
    return pl.concat([pl.Series(CODE, [], pl.UInt32), *found]).alias(CODE)


def _made(
    group: pl.DataFrame,
    changed: tuple[str, ...] | None,
    columns: Sequence[str],
    how: Selection,
    counts: Counts,
) -> pl.DataFrame:
    """Return rows of one code as they are sent, and count what they do."""
    news = columns if changed is None else changed
    for told, found in (
        (how.erased, counts.erased),
        (how.withdrawn, counts.withdrawn),
        (how.granted, counts.granted),
    ):
        for name in news:
            if name in told:
                found[field_of(name)] += int((group[name] == told[name]).sum())
    withdrawals = [
        (pl.col(name) == how.withdrawn[name]).fill_null(value=False)
        for name in news
        if name in how.withdrawn
    ]
    made = group.with_columns(
        pl.any_horizontal(pl.lit(value=False), *withdrawals).alias("withdraws")
    )
    if changed is None or not how.only_changed:
        return made
    kept = {*changed, *(FIELD_PREFIX + name for name in IDENTIFIERS)}
    names = [field_of(name) for name in kept]
    texts = [picked_text(text, names) for text in made["json"]]
    return made.with_columns(
        pl.Series("json", texts, pl.String),
        *(pl.lit(None, dtype=pl.UInt64).alias(n) for n in columns if n not in kept),
    ).with_columns(pl.col("json").str.len_bytes().alias("n_bytes"))
