"""`summary.json`: every documented key is there, and true by what the service saw."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.records import State
from pipeline.sandbox.records import TruthKind
from pipeline.sandbox.server import SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from shell import Shell

PARTS = ("settled", "differs", "absent", "not_yet", "unverified")
ODD_DAY = Weather(seed=4, torn_after=0.2, suspect=0.2)
# Two people, one of them twice, an empty line, one without an identifier, a bad date.
SOURCE = (
    "email,firstName,birthDate\n"
    "ewa@example.com,Ewa,\n"
    "jan@example.org,Jan,1900-01-01\n"
    "\n"
    "ewa@example.com,Ewa Maria,\n"
    ",Nobody,\n"
)
JOB = """
mapping:
  email: email
  firstName: firstName
  birthDate: {column: birthDate, on_invalid: omit}
"""


def people(n_rows: int) -> str:
    return SOURCE + "".join(f"p{n}@example.com,P{n},\n" for n in range(n_rows))


def imported(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, weather: Weather, *flags: str
) -> tuple[dict[str, Any], Any, int]:
    """Import the source; return the summary, the log of the sandbox, the exit code."""
    shell.write("people.csv", people(100))
    shell.write("job.yaml", JOB)
    with running_sandbox(SandboxOptions(settle_s=0.0, weather=weather)) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        arguments = ("people.csv", "-c", "job.yaml", "--max-rows", "10", "--json")
        ended = shell.run("import", *arguments, *flags)
        return ended.json, running.sandbox.truth(), ended.code


def test_every_documented_key_is_true(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, truth, code = imported(shell, monkeypatch, ODD_DAY)

    rows = told["rows"]
    assert set(rows) == {"read", "unknown", *PARTS, *(state.value for state in State)}
    assert rows["read"] == sum(rows[state.value] for state in State) == 105
    assert rows["accepted"] == sum(rows[part] for part in PARTS)
    assert (rows["empty"], rows["blocked"], rows["folded"]) == (1, 1, 1)
    assert (rows["pending"], rows["unknown"]) == (0, 0)
    assert told["omitted_invalid"] == 1
    assert (told["command"], told["exit_code"], code) == ("import", 3, 3)
    assert told["resumable"] is False
    assert told["source"] == [str(shell.folder / "people.csv")]
    assert told["workspace"]
    assert told["error"] is None
    assert Path(told["files"]["outcomes"]).parent.name == told["run_id"]
    assert all(Path(path).is_file() for path in told["files"].values())
    assert 20_000_000 < told["peak_rss_bytes"] < 4_000_000_000
    assert 0 < told["seconds"] < 60
    assert told["rows_per_s"] == pytest.approx(105 / told["seconds"], rel=0.01, abs=1)
    batches = [
        event
        for event in truth
        if event.kind is TruthKind.RECEIVED and event.name == "batch"
    ]
    assert told["requests"]["sent"] == len(batches)
    n_planned = len({event.digest for event in batches})
    assert told["requests"]["retried"] == len(batches) - n_planned > 0
    answers = [e.status for e in truth if e.kind is TruthKind.ANSWERED]
    assert told["requests"]["status"]["202"] <= answers.count(202)
    assert told["n_anomalies"] > 0
    assert told["bytes_sent"] > 100 * len('{"email":"p1@example.com"},')


def test_bytes_are_those_of_the_bodies(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, _, _ = imported(shell, monkeypatch, Weather())

    rows = [{"email": f"p{n}@example.com", "firstName": f"P{n}"} for n in range(100)]
    rows += [
        {"email": "jan@example.org", "firstName": "Jan"},
        {"email": "ewa@example.com", "firstName": "Ewa Maria"},
    ]
    texts = [json.dumps(row, separators=(",", ":")) for row in rows]
    n_requests = told["requests"]["sent"]
    commas = len(rows) - n_requests
    assert told["bytes_sent"] == sum(map(len, texts)) + commas + 2 * n_requests
    assert told["requests"]["status"] == {"202": n_requests}
    assert (told["requests"]["retried"], told["n_anomalies"]) == (0, 0)


def test_what_can_be_gone_on_with_says_so(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = Weather(refuse="p1")
    flags = ("--max-rejects", "0", "--concurrency", "1")
    told, _, code = imported(shell, monkeypatch, refusing, *flags)

    assert (told["exit_code"], code) == (6, 6)
    assert told["resumable"] is True
    assert told["rows"]["pending"] > 0
    assert told["error"].startswith("the service refused more than 0 rows")


def test_a_check_has_the_same_keys_and_nothing_to_go_on_with(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent, _, _ = imported(shell, monkeypatch, Weather())
    checked = shell.run("check", "people.csv", "-c", "job.yaml", "--json").json

    assert checked.keys() == sent.keys()
    assert checked["rows"].keys() == sent["rows"].keys()
    assert (checked["resumable"], checked["rows"]["planned"]) == (False, 102)
