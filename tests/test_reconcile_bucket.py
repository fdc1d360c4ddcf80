"""Counts and lines of buckets, and what would have to be sent."""

from collections import Counter
from typing import Any

import polars as pl

from pipeline.reconcile.bucket import (
    BASELINE,
    CRM,
    MAX_MARKED_FIELDS,
    SOURCE,
    WHOLE_ROW,
    BucketRules,
    Tally,
    compare_bucket,
)
from pipeline.reconcile.compare import FieldRules
from pipeline.reconcile.report import CrmSide, FieldReport, ReconcileReport
from pipeline.records import FieldClass, RowClass

NOBODY = pl.Series([], dtype=pl.UInt32)


def rules(*fields: str, **more: Any) -> BucketRules:
    told: dict[str, Any] = {
        "known_empty": frozenset(),
        "is_complete": True,
        "conflicts": {
            RowClass.SEVERAL_PROFILES: NOBODY,
            RowClass.SEVERAL_ROWS: NOBODY,
        },
        "doubtful": NOBODY,
    }
    return BucketRules([FieldRules(name) for name in fields], **told | more)


def bucket(
    *rows: tuple[int, int | None, int, str | None], **cells: Any
) -> pl.DataFrame:
    schema = {
        "side": pl.UInt8,
        "row": pl.UInt32,
        "number": pl.UInt32,
        "profile": pl.String,
    }
    made = pl.DataFrame(list(rows), schema=schema, orient="row")
    return made.with_columns(
        pl.Series(name, column, pl.String) for name, column in cells.items()
    )


SOME = bucket(
    (SOURCE, 0, 0, None),
    (SOURCE, 1, 1, None),
    (SOURCE, 2, 2, None),
    (SOURCE, 3, 3, None),
    (CRM, 0, 9, "p9"),
    (CRM, 1, 8, "p8"),
    (CRM, 3, 7, "p7"),
    (CRM, 3, 6, "p6"),
    (CRM, None, 5, "p5"),
    (BASELINE, 0, 4, None),
    (BASELINE, 1, 3, None),
    city=['"a"', '"b"', '"c"', '"d"', '"a"', '"x"', '"d"', '"d"', None, '"a"', '"b"'],
)


def test_a_bucket_is_told_line_by_line() -> None:
    conflicts = {
        RowClass.SEVERAL_PROFILES: pl.Series([3], dtype=pl.UInt32),
        RowClass.SEVERAL_ROWS: NOBODY,
    }
    found = compare_bucket(SOME, rules("city", conflicts=conflicts))

    assert found.lines["row", "number", "profile", "field", "class"].rows() == [
        (1, 8, "p8", "city", "crm_edited"),
        (2, None, None, None, "only_in_source"),
        (3, 6, "p6", None, "several_profiles"),
        (3, 7, "p7", None, "several_profiles"),
        (None, 5, "p5", None, "only_in_crm"),
    ]
    assert +found.counts.rows == {
        RowClass.MATCHED: 2,
        RowClass.ONLY_IN_SOURCE: 1,
        RowClass.SEVERAL_PROFILES: 1,
        RowClass.ONLY_IN_CRM: 1,
    }
    counts = found.counts
    assert counts.n_differing == 1
    assert counts.fields == {"city": {FieldClass.EQUAL: 1, FieldClass.CRM_EDITED: 1}}
    assert (counts.n_in_source["city"], counts.n_in_crm["city"]) == (2, 2)
    assert found.marks.rows() == [(1, 1), (2, WHOLE_ROW)]


def test_a_doubtful_baseline_tells_nothing() -> None:
    doubtful = pl.Series([1], dtype=pl.UInt32)
    found = compare_bucket(
        SOME.filter(pl.col("row") == 1), rules("city", doubtful=doubtful)
    )

    assert found.lines["class"].to_list() == ["differs"]


def test_a_baseline_may_tell_that_a_field_was_empty() -> None:
    pair = bucket(
        (SOURCE, 0, 0, None),
        (CRM, 0, 0, "p"),
        (BASELINE, 0, 0, None),
        city=['"a"', '"b"', None],
    )
    known = compare_bucket(pair, rules("city", known_empty=frozenset({"city"})))
    silent = compare_bucket(pair, rules("city"))

    assert known.lines["class"].to_list() == ["both_changed"]
    assert silent.lines["class"].to_list() == ["differs"]


def test_what_cannot_be_found_in_a_part_is_unknown_and_not_sent() -> None:
    found = compare_bucket(
        SOME.filter(pl.col("row") == 2), rules("city", is_complete=False)
    )

    assert found.lines["class"].to_list() == ["unknown"]
    assert found.marks.is_empty()


def test_with_too_many_fields_for_marks_rows_are_sent_whole() -> None:
    names = [f"attributes.a{n}" for n in range(MAX_MARKED_FIELDS + 1)]
    cells = {name: ['"a"', '"b"'] for name in names}
    found = compare_bucket(
        bucket((SOURCE, 0, 0, None), (CRM, 0, 0, "p"), **cells), rules(*names)
    )
    assert found.marks.rows() == [(0, WHOLE_ROW)]
    few = compare_bucket(
        bucket((SOURCE, 0, 0, None), (CRM, 0, 0, "p"), **cells), rules(*names[:-1])
    )
    assert few.marks.rows() == [(0, 2**MAX_MARKED_FIELDS - 1)]


def test_buckets_add_up_and_examples_are_few() -> None:
    tally = Tally()
    for _ in range(3):
        tally.add(compare_bucket(SOME, rules("city")), 2)

    assert tally.n_differing == 3
    assert tally.rows[RowClass.ONLY_IN_CRM] == 3
    assert tally.fields["city"] == Counter(
        {FieldClass.EQUAL: 9, FieldClass.CRM_EDITED: 3}
    )
    assert sum(part.height for part in tally.marks) == 6
    assert tally.examples.group_by("field", "class").len()["len"].max() == 2


def report(**more: Any) -> ReconcileReport:
    rows = dict.fromkeys(RowClass, 0) | more.pop("rows", {})
    told: dict[str, Any] = {
        "run_id": "r",
        "folder": "runs/r",
        "sources": ("a.csv",),
        "crm": CrmSide("crm.csv", 10, 0),
        "baseline": None,
        "n_read": 10,
        "n_blocked": 0,
        "n_folded": 0,
        "n_empty": 0,
        "rows": rows,
        "n_differing": 0,
        "fields": (),
        "ignored": (),
        "examples": (),
        "n_repairable": 0,
        "files": {},
    }
    return ReconcileReport(**told | more)


def test_a_share_is_of_the_rows_that_were_looked_for() -> None:
    rows = {
        RowClass.MATCHED: 6,
        RowClass.ONLY_IN_SOURCE: 1,
        RowClass.UNKNOWN: 2,
        RowClass.SEVERAL_ROWS: 1,
        RowClass.ONLY_IN_CRM: 99,
    }
    told = report(rows=rows, n_differing=2)

    assert (told.n_compared, told.n_disagreeing, told.share) == (10, 4, 0.4)
    assert report().share == 0.0
    assert told.is_whole
    assert not report(crm=CrmSide("x", 1, 0, reasons=("why",))).is_whole
    assert not report(crm=CrmSide("x", 1, 0, lacking=("city",))).is_whole


def test_a_field_counts_what_is_not_equal() -> None:
    counts = dict.fromkeys(FieldClass, 1)
    field = FieldReport("city", counts, 9, 7, 6)

    assert (field.n_compared, field.n_different) == (7, 6)
