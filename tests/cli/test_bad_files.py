"""Every class of damage: its exit code, its row codes, a sentence, and no traceback."""

import base64
import csv
import subprocess
import sys
import zlib
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


# One row, and a footer that says otherwise: polars 2.1 panics over it.
PANIC = (
    "eNp9kc9qwkAQxiepFQ8WcnCCgRyCYFAqVrdKkoLQtYqVShuFVnprNEkVYiLG+qdP0yfooU/Y3cVDT/1g"
    "Z5j5fTMLuy6dNDGDJSyNUEYAuGDHuw0O3modBfV5skJABZUaowpmMQsgM4cswRnmtTZkFa14Hqy8ZYSg"
    "ymqsxmbPzIGmqz0kKnOirNXuM5sk2aIMmC/DyV6Gkc6wKmu6pps/kv7fOvVbwgKwUjZzalwAtr+Yp5PJ"
    "0/QmnS+Yv/glXXGRFmXq82DvWH0Yn2rReqA0pXcij+mly/h+z/tDSt//+kSwOD8KLuCACvRM+XB3SLsi"
    "9/k+JuGj1P1kQ3ZfIH714GX7Oo1SSjsdKD66SeRtUqOyPm4XSVw1dsEmXSaxQerNesOozD6WkW9YodMg"
    "M/86DH1ihaFN/GaLWLbXcDzitMOQhJYX+A6pajp/wDcJwGWf+AsvRmW8"
)


def test_a_parquet_file_that_makes_polars_panic_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "p.parquet").write_bytes(zlib.decompress(base64.b64decode(PANIC)))

    run = subprocess.run(
        [sys.executable, "-m", "pipeline", "check", "p.parquet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    *before, last = run.stderr.splitlines()
    assert run.returncode == 65
    assert before == ["work folder: .crm-pipeline", "mapping:", "  email -> email"]
    assert "damaged Parquet file" in last
