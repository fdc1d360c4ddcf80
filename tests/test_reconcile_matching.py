"""Who meets whom, against a model of plain loops."""

from collections import defaultdict
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reconcile.matching import entries_of, paired, pairs_in, shared_in

NAMES = ("customId", "email", "phone")
ROWS = st.lists(
    st.fixed_dictionaries(
        {name: st.none() | st.sampled_from("abcd") for name in ("customId", "email")}
        | {"phone": st.none() | st.sampled_from("1234")}
    ),
    max_size=8,
)


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    cells = [
        {name: None if row[name] is None else f'"{row[name]}"' for name in NAMES}
        for row in rows
    ]
    made = pl.DataFrame(cells, schema=dict.fromkeys(NAMES, pl.String))
    return made.with_row_index("number")


def one_a_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Fold the source as an import would: no identifier stands twice."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for row in rows:
        keys = {(name, row[name]) for name in NAMES if row[name] is not None}
        if not keys & seen:
            kept.append(row)
            seen |= keys
    return kept


def meets(row: dict[str, Any], profile: dict[str, Any]) -> bool:
    strong = [row[name] for name in ("customId", "email")]
    if any(value is not None for value in strong):
        return any(
            row[name] is not None and row[name] == profile[name]
            for name in ("customId", "email")
        )
    return row["phone"] is not None and row["phone"] == profile["phone"]


@given(source=ROWS.map(one_a_key), crm=ROWS)
def test_rows_meet_by_any_identifier_and_conflicts_are_known(
    source: list[dict[str, Any]], crm: list[dict[str, Any]]
) -> None:
    entries = pl.concat(
        entries_of(frame(rows), NAMES, "key", is_source=is_source)
        for rows, is_source in ((source, True), (crm, False))
    )
    pairs = paired(pairs_in(entries)["pair"].unique().sort())

    met = {
        (r, p)
        for r, row in enumerate(source)
        for p, at in enumerate(crm)
        if meets(row, at)
    }
    profiles_of, rows_of = defaultdict(set), defaultdict(set)
    for row, profile in met:
        profiles_of[row].add(profile)
        rows_of[profile].add(row)
    found = pairs.of_profiles(0, len(crm)).rows()
    assert {(row, profile) for profile, row in found} == met
    several = {row for row, profiles in profiles_of.items() if len(profiles) > 1}
    assert set(pairs.several_profiles) == several
    shared = {
        row
        for row, profiles in profiles_of.items()
        if row not in several and any(len(rows_of[p]) > 1 for p in profiles)
    }
    assert set(pairs.several_rows) == shared
    assert pairs.in_conflict() == (pairs.several_profiles, pairs.several_rows)
    assert pairs.of_profiles(len(crm), 5).is_empty()
    assert pairs.profiles().to_list() == sorted({number for number, _ in found})


@given(crm=ROWS)
def test_profiles_that_share_an_identifier_are_counted(
    crm: list[dict[str, Any]],
) -> None:
    entries = entries_of(frame(crm), NAMES, "key", is_source=False)

    keys = [(name, at[name]) for at in crm for name in ("customId", "email")]
    shared = {
        number
        for number, at in enumerate(crm)
        for name in ("customId", "email")
        if at[name] is not None and keys.count((name, at[name])) > 1
    }
    assert set(shared_in(entries)) == shared


def test_an_identifier_that_a_side_does_not_have_meets_nobody() -> None:
    cells = frame([{"customId": "a", "email": "a", "phone": None}]).drop("email")
    entries = entries_of(cells, NAMES, "key", is_source=True)

    assert entries.height == 1
