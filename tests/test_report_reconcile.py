"""The report of a reconciliation tells who changed what, as far as that is known."""

from dataclasses import replace

import pytest

from pipeline.report import EquationBar, ExampleTable, FieldBars, Role
from pipeline.report_reconcile import FieldFact, ReconcileFacts, report_of_reconcile
from report_samples import ENDING, reconcile_facts

SAME = replace(
    reconcile_facts(),
    n_equal=1,
    n_unequal=0,
    n_only_source=0,
    n_only_crm=0,
    n_repairs=0,
    fail_over=None,
    fields=(),
    examples=(),
)


@pytest.mark.parametrize(
    ("facts", "status", "role", "headline"),
    [
        (
            reconcile_facts(),
            "Over the limit",
            Role.BAD,
            (
                "9,820 persons are on both sides; 420 differ, 150 are only in the "
                "source, 90 are only in the CRM."
            ),
        ),
        (
            replace(reconcile_facts(), fail_over=0.5, n_only_crm=0),
            "Differences found",
            Role.WARNING,
            "9,820 persons are on both sides; 420 differ, 150 are only in the source.",
        ),
        (
            SAME,
            "Both sides agree",
            Role.GOOD,
            "1 person compared, and both sides agree.",
        ),
    ],
)
def test_the_headline_is_the_result(
    facts: ReconcileFacts, status: str, role: Role, headline: str
) -> None:
    document = report_of_reconcile(facts, ENDING)

    assert (document.status, document.role) == (status, role)
    assert document.headline == headline


def test_both_sides_have_an_equation() -> None:
    blocks = report_of_reconcile(reconcile_facts(), ENDING).sections[0].blocks
    bars = [block for block in blocks if isinstance(block, EquationBar)]

    assert [(bar.whole, bar.n) for bar in bars] == [
        ("rows of the source", 10_000),
        ("profiles of the CRM", 9_914),
    ]


def test_what_follows_is_told() -> None:
    assert report_of_reconcile(reconcile_facts(), ENDING).lead == (
        "The repair file holds 570 rows: exactly what has to be sent.",
        "5.80 % of the persons differ; the limit is 0.10 %.",
    )
    no_baseline = replace(SAME, has_baseline=False)
    assert report_of_reconcile(no_baseline, ENDING).lead == (
        "Without a baseline, nobody can tell which side changed a value.",
    )


def test_a_field_shows_each_verdict_that_occurs() -> None:
    sections = {
        s.title: s.blocks
        for s in report_of_reconcile(reconcile_facts(), ENDING).sections
    }
    (table,) = sections["Field by field"]

    assert isinstance(table, FieldBars)
    assert table.columns == (
        "Equal", "Source newer", "CRM edited", "Both changed", "Missing", "Not equal",
    )  # fmt: skip
    assert table.lines[0].cells == ("9,500", "200", "80", "10", "30", "3.3 %")
    assert table.lines[1].cells[-1] == "0 %"


def test_a_field_that_was_never_compared_has_a_line() -> None:
    facts = replace(reconcile_facts(), fields=(FieldFact("tags", 0),))
    sections = {s.title: s.blocks for s in report_of_reconcile(facts, ENDING).sections}
    (table,) = sections["Field by field"]

    assert isinstance(table, FieldBars)
    assert table.lines[0].cells == ("0 %",)


@pytest.mark.parametrize("has_baseline", [True, False])
def test_differences_show_a_baseline_where_there_is_one(*, has_baseline: bool) -> None:
    facts = replace(reconcile_facts(), has_baseline=has_baseline)
    sections = {s.title: s.blocks for s in report_of_reconcile(facts, ENDING).sections}
    (table,) = sections["Differences"]

    assert isinstance(table, ExampleTable)
    assert ("Baseline" in table.columns) is has_baseline
    assert table.rows[0][:5] == ("8", "both changed", "phone", '"+99 9"', '"+99 9"')
    assert len(table.rows[0]) == len(table.columns)
