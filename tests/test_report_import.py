"""The report of an import says what the counts say."""

from dataclasses import replace

import pytest

from pipeline.contract import ROW_CODES
from pipeline.outcomes import RowCounts
from pipeline.records import State
from pipeline.report.document import EquationBar, KeyValues, ReasonTable, Role
from pipeline.report.importing import NEXT_STEPS, STATES, report_of_import
from report_samples import ENDING, clean_facts, import_facts, verify_facts


def titles(facts: object) -> list[str]:
    return [section.title for section in report_of_import(facts, ENDING).sections]  # type: ignore[arg-type]


def test_the_equation_is_that_of_the_counts() -> None:
    facts = import_facts()
    (bar,) = report_of_import(facts, ENDING).sections[0].blocks

    assert isinstance(bar, EquationBar)
    assert (bar.n, bar.whole) == (100_000, "rows read")
    assert {part.label: part.n for part in bar.parts} == {
        state.value: getattr(facts.counts, state.value) for state in State
    }


def test_every_state_has_a_colour_and_every_failure_a_next_step() -> None:
    assert {state for state, _, _ in STATES} == set(State)
    assert set(ROW_CODES) - set(NEXT_STEPS) == {
        "EMPTY",
        "FOLDED",
        "SUPERSEDED",
        "PHONE_SHARED",
    }


@pytest.mark.parametrize(
    ("counts", "is_sent", "headline", "status", "role"),
    [
        (
            RowCounts(read=0),
            True,
            "The source has no rows; nothing was sent.",
            "Finished",
            Role.GOOD,
        ),
        (
            RowCounts(read=1, accepted=1),
            True,
            "1 of 1 row is accepted.",
            "Finished",
            Role.GOOD,
        ),
        (
            RowCounts(read=3, planned=3),
            False,
            "3 of 3 rows are ready to be sent.",
            "Checked: every row can be sent",
            Role.PLANNED,
        ),
        (
            RowCounts(read=3, accepted=2, blocked=1),
            True,
            "2 of 3 rows are accepted; 1 needs repair.",
            "Finished, with rows to repair",
            Role.WARNING,
        ),
        (
            RowCounts(read=6, accepted=1, blocked=1, rejected=1, pending=3),
            True,
            "1 of 6 rows is accepted; 2 need repair and 3 are pending.",
            "Rows are pending",
            Role.WAITING,
        ),
        (
            RowCounts(read=2, accepted=1, pending=1),
            True,
            "1 of 2 rows is accepted; 1 is pending.",
            "Rows are pending",
            Role.WAITING,
        ),
    ],
)
def test_the_headline_is_the_result(
    *, counts: RowCounts, is_sent: bool, headline: str, status: str, role: Role
) -> None:
    facts = replace(clean_facts(), counts=counts)
    document = report_of_import(facts if is_sent else replace(facts, sent=None), ENDING)

    assert (document.headline, document.status) == (headline, status)
    assert document.role is role


def test_what_follows_is_told() -> None:
    lead = " ".join(report_of_import(import_facts(), ENDING).lead)

    assert "the service was down for 900 s." in lead
    assert "1,000 of the pending rows may have arrived" in lead
    assert "1 batch was accepted with an answer that speaks of errors" in lead
    assert "only reading back can show" in lead


def test_what_was_read_back_is_in_the_report() -> None:
    facts = replace(import_facts(), verified=verify_facts())
    document = report_of_import(facts, ENDING)

    assert "What the CRM holds" in titles(facts)
    assert "only reading back can show" not in " ".join(document.lead)


def test_reasons_keep_their_order_and_say_what_to_do() -> None:
    sections = report_of_import(import_facts(), ENDING).sections
    (table,) = next(s for s in sections if s.title == "What to repair").blocks

    assert isinstance(table, ReasonTable)
    assert [reason.code for reason in table.reasons] == [
        "EMAIL",
        "REFUSED",
        "ID_CONFLICT",
    ]
    assert table.reasons[0].role is Role.WARNING
    assert table.reasons[1].role is Role.BAD
    assert all(reason.next_step and reason.message for reason in table.reasons)


def test_a_code_of_another_day_has_a_next_step_too() -> None:
    facts = import_facts()
    strange = (replace(facts.failures[0], code="NEW"),)
    sections = report_of_import(replace(facts, failures=strange), ENDING).sections
    (table,) = next(s for s in sections if s.title == "What to repair").blocks

    assert isinstance(table, ReasonTable)
    assert "import rejected" in table.reasons[0].next_step


def test_a_run_without_faults_has_no_section_about_them() -> None:
    assert titles(clean_facts()) == [
        "Where every row went",
        "Next",
        "Pace",
        "Fields",
        "About this run",
    ]


def test_the_facts_of_the_run_are_there() -> None:
    sections = report_of_import(import_facts(), ENDING).sections
    (facts,) = next(s for s in sections if s.title == "About this run").blocks

    assert isinstance(facts, KeyValues)
    told = dict(facts.pairs)
    assert told["Run"] == "20261126-120000-ab12"
    assert told["Dataset"] == "customers"
    assert told["Requests"] == "130, 4 of them repetitions; 31.0 MB sent"
    assert told["Ended"].endswith("UTC, with exit code 3")
    assert told["Versions"] == "crm-pipeline 0.1.0, polars 2.1.0"


def test_a_source_may_be_several_files_or_none() -> None:
    facts = clean_facts()
    two = replace(facts, sources=facts.sources * 2)

    kind = report_of_import(two, ENDING).kind
    assert kind == "Import of customers.csv and 1 more file"
    none = report_of_import(replace(facts, sources=()), replace(ENDING, seconds=0.0))
    assert none.kind == "Import of no file"
    assert none.figures[-1].note == ""


def test_rows_that_were_read_back_and_differ_are_said_first() -> None:
    seen = replace(clean_facts(), verified=verify_facts())

    report = report_of_import(seen, ENDING)
    assert (report.status, report.role) == ("Rows in the CRM differ", Role.BAD)
