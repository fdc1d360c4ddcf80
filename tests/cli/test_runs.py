"""`runs`: the list, one run in full, and the removal of what old runs left."""

import os
import re
import shlex
import time
from pathlib import Path
from typing import Any

import pytest

from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import Run
from pipeline.retention import DAY_S
from pipeline.sandbox.server import (
    WORKSPACE_GUID,
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from pipeline.sandbox.weather import Weather
from shell import Shell

PEOPLE = "email,firstName\n" + "".join(f"p{n}@example.com,P{n}\n" for n in range(30))
BROKEN = "canary@,Canary\n"


@pytest.fixture
def stopped(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give the summary of an import that a limit stopped."""
    shell.write("people.csv", PEOPLE + BROKEN)
    weather = Weather(refuse="p15@")
    with running_sandbox(SandboxOptions(settle_s=0.0, weather=weather)) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        limits = ("--max-rows", "10", "--max-rejects", "0", "--concurrency", "1")
        ended = shell.run("import", "people.csv", *limits, "--json")
    assert ended.code == 6
    summary: dict[str, Any] = ended.json
    return summary


def test_a_run_is_shown_in_words(shell: Shell, stopped: dict[str, Any]) -> None:
    run_id, rows = stopped["run_id"], stopped["rows"]

    ended = shell.run("runs", "show", run_id[:15])

    assert (ended.code, ended.err) == (0, "")
    shown = {line[:11].rstrip(): line[12:] for line in ended.out.splitlines()}
    assert shown["run"] == f"{run_id} (import)"
    assert shown["state"] == "pending: rows are left to send"
    assert shown["exit code"] == "6"
    assert shown["workspace"] == WORKSPACE_GUID
    assert shown["rows"].startswith("31 read = 1 blocked + ")
    assert f"{rows['pending']} pending" in shown["rows"]
    n_sent = stopped["requests"]["sent"]
    assert shown["requests"].startswith(f"{n_sent} by its last process; answers: ")
    # An attempt is recorded before its bytes leave, and a limit may come between.
    assert int(shown["attempts"].split()[0]) >= n_sent
    assert "polars" in shown["versions"]
    assert shlex.split(shown["resumable"]) == [
        *("crm-pipeline", "resume", run_id),
        *("--work-dir", f"{shell.folder}/.crm-pipeline"),
    ]
    files = {line.split()[0] for line in ended.out.splitlines() if line[:2] == "  "}
    assert files >= {"outcomes.parquet", "rejected.csv", "summary.json"}
    assert "canary" not in ended.out.lower()


def test_a_run_is_shown_to_programs(shell: Shell, stopped: dict[str, Any]) -> None:
    told = shell.run("runs", "show", stopped["run_id"], "--json").json

    assert (told["state"], told["exit_code"]) == ("pending", 6)
    assert told["summary"]["rows"] == stopped["rows"]
    assert told["rows"]["accepted"] == stopped["rows"]["accepted"]
    assert told["rows"]["rejected"] == stopped["rows"]["rejected"]
    assert (told["resumable"], told["obstacle"]) == (True, None)
    assert told["resume"].startswith(f"crm-pipeline resume {stopped['run_id']} ")
    for name, n_bytes in told["files"].items():
        assert (Path(told["folder"]) / name).stat().st_size == n_bytes


def test_a_run_that_was_cut_off_is_shown_by_its_journal_alone(shell: Shell) -> None:
    work = shell.folder / "w w"
    work.mkdir()
    with Journal.open(work / JOURNAL_NAME, now=lambda: 0.0) as journal:
        journal.begin_run(Run("cut", "import", "customers\x1b[31m"))
        journal.resume_run("cut")

    listed = shell.run("runs", "--work-dir", "w w")
    shown = shell.run("runs", "show", "cut", "--work-dir", "w w")

    assert "not ended" in listed.out
    assert "open: at work now, or cut off" in shown.out
    assert "none, it has not ended" in shown.out
    assert "1970-01-01 00:00:00Z, begun 2 times" in shown.out
    assert "0 accepted, 0 rejected, 0 in batches without proof" in shown.out
    assert f"crm-pipeline resume cut --work-dir '{shell.folder}/w w'" in shown.out
    assert "no files in" in shown.out
    assert "\x1b" not in listed.out + shown.out


def test_the_list_tells_an_operator_how_it_stands(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    shell.write("people.csv", PEOPLE)
    shell.write("job.yaml", "version: 1\nname: customers\nsource: {path: people.csv}\n")
    assert shell.run("import", "-c", "job.yaml").code == 0
    shell.write("people.csv", PEOPLE + BROKEN)
    assert shell.run("import", "-c", "job.yaml").code == 3
    (shell.folder / "people.csv").unlink()
    assert shell.run("import", "-c", "job.yaml").code == 66
    assert shell.run("verify").code == 81

    ended = shell.run("runs")
    first, second, head, imported, verified = ended.out.splitlines()

    assert re.search(r"  import  exit 0     0:00:\d\d  30 rows +customers$", first)
    assert second.endswith("31 rows (1 failed)  customers")
    assert head == "health:"
    assert max(map(len, (first, second))) <= 80
    assert imported.startswith("  import of customers: failing with exit 66 since 2")
    assert ", last ok 2" in imported
    assert verified.endswith("Z, never ok")
    one, two = shell.run("runs", "--json").json
    assert [one["health"], two["health"]] == ["ok", "failing"]
    assert (one["rows"]["read"], two["rows"]["blocked"]) == (30, 1)
    assert 0 <= one["seconds"] < 60


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["show", "nothing"], 78, "there is no run nothing in .crm-pipeline"),
        (["show"], 2, "Missing argument 'RUN'"),
        (["show", "2", "--work-dir", "elsewhere"], 78, "no run 2 in elsewhere"),
        (["purge", "--keep-days", "-1"], 2, "--keep-days"),
        (["purge", "-c", "bad.yaml"], 78, "keep_runs_days"),
        (["burn"], 2, "burn"),
    ],
)
def test_what_cannot_be_shown_is_one_sentence(
    shell: Shell, arguments: list[str], code: int, words: str
) -> None:
    shell.write("bad.yaml", "keep_runs_days: -1\n")
    ended = shell.run("runs", *arguments)

    assert (ended.code, ended.out) == (code, "")
    assert words in ended.err
    assert "Traceback" not in ended.err


def test_flags_before_the_subcommand_are_heard(
    shell: Shell, stopped: dict[str, Any]
) -> None:
    Path(".crm-pipeline").rename("moved")

    before = shell.run("runs", "--work-dir", "moved", "--json", "show", "2")
    after = shell.run("runs", "show", "2", "--work-dir", "moved", "--json")
    both = shell.run("runs", "--work-dir", "x", "show", "2", "--work-dir", "moved")

    assert before.json == after.json
    assert before.json["run_id"] == stopped["run_id"]
    assert both.code == 0


@pytest.mark.parametrize("words", [["runs"], ["runs", "show"], ["runs", "purge"]])
def test_help_fits_and_touches_nothing(shell: Shell, words: list[str]) -> None:
    ended = shell.run(*words, "--help")

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80
    assert list(shell.folder.iterdir()) == []


def test_old_runs_are_purged_by_the_days_of_the_flag_or_the_job(
    shell: Shell, stopped: dict[str, Any]
) -> None:
    run_id = stopped["run_id"]
    folder = Path(".crm-pipeline/runs") / run_id
    shell.write("job.yaml", "keep_runs_days: 0\nwork_dir: .crm-pipeline\n")

    kept = shell.run("runs", "purge")
    assert (kept.code, kept.err) == (0, "")
    assert "nothing to remove" in kept.out
    assert "30 days or more ago" in kept.out
    assert (folder / "rejected.csv").exists()
    kept = shell.run("runs", "purge", "-c", "job.yaml", "--keep-days", "1", "--json")
    assert (kept.json["run_ids"], kept.json["keep_days"]) == ([], 1)

    purged = shell.run("runs", "purge", "-c", "job.yaml")

    assert purged.code == 0
    assert purged.out.startswith("2 files of 1 run removed, ")
    assert f"  {run_id}" in purged.out.splitlines()
    assert f"run {run_id} has rows left to send" in purged.err
    left = {path.name for path in folder.iterdir()}
    assert left >= {"outcomes.parquet", "summary.json"}
    assert "rejected.csv" not in left
    again = shell.run("runs", "purge", "--keep-days", "0", "--json")
    assert (again.json["run_ids"], again.json["n_files"], again.err) == ([], 0, "")
    shown = shell.run("runs", "show", run_id).out
    assert "its files were removed" in shown
    assert "crm-pipeline resume" in shown


def test_a_purge_of_a_month_removes_what_is_older(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE + BROKEN)
    run_id = shell.run("import", "people.csv", "--json").json["run_id"]
    old = Path(".crm-pipeline/runs/20200101-000000-0000")
    old.mkdir()
    (old / "rejected.csv").write_text("canary")
    forty_days_ago = time.time() - 40 * DAY_S
    os.utime(old, (forty_days_ago, forty_days_ago))

    told = shell.run("runs", "purge", "--json")

    assert (told.json["run_ids"], told.json["n_bytes"]) == ([old.name], 6)
    assert told.json["resumable"] == []
    shown = shell.run("runs", "show", run_id)
    assert "done: nothing is left to send" in shown.out
    assert "no: nothing of it is left to send" in shown.out
    assert "rejected.csv" in shown.out
    assert sandbox.base_url


def test_a_run_whose_batches_are_gone_says_so(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE)
    run_id = shell.run("import", "people.csv", "--json").json["run_id"]
    shell.run("runs", "purge", "--keep-days", "0")
    summary = Path(".crm-pipeline/runs") / run_id / "summary.json"

    assert "30 read = 30 accepted" in shell.run("runs", "show", run_id).out
    summary.unlink()
    assert "not known any more" in shell.run("runs", "show", run_id).out
    assert sandbox.base_url
