"""Every class of damage: its exit code, its row codes, a sentence, and no traceback."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import polars as pl
import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from shell import Shell
from torture.bad_files import BadFile, run_case
from torture.bad_list import CASES

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


def marked(cases: Iterable[BadFile]) -> list[object]:
    slow = [pytest.mark.slow]
    return [pytest.param(case, marks=slow * case.is_slow) for case in cases]


@pytest.fixture(scope="module")
def processes() -> Iterator[RunningSandbox]:
    """A sandbox on a socket, for cases that need a process of their own."""
    with running_sandbox(SandboxOptions(settle_s=0.0)) as running:
        yield running


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


@pytest.mark.parametrize("case", marked(CASES), ids=lambda case: case.title)
def test_a_bad_file_or_place_is_one_sentence_and_a_number(
    case: BadFile, tmp_path: Path, processes: RunningSandbox
) -> None:
    if not case.is_makeable:
        pytest.skip("this machine cannot make it")

    result = run_case(case, tmp_path, processes)

    assert result.faults == (), result.ended.err


def test_every_class_has_three_cases_that_differ() -> None:
    made = Counter(case.kind for case in CASES)

    assert set(made) == {f"I{n}" for n in range(1, 28)}
    assert min(made.values()) >= 3
    assert len({case.title for case in CASES}) == len(CASES)
