"""The report of a plan says what would be sent, and what speaks against it."""

from dataclasses import replace

import pytest

from pipeline.delta.plan import Figures
from pipeline.outcomes import RowCounts
from pipeline.report.document import (
    EquationBar,
    ExampleTable,
    FieldBars,
    KeyValues,
    Notices,
    Role,
)
from pipeline.report.parts import MAX_FIELDS
from pipeline.report.planning import (
    PlanFacts,
    change_sections,
    headline,
    report_of_plan,
)
from report_samples import ENDING, plan, plan_facts


def sections(facts: PlanFacts) -> dict[str, tuple[object, ...]]:
    document = report_of_plan(facts, ENDING)
    return {section.title: section.blocks for section in document.sections}


def quiet(figures: Figures) -> PlanFacts:
    """A plan without a guard, a fault or an example."""
    facts = plan_facts()
    counts = RowCounts(
        read=figures.n_persons,
        planned=figures.n_planned,
        unchanged=figures.n_unchanged,
        blocked=figures.n_held_back,
    )
    checked = replace(
        facts.checked, counts=counts, failures=(), examples=(), findings=(), error=None
    )
    still = replace(facts.plan, figures=figures, trips=(), reasons=())
    return PlanFacts(checked, still, facts.workspace)


@pytest.mark.parametrize(
    ("facts", "status", "role", "headline"),
    [
        (
            plan_facts(),
            "Stopped by the guards",
            Role.BAD,
            "4,600 of 96,138 persons are to be sent: 1,200 new, 3,400 changed.",
        ),
        (
            quiet(Figures(n_new=1, n_unchanged=2)),
            "Planned; nothing was sent",
            Role.PLANNED,
            "1 of 3 persons is to be sent: 1 new.",
        ),
        (
            quiet(Figures(n_unchanged=2)),
            "Nothing to send",
            Role.GOOD,
            "Nothing has to be sent: no row differs from what was confirmed.",
        ),
        (
            quiet(Figures(n_unchanged=2, held_back={"MODE_ABSENT": 1}, n_deletes=1)),
            "Planned; nothing was sent",
            Role.PLANNED,
            "Nothing has to be sent: no row differs from what was confirmed, or is "  # noqa: ISC004 - one sentence
            "held back by the mode. 1 profile is to be deleted.",
        ),
        (
            quiet(Figures(n_new=2, n_deletes=2)),
            "Planned; nothing was sent",
            Role.PLANNED,
            "2 of 2 persons are to be sent: 2 new. 2 profiles are to be deleted.",
        ),
    ],
    ids=["stopped", "planned", "nothing", "held back", "deletions"],
)
def test_the_headline_is_the_plan(
    facts: PlanFacts, status: str, role: Role, headline: str
) -> None:
    document = report_of_plan(facts, ENDING)

    assert (document.status, document.role) == (status, role)
    assert document.headline == headline
    assert document.kind == "Plan for customers.csv"


def test_what_it_takes_and_what_is_left_out_are_told_at_once() -> None:
    assert report_of_plan(plan_facts(), ENDING).lead == (
        "What ended it: a guard.",
        "It would take 620 requests, 1.3 MB, 2 minutes at 5 requests/s.",
        "640 rows of the source need repair and cannot be sent.",
    )
    one = quiet(Figures(n_unchanged=1))
    checked = replace(one.checked, counts=RowCounts(read=2, blocked=1, unchanged=1))
    assert report_of_plan(replace(one, checked=checked), ENDING).lead == (
        "1 row of the source needs repair and cannot be sent.",
    )


def test_guards_and_reasons_are_sentences() -> None:
    (told,) = sections(plan_facts())["What the guards say"]

    assert isinstance(told, Notices)
    assert [(item.label, item.role) for item in told.items] == [
        ("A guard trips", Role.BAD),
        ("Note", Role.WARNING),
    ]
    assert told.items[0].text == (
        "12 % of the persons are new or changed: more than 0.1 (max_changed)."
    )
    assert told.items[1].text.startswith("The mapping has new fields")


@pytest.mark.parametrize(
    ("n_known", "words"), [(0, "first night"), (5, "within what is usual")]
)
def test_a_quiet_guard_says_what_it_compared(n_known: int, words: str) -> None:
    facts = quiet(Figures(n_new=1, n_known=n_known))
    (told,) = sections(facts)["What the guards say"]

    assert isinstance(told, Notices)
    ((label, text),) = [(item.label, item.text) for item in told.items]
    assert label == "No guard trips"
    assert words in text


def test_persons_and_rows_have_an_equation_each() -> None:
    found = sections(plan_facts())
    (persons,), (rows,) = found["Who is told something"], found["Where every row went"]

    assert isinstance(persons, EquationBar)
    assert isinstance(rows, EquationBar)
    assert {part.label: part.n for part in persons.parts} == {
        "new": 1_200,
        "changed": 3_400,
        "unchanged": 91_538,
    }
    assert (persons.n, rows.n) == (96_138, 100_000)


def test_every_field_that_something_happens_to_has_a_line() -> None:
    (table,) = sections(plan_facts())["Fields"]

    assert isinstance(table, FieldBars)
    assert table.columns == ("Changed", "Erased", "Lost")
    assert [(line.name, line.cells) for line in table.lines] == [
        ("zipCode", ("3,000", "–", "–")),
        ("attributes.tier", ("900", "–", "–")),
        ("company", ("–", "12", "–")),
        ("phone", ("–", "–", "61")),
    ]


def test_more_fields_than_can_be_shown_are_counted() -> None:
    many = {f"attributes.a{n}": 1 for n in range(MAX_FIELDS + 2)}
    (_, section) = change_sections(Figures(n_changed=1, changed_fields=many))
    (table,) = section.blocks

    assert isinstance(table, FieldBars)
    assert (len(table.lines), table.n_more) == (MAX_FIELDS, 2)


def test_consents_are_counted_both_ways() -> None:
    (table,) = sections(plan_facts())["Consents"]

    assert isinstance(table, FieldBars)
    assert [(line.name, line.cells) for line in table.lines] == [
        ("agreements.email", ("40", "300")),
        ("agreements.sms", ("–", "2")),
    ]


def test_a_plan_without_changes_has_no_empty_tables() -> None:
    assert list(sections(quiet(Figures(n_unchanged=1)))) == [
        "What the guards say",
        "Who is told something",
        "Next",
        "Where every row went",
        "About this plan",
    ]


def test_rows_show_the_shape_of_what_would_be_sent() -> None:
    (table,) = sections(plan_facts())["What would be sent"]

    assert isinstance(table, ExampleTable)
    assert table.rows == (
        ("8", "changed", "set", "zipCode", "99-999"),
        ("9", "changed", "withdraw", "agreements.email", "aaaaa"),
        ("12", "new", "erase", "company", ""),
    )
    assert table.note.startswith("3 of 4,600 rows, some for each set of fields")
    shown = report_of_plan(plan_facts(), replace(ENDING, shows_values=True))
    (table,) = {s.title: s.blocks for s in shown.sections}["What would be sent"]
    assert isinstance(table, ExampleTable)
    assert table.rows[0][4] == "50-668"


def test_a_plan_that_shows_all_of_its_rows_says_so() -> None:
    facts = replace(quiet(Figures(n_new=1)), cells=plan_facts().cells[2:], n_shown=1)
    (table,) = sections(facts)["What would be sent"]

    assert isinstance(table, ExampleTable)
    assert table.note.startswith("All rows. What the CRM holds now is not known here")


def test_the_facts_say_what_it_was_made_from() -> None:
    (facts,) = sections(plan_facts())["About this plan"]

    assert isinstance(facts, KeyValues)
    told = dict(facts.pairs)
    assert told["State"] == "generation 12"
    assert told["Forecast"] == "620 requests, 1.3 MB, 2 minutes at 5 requests/s"
    assert told["Can be applied"].startswith("for 24 hours")


def test_a_plan_of_new_persons_alone_says_no_other_word() -> None:
    assert headline(replace(plan().figures, n_changed=0)) == (
        "1,200 of 92,738 persons are to be sent: 1,200 new."
    )
