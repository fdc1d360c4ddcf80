"""The report of an export calls nothing complete that is not."""

from dataclasses import replace

from pipeline.report.document import EquationBar, ExampleTable, FieldBars, Role
from pipeline.report.exporting import MAX_WINDOWS, report_of_export
from report_samples import ENDING, export_facts


def test_what_is_not_complete_says_so_first() -> None:
    document = report_of_export(export_facts(), ENDING)

    assert document.headline == (
        "24,100 profiles of 25,000 exported; not shown to be complete."
    )
    assert (document.status, document.role) == ("Not complete", Role.WARNING)
    assert document.sections[0].title == "Why it cannot be called complete"


def test_what_is_complete_needs_no_reasons() -> None:
    facts = replace(export_facts(), n_profiles=1, n_all=0, reasons=(), windows=())
    facts = replace(facts, examples=())
    document = report_of_export(facts, replace(ENDING, next_commands=()))

    assert document.headline == "1 profile exported, shown to be complete."
    assert (document.status, document.role) == ("Complete", Role.GOOD)
    assert [s.title for s in document.sections] == ["Columns", "About this export"]


def test_what_is_missing_is_a_part_of_the_whole() -> None:
    document = report_of_export(export_facts(), ENDING)
    ((bar,),) = (
        s.blocks for s in document.sections if s.title.startswith("What is in")
    )

    assert isinstance(bar, EquationBar)
    assert [(part.label, part.n) for part in bar.parts] == [
        ("in the file", 24_100),
        ("not seen", 900),
    ]


def test_what_the_service_does_not_say_is_unknown() -> None:
    facts = replace(export_facts(), n_all=None, n_profiles=0)
    document = report_of_export(facts, ENDING)

    assert "0 profiles of an unknown number exported" in document.headline
    assert "Columns" not in [section.title for section in document.sections]


def test_windows_show_what_they_added_and_mask_what_was_searched() -> None:
    facts = export_facts()
    facts = replace(facts, windows=facts.windows * MAX_WINDOWS)
    sections = {s.title: s.blocks for s in report_of_export(facts, ENDING).sections}
    (windows,) = sections["Windows"]

    assert isinstance(windows, FieldBars)
    assert (len(windows.lines), windows.n_more) == (MAX_WINDOWS, MAX_WINDOWS)
    assert windows.lines[1].name == "recognised, by id, search 9aa"
    assert windows.lines[1].cells == ("?", "4,000", "1,000", "no")
    assert [part.n for part in windows.lines[1].parts] == [1_000, 3_000]


def test_profiles_are_masked() -> None:
    sections = {
        s.title: s.blocks for s in report_of_export(export_facts(), ENDING).sections
    }
    (examples,) = sections["Examples"]

    assert isinstance(examples, ExampleTable)
    assert examples.rows == (("1", "aaa@aaaaaaa.aaa"), ("2", ""))
