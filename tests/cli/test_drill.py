"""`drill`: what it shows, what it leaves, and that it would notice a loss."""

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline import Job, Run
from pipeline.cli.commands.drill import Plan, Result, conclude
from pipeline.cli.drilling import Course, Ground, rows_that_differ, strikes_for
from pipeline.cli.options import Talk
from pipeline.cli.talking import Voice
from pipeline.errors import InvariantError
from pipeline.journal import Journal
from pipeline.journal_tables import RunState
from pipeline.progress import NO_PROGRESS
from pipeline.sandbox.comparing import Differences, Name
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, build_sandbox
from shell import Shell

PROJECT = Path(__file__).parents[2]
JOB = PROJECT / "configs" / "migrate-customers.yaml"
HEAD = "customId,firstName\n"
SECRET = "a-secret-of-the-user"


def rows(n: int) -> str:
    return HEAD + "".join(f"c{no},Ewa {no}\n" for no in range(n))


def test_a_file_comes_through_a_kill(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setenv("SYNERISE_API_KEY", SECRET)
    monkeypatch.setenv("SYNERISE_BASE_URL", "https://nobody.example.com")
    shell.write("people.csv", rows(200) + ",Nobody\n")

    ended = shell.run(
        "drill", "people.csv", "--kills", 1, "--weather", "rain", "--json", "--seed", 3
    )

    assert (ended.code, ended.err.count("ROWS LOST: 0")) == (0, 1)
    assert SECRET not in ended.out + ended.err
    assert max(map(len, ended.err.splitlines())) <= 80
    told = ended.json
    assert told["rows"] == {"read": 201, "accepted": 200, "blocked": 1}
    assert (told["rows_lost"], told["profiles_equal"]) == (0, 200)
    assert (told["seed"], told["weather"]) == (3, "rain")
    assert len(told["kills"]) == ended.err.count("   kill ") <= 1
    assert told["starts"] == 1 + len(told["kills"]) + told["gave_up"]
    assert {path.name for path in tmp_path.iterdir()} == {"people.csv", "temporary"}
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["missing.csv"], 66, "missing.csv"),
        (["extra.csv"], 78, "--extra-columns"),
        (["people.csv", "--weather", "hostile"], 2, "storm"),
        (["people.csv", "--kills", "-1"], 2, "--kills"),
        ([], 78, "name a source"),
    ],
)
def test_what_cannot_be_drilled_says_why(
    shell: Shell, words: list[str], code: int, said: str
) -> None:
    shell.write("people.csv", rows(2))
    shell.write("extra.csv", "customId,colour\nc1,blue\n")

    ended = shell.run("drill", *words)

    assert (ended.code, said in ended.err) == (code, True)


@pytest.mark.slow
def test_the_pin_of_a_job_is_the_workspace_of_the_sandbox(shell: Shell) -> None:
    shell.write("people.csv", rows(5))
    shell.write(
        "job.yaml",
        "version: 1\nsource: {path: people.csv}\n"
        "workspace: {guid: 11111111-2222-4333-8444-555555555555, auth: basic}\n",
    )

    ended = shell.run("drill", "-c", "job.yaml", "--kills", 0, "--weather", "calm")

    assert (ended.code, "ROWS LOST: 0" in ended.err) == (0, True)


@pytest.mark.slow
def test_a_signal_leaves_neither_a_process_nor_a_file(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(rows(400))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    command = [sys.executable, "-m", "pipeline", "drill", "people.csv"]
    drill = subprocess.Popen(
        [*command, "--weather", "storm", "--max-rows", "2"],
        cwd=tmp_path,
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
    )
    end_s = time.monotonic() + 40
    while not list(temporary.glob("*/storm/err")):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    drill.send_signal(signal.SIGTERM)
    _, said = drill.communicate(timeout=30)

    assert drill.returncode == 143
    assert b"its files removed" in said
    assert list(temporary.iterdir()) == []
    listed = subprocess.run(
        ["ps", "-eo", "args"],  # noqa: S607
        capture_output=True,
        check=True,
    )
    assert str(temporary).encode() not in listed.stdout


@pytest.mark.parametrize(
    ("found", "rows_concerned", "said"),
    [
        (Differences(4, (Name("email", "a@b.example"),), (), 0, 0), [7], "1 profiles"),
        (Differences(4, (), (Name("customId", "c-1"),), 0, 0), [7], "1 have other"),
        (Differences(5, (), (), 2, 0), [], "2 are too many"),
        (Differences(5, (), (), 0, 0), [9, 11], "rows concerned: 9, 11."),
    ],
)
def test_a_loss_is_told_by_numbers_alone(
    capsys: pytest.CaptureFixture[str],
    found: Differences,
    rows_concerned: list[int],
    said: str,
) -> None:
    plan = Plan(("people.csv",), {"kills": 0, "weather": "storm"}, Job(), 1)
    course = Course(Run("r", "import", "people.csv"), {"accepted": 5})
    result = Result(plan, course, found, rows_concerned, 0, 1.0)

    with pytest.raises(InvariantError) as told:
        conclude(
            result, Talk(as_json=True, quiet=True, progress=NO_PROGRESS, voice=Voice())
        )

    shown = capsys.readouterr().out
    assert said in str(told.value)
    assert json.loads(shown)["rows_lost"] == len(found.lost)
    assert not re.search("a@b|c-1", f"{told.value}{shown}")


def test_rows_that_two_runs_tell_differently_are_found(tmp_path: Path) -> None:
    one, other = (ground(tmp_path / name) for name in ("one", "other"))
    written(one, ["accepted", "folded", "accepted", "blocked"])
    written(other, ["accepted", "accepted", "rejected", "blocked"])

    assert rows_that_differ(one, one) == []
    assert rows_that_differ(one, other) == [2, 3]


def ground(folder: Path) -> Ground:
    sandbox = build_sandbox(SandboxOptions())
    return Ground(folder, RunningSandbox("", "", "", sandbox), (), (), ())


def written(here: Ground, states: list[str]) -> None:
    """Leave what an ended run leaves."""
    folder = here.work_dir / "runs" / "r"
    folder.mkdir(parents=True)
    with Journal.open(here.work_dir / "journal.sqlite") as journal:
        journal.begin_run(Run("r", "import", "people.csv"))
        journal.end_run("r", 3, state=RunState.DONE)
    pl.DataFrame(
        {"source_no": 0, "row_no": range(1, len(states) + 1), "state": states}
    ).write_parquet(folder / "outcomes.parquet")


def test_kills_are_spread_over_the_import() -> None:
    dice = random.Random(1)  # noqa: S311 - repeatable
    strikes = list(strikes_for(400, 1_000, 2.0, dice))
    early = [strike for strike in strikes if strike.n_batches is None]
    places = [strike.n_batches for strike in strikes if strike.n_batches is not None]

    assert 60 < len(early) < 140
    assert all(strike.delay_s < 2.0 for strike in early)
    assert places == sorted(places)
    assert places[0] < 20
    assert 970 < places[-1] < 1_000


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_sample_comes_through_the_storm(shell: Shell) -> None:
    ended = shell.run("drill", "-c", JOB, "--kills", 3, "--json")

    assert (ended.code, ended.json["rows_lost"]) == (0, 0)
    assert ended.json["rows"]["read"] == 5_007
    assert ended.json["profiles_equal"] + ended.json["profiles_not_compared"] > 4_600
    assert re.search(r"kill +1 after .* of 4,632 rows arrived", ended.err)
    assert json.dumps(ended.json).count("@") == 0
