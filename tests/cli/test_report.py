"""The report of each command: where it is, what it says, what it does not show."""

import json
import re
from html import unescape
from pathlib import Path

import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from shell import Shell

# A value in each place that a report could show: blocked, folded, unreadable, sent.
PEOPLE = (
    "email,firstName,state,code\n"
    "zofia@example.com,Zofia,Mazowieckie,A1\n"
    "jan.kanarek@@example.org,Jan,Podlaskie,B2\n"
    ",Nikt,Pomorskie,C3\n"
    "zofia@example.com,Zofia Maria,Opolskie,D4\n"
    "ala@example.com,Ala,Opolskie\n"
)
VALUES = ("kanarek", "Zofia", "Podlaskie", "Nikt", "ala@example")
IMPORT = ("import", "people.csv", "--extra-columns", "ignore")


def words_of(path: Path) -> str:
    page = path.read_text(encoding="utf-8")
    body = re.sub(r"(?s)<(style|script)>.*?</\1>", " ", page)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", body)))


def last_report(said: str) -> Path:
    line = said.splitlines()[-1]
    assert line.startswith("report: ")
    return Path(line.removeprefix("report: "))


def test_a_check_leaves_a_report_and_says_what_to_type(shell: Shell) -> None:
    shell.write("people.csv", PEOPLE)
    ended = shell.run("check", *IMPORT[1:], "--json")
    path = last_report(ended.err)

    assert path == Path(ended.json["files"]["report"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert "1 of 5 rows is ready to be sent; 3 need repair." in words_of(path)
    assert (
        "next, to send what can be sent:\n"
        "  crm-pipeline import people.csv --extra-columns ignore\n"
    ) in ended.err
    assert not list(path.parent.glob(".*"))


def test_an_import_shows_the_shape_of_values_only(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    shell.write("people.csv", PEOPLE)
    ended = shell.run(*IMPORT)
    path = last_report(ended.err)
    told = words_of(path)

    assert ended.code == 3
    assert path.name == "report.html"
    assert not [value for value in VALUES if value in path.read_text(encoding="utf-8")]
    assert "aaa.aaaaaaa@@aaaaaaa.aaa" in told
    assert "5 rows read = 1 accepted + 1 folded + 3 blocked" in told
    assert "every field that was sent" in ended.err  # read back already
    assert "rejected.csv --extra-columns ignore" in told
    assert re.search(
        r"next, to send the rows of rejected.csv.*:\n  crm-pipeline import ", ended.err
    )


def test_values_are_shown_on_request(shell: Shell, sandbox: RunningSandbox) -> None:
    del sandbox
    shell.write("people.csv", PEOPLE)
    told = words_of(last_report(shell.run(*IMPORT, "--show-values").err))

    assert "jan.kanarek@@example.org" in told
    assert "ala@example.com,Ala,Opolskie" in told
    assert "this page holds personal data" in told
    assert "Zofia" not in told  # nothing was wrong with these rows


def test_the_numbers_are_those_of_the_summary(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    rows = "".join(f"p{n}@example.com,P{n},,\n" for n in range(995))
    shell.write("people.csv", PEOPLE + rows)
    ended = shell.run(*IMPORT, "--max-rows", "20", "--json")
    told, rows_of = words_of(last_report(ended.err)), ended.json["rows"]

    assert f"{rows_of['read']:,} rows read = {rows_of['accepted']:,} accepted" in told
    assert f"Requests {ended.json['requests']['sent']:,}; " in told
    assert "Rows accepted a second" in told
    assert f"{rows_of['accepted']:,} rows in accepted batches" in told
    assert all(code in told for code in ended.json["codes"])


@pytest.mark.slow
def test_a_resumed_run_has_one_report(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = "".join(f"p{n}@example.com,P{n},,\n" for n in range(8))
    shell.write("people.csv", PEOPLE + rows)
    slow = SandboxOptions(weather=Weather(slow=1.0, slow_s=0.1))
    with running_sandbox(slow) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        pace = ("--max-rows", "1", "--concurrency", "1", "--max-duration", "0.25")
        first = shell.run(*IMPORT, *pace)
        path = last_report(first.err.partition("\ncrm-pipeline: ")[0])
        pending = words_of(path)
        resumed = shell.run("resume", "--max-duration", "60")

    assert first.code == 75
    assert "Ended early" in pending
    assert "are pending. " in pending
    assert "crm-pipeline resume" in pending
    assert last_report(resumed.err).samefile(path)
    assert "Resume of people.csv" in words_of(path)
    assert "5 rows read" not in words_of(path)
    assert "pending" not in words_of(path).partition("What to repair")[0]


def test_a_verification_has_a_report_of_its_own(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", "customId,firstName\nC1,Zofia\nC2,Jan\n")
    imported = last_report(shell.run("import", "people.csv").err)
    sandbox.sandbox.settle()
    change = ("--custom-id", "C2", "--set", "firstName=Kanarek")
    assert shell.run("profile", "update", *change).code == 0
    sandbox.sandbox.settle()
    ended = shell.run("verify", "--settle", "0", "--json")
    path = last_report(ended.err)

    assert ended.code == 4
    assert path.samefile(imported.with_name("verify.html"))
    assert path.stat().st_mode & 0o777 == 0o600
    assert Path(ended.json["files"]["report"]).samefile(path)
    told = words_of(path)
    assert "1 of 2 rows read back holds what was sent; 1 differs." in told
    assert "Kanarek" not in told
    assert '"Aaaaaaa"' in told
    shown = shell.run("verify", "--settle", "0", "--show-values")
    assert '"Kanarek"' in words_of(last_report(shown.err))
    assert imported.is_file()


@pytest.mark.parametrize(
    "suffix",
    [
        "csv",
        pytest.param("parquet", marks=pytest.mark.slow),
        pytest.param("jsonl", marks=pytest.mark.slow),
    ],
)
def test_an_export_has_its_report_beside_it(
    shell: Shell, sandbox: RunningSandbox, suffix: str
) -> None:
    shell.write("people.csv", "email,city\nzofia@example.com,Zofia\nx@e.com,\n")
    shell.run("import", "people.csv")
    sandbox.sandbox.settle()
    ended = shell.run("export", f"out.{suffix}", "--json")
    path = last_report(ended.err)

    assert path == Path(f"out.{suffix}.report.html")
    assert ended.json["report"] == str(path)
    assert path.stat().st_mode & 0o777 == 0o600
    told = words_of(path)
    assert "2 profiles exported, shown to be complete." in told
    assert re.search(r"city 1 50\.0 %", told)
    assert "zofia@example.com" not in told
    shown = shell.run("export", f"out.{suffix}", "--overwrite", "--show-values")
    assert "zofia@example.com" in words_of(last_report(shown.err))


def test_a_purge_removes_reports(shell: Shell) -> None:
    shell.write("people.csv", PEOPLE)
    path = last_report(shell.run("check", *IMPORT[1:], "--show-values").err)

    assert path.is_file()
    assert shell.run("runs", "purge", "--keep-days", "0").code == 0
    assert not path.exists()
    assert json.loads((path.parent / "summary.json").read_bytes())


def test_a_plan_and_its_night_have_a_page_each(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    assert sandbox.base_url
    shell.write("people.csv", PEOPLE)
    planned = shell.run("plan", *IMPORT[1:], "--json")
    plan = last_report(planned.err)

    assert plan.name == "plan.html"
    assert plan == Path(planned.json["files"]["report"])
    assert plan.stat().st_mode & 0o777 == 0o600
    text = plan.read_text(encoding="utf-8")
    assert not [value for value in VALUES if value in text]
    assert "1 of 1 person is to be sent: 1 new." in words_of(plan)
    assert "2 new set firstName Aaaaa Aaaaa" not in words_of(plan)
    assert "4 new set firstName Aaaaa Aaaaa" in words_of(plan)
    assert f"crm-pipeline apply {plan.parent.absolute()}" in words_of(plan)

    applied = shell.run("apply", plan.parent, "--json")
    night = last_report(applied.err)
    assert night.samefile(plan.with_name("report.html"))
    assert Path(applied.json["files"]["report"]).samefile(night)
    assert "1 of 1 planned row is accepted." in words_of(night)
    text = night.read_text(encoding="utf-8")
    assert not [value for value in VALUES if value in text]
    assert plan.is_file()


def test_a_plan_shows_values_on_request(shell: Shell, sandbox: RunningSandbox) -> None:
    assert sandbox.base_url
    shell.write("people.csv", PEOPLE)
    told = words_of(last_report(shell.run("plan", *IMPORT[1:], "--show-values").err))

    assert "4 new set firstName Zofia Maria" in told


def test_a_night_that_guards_stop_says_it_once_and_on_the_page(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    assert sandbox.base_url
    rows = [f"p{n}@example.com,P{n},," for n in range(60)]
    shell.write("people.csv", "\n".join([PEOPLE.splitlines()[0], *rows]))
    first = shell.run("sync", *IMPORT[1:])
    assert first.code == 0
    assert last_report(first.err).name == "report.html"
    assert "plan.html" in first.err
    shell.write("people.csv", "\n".join([PEOPLE.splitlines()[0], *rows[:20]]))
    stopped = shell.run("sync", *IMPORT[1:])

    assert stopped.code == 6
    assert stopped.err.count("0 new") == 1
    (line,) = [x for x in stopped.err.splitlines() if x.startswith("report: ")]
    told = words_of(last_report(line))
    assert "Stopped by the guards" in told
    assert "What ended it: the guards stopped this night" in told
    assert "To apply it all the same: crm-pipeline apply" in told


def test_a_plan_that_the_source_stops_has_the_page_of_a_check(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    assert sandbox.base_url
    shell.write("people.csv", "email,city\np@example.com,NIL\n")
    stopped = shell.run("plan", "people.csv", "--null-token", "NIL")
    path = last_report(stopped.err.partition("\ncrm-pipeline: ")[0])

    assert stopped.code == 6
    assert path.name == "report.html"
    assert "Ended early" in words_of(path)
