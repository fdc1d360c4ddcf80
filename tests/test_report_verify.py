"""The report of a verification says how much is known, and no more."""

from dataclasses import replace

import pytest

from pipeline.records import VerifyState
from pipeline.report.document import (
    EquationBar,
    ExampleTable,
    FieldBars,
    KeyValues,
    Role,
)
from pipeline.report.parts import MAX_FIELDS
from pipeline.report.verifying import STATES, VerifyFacts, report_of_verify
from report_samples import ENDING, verify_facts

NOTHING = dict.fromkeys(VerifyState, 0)


def of_counts(n_asked: int, **counts: int) -> VerifyFacts:
    found = {**NOTHING, **{VerifyState(name): n for name, n in counts.items()}}
    n_accepted = sum(found.values())
    return VerifyFacts("run", n_accepted, n_asked, found, 0, 0.0, None, None, {})


def test_every_state_has_a_colour() -> None:
    assert [state for state, _, _ in STATES] == list(VerifyState)


@pytest.mark.parametrize(
    ("facts", "status", "role", "headline"),
    [
        (
            of_counts(1, settled=1),
            "No difference found",
            Role.GOOD,
            "1 of 1 row read back holds what was sent.",
        ),
        (
            of_counts(0),
            "No difference found",
            Role.GOOD,
            "No row of this run is accepted; there is nothing to verify.",
        ),
        (
            of_counts(3, settled=2, not_yet=1),
            "Rows are still to come",
            Role.WAITING,
            "2 of 3 rows read back hold what was sent; 1 is not there yet.",
        ),
        (
            verify_facts(),
            "Differences found",
            Role.BAD,
            (
                "294 of 300 rows read back hold what was sent; 3 differ, 1 is absent, "
                "2 are not there yet."
            ),
        ),
        (
            replace(of_counts(0, unverified=4), refusal="the key may not read"),
            "Not verified",
            Role.WAITING,
            "Not every row could be read back.",
        ),
    ],
)
def test_the_headline_is_the_result(
    facts: VerifyFacts, status: str, role: Role, headline: str
) -> None:
    document = report_of_verify(facts, ENDING)

    assert (document.status, document.role) == (status, role)
    assert document.headline == headline


def test_a_bound_is_told_as_what_it_is() -> None:
    sample = report_of_verify(verify_facts(), ENDING).lead
    whole = report_of_verify(of_counts(2, settled=2), ENDING).lead
    refused = replace(of_counts(0, unverified=4), refusal="the key may not read")

    assert (
        sample[0]
        == "At most 3.12 % of the accepted rows are wrong, at 95 % confidence."
    )
    assert "24 rows cannot be told apart" in sample[1]
    assert whole == ("Every row that can be asked for was: 0.00 % are wrong.",)
    assert report_of_verify(refused, ENDING).lead == ("the key may not read",)


def test_a_sample_has_an_equation_of_its_own() -> None:
    blocks = report_of_verify(verify_facts(), ENDING).sections[0].blocks
    bars = [block for block in blocks if isinstance(block, EquationBar)]

    assert [(bar.whole, bar.n) for bar in bars] == [
        ("rows read back", 300),
        ("rows accepted", 5_000),
    ]
    (only,) = report_of_verify(of_counts(2, settled=2), ENDING).sections[0].blocks
    assert isinstance(only, EquationBar)


def test_differences_are_told_by_field_and_by_row() -> None:
    facts = replace(verify_facts(), fields={f"f{n}": 1 for n in range(MAX_FIELDS + 1)})
    sections = {s.title: s.blocks for s in report_of_verify(facts, ENDING).sections}
    (fields,) = sections["Fields that differ"]
    (rows,) = sections["Rows that differ or are absent"]

    assert isinstance(fields, FieldBars)
    assert (len(fields.lines), fields.n_more) == (MAX_FIELDS, 1)
    assert fields.lines[0].cells == ("1", "0.3 %")
    assert isinstance(rows, ExampleTable)
    assert rows.rows[0] == ("8", "differs", "firstName", '"Aaa"', '"Aaaa"')
    assert rows.note.startswith("The first 2 of 6 lines.")


def test_how_long_rows_took_is_told() -> None:
    def appeared(facts: VerifyFacts) -> str:
        (block,) = report_of_verify(facts, ENDING).sections[-1].blocks
        assert isinstance(block, KeyValues)
        return dict(block.pairs)["Rows appeared"]

    assert appeared(verify_facts()) == "as late as 41.0 s after their 202"
    assert appeared(of_counts(1, settled=1)) == "at once"
