"""`export` as an operator types it: killed and continued, by name, for people."""

import json
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest

from pipeline.sandbox.server import (
    API_KEY,
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from shell import Shell

FULL = ("--detail", "full", "--road", "windows")
N_PROFILES = 250
PATIENCE_S = 50.0


def told_to(env: pytest.MonkeyPatch, running: RunningSandbox) -> None:
    env.setenv("SYNERISE_BASE_URL", running.base_url)
    env.setenv("SYNERISE_API_KEY", API_KEY)


def n_reads(running: RunningSandbox) -> int:
    records = running.sandbox.store.requests()
    return sum(record.name == "get_by_id" for record in records)


def wait_for_details(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a hundred profiles are known in full."""
    end_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < end_s:
        journals = list(folder.glob(".crm-pipeline/exports/*/seen/units.jsonl"))
        if journals and "details|" in journals[0].read_text("utf-8"):
            return
        assert process.poll() is None
        time.sleep(0.01)
    raise AssertionError(PATIENCE_S)


def test_an_export_that_was_killed_goes_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxOptions(seed_profiles=N_PROFILES)) as running:
        told_to(monkeypatch, running)
        command = [sys.executable, "-m", "pipeline", "export", "all.jsonl", *FULL]
        with subprocess.Popen(
            [*command, "--rate", "120"], cwd=shell.folder, stderr=subprocess.DEVNULL
        ) as process:
            wait_for_details(shell.folder, process)
            process.kill()
        assert not list(shell.folder.glob("all*"))
        n_before = n_reads(running)
        draft = shell.write(".all.jsonl.abcdefgh", "half a file")

        ended = shell.run("export", "all.jsonl", *FULL, "--json")

        assert ended.code == 0, ended.err
        assert "going on with an export that was cut off: 250 profiles" in ended.err
        assert (ended.json["profiles"], ended.json["continued"]) == (250, 250)
        assert not draft.exists()
        n_again = n_reads(running) - n_before
        assert 0 < n_again <= N_PROFILES - 100
        lines = (shell.folder / "all.jsonl").read_text("utf-8").splitlines()
        truth = {one["clientId"]: one for one in running.sandbox.profiles()}
        assert len(lines) == N_PROFILES
        for row in map(json.loads, lines):
            points = truth[row["clientId"]]["attributes"]["points"]
            assert row["attributes.points"] == points


def test_words_of_an_export_by_identifiers(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxOptions(seed_profiles=20)) as running:
        told_to(monkeypatch, running)
        shell.write("who.csv", "customId\nS0000004\nnobody\nS0000005\n")

        ended = shell.run("export", "who.parquet", "--by-identifiers", "who.csv")

        assert ended.code == 0, ended.err
        assert "2 profiles, complete: who.parquet" in ended.err
        assert "1 row of the file name a profile that is not there: rows 2" in ended.err
        frame = pl.read_parquet(shell.folder / "who.parquet")
        assert frame["customId"].to_list() == ["S0000004", "S0000005"]


def test_a_file_for_people_keeps_phones_as_text(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running_sandbox(SandboxOptions(settle_s=0.0)) as running:
        told_to(monkeypatch, running)
        shell.write(
            "people.csv",
            "customId,phone,firstName,zipCode\n007,+48600100200,=1+1,01234\n",
        )
        assert shell.run("import", "people.csv").code == 0
        running.sandbox.settle()

        ended = shell.run(
            "export", "out.csv", "--spreadsheet-safe",
            "--fields", "customId,phone,firstName,zipCode",
        )  # fmt: skip

        assert ended.code == 0, ended.err
        assert (shell.folder / "out.csv").read_bytes().decode() == (
            "\ufeffcustomId,phone,firstName,zipCode\n'007,'+48600100200,'=1+1,'01234\n"
        )


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--fields", "attributes.tier"], 78, "--detail full"),
        (["--road", "pages", "--search", "x"], 78, "cannot search"),
        (["--by-identifiers", "none.csv"], 66, "none.csv"),
        (["--road", "motor"], 2, "motor"),
        (["--concurrency", "0"], 78, "from 1 to 32"),
        (["--rate", "-1"], 78, "above 0"),
        (["--engine", "dask", "--workers", "2"], 78, "asked for one by one"),
        (["--workers", "2"], 78, "are for --engine dask"),
    ],
)
def test_what_contradicts_itself_has_a_number(
    shell: Shell,
    sandbox: RunningSandbox,
    flags: list[str],
    code: int,
    words: str,
) -> None:
    ended = shell.run("export", "out.csv", *flags)

    assert (ended.code, words in ended.err) == (code, True)
    assert sandbox.sandbox.store.requests() == []
