"""With CRM_PIPELINE_LOG_FORMAT=json, stderr is one JSON object a line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.progress import LINE_EVERY_S, Events

if TYPE_CHECKING:
    from pipeline.sandbox.server import RunningSandbox
    from shell import Ended, Shell

SOURCE = "email\nzofia.canary@example.com\nno address\n"


@pytest.fixture(autouse=True)
def _json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PIPELINE_LOG_FORMAT", "json")


def records(ended: Ended) -> list[dict[str, Any]]:
    told = [json.loads(line) for line in ended.err.splitlines()]
    assert all({"time", "level", "event", "run_id"} <= set(one) for one in told)
    return told


def test_an_import_is_told_in_events(shell: Shell, sandbox: RunningSandbox) -> None:
    shell.write("people.csv", SOURCE)
    ended = shell.run("import", "people.csv", "-v", "--json")
    told = records(ended)
    events = {one["event"]: one for one in told}

    assert set(events) >= {"begun", "mapping", "checked", "workspace", "ended", "said"}
    summary = ended.json
    assert {one["run_id"] for one in told} == {None, summary["run_id"]}
    assert told[-1]["run_id"] == summary["run_id"]
    for key in ("exit_code", "rows", "requests", "seconds", "bytes_sent"):
        assert events["ended"][key] == summary[key]
    assert events["checked"]["rows"] == {"read": 2}
    assert events["workspace"]["guid"] == sandbox.workspace_guid
    for canary in ("zofia", sandbox.api_key, "no address"):
        assert canary not in ended.err


def test_errors_and_wrong_words_are_events(shell: Shell) -> None:
    *_, missing = records(shell.run("check", "nope.csv"))
    assert (missing["event"], missing["exit_code"]) == ("error", 66)
    (unknown,) = records(shell.run("imprt"))
    assert (unknown["level"], unknown["exit_code"]) == ("error", 2)


def test_paths_in_texts_can_be_read(shell: Shell) -> None:
    shell.write("people.csv", SOURCE)
    folder = "nightly/imports/november/of_the_shop_in_opole"
    told = records(shell.run("check", "people.csv", "--work-dir", folder))
    texts = "\n".join(one.get("text", "") for one in told)

    assert f"work folder: {folder}" in texts
    assert f"report: {folder}/runs/{told[-1]['run_id']}/report.html" in texts
    assert "<token>" not in texts


def test_quiet_says_errors_alone(shell: Shell, sandbox: RunningSandbox) -> None:
    del sandbox
    shell.write("people.csv", SOURCE)
    assert shell.run("import", "people.csv", "--quiet").err == ""
    (only,) = records(shell.run("import", "nope.csv", "--quiet"))
    assert only["event"] == "error"


def test_another_word_is_refused(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_PIPELINE_LOG_FORMAT", "xml")
    ended = shell.run("--version")

    assert ended.code == 78
    assert "CRM_PIPELINE_LOG_FORMAT" in ended.err


def test_a_process_of_its_own_writes_nothing_else(shell: Shell) -> None:
    shell.write("people.csv", SOURCE)
    done = subprocess.run(
        [sys.executable, "-m", "pipeline", "check", "people.csv"],
        cwd=shell.folder,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 3
    events = [json.loads(line)["event"] for line in done.stderr.splitlines()]
    assert events[0] == "begun"
    assert "ended" in events


@dataclass
class Sent:
    rows_accepted: int
    rows_rejected: int = 0
    rows_pending: int = 0


def test_progress_is_told_now_and_then() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    now_s = 0.0

    def tell(event: str, **fields: Any) -> None:
        told.append((event, fields))

    events = Events(tell, now=lambda: now_s)
    with events.checking() as show:
        for _ in range(25):
            now_s += LINE_EVERY_S / 10
            show(4)
    with events.sending(100) as sent:
        sent(Sent(10))
        now_s += LINE_EVERY_S
        sent(Sent(50, 1, 2))
        sent(Sent(60))

    assert told == [
        ("checking", {"rows": {"read": 40}}),
        ("checking", {"rows": {"read": 80}}),
        ("checked", {"rows": {"read": 100}}),
        (
            "sending",
            {
                "rows": {"accepted": 50, "rejected": 1, "pending": 2},
                "rows_to_send": 100,
            },
        ),
    ]
