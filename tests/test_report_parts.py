"""Values are masked unless somebody asked for them."""

from dataclasses import replace

from pipeline.report.document import ExampleTable, Notices, Role
from pipeline.report.parts import (
    MAX_FINDINGS,
    Ending,
    Example,
    examples_section,
    findings_section,
)
from report_samples import ENDING, import_facts

EXAMPLES = (
    Example("4", "blocked", "EMAIL", "email", "ewa@@b.pl", "column mail"),
    Example("9", "rejected", "REFUSED", "", None, "refused"),
)


def table(ending: Ending, n_all: int = 2) -> ExampleTable:
    ((found,),) = (s.blocks for s in examples_section(EXAMPLES, n_all, ending))
    assert isinstance(found, ExampleTable)
    return found


def test_values_are_masked() -> None:
    assert [row[4] for row in table(ENDING).rows] == ["aaa@@a.aa", ""]
    assert table(ENDING).note.startswith("All rows. Values show their shape only")


def test_values_are_shown_on_request() -> None:
    shown = table(replace(ENDING, shows_values=True), 7)

    assert shown.rows[0][4] == "ewa@@b.pl"
    assert shown.note.startswith("The first 2 of 7 rows. Values stand here as they are")


def test_without_examples_there_is_no_table() -> None:
    assert examples_section((), 0, ENDING) == ()


def test_a_finding_that_stops_is_bad_and_an_accepted_one_says_so() -> None:
    ((notices,),) = (s.blocks for s in findings_section(import_facts().findings))

    assert isinstance(notices, Notices)
    assert [n.role for n in notices.items] == [Role.WARNING, Role.BAD, Role.WARNING]
    assert notices.items[2].label.endswith("Accepted.")
    assert findings_section(()) == ()


def test_of_many_findings_the_gravest_are_shown() -> None:
    findings = import_facts().findings * MAX_FINDINGS
    ((notices,),) = (section.blocks for section in findings_section(findings))

    assert isinstance(notices, Notices)
    assert len(notices.items) == MAX_FINDINGS


def test_without_a_next_command_there_is_no_section() -> None:
    assert replace(ENDING, next_commands=()).commands() == ()
    assert len(ENDING.commands()[0].blocks) == 2


def test_the_moment_is_told_in_universal_time() -> None:
    assert replace(ENDING, at=0.0).when == "1 January 1970, 00:00 UTC"
