"""Every class of damage: its exit code, its row codes, a sentence, and no traceback."""

import csv
from collections import defaultdict
from pathlib import Path

import polars as pl
import pytest

from shell import Shell

ROOT = Path(__file__).parents[2]
BROKEN = ROOT / "sample_data" / "small_broken"


def expectations() -> dict[str, tuple[int, dict[int, tuple[str, str]]]]:
    codes: dict[str, int] = {}
    rows: dict[str, dict[int, tuple[str, str]]] = defaultdict(dict)
    with (ROOT / "tests/expected/small_broken.csv").open() as file:
        for line in csv.DictReader(file):
            codes[line["file"]] = int(line["exit_code"])
            if line["row_no"]:
                rows[line["file"]][int(line["row_no"])] = (line["state"], line["code"])
    return {name: (code, rows[name]) for name, code in codes.items()}


EXPECTED = expectations()


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_broken_file_ends_as_its_class_should(shell: Shell, name: str) -> None:
    code, rows = EXPECTED[name]

    ended = shell.run("check", BROKEN / name, "--work-dir", "work", "--json")

    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert "defect" not in ended.err
    if code in (0, 3):
        outcomes = pl.read_parquet(ended.json["files"]["outcomes"])
        found = {
            row_no: (state.replace("planned", "accepted"), code or "")
            for row_no, state, code in outcomes.select(
                "row_no", "state", "code"
            ).iter_rows()
        }
        assert found == rows
        assert (
            sum(
                ended.json["rows"][s] for s in ("empty", "blocked", "folded", "planned")
            )
            == (ended.json["rows"]["read"])
        )
    else:
        assert ended.out == ""
        assert ended.err.strip().splitlines()[-1].startswith("crm-pipeline: ")


def test_every_broken_file_is_expected() -> None:
    assert {path.name for path in BROKEN.iterdir()} == set(EXPECTED)
