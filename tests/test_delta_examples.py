"""Rows of a plan to look at: some of every kind, however late they come."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest

from pipeline.delta.comparing import NEW, UNCHANGED, Comparison
from pipeline.delta.examples import ROWS_OF_A_KIND, planned_examples
from pipeline.delta.plan_files import PLANNED_SCHEMA, WINDOW_ROWS, write_rows
from pipeline.delta.selecting import WITHDRAWAL_LANE
from pipeline.records import MAIN_LANE

CITY, BOTH = 3, 4


def compared(*files: list[int]) -> Comparison:
    return Comparison(
        codes=tuple(pl.Series(codes, dtype=pl.UInt32) for codes in files),
        changed=("0", "0,1"),
        columns=("d:city", "d:email"),
        vanished=pl.DataFrame(),
        n_rows=Counter(code for codes in files for code in codes),
    )


def planned(folder: Path, what: Comparison, *, first: tuple[int, ...] = ()) -> None:
    """Write the rows that are sent; those numbered *first* go before the others."""
    rows = [
        (source_no, row_no)
        for source_no, codes in enumerate(what.codes)
        for row_no, code in enumerate(codes, 1)
        if code not in (0, UNCHANGED)
    ]
    rows.sort(key=lambda row: (row[1] not in first, row))
    frame = pl.DataFrame(
        {
            "lane": [WITHDRAWAL_LANE if r in first else MAIN_LANE for _, r in rows],
            "source_no": [source_no for source_no, _ in rows],
            "row_no": [row_no for _, row_no in rows],
            "json": [f'{{"customId":"{s}-{r}"}}' for s, r in rows],
            "n_bytes": [1] * len(rows),
            "key_hi": [0] * len(rows),
            "key_lo": [0] * len(rows),
        },
        schema=PLANNED_SCHEMA,
    )
    write_rows(folder, [frame], ())


def test_every_kind_is_shown_and_new_rows_come_last(tmp_path: Path) -> None:
    many = [NEW] * 9 + [CITY] * 2 + [UNCHANGED] + [BOTH] * 5
    what = compared(many)
    planned(tmp_path, what)
    found = planned_examples(tmp_path, what)

    assert [(row.row_no, row.changed) for row in found] == [
        (13, ("city", "email")),
        (14, ("city", "email")),
        (15, ("city", "email")),
        (10, ("city",)),
        (11, ("city",)),
        (1, None),
        (2, None),
        (3, None),
    ]
    assert found[0].content == {"customId": "0-13"}


def test_rows_of_several_files_in_any_lane_are_what_they_are(tmp_path: Path) -> None:
    what = compared([UNCHANGED, CITY], [BOTH, UNCHANGED, NEW])
    planned(tmp_path, what, first=(3,))
    found = planned_examples(tmp_path, what)

    assert [(row.source_no, row.row_no, row.changed) for row in found] == [
        (0, 2, ("city",)),
        (1, 1, ("city", "email")),
        (1, 3, None),
    ]
    assert [row.content["customId"] for row in found] == ["0-2", "1-1", "1-3"]


@pytest.mark.parametrize("n_before", [WINDOW_ROWS - 1, WINDOW_ROWS + 1])
def test_a_kind_that_comes_late_is_found(tmp_path: Path, n_before: int) -> None:
    what = compared([NEW] * n_before + [CITY] * (ROWS_OF_A_KIND + 1))
    planned(tmp_path, what)
    found = planned_examples(tmp_path, what)

    assert [row.row_no for row in found] == [
        *range(n_before + 1, n_before + 1 + ROWS_OF_A_KIND),
        *range(1, 1 + ROWS_OF_A_KIND),
    ]


def test_a_plan_without_rows_has_nothing_to_show(tmp_path: Path) -> None:
    what = compared([UNCHANGED])
    planned(tmp_path, what)

    assert planned_examples(tmp_path, what) == ()
