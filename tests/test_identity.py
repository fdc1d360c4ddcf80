"""Who is the same person: against a union-find written the long way."""

from collections import defaultdict
from collections.abc import Iterator

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.identity import (
    ENTRIES_SCHEMA,
    components,
    decide,
    identifier_entries,
    packed_row,
    unpacked_row,
)
from pipeline.settings import Duplicates
from pipeline.spill import by_digest

IDENTIFIERS = ("email", "customId", "uuid", "phone")
Row = dict[str, str | None]


def clean_frame(rows: list[Row]) -> pl.DataFrame:
    return pl.DataFrame(
        rows, schema=dict.fromkeys(IDENTIFIERS, pl.String), orient="row"
    ).select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        pl.int_range(1, pl.len() + 1, dtype=pl.UInt64).alias("row_no"),
        pl.all(),
    )


def fates_of(
    rows: list[Row], duplicates: Duplicates = "fold"
) -> dict[int, tuple[str, int]]:
    entries = by_digest(identifier_entries(clean_frame(rows), IDENTIFIERS, "key"))

    def buckets() -> Iterator[pl.DataFrame]:
        for part in entries.partition_by("bucket"):
            yield part.select(list(ENTRIES_SCHEMA))

    fates, _ = decide(buckets, duplicates)
    return {
        row: (code or "", survivor)
        for row, survivor, code in fates.select("row", "survivor", "code").iter_rows()
    }


def expected_fates(rows: list[Row]) -> dict[int, tuple[str, int]]:
    parent = list(range(len(rows)))

    def find(i: int) -> int:
        while parent[i] != i:
            i = parent[i]
        return i

    seen: dict[tuple[str, str], int] = {}
    for i, row in enumerate(rows):
        alone = not any(row[name] for name in IDENTIFIERS[:3])
        for name in (*IDENTIFIERS[:3], *(["phone"] if alone else [])):
            value = row[name]
            if value is not None:
                other = seen.setdefault((name, value), i)
                parent[find(i)] = find(other)
    groups = defaultdict(list)
    for i in range(len(rows)):
        groups[find(i)].append(i)
    fates = {}
    for members in groups.values():
        if len(members) < 2:
            continue
        conflict = any(
            len({rows[i][name] for i in members} - {None}) > 1
            for name in IDENTIFIERS[:3]
        )
        for i in members:
            code = "ID_CONFLICT" if conflict else "" if i == members[-1] else "FOLDED"
            fates[i + 1] = (code, members[-1] + 1)
    return fates


def few(prefix: str) -> st.SearchStrategy[str | None]:
    return st.none() | st.sampled_from([f"{prefix}{n}" for n in range(5)])


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "email": few("e"),
            "customId": few("c"),
            "uuid": few("u"),
            # One text as e-mail and as customId is two identifiers.
            "phone": few("e"),
        }
    ),
    max_size=14,
)


@given(ROWS)
def test_groups_are_those_of_a_plain_union_find(rows: list[Row]) -> None:
    assert fates_of(rows) == expected_fates(rows)


@given(st.permutations(range(1, 12)))
def test_a_long_chain_is_one_group(order: list[int]) -> None:
    links = pl.DataFrame(
        {
            "row": [row for row in order for _ in range(2)],
            "meeting": [n for row in order for n in (row - 1, row)],
        },
        schema={"row": pl.UInt64, "meeting": pl.UInt32},
    )

    assert components(links)["group"].to_list() == [1] * 11


def test_equal_text_of_two_identifiers_links_nobody() -> None:
    nobody: Row = dict.fromkeys(IDENTIFIERS)
    rows: list[Row] = [{**nobody, name: "600100200"} for name in IDENTIFIERS]

    assert fates_of(rows) == {}


def test_a_thousand_households_stay_a_thousand() -> None:
    rows: list[Row] = [
        {
            "email": f"p{i}@example.com",
            "customId": None,
            "uuid": None,
            "phone": "+48600",
        }
        for i in range(1000)
    ]

    assert fates_of(rows) == {}


def test_a_phone_links_only_rows_that_have_nothing_else() -> None:
    alone: Row = {"email": None, "customId": None, "uuid": None, "phone": "+48600"}
    beside: Row = {**alone, "email": "a@example.com"}
    entries = identifier_entries(clean_frame([alone, beside, alone]), IDENTIFIERS, "k")

    fates, shared = decide(lambda: iter([entries]), "fold")

    assert fates.select("row", "survivor", "code").rows() == [
        (1, 3, "FOLDED"),
        (3, 3, None),
    ]
    assert shared["row"].sort().to_list() == [1, 3]


@pytest.mark.parametrize(
    ("duplicates", "codes"),
    [
        ("fold", ["FOLDED", "FOLDED", None]),
        ("last", ["SUPERSEDED", "SUPERSEDED", None]),
        ("first", [None, "SUPERSEDED", "SUPERSEDED"]),
        ("block", ["DUPLICATE", "DUPLICATE", "DUPLICATE"]),
    ],
)
def test_every_policy_names_the_row_that_stays(
    duplicates: Duplicates, codes: list[str | None]
) -> None:
    rows: list[Row] = [
        {"email": "a", "customId": None, "uuid": None, "phone": None} for _ in range(3)
    ]
    entries = identifier_entries(clean_frame(rows), IDENTIFIERS, "k")

    fates, _ = decide(lambda: iter([entries]), duplicates)

    assert fates["code"].to_list() == codes
    assert (fates["bucket"].null_count() == 0) == (duplicates == "fold")


def test_rows_of_several_files_keep_their_order_when_packed() -> None:
    keys = pl.DataFrame(
        {"source_no": [0, 1, 70000], "row_no": [2**39, 1, 3]},
        schema={"source_no": pl.UInt32, "row_no": pl.UInt64},
    )
    packed = keys.select(packed_row())

    assert packed["row"].is_sorted()
    assert packed.select(unpacked_row()).equals(keys)


def test_no_identifier_column_gives_no_entries() -> None:
    assert identifier_entries(clean_frame([]), (), "k").schema == ENTRIES_SCHEMA
    fates, shared = decide(lambda: iter([]), "fold")
    assert fates.is_empty()
    assert shared.is_empty()
