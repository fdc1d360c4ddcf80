"""The report of a night says what became of a plan."""

from dataclasses import replace

import pytest

from pipeline.delta.plan import Figures
from pipeline.outcomes import RowCounts
from pipeline.report.applying import NightFacts, report_of_night
from pipeline.report.document import ExampleTable, KeyValues, Notices, ReasonTable, Role
from report_samples import ENDING, night_facts, plan, verify_facts


def sections(facts: NightFacts) -> dict[str, tuple[object, ...]]:
    document = report_of_night(facts, ENDING)
    return {section.title: section.blocks for section in document.sections}


def quiet(counts: RowCounts, figures: Figures) -> NightFacts:
    """A night in which nothing went wrong."""
    facts = night_facts()
    return replace(
        facts,
        counts=counts,
        plan=replace(plan(), figures=figures, trips=(), reasons=()),
        sent=replace(facts.sent, n_retried=0, n_odd=0, statuses={}, attempts=()),
        failures=(),
        examples=(),
        n_canary=None,
        error=None,
    )


DONE = quiet(RowCounts(read=3, unchanged=2, accepted=1), Figures(n_new=1))


@pytest.mark.parametrize(
    ("facts", "status", "role", "headline"),
    [
        (
            night_facts(),
            "Ended early",
            Role.BAD,
            "4,000 of 4,600 planned rows are accepted; 338 refused, 262 pending.",
        ),
        (DONE, "Finished", Role.GOOD, "1 of 1 planned row is accepted."),
        (
            replace(DONE, verified=verify_facts()),
            "Rows in the CRM differ",
            Role.BAD,
            "1 of 1 planned row is accepted.",
        ),
        (
            quiet(RowCounts(read=2, pending=1, accepted=1), Figures(n_changed=2)),
            "Rows are pending",
            Role.WAITING,
            "1 of 2 planned rows is accepted; 1 pending.",
        ),
        (
            quiet(RowCounts(read=3, blocked=1, accepted=2), Figures(n_changed=2)),
            "Finished, with rows to repair",
            Role.WARNING,
            "2 of 2 planned rows are accepted.",
        ),
        (
            quiet(RowCounts(read=2, unchanged=2), Figures(n_unchanged=2)),
            "Nothing had to be sent",
            Role.GOOD,
            "Nothing had to be sent: no row differs from what was confirmed.",
        ),
    ],
    ids=["ended", "done", "differs", "pending", "repair", "nothing"],
)
def test_the_headline_is_the_result(
    facts: NightFacts, status: str, role: Role, headline: str
) -> None:
    document = report_of_night(facts, ENDING)

    assert (document.status, document.role) == (status, role)
    assert document.headline == headline
    assert document.kind == "Sync of customers.csv"


STILL = quiet(RowCounts(read=2, unchanged=2), Figures(n_unchanged=2, n_kept=4))


@pytest.mark.parametrize(
    ("facts", "status", "headline", "told"),
    [
        (
            replace(STILL, n_deleted=3),
            "Finished",
            "no row differs from what was confirmed. 3 profiles are deleted.",
            ("Profiles deleted", "3"),
        ),
        (
            replace(DONE, n_spared=1),
            "Profiles were kept that were to go",
            "1 of 1 planned row is accepted.",
            ("Profiles kept: they are not whom the plan meant any more", "1"),
        ),
        (
            replace(DONE, n_undeleted=2),
            "Deletions are pending",
            "1 of 1 planned row is accepted.",
            ("Profiles still to be deleted", "2"),
        ),
        (
            STILL,
            "Nothing had to be sent",
            "no row differs from what was confirmed.",
            ("Persons without a row who are kept", "4"),
        ),
    ],
    ids=["deleted", "spared", "undeleted", "kept"],
)
def test_who_has_no_row_any_more_is_told(
    facts: NightFacts, status: str, headline: str, told: tuple[str, str]
) -> None:
    document = report_of_night(facts, ENDING)

    assert document.status == status
    assert document.headline.endswith(headline)
    (pairs,) = sections(facts)["Who has no row any more"]
    assert isinstance(pairs, KeyValues)
    assert told in pairs.pairs
    assert "Who has no row any more" not in sections(DONE)


def test_what_is_open_is_told_at_once() -> None:
    lead = report_of_night(night_facts(), ENDING).lead

    assert lead[0] == "What ended the run: the service was down for 900 s."
    assert "only reading back can show" in lead[1]
    assert "100 of the pending rows may have arrived" in lead[2]
    seen = replace(night_facts(), verified=verify_facts())
    assert "reading back" not in " ".join(report_of_night(seen, ENDING).lead)


def test_the_figures_are_those_of_the_plan_and_of_what_became_of_it() -> None:
    figures = {f.label: f for f in report_of_night(night_facts(), ENDING).figures}

    assert figures["Planned"].note == "1,200 new, 3,400 changed"
    assert figures["Accepted"].note == "87.0 %"
    assert figures["Pending"].value == "262"
    assert "Pending" not in {f.label for f in report_of_night(DONE, ENDING).figures}


@pytest.mark.parametrize(
    ("refusal", "words", "role"),
    [
        (None, "31 rows of every shape went first, and the CRM holds", Role.GOOD),
        ("no role", "They could not be read back: no role", Role.WARNING),
    ],
)
def test_the_rows_that_went_first_stand_beside_the_guards(
    refusal: str | None, words: str, role: Role
) -> None:
    facts = replace(night_facts(), canary_refusal=refusal)
    guards, canary = sections(facts)["What the guards say"]

    assert isinstance(guards, Notices)
    assert guards.items[0].label == "A guard trips"
    assert isinstance(canary, Notices)
    assert canary.items[0].text.startswith(words)
    assert canary.items[0].role is role


def test_a_night_without_a_canary_has_the_guards_alone() -> None:
    assert len(sections(DONE)["What the guards say"]) == 1


def test_what_was_read_back_stands_behind_the_rows() -> None:
    titles = list(sections(replace(DONE, verified=verify_facts())))

    assert titles[:2] == ["Where every row went", "What the CRM holds"]


def test_only_codes_with_an_example_lead_to_one() -> None:
    found = sections(night_facts())
    (reasons,), (examples,) = found["What to repair"], found["Examples"]

    assert isinstance(reasons, ReasonTable)
    assert isinstance(examples, ExampleTable)
    assert [each.code for each in reasons.reasons if each.has_examples] == ["REFUSED"]
    assert len(examples.rows) == 1


def test_the_facts_say_what_was_sent_where() -> None:
    (facts,) = sections(night_facts())["About this run"]
    assert isinstance(facts, KeyValues)
    told = dict(facts.pairs)

    assert told["Requests"] == "130, 4 of them repetitions; 31.0 MB sent"
    assert told["Source"].startswith("customers.csv: 18.4 MB, SHA-256")
    (facts,) = sections(DONE)["About this run"]
    assert isinstance(facts, KeyValues)
    assert dict(facts.pairs)["Requests"] == "130; 31.0 MB sent"
