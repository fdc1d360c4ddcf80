"""
One row a profile: which rows of a source are the same person, and what becomes of them.

Rows are linked by equal customId, e-mail, uuid or clientId; by phone only where it is
the sole identifier of both. Linked rows form a group. A group that holds two distinct
values of one linking identifier contradicts itself and is blocked whole; any other is
folded, or one of its rows is chosen. Everything works on keyed 128-bit digests, bucket
by bucket, so memory follows the rows that collide, not the source.

The digest here is xxh3 under a key that is drawn per run and never stored; the digests
themselves live until pass 1 ends. Two of ten million identifiers fall together with a
chance of 1.5e-25.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import polars_hash as plh

from pipeline.records import ROWS_A_FILE, State

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pipeline.settings import Duplicates

# Linking identifiers, with the tag that keeps equal texts of two kinds apart.
LINKING: Final = ("customId", "email", "uuid", "clientId")
PHONE_ALONE: Final = len(LINKING)
PHONE_BESIDE: Final = len(LINKING) + 1
GROUPS_IN_BUCKET: Final = 20_000
_LOW_HALF: Final = 2**64 - 1
_PLACES: Final = 2**32
_KINDS: Final = 8

ENTRIES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "kind": pl.UInt8(),
    "digest": pl.UInt128(),
}
# A byte instead of sixteen for each word; there are as many as rows that collide.
_STATES: Final = pl.Enum([State.BLOCKED.value, State.FOLDED.value])
_CODES: Final = pl.Enum(["ID_CONFLICT", "DUPLICATE", "FOLDED", "SUPERSEDED"])
FATES_SCHEMA: Final[dict[str, pl.DataType]] = {
    "row": pl.UInt64(),
    "survivor": pl.UInt64(),
    "state": _STATES,
    "code": _CODES,
    "bucket": pl.UInt32(),
}


def packed_row() -> pl.Expr:
    """Return source_no and row_no as one number that sorts in file order."""
    source_no = pl.col("source_no").cast(pl.UInt64)
    return (source_no * ROWS_A_FILE + pl.col("row_no")).alias("row")


def unpacked_row(column: str = "row") -> tuple[pl.Expr, pl.Expr]:
    """Return the two columns that `packed_row` joined."""
    packed = pl.col(column)
    return (
        (packed // ROWS_A_FILE).cast(pl.UInt32).alias("source_no"),
        (packed % ROWS_A_FILE).alias("row_no"),
    )


def identifier_entries(
    clean: pl.DataFrame, identifiers: Iterable[str], key: str
) -> pl.DataFrame:
    """
    List the identifiers of clean rows, as digests.

    Args:
        identifiers: Fields that can find a profile in this workspace.
        key: Secret text of this run.

    Frame:
        in   source_no, row_no, and the identifier columns
        out  `ENTRIES_SCHEMA`: row (see `packed_row`), kind (place in `LINKING`, or one
             of the two phone kinds), digest

    Rows: one per identifier given.
    """
    present = [name for name in LINKING if name in identifiers]
    frame = clean.lazy().with_columns(packed_row())
    parts = [
        frame.filter(pl.col(name).is_not_null()).select(
            "row",
            pl.lit(LINKING.index(name), dtype=pl.UInt8).alias("kind"),
            _digest(f"{key}{name}:", pl.col(name).cast(pl.String)),
        )
        for name in present
    ]
    if "phone" in identifiers:
        is_alone = pl.all_horizontal(
            pl.lit(value=True), *(pl.col(name).is_null() for name in present)
        )
        parts.append(
            frame.filter(pl.col("phone").is_not_null()).select(
                "row",
                pl.when(is_alone)
                .then(pl.lit(PHONE_ALONE, dtype=pl.UInt8))
                .otherwise(pl.lit(PHONE_BESIDE, dtype=pl.UInt8))
                .alias("kind"),
                _digest(f"{key}phone:", pl.col("phone")),
            )
        )
    if not parts:
        return pl.DataFrame(schema=ENTRIES_SCHEMA)
    return pl.concat(pl.collect_all(parts))


def _digest(prefix: str, text: pl.Expr) -> pl.Expr:
    # The plugin's own concat_str returns an expression that knows `nchash`.
    keyed = plh.concat_str(pl.lit(prefix), text)
    return keyed.nchash.xxh3_128(seed=0).alias("digest")


def decide(
    buckets: Callable[[], Iterator[pl.DataFrame]], duplicates: Duplicates
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Find the groups of a source and say what becomes of their rows.

    Args:
        buckets: Gives the entries of all rows; equal digests always in one bucket.
            Called a second time only when rows collide.

    Frame:
        out  fates: `FATES_SCHEMA`, sorted by row, one line per row of a group. state
             is null for a row that goes out: alone, or carrying what was folded into
             it (then `bucket` is not null, here as in the rows it carries).
        out  shared: row, of phone-only rows whose phone also stands on another row

    Cost: memory follows the rows that collide.
    """
    links, shared, n_meetings = [], [], 0
    for entries in buckets():
        found, phones = _collisions(entries)
        links.append(found.with_columns(pl.col("meeting") + n_meetings))
        n_meetings += found["meeting"].n_unique()
        shared.append(phones)
    shared_rows = (
        pl.concat(shared) if shared else pl.DataFrame(schema={"row": pl.UInt64})
    )
    joined = pl.concat(links) if links else _NO_LINKS
    links.clear()
    groups = components(joined)
    if groups.is_empty():
        return pl.DataFrame(schema=FATES_SCHEMA), shared_rows
    conflicts = _conflicts(buckets(), groups)
    return _fates(groups, conflicts, duplicates), shared_rows


_NO_LINKS: Final = pl.DataFrame(schema={"row": pl.UInt64, "meeting": pl.UInt32})


def _conflicts(buckets: Iterable[pl.DataFrame], groups: pl.DataFrame) -> pl.Series:
    """Return the groups that hold two distinct values of one linking identifier."""
    rows = groups["row"]
    # A group is told by the place of its first row, a kind is less than eight.
    places = groups.select(
        "row", place=rows.search_sorted(groups["group"]).cast(pl.UInt64)
    )
    kinds = [
        entries.filter(pl.col("kind") < PHONE_ALONE)
        .join(places, on="row")
        .select(pl.col("place") * _KINDS + pl.col("kind"), "digest")
        .unique()["place"]
        for entries in buckets
    ]
    # Equal digests are in one bucket: a kind that stands twice has two values.
    ordered = pl.concat(kinds).sort()
    twice = ordered.filter(ordered == ordered.shift(1))
    return rows.gather((twice // _KINDS).unique())


def _collisions(entries: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """
    Return the linking entries that meet, and the shared phones.

    The former are row and meeting: a number from 0 in the place of the digest, 4 bytes
    for 16.
    """
    linking = _meeting(entries.filter(pl.col("kind") <= PHONE_ALONE)).unique()
    links = linking.filter(pl.col("digest").is_duplicated())
    digests = links["digest"].unique().sort()
    meetings = digests.search_sorted(links["digest"]).cast(pl.UInt32)
    beside = entries.filter(pl.col("kind") == PHONE_BESIDE).select("digest")
    alone = entries.filter(pl.col("kind") == PHONE_ALONE)
    shared = alone.join(beside, on="digest", how="semi").select("row")
    return links.select("row", meeting=meetings), shared


def _meeting(entries: pl.DataFrame) -> pl.DataFrame:
    """
    Return the entries whose digests stand twice, and perhaps a few others.

    Half a digest tells nearly as much, and sorts twenty times as fast as whole ones
    are counted (50 against 950 CPU ms for three million, measured).
    """
    halves = (entries["digest"] & _LOW_HALF).cast(pl.UInt64)
    ordered = halves.sort()
    twice = ordered.filter(ordered == ordered.shift(1))
    return entries.filter(halves.is_in(twice.unique().implode()))


def components(links: pl.DataFrame) -> pl.DataFrame:
    """
    Join rows that meet, directly or through others, into groups.

    Every row takes the smallest row it can see, and then that row's own choice, until
    nothing changes: union by frames, so that ten million links need no Python loop.

    Frame:
        in   row, meeting (UInt32: rows of one number are one profile; from 0, none
             left out)
        out  row, group (the smallest row of the group), sorted by row
    """
    rows = links["row"].unique().sort()
    places = rows.search_sorted(links["row"]).cast(pl.UInt32)
    meetings = links["meeting"]
    labels = pl.int_range(len(rows), dtype=pl.UInt32, eager=True)
    while True:
        of_meeting = _lowest(meetings, labels.gather(places))
        seen = _lowest(places, of_meeting.gather(meetings))
        jumped = seen.gather(seen)
        if jumped.equals(labels):
            return pl.DataFrame({"row": rows, "group": rows.gather(labels)})
        labels = jumped


def _lowest(places: pl.Series, labels: pl.Series) -> pl.Series:
    """
    Return the lowest label of each place; every place up to the last is there.

    Sorting takes half the memory of grouping, and half the time.
    """
    both = (places.cast(pl.UInt64) * _PLACES + labels).sort()
    of_place = both // _PLACES
    is_first = of_place.ne_missing(of_place.shift(1))
    return (both.filter(is_first) % _PLACES).cast(pl.UInt32)


def _fates(
    groups: pl.DataFrame, conflicts: pl.Series, duplicates: Duplicates
) -> pl.DataFrame:
    keeps_first = duplicates == "first"
    survivor = pl.col("row").min() if keeps_first else pl.col("row").max()
    code = "FOLDED" if duplicates == "fold" else "SUPERSEDED"
    is_conflict = pl.col("group").is_in(conflicts.implode())
    is_blocked = is_conflict | (duplicates == "block")
    is_folded = ~is_blocked & (pl.col("row") != pl.col("survivor"))
    bucket = (pl.col("survivor").rank("dense") - 1) // GROUPS_IN_BUCKET
    return (
        groups.with_columns(survivor.over("group").alias("survivor"))
        .select(
            "row",
            "survivor",
            pl.when(is_blocked)
            .then(pl.lit(State.BLOCKED.value, dtype=_STATES))
            .when(is_folded)
            .then(pl.lit(State.FOLDED.value, dtype=_STATES))
            .alias("state"),
            pl.when(is_conflict)
            .then(pl.lit("ID_CONFLICT", dtype=_CODES))
            .when(is_blocked)
            .then(pl.lit("DUPLICATE", dtype=_CODES))
            .when(is_folded)
            .then(pl.lit(code, dtype=_CODES))
            .alias("code"),
            pl.when(~is_blocked & (duplicates == "fold"))
            .then(bucket)
            .cast(pl.UInt32)
            .alias("bucket"),
        )
        .sort("row")
    )
