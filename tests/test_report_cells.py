"""Fill rates and what else happened to the cells of a source."""

from dataclasses import replace

from pipeline.report.cells import Cells, fields_section
from pipeline.report.document import FieldBars
from pipeline.report.parts import MAX_FIELDS

CELLS = Cells(10, {"email": 9, "tags": 0}, {"email": 2}, {}, {}, {"tags": 1})


def table(cells: Cells) -> FieldBars:
    ((found,),) = (section.blocks for section in fields_section(cells))
    assert isinstance(found, FieldBars)
    return found


def test_each_field_has_its_rate_and_what_was_done_to_it() -> None:
    found = table(CELLS)

    assert found.columns == ("Rows", "Share", "Repaired", "Erased")
    assert [line.cells for line in found.lines] == [
        ("9", "90.0 %", "2", "–"),
        ("0", "0 %", "–", "1"),
    ]
    assert "Repaired: " in found.caption
    assert "Left out: " not in found.caption


def test_without_a_clean_row_there_is_no_rate() -> None:
    assert fields_section(replace(CELLS, n_clean=0)) == ()
    assert fields_section(replace(CELLS, filled={})) == ()


def test_of_many_fields_the_first_are_shown() -> None:
    found = table(replace(CELLS, filled={f"f{n}": n for n in range(MAX_FIELDS + 2)}))

    assert (len(found.lines), found.n_more) == (MAX_FIELDS, 2)
