"""What a peer sent against the file: a changed, lost or doubled row is found."""

import json
from pathlib import Path

import pytest

from benchmarks.cells import compared
from benchmarks.sink import rows_of

ROWS = [
    {"mail": "a@example.com", "note": 'said "x", then\nwent'},
    {"mail": "b@example.com"},
    {"mail": "b@example.com"},
    {"note": "Łódź"},
]
TEXT = (
    "mail,note\n"
    'a@example.com,"said ""x"", then\nwent"\n'
    "b@example.com,\n"
    "b@example.com,\n"
    ",Łódź\n"
)


def compare(folder: Path, *bodies: object) -> dict[str, int]:
    dump, path = folder / "dump", folder / "file.csv"
    dump.write_bytes(b"\n".join(json.dumps(body).encode() for body in bodies))
    path.write_text(TEXT, encoding="utf-8", newline="")
    return compared(dump, path)


def test_order_and_batches_do_not_matter(tmp_path: Path) -> None:
    found = compare(tmp_path, ROWS[2:], ROWS[:2])
    assert found == {"came": 4, "wrong": 0, "missing": 0}


@pytest.mark.parametrize(
    "row",
    [
        {"mail": "B@example.com"},
        {"mail": "b@example.com", "note": None},
        {"mail": "b@example.com", "note": ""},
        {"email": "b@example.com"},
    ],
)
def test_one_other_cell_is_a_wrong_row_and_a_missing_one(
    tmp_path: Path, row: dict[str, str | None]
) -> None:
    found = compare(tmp_path, [*ROWS[:2], row, ROWS[3]])
    assert found == {"came": 4, "wrong": 1, "missing": 1}


def test_a_lost_row_and_a_doubled_one_do_not_make_up_for_each_other(
    tmp_path: Path,
) -> None:
    found = compare(tmp_path, [ROWS[0], *ROWS[:3]])
    assert found == {"came": 4, "wrong": 1, "missing": 1}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ": ")])
def test_the_sink_counts_rows_of_either_spelling(separators: tuple[str, str]) -> None:
    rows = [{"a": '},{"'}, {"a": '}, {"', "b": 'x},{"y'}, {"a": "z"}]
    assert rows_of(json.dumps(rows, separators=separators).encode()) == 3
