"""The report of a comparison tells who changed what, as far as that is known."""

from dataclasses import replace

import pytest

from pipeline.reconcile.report import CrmSide, FieldReport, ReconcileReport
from pipeline.records import FieldClass, RowClass
from pipeline.report.document import (
    EquationBar,
    ExampleTable,
    FieldBars,
    KeyValues,
    Role,
)
from pipeline.report.reconciling import FIELDS, ROWS, report_of_reconcile
from report_samples import ENDING, reconcile_report

NOTHING = dict.fromkeys(RowClass, 0)
SAME = replace(
    reconcile_report(),
    crm=CrmSide("profiles.csv", 1, 0),
    baseline=None,
    n_read=1,
    n_blocked=0,
    n_folded=0,
    rows=NOTHING | {RowClass.MATCHED: 1},
    n_differing=0,
    n_repairable=0,
    fields=(),
    examples=(),
    ignored=(),
)


def sections(report: ReconcileReport) -> dict[str, tuple[object, ...]]:
    document = report_of_reconcile(report, 0.001, ENDING)
    return {section.title: section.blocks for section in document.sections}


def test_every_class_has_words_and_a_colour() -> None:
    assert set(FIELDS) == set(FieldClass)
    assert set(ROWS) == set(RowClass) - {RowClass.MATCHED, RowClass.ONLY_IN_CRM}


@pytest.mark.parametrize(
    ("report", "fail_over", "status", "role", "headline"),
    [
        (
            reconcile_report(),
            0.001,
            "More differences than allowed",
            Role.BAD,
            (
                "9,400 of 9,972 rows agree; 420 differ, 150 only in the source, 2 with "
                "several profiles, 94 only in the CRM."
            ),
        ),
        (
            replace(SAME, rows={**SAME.rows, RowClass.ONLY_IN_CRM: 1}),
            0.5,
            "Differences found",
            Role.WARNING,
            "1 of 1 row agree; 1 only in the CRM.",
        ),
        (SAME, 0.0, "Both sides agree", Role.GOOD, "1 of 1 row agree."),
        (
            replace(SAME, crm=CrmSide("crm", 1, 0, reasons=("the cap cut it",))),
            0.0,
            "A part was out of sight",
            Role.WAITING,
            "1 of 1 row agree.",
        ),
    ],
)
def test_the_headline_is_the_result(
    report: ReconcileReport, fail_over: float, status: str, role: Role, headline: str
) -> None:
    if report.rows[RowClass.ONLY_IN_CRM] == 1:
        report = replace(report, crm=replace(report.crm, n_profiles=2))
    document = report_of_reconcile(report, fail_over, ENDING)

    assert (document.status, document.role) == (status, role)
    assert document.headline == headline


def test_both_sides_have_an_equation() -> None:
    bars = [
        block
        for block in sections(reconcile_report())["Row by row"]
        if isinstance(block, EquationBar)
    ]

    assert [(bar.whole, bar.n) for bar in bars] == [
        ("rows of the source", 10_000),
        ("profiles of the CRM", 9_918),
    ]
    assert {part.label: part.n for part in bars[1].parts}["in conflict"] == 4


def test_what_follows_is_told() -> None:
    assert report_of_reconcile(reconcile_report(), 0.001, ENDING).lead == (
        "The repair file holds 570 rows: exactly what has to be sent.",
        "5.74 % of the rows disagree; 0.10 % may. Profiles without a row do not count.",
    )
    hidden = CrmSide("crm", 1, 0, reasons=("the cap cut it",), lacking=("tags",))
    assert report_of_reconcile(replace(SAME, crm=hidden), 0.0, ENDING).lead[1:] == (
        "Not every profile was seen: the cap cut it.",
        "The other side has no tags: not compared.",
        "Without a baseline, nobody can tell which side changed a value.",
    )


def test_the_field_with_most_differences_comes_first_with_its_classes() -> None:
    (table,) = sections(reconcile_report())["Field by field"]

    assert isinstance(table, FieldBars)
    assert table.columns == (
        "Equal", "Source newer", "CRM edited", "Both changed", "Missing", "Not equal",
    )  # fmt: skip
    assert [line.name for line in table.lines] == ["phone", "email"]
    assert table.lines[0].cells == ("9,500", "200", "80", "10", "30", "3.3 %")


def test_a_field_that_was_never_compared_has_a_line() -> None:
    field = FieldReport("tags", dict.fromkeys(FieldClass, 0), 0, 0, 0)
    (table,) = sections(replace(SAME, fields=(field,)))["Field by field"]

    assert isinstance(table, FieldBars)
    assert table.lines[0].cells == ("0 %",)


@pytest.mark.parametrize("baseline", [None, "last-week.parquet"])
def test_differences_show_a_baseline_where_there_is_one(baseline: str | None) -> None:
    report = replace(reconcile_report(), baseline=baseline)
    (table,) = sections(report)["Differences"]

    assert isinstance(table, ExampleTable)
    assert ("Baseline" in table.columns) is (baseline is not None)
    assert table.rows[0][:6] == (
        "8", "17", "both changed", "phone", '"+99 9"', '"+99 9"',
    )  # fmt: skip
    assert table.rows[1][:4] == ("", "90", "only in crm", "")
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_rows_of_several_files_are_named_with_their_file() -> None:
    report = replace(reconcile_report(), sources=("a.csv", "lists/customers.csv"))
    document = report_of_reconcile(report, 0.0, ENDING)
    (table,) = sections(report)["Differences"]

    assert document.kind == "Comparison of a.csv and 1 more with the workspace Example"
    assert isinstance(table, ExampleTable)
    assert table.rows[0][0] == "customers.csv 8"


def test_the_facts_say_what_was_not_compared() -> None:
    (facts,) = sections(reconcile_report())["About this comparison"]

    assert isinstance(facts, KeyValues)
    told = dict(facts.pairs)
    assert told["Not compared"] == "tags"
    assert told["Baseline"] == "last-week.parquet"
    assert "Unknown columns" not in told
