"""The canary shows every shape, every field and the longest rows, and stays small."""

import random

import polars as pl

from pipeline.delta.canary import (
    CANARY_LANE,
    LEAST_CANARY_ROWS,
    MOST_CANARY_ROWS,
    Canary,
)
from pipeline.delta.digests import field_columns
from pipeline.records import MAIN_LANE

NOBODY = pl.Series("row", [], pl.UInt64)
FIELDS = ("d:customId", "d:email", *(f"d:attributes.a{n}" for n in range(60)))


def planned(n_rows: int, seed: int, first: int = 1) -> pl.DataFrame:
    dice = random.Random(seed)  # noqa: S311 - repeatable
    rows = []
    for n in range(first, first + n_rows):
        given = {name: dice.random() < 0.02 for name in FIELDS}
        given["d:customId"] = dice.random() < 0.9 or not given["d:email"]
        rows.append(
            {
                "lane": MAIN_LANE,
                "source_no": 0,
                "row_no": n,
                "json": "{}",
                "n_bytes": dice.randint(10, 100_000),
                "key_hi": n,
                "key_lo": n,
                **{name: 1 if has else None for name, has in given.items()},
            }
        )
    schema = {
        "lane": pl.UInt8(),
        "source_no": pl.UInt32(),
        "row_no": pl.UInt64(),
        "json": pl.String(),
        "n_bytes": pl.UInt32(),
        "key_hi": pl.UInt64(),
        "key_lo": pl.UInt64(),
        **dict.fromkeys(FIELDS, pl.UInt64()),
    }
    return pl.DataFrame(rows, schema=schema)


def shapes(rows: pl.DataFrame) -> set[tuple[bool, ...]]:
    has = rows.select(pl.col("d:customId", "d:email").is_not_null())
    return set(has.iter_rows())


def test_every_field_and_shape_and_the_longest_row_are_in_it() -> None:
    canary = Canary(NOBODY)
    frames = [planned(400, seed, 1 + 400 * seed) for seed in range(4)]
    for frame in frames:
        canary.look(frame)
    chosen = canary.chosen()
    rows = pl.concat(frames)

    assert chosen is not None
    assert LEAST_CANARY_ROWS <= chosen.height <= MOST_CANARY_ROWS
    assert set(chosen["lane"]) == {CANARY_LANE}
    assert chosen["row_no"].is_sorted()
    given = [n for n in field_columns(rows.columns) if rows[n].null_count() < len(rows)]
    assert all(chosen[name].null_count() < chosen.height for name in given)
    assert shapes(chosen) == shapes(rows)
    assert chosen["n_bytes"].max() == rows["n_bytes"].max()


def test_a_source_of_one_shape_has_the_least_canary() -> None:
    canary = Canary(NOBODY)
    rows = planned(500, 1).with_columns(
        pl.lit(1, dtype=pl.UInt64).alias(name) for name in FIELDS
    )
    canary.look(rows)
    chosen = canary.chosen()

    assert chosen is not None
    assert chosen.height == LEAST_CANARY_ROWS


def test_few_rows_have_no_canary() -> None:
    canary = Canary(NOBODY)
    assert canary.chosen() is None
    canary.look(planned(MOST_CANARY_ROWS, 1))
    assert canary.chosen() is None


def test_rows_of_shared_phones_are_never_in_it() -> None:
    rows = planned(500, 1)
    shared = pl.Series("row", range(1, 300), dtype=pl.UInt64)
    canary = Canary(shared)
    canary.look(rows)
    chosen = canary.chosen()

    assert chosen is not None
    assert chosen["row_no"].min() == 300


def test_more_shapes_than_a_canary_has_rows_fill_it() -> None:
    rows = planned(400, 1).with_columns(
        pl.when(pl.col("row_no") == n + 1)
        .then(pl.lit(1, dtype=pl.UInt64))
        .alias(f"d:attributes.b{n}")
        for n in range(200)
    )
    canary = Canary(NOBODY)
    canary.look(rows.with_columns(n_bytes=pl.lit(1, dtype=pl.UInt32)))
    chosen = canary.chosen()

    assert chosen is not None
    assert chosen.height == MOST_CANARY_ROWS
