"""`reconcile` as its user sees it: words, files, numbers, exit codes."""

import json
import runpy
from pathlib import Path

import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.switches import Switches
from shell import Shell

GENERATOR = Path(__file__).parents[2] / "docs" / "generate.py"
HEADER = "customId,email,firstName,city\n"
PEOPLE = HEADER + "".join(
    f"C{n},p{n}@example.com,Canary{n},Town{n}\n" for n in range(30)
)


def sent(shell: Shell, running: RunningSandbox, text: str = PEOPLE) -> None:
    shell.write("people.csv", text)
    assert shell.run("import", "people.csv").code == 0
    running.sandbox.settle()


def edited(shell: Shell, running: RunningSandbox, name: str, value: str) -> None:
    change = ("--custom-id", "C7", "--set", f"{name}={value}")
    assert shell.run("profile", "update", *change).code == 0
    running.sandbox.settle()


def test_a_list_that_arrived_agrees(shell: Shell, sandbox: RunningSandbox) -> None:
    sent(shell, sandbox)
    ended = shell.run(
        "reconcile", "people.csv", "--against", "crm", "--json", "--summary", "s.json"
    )

    assert ended.code == 0, ended.err
    told = ended.json
    assert told.keys() == runpy.run_path(str(GENERATOR))["RECONCILE_KEYS"].keys()
    rows = told["rows"]
    assert rows["matched"] == rows["compared"] == rows["read"] == 30
    assert rows["differing"] == told["disagreeing_share"] == 0
    assert told["against"]["complete"]
    assert "repair" not in told["files"]
    assert "30 rows compared with 30 profiles of the workspace Sandbox:" in ended.err
    assert "       30 agree in every field that was compared" in ended.err
    assert "0.00% of the rows disagree" in ended.err
    assert "a line for each difference" not in ended.err
    assert "anary" not in ended.err + ended.out
    folder = Path(told["files"]["differences"]).parent
    assert (folder / "summary.json").read_bytes() == Path("s.json").read_bytes()
    assert (folder / "differences.csv").read_text().count("\n") == 1


def test_an_edit_is_told_without_its_value_and_repaired(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    sent(shell, sandbox)
    assert shell.run("export", "before.jsonl").code == 0
    edited(shell, sandbox, "firstName", "Other")
    against = ("--against", "crm", "--baseline", "before.jsonl")
    ended = shell.run("reconcile", "people.csv", *against, "--json")

    assert ended.code == ended.json["exit_code"] == 4
    assert ended.json["fields"]["firstName"]["crm_edited"] == 1
    assert ended.json["baseline"] == "before.jsonl"
    assert "  firstName    3.33%  1 edited in the CRM" in ended.err
    assert "anary" not in ended.err + ended.out
    path = Path(ended.json["files"]["differences"])
    assert path.stat().st_mode & 0o777 == 0o600
    [line] = path.read_text().splitlines()[1:]
    assert line.startswith("people.csv,8,")
    assert line.endswith(
        ',firstName,crm_edited,"""Canary7""","""Other""","""Canary7"""'
    )
    repair = ended.json["files"]["repair"]
    assert f"send 1 row: crm-pipeline import {repair}" in ended.err
    assert shell.run("import", repair).code == 0
    sandbox.sandbox.settle()
    assert shell.run("reconcile", "people.csv", "--against", "crm").code == 0


@pytest.mark.parametrize(("percent", "code"), [("0%", 4), ("3.3%", 4), ("3.4%", 0)])
def test_some_may_disagree(
    shell: Shell, sandbox: RunningSandbox, percent: str, code: int
) -> None:
    sent(shell, sandbox)
    edited(shell, sandbox, "city", "Elsewhere")
    call = ("reconcile", "people.csv", "--against", "crm", "--fail-over", percent)

    assert shell.run(*call, "--quiet").code == code
    assert shell.run(*call, "--ignore-fields", "firstName,city").code == 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--fail-over", "0.1"), "is no percentage, such as 0.1%"),
        (("--fail-over", "101%"), "is no percentage"),
        (("--tolerance", "points"), "is not FIELD=NUMBER"),
        (("--tolerance", "points=-1"), "is not FIELD=NUMBER"),
        (("--tolerance", "points=nan"), "is not FIELD=NUMBER"),
        (("--tolerance", "points=x"), "is not FIELD=NUMBER"),
    ],
)
def test_a_flag_that_says_nothing_is_refused(
    shell: Shell, flags: tuple[str, ...], words: str
) -> None:
    ended = shell.run("reconcile", "people.csv", "--against", "x.csv", *flags)

    assert ended.code == 2
    assert words in ended.err


def test_a_field_that_nobody_has_is_refused(shell: Shell) -> None:
    shell.write("people.csv", PEOPLE)
    shell.write("crm.csv", PEOPLE)
    call = ("reconcile", "people.csv", "--against", "crm.csv")
    for flags in (("--ignore-fields", "points"), ("--tolerance", "points=1")):
        ended = shell.run(*call, *flags)

        assert ended.code == 78
        assert "'points' is none of the fields of this source" in ended.err


def test_a_file_needs_no_key_and_says_what_it_lacks(shell: Shell) -> None:
    shell.write("people.csv", HEADER + "C1,,Ewa,Hel\nC2,,Jan,\n")
    shell.write("crm.json", json.dumps([{"custom_identify": "C1", "firstname": "Ewa"}]))
    ended = shell.run("reconcile", "people.csv", "--against", "crm.json")

    assert ended.code == 5
    assert "        1 agree in every field that was compared" in ended.err
    assert "        1 are only in the source" in ended.err
    assert "does not have it: email, city; name it in --ignore-fields" in ended.err
    ignored = ("--ignore-fields", "email,city")
    again = shell.run("reconcile", "people.csv", "--against", "crm.json", *ignored)
    assert again.code == 4


def test_columns_that_are_no_field_are_named(shell: Shell) -> None:
    shell.write("people.csv", "customId,firstName\nC1,Ewa\n")
    shell.write(
        "crm.csv", "customId,firstName,shoe size,created\nC1,Ewa,40,x\nC1,A,,\n"
    )
    ended = shell.run("reconcile", "people.csv", "--against", "crm.csv")

    assert ended.code == 4
    assert "that were left out: shoe size\n" in ended.err
    assert "2 profiles of the CRM share an identifier with another one" in ended.err
    assert "        1 meet several profiles" in ended.err


def test_rows_that_an_import_blocks_end_with_3(shell: Shell) -> None:
    shell.write("people.csv", "customId,email\nC1,a@example.com\nC2,no address\n")
    shell.write("crm.csv", "customId,email\nC1,a@example.com\nC3,\n")
    ended = shell.run("reconcile", "people.csv", "--against", "crm.csv", "--json")

    assert ended.code == 3
    assert ended.json["rows"]["blocked"] == 1
    assert "1 could not be compared: an import would block them" in ended.err
    assert "1 profile only in the CRM" in ended.err


def test_what_is_out_of_sight_ends_with_5(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SandboxOptions(switches=Switches(list_shape="bare_array"), settle_s=0.0)
    with running_sandbox(options) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        sent(shell, running)
        shell.write("more.csv", PEOPLE + "C99,,Nobody,\n")
        ended = shell.run("reconcile", "more.csv", "--against", "crm", "--json")

    assert ended.code == 5
    assert ended.json["rows"]["unknown"] == 1
    assert not ended.json["against"]["complete"]
    assert "not shown to be all profiles: " in ended.err
    assert "        1 were not found, and may be there" in ended.err


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ("name,age\nEwa,7\n", 65, "has no column with"),
        (None, 66, "cannot be opened"),
        ("", 65, "is empty"),
    ],
)
def test_a_file_that_is_no_other_side_is_refused(
    shell: Shell, content: str | None, code: int, words: str
) -> None:
    shell.write("people.csv", PEOPLE)
    if content is not None:
        shell.write("crm.csv", content)
    ended = shell.run("reconcile", "people.csv", "--against", "crm.csv")

    assert ended.code == code
    assert "crm.csv" in ended.err
    assert words in ended.err


def test_identifiers_that_are_lost_end_it_as_they_end_an_import(shell: Shell) -> None:
    rows = "".join(f"1.2345E+1{n % 9},Ewa{n}\n" for n in range(50))
    shell.write("people.csv", "customId,firstName\n" + rows)
    shell.write("crm.csv", PEOPLE)
    ended = shell.run("reconcile", "people.csv", "--against", "crm.csv")

    assert ended.code == 65
    assert not list(Path(".crm-pipeline").glob("runs/*/differences.csv"))
