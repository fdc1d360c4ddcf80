"""What a report is made of; the page on the disk is whole and private."""

import asyncio
from pathlib import Path

import polars as pl
import pytest

from pipeline.errors import CannotWriteError
from pipeline.importer import RunReport, run_import
from pipeline.line import ImportRequest
from pipeline.report.exporting import report_of_export
from pipeline.reporting import REPORT_NAME, import_facts, write_page, write_run_report
from pipeline.settings import Job
from report_samples import ENDING, export_facts


def checked(folder: Path, *files: tuple[str, str], **settings: object) -> RunReport:
    paths = []
    for name, text in files:
        path = folder / name
        path.write_text(text, encoding="utf-8")
        paths.append(str(path))
    job = Job.model_validate({"source": {"path": tuple(paths)}, **settings})
    request = ImportRequest(job, folder / "work", is_dry_run=True)
    return asyncio.run(run_import(request, None))


def test_examples_of_several_files_name_them(tmp_path: Path) -> None:
    facts = import_facts(
        checked(
            tmp_path,
            ("a.csv", "email,city\nx,Łódź\n"),
            ("b.csv", "email,city\na@b.pl,Kraków\ny,Gdańsk\nz,Opole,1\n"),
        )
    )

    assert [(e.place, e.code, e.field, e.value) for e in facts.examples] == [
        ("a.csv 1 (line 2)", "EMAIL", "email", "x"),
        ("b.csv 2 (line 3)", "EMAIL", "email", "y"),
        ("b.csv 3 (line 4)", "ROW_TOO_WIDE", "", "z,Opole,1"),
    ]
    assert [(f.code, f.n_rows, f.where) for f in facts.failures] == [
        ("EMAIL", 2, "rows a.csv 1 (line 2), b.csv 2 (line 3)"),
        ("ROW_TOO_WIDE", 1, "row b.csv 3 (line 4)"),
    ]
    assert [(s.name, s.n_rows) for s in facts.sources] == [("a.csv", 1), ("b.csv", 3)]


def test_a_row_whose_fault_is_in_no_field_shows_its_identifier(tmp_path: Path) -> None:
    rows = "email,customId\nsame@b.pl,A\nsame@b.pl,B\n"
    facts = import_facts(checked(tmp_path, ("a.csv", rows)))

    assert [(e.code, e.field, e.value) for e in facts.examples] == [
        ("ID_CONFLICT", "email", "same@b.pl"),
        ("ID_CONFLICT", "email", "same@b.pl"),
    ]
    assert "rows 1, 2" in facts.examples[0].message


def test_cells_of_json_are_shown_as_they_are_written(tmp_path: Path) -> None:
    lines = '{"email": 12}\n{"email": ["x"]}\n{"email": "y"}\n{"email": null}\n'
    facts = import_facts(checked(tmp_path, ("a.jsonl", lines)))

    assert [(e.field, e.value) for e in facts.examples] == [
        ("email", "12"),
        ("email", '["x"]'),
        ("email", "y"),
        ("", None),
    ]


def test_columns_of_any_name_are_handed_back(tmp_path: Path) -> None:
    rows = "email,state,code,row,message\nfoo,Mazowieckie,C1,R9,M1\n"
    report = checked(tmp_path, ("a.csv", rows), rows={"extra_columns": "ignore"})
    (told,) = pl.read_csv(report.files.paths["rejected"]).rows(named=True)

    assert told["state"] == "Mazowieckie"
    assert (told["code"], told["row"], told["message"]) == ("C1", "R9", "M1")
    assert (told["_row_no"], told["_state"], told["_code"]) == (1, "blocked", "EMAIL")
    assert import_facts(report).examples[0].value == "foo"


def test_each_reason_has_examples_however_late_it_comes(tmp_path: Path) -> None:
    rows = "email,birthDate\n" + "x,\n" * 400 + "a@b.pl,1800-01-01\n"
    examples = import_facts(checked(tmp_path, ("a.csv", rows))).examples

    assert [e.code for e in examples] == ["EMAIL"] * 25 + ["DATE"]


def test_fill_rates_are_those_of_the_rows_without_a_fault(tmp_path: Path) -> None:
    rows = "email,city,firstName\na@b.pl,,Ewa\nc@d.pl,Opole,\nx,Opole,Jan\ne@f.pl,,\n"
    cells = import_facts(checked(tmp_path, ("a.csv", rows))).cells

    assert cells.n_clean == 3
    assert cells.filled == {"email": 3, "firstName": 1, "city": 1}
    assert cells.faulty == {"email": 1}


def test_a_report_is_written_whole_and_for_its_owner(tmp_path: Path) -> None:
    report = checked(tmp_path, ("a.csv", "email\na@b.pl\n"))
    path = write_run_report(report, ENDING)

    assert path == report.folder / REPORT_NAME
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_a_folder_that_is_gone_is_told(tmp_path: Path) -> None:
    document = report_of_export(export_facts(), ENDING)

    with pytest.raises(CannotWriteError):
        write_page(tmp_path / "gone" / "report.html", document)
