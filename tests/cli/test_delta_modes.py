"""Modes and `--crm` as an operator meets them: words and exit codes."""

import json
from pathlib import Path

import pytest

from pipeline.sandbox.server import RunningSandbox
from shell import Shell

JOB = "version: 1\nname: people\nsource: {path: people.csv}\n"
WIDEST = 80


def people(first: int, last: int, city: str = "Opole") -> str:
    rows = (f"C{i},p{i}@example.com,{city}\n" for i in range(first, last))
    return "customId,email,city\n" + "".join(rows)


@pytest.fixture
def at(shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    assert sandbox.base_url
    for name in ("CRM_PIPELINE_KEY", "CRM_PIPELINE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.folder / "locks"))
    shell.write("job.yaml", JOB)
    shell.write("people.csv", people(0, 8))
    shell.write("elsewhere.csv", people(0, 5))
    imported = shell.run("import", "elsewhere.csv", "--verify", "none")
    assert imported.code == 0
    return shell


def mode(at: Shell, told: str) -> None:
    at.write("job.yaml", f"{JOB}sync: {{{told}}}\n")


def settled(at: Shell) -> None:
    assert at.run("verify").code == 0


def test_a_first_night_takes_over_what_an_export_shows(at: Shell) -> None:
    settled(at)
    assert at.run("export", "crm.csv", "--detail", "full").code == 0

    night = at.run("sync", "-c", "job.yaml", "--crm", "crm.csv", "--json")

    assert night.code == 0
    assert night.json["plan"]["adopted"] == 5
    assert night.json["rows"]["unchanged"] == 5
    assert night.json["rows"]["accepted"] == 3
    assert "shows 5 persons of the source" in " ".join(night.err.split())
    again = at.run("sync", "-c", "job.yaml", "--json")
    assert (again.code, again.json["requests"]["sent"]) == (0, 0)


def test_a_mode_holds_rows_back_and_says_so(at: Shell) -> None:
    settled(at)
    mode(at, "mode: update-only")

    planned = at.run("plan", "-c", "job.yaml", "--json")

    assert planned.code == 3
    assert planned.json["plan"]["mode"] == "update-only"
    assert planned.json["plan"]["held_back"] == {"MODE_ABSENT": 3}
    assert planned.json["plan"]["looked_up"] == 8
    assert planned.json["codes"] == {"MODE_ABSENT": 3}
    told = planned.err.splitlines()
    assert "            3 held back, as the mode is update-only" in told
    assert "asking the CRM for 8 persons" in told
    assert "the CRM was asked for 8 persons" in told
    lines = [line for line in told if "workspace:" not in line and "/" not in line]
    assert max(map(len, lines)) <= WIDEST
    folder = Path(planned.json["files"]["outcomes"]).parent
    written = json.loads((folder / "plan.json").read_text())
    assert written["figures"]["held_back"] == {"MODE_ABSENT": 3}


def test_too_many_to_look_up_ends_with_6(at: Shell) -> None:
    mode(at, "mode: create-only, lookup_budget: 7")

    night = at.run("sync", "-c", "job.yaml")

    assert night.code == 6
    assert "8 persons would have to be looked up" in night.err
    assert "7 are allowed (sync.lookup_budget). Nothing was sent" in night.err


def test_an_export_that_is_not_there_ends_with_66(at: Shell) -> None:
    night = at.run("sync", "-c", "job.yaml", "--crm", "nowhere.csv")

    assert night.code == 66
    assert "nowhere.csv" in night.err
    assert "mapping:" not in night.err  # nothing was read for it


def test_an_unknown_mode_ends_with_78(at: Shell) -> None:
    mode(at, "mode: insert")

    night = at.run("sync", "-c", "job.yaml")

    assert night.code == 78
    assert "update-only" in night.err


def test_a_mirror_deletes_what_it_made_within_its_budget(at: Shell) -> None:
    settled(at)
    guards = "guards: {least_rows: 0}"
    mode(at, f"mode: mirror, {guards}")
    assert at.run("sync", "-c", "job.yaml").code == 0
    assert at.run("export", "crm.csv", "--detail", "full").code == 0
    at.write("people.csv", people(1, 7))

    stopped = at.run("sync", "-c", "job.yaml", "--crm", "crm.csv")

    # C0 was in the CRM before, C7 was made here.
    assert stopped.code == 6
    told = stopped.err.splitlines()
    assert "            1 to be deleted (deletes.parquet)" in told
    assert "            1 without a row, and kept (kept.parquet)" in told
    assert "            2 vanished: no row that can be sent" in told
    assert "1 profile would be deleted: more than 0 (max_deletes)" in " ".join(
        stopped.err.split()
    )
    one = ("--max-deletes", "1")
    done = at.run("sync", "-c", "job.yaml", "--crm", "crm.csv", *one, "--json")
    assert done.code == 0
    assert "deletions: 1 done" in done.err
    assert done.json["plan"]["deletes"] == done.json["plan"]["kept"] == 1
    assert done.json["plan"]["actions"] == {"done": 1, "refused": 0, "pending": 0}
    assert at.run("profile", "get", "--custom-id", "C0").code == 0


def test_a_budget_for_deletions_that_are_none_is_refused(at: Shell) -> None:
    night = at.run("sync", "-c", "job.yaml", "--max-deletes", "1")

    assert night.code == 78
    assert "only sync.mode: mirror deletes" in night.err
