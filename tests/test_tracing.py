"""A profile leads back to its rows; phones that name nobody for sure are known."""

from pathlib import Path
from typing import Any

from pipeline import Job, rows_of, shared_phones
from pipeline.records import RowRef

HEAD = "email,customId,phone,firstName\n"
ROWS = (
    "Ann@Example.com,c1,+48600100200,Ann\n"
    ",,+48600100200,Phone of Ann\n"
    ",,+48600100201,Phone of nobody else\n"
    "no-mail,,+48600100202,Blocked\n"
    ",,+48600100202,Phone of a blocked row\n"
    "bob@example.com,,+48600100203,Bob\n"
    ",c1,+48600100203,Ann again\n"
)


def job(folder: Path, text: str = HEAD + ROWS, **sections: Any) -> Job:
    (folder / "people.csv").write_text(text)
    source = {"source": {"path": str(folder / "people.csv")}}
    return Job.model_validate(source | sections)


def test_rows_are_found_by_what_the_crm_holds(tmp_path: Path) -> None:
    found = rows_of(
        job(tmp_path), {"email": ["ann@example.com"], "phone": {"+48600100201"}}
    )
    assert found == [RowRef(0, 1), RowRef(0, 3)]
    assert rows_of(job(tmp_path), {"customId": ["c1"]}) == [RowRef(0, 1), RowRef(0, 7)]


def test_rows_are_found_in_every_file_and_without_the_column(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        (tmp_path / name).write_text(f"customId\n{name}\nc1\n")
    both = Job.model_validate(
        {"source": {"path": [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]}}
    )
    wanted = {"customId": ["c1"], "email": ["ann@example.com"]}
    assert rows_of(both, wanted) == [RowRef(0, 2), RowRef(1, 2)]
    assert rows_of(both, {}) == []
    assert shared_phones(both) == frozenset()


def test_rows_are_found_in_a_query(tmp_path: Path) -> None:
    (tmp_path / "a.sqlite").touch()
    source = {
        "query": "select 'c0' as customId union all select 'c1'",
        "connection": f"sqlite:///{tmp_path}/a.sqlite",
    }

    found = rows_of(Job.model_validate({"source": source}), {"customId": ["c1"]})
    assert found == [RowRef(0, 2)]


def test_a_phone_is_shared_when_another_row_has_more(tmp_path: Path) -> None:
    assert shared_phones(job(tmp_path)) == {"+48600100200"}
