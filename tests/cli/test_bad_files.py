"""Every class of damage: its exit code, its row codes, a sentence, and no traceback."""

import csv
import subprocess
import sys
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


def test_a_parquet_file_that_makes_polars_panic_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "people.parquet"
    pl.DataFrame({"email": [f"a{n}@example.com" for n in range(50)]}).write_parquet(
        path
    )
    data = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    path.write_bytes(
        data[:4] + data[-footer:]
    )  # the footer tells of rows that are gone

    def told(*flags: str) -> tuple[int, list[str]]:
        run = subprocess.run(
            [sys.executable, "-m", "pipeline", "check", path, *flags],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return run.returncode, run.stderr.splitlines()

    code, lines = told()
    assert code == 65
    assert lines[:-1] == ["work folder: .crm-pipeline", "mapping:", "  email -> email"]
    assert "damaged Parquet file" in lines[-1]
