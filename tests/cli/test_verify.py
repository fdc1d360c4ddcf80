"""`verify`: a sample in words, for programs, and as an exit code."""

import json
import re
import runpy
from pathlib import Path

import pytest

from pipeline.locks import lock_folder, lock_verification
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from shell import Shell

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"
PEOPLE = "customId,firstName\n" + "".join(f"C{n},Canary{n}\n" for n in range(30))


def imported(shell: Shell, running: RunningSandbox, env: pytest.MonkeyPatch) -> str:
    env.setenv("SYNERISE_BASE_URL", running.base_url)
    env.setenv("SYNERISE_API_KEY", running.api_key)
    shell.write("people.csv", PEOPLE)
    ended = shell.run("import", "people.csv", "--json", "--verify", "none")
    assert ended.code == 0
    running.sandbox.settle()
    return str(ended.json["run_id"])


@pytest.mark.parametrize("n_letters", [0, 15], ids=["newest", "named"])
def test_rows_that_arrived_end_with_0(
    shell: Shell,
    sandbox: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
    n_letters: int,
) -> None:
    run_id = imported(shell, sandbox, monkeypatch)
    name = [run_id[:n_letters]] if n_letters else []
    ended = shell.run("verify", *name, "--summary", "v.json")

    assert (ended.code, ended.out) == (0, "")
    assert "30 rows accepted, 30 asked for:" in ended.err
    assert "       30 hold every field that was sent" in ended.err
    assert "every row that can be asked for was: 0.00% are wrong" in ended.err
    folder = Path(".crm-pipeline/runs", run_id)
    assert (folder / "verify.json").read_bytes() == Path("v.json").read_bytes()
    told = json.loads(Path("v.json").read_bytes())
    rows = told["rows"]
    assert rows["accepted"] == rows["asked"] == rows["settled"] == 30
    assert (told["exit_code"], told["refusal"]) == (0, None)
    assert set(told["files"]) == {"report"}
    assert told.keys() == runpy.run_path(str(GENERATOR))["VERIFY_KEYS"].keys()
    assert not (folder / "verify-differences.csv").exists()


def test_an_altered_row_ends_with_4_and_its_values_stay_in_the_file(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(shell, sandbox, monkeypatch)
    change = ("--custom-id", "C7", "--set", "firstName=Other")
    assert shell.run("profile", "update", *change).code == 0
    sandbox.sandbox.settle()
    ended = shell.run("verify", "--settle", "0", "--json")

    assert ended.code == ended.json["exit_code"] == 4
    assert ended.json["rows"]["differs"] == 1
    assert ended.json["fields"] == {"firstName": 1}
    assert "        1 differ\n" in ended.err
    assert "fields that differ most: firstName (1)" in ended.err
    assert "anary" not in ended.err + ended.out
    path = Path(ended.json["files"]["differences"])
    assert path.read_text().splitlines()[1:] == [
        'people.csv,8,differs,firstName,"""Canary7""","""Other"""'
    ]
    assert path.stat().st_mode & 0o777 == 0o600

    assert shell.run("profile", "update", *change[:3], "firstName=Canary7").code == 0
    sandbox.sandbox.settle()
    assert shell.run("verify").code == 0
    assert not path.exists()


def test_what_was_never_applied_is_absent(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxOptions(weather=Weather(lost=1.0))) as running:
        imported(shell, running, monkeypatch)
        ended = shell.run("verify", "--settle", "0", "--verify-rows", "10")

    assert ended.code == 4
    assert "       10 are absent" in ended.err
    assert re.search(r"so at most 100.00% of the accepted rows are wrong", ended.err)


def test_all_rows_and_a_number_of_rows_are_not_asked_for_together(
    shell: Shell,
) -> None:
    ended = shell.run("verify", "--all", "--verify-rows", "5")

    assert ended.code == 2
    assert "contradict" in ended.err


def test_without_a_run_there_is_nothing_to_verify(shell: Shell) -> None:
    ended = shell.run("verify")

    assert ended.code == 78
    assert "there is no run in " in ended.err


def test_a_source_that_has_changed_ends_with_81(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = imported(shell, sandbox, monkeypatch)
    shell.write("people.csv", PEOPLE + "C99,Late\n")
    ended = shell.run("verify")

    assert ended.code == 81
    assert f"run {run_id} cannot be verified: its source has changed: " in ended.err


def test_an_import_tells_in_a_few_lines_what_it_read_back(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE)
    ended = shell.run("import", "people.csv", "--summary", "s.json")

    assert ended.code == 0
    assert (
        "read back 30 rows: 30 hold every field that was sent\n"
        "every row that can be asked for was: 0.00% are wrong\n"
        "report: "
    ) in ended.err
    assert "reading back 30 accepted rows" in ended.err
    told = json.loads(Path("s.json").read_bytes())
    assert (told["rows"]["settled"], told["rows"]["unverified"]) == (30, 0)
    assert told["verification"] == {
        "asked": 30,
        "ambiguous": 0,
        "wrong_share_at_most": 0.0,
        "settled_after_s": None,
        "fields": {},
        "refusal": None,
    }
    assert sandbox.base_url


def test_an_import_whose_rows_are_absent_after_their_time_ends_with_4(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("people.csv", f"{PEOPLE},nobody\n")
    with running_sandbox(SandboxOptions(weather=Weather(lost=1.0))) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        flags = ("--settle", "0", "--verify-rows", "10", "--json")
        ended = shell.run("import", "people.csv", *flags)

    assert ended.code == ended.json["exit_code"] == 4
    assert (ended.json["rows"]["blocked"], ended.json["rows"]["absent"]) == (1, 10)
    assert "read back 10 rows: 10 are absent" in ended.err
    path = Path(ended.json["files"]["differences"])
    assert len(path.read_text().splitlines()) == 11
    assert f"rows that differ or are absent: {path}" in ended.err
    assert "4" in shell.run("runs").out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--verify", "none", "--settle", "5"), "nothing is under verify: none"),
        (("--verify", "none", "--verify-rows", "5"), "nothing is under verify: none"),
        (("--verify", "all", "--verify-rows", "5"), "asks for every row"),
    ],
)
def test_a_flag_about_what_is_not_read_back_is_refused(
    shell: Shell, flags: tuple[str, ...], words: str
) -> None:
    shell.write("people.csv", PEOPLE)
    ended = shell.run("import", "people.csv", *flags)

    assert ended.code == 78
    assert words in ended.err


def test_what_a_job_says_of_reading_back_counts_for_the_command_too(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE)
    job = "source: {path: people.csv}\nverify: none\nverify_rows: 7\nsettle: 5\n"
    shell.write("job.yaml", job)
    ended = shell.run("import", "-c", "job.yaml", "--json")
    sandbox.sandbox.settle()

    assert ended.json["verification"] is None
    assert ended.json["rows"]["unverified"] == 30
    assert shell.run("verify", "--json").json["rows"]["asked"] == 7


def test_a_verification_does_not_wait_for_an_import_of_its_folder(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported(shell, sandbox, monkeypatch)
    with lock_folder(Path(".crm-pipeline")):
        assert shell.run("import", "people.csv").code == 80
        assert shell.run("verify").code == 0
    with lock_verification(Path(".crm-pipeline/verify")):
        ended = shell.run("verify")

    assert ended.code == 80
    assert "another run holds the verifications of this work folder" in ended.err
