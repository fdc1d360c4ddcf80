"""`plan`, `apply` and `sync` as an operator types them: words and exit codes."""

import json
import re
import shutil
import stat
from pathlib import Path

import pytest

from pipeline.environment import KEY_BYTES, digest_key
from pipeline.errors import SettingsError
from pipeline.sandbox.server import RunningSandbox
from shell import Ended, Shell

JOB = "version: 1\nname: people\nsource: {path: people.csv}\n"
WIDEST = 80
ROOT = Path(__file__).parents[2]


def people(n: int = 20, city: str = "Opole") -> str:
    rows = (f"C{i},p{i}@example.com,{city}\n" for i in range(n))
    return "customId,email,city\n" + "".join(rows)


@pytest.fixture
def at(shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch) -> Shell:
    assert sandbox.base_url
    for name in ("CRM_PIPELINE_KEY", "CRM_PIPELINE_KEY_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.folder / "locks"))
    shell.write("job.yaml", JOB)
    shell.write("people.csv", people())
    return shell


def plan_in(ended: Ended) -> str:
    found = re.search(r"to apply it: crm-pipeline apply (\S+)", ended.err)
    assert found, ended.err
    return found[1]


def test_a_plan_is_made_shown_and_applied_once(at: Shell) -> None:
    planned = at.run("plan", "-c", "job.yaml")
    assert planned.code == 0
    assert "20 new" in planned.err
    assert "nothing was confirmed yet, so every row is new" in planned.err
    folder = plan_in(planned)
    lines = [
        line
        for line in planned.err.splitlines()
        if folder not in line and not line.startswith("workspace:")
    ]
    assert max(map(len, lines)) <= WIDEST

    applied = at.run("apply", folder, "--json")
    assert applied.code == 0
    assert applied.json["rows"]["accepted"] == 20
    assert applied.json["plan"]["new"] == 20
    assert applied.json == json.loads((Path(folder) / "summary.json").read_text())

    again = at.run("apply", folder)
    assert again.code == 78
    assert "was applied already" in again.err


def test_a_second_sync_sends_nothing_and_a_third_what_changed(at: Shell) -> None:
    first = at.run("sync", "-c", "job.yaml", "--json")
    assert (first.code, first.json["rows"]["accepted"]) == (0, 20)
    second = at.run("sync", "-c", "job.yaml", "--json")
    assert (second.code, second.json["requests"]["sent"]) == (0, 0)
    assert second.json["rows"]["unchanged"] == 20

    at.write("people.csv", people(19) + "C19,p19@example.com,Lublin\nC20,,\n,x,\n")
    third = at.run("sync", "-c", "job.yaml", "--json", "--summary", "told.json")
    assert third.code == 3
    assert third.json["rows"]["accepted"] == 2
    assert third.json["plan"]["changed_fields"] == {"city": 1}
    assert third.json["codes"] == {"EMAIL": 1}
    assert json.loads((at.folder / "told.json").read_text()) == third.json


def test_a_night_is_read_back_and_can_be_verified_later(at: Shell) -> None:
    night = at.run("sync", "-c", "job.yaml", "--json", "--verify-rows", "5")
    assert night.code == 0
    assert (night.json["rows"]["settled"], night.json["rows"]["unverified"]) == (5, 15)
    assert night.json["verification"]["asked"] == 5
    assert "read back 5 rows: 5 hold every field that was sent" in night.err
    assert "next, to ask for every accepted row:\n  crm-pipeline verify" in night.err
    later = at.run("verify", "-c", "job.yaml", "--all", "--json")

    assert later.code == 0
    assert later.json["rows"]["settled"] == 20


def test_a_night_whose_rows_differ_later_is_told_so(at: Shell) -> None:
    folder = plan_in(at.run("plan", "-c", "job.yaml"))
    quiet = at.run("apply", folder, "--verify", "none", "--json")
    assert (quiet.code, quiet.json["verification"]) == (0, None)
    edited = at.run("profile", "update", "--custom-id", "C4", "--set", "city=Edited")
    assert edited.code == 0
    found = at.run("verify", "-c", "job.yaml", "--settle", "0", "--json")

    assert found.code == 4
    assert found.json["rows"]["differs"] == 1
    assert Path(found.json["files"]["report"]).parent.samefile(folder)


def test_a_full_plan_says_what_it_risks(at: Shell) -> None:
    at.run("sync", "-c", "job.yaml")
    full = at.run("plan", "-c", "job.yaml", "--full", "--json")

    assert full.json["plan"]["new"] == 20
    assert "start automations" in " ".join(full.json["plan"]["reasons"])


def test_a_job_that_changed_since_the_plan_is_refused(at: Shell) -> None:
    folder = plan_in(at.run("plan", "-c", "job.yaml"))
    at.write("job.yaml", f"{JOB}rows: {{blank: block}}\n")

    refused = at.run("apply", folder)

    assert refused.code == 78
    assert "the job is not the one that plan" in refused.err


def test_flags_of_the_plan_are_no_change_of_the_job(at: Shell) -> None:
    planned = at.run("plan", "-c", "job.yaml", "--blank", "block")

    assert at.run("apply", plan_in(planned)).code == 0


def test_a_plan_is_found_by_its_name(at: Shell) -> None:
    name = Path(plan_in(at.run("plan", "-c", "job.yaml"))).name

    assert at.run("apply", name, "--work-dir", ".crm-pipeline").code == 0


@pytest.mark.parametrize("told", ["20260101-000000-abcd", "elsewhere"])
def test_what_is_no_plan_is_told(at: Shell, told: str) -> None:
    (at.folder / "elsewhere").mkdir()
    ended = at.run("apply", told)

    assert ended.code == 78
    assert "plan" in ended.err


def test_an_altered_plan_and_an_old_state_are_refused(at: Shell) -> None:
    old = plan_in(at.run("plan", "-c", "job.yaml"))
    altered = plan_in(at.run("plan", "-c", "job.yaml"))
    rows = Path(altered) / "rows.parquet"
    rows.write_bytes(rows.read_bytes() + b" ")
    assert at.run("apply", altered).code == 81

    at.run("sync", "-c", "job.yaml")
    stale = at.run("apply", old)
    assert stale.code == 82
    assert "make a new plan" in stale.err


def test_a_source_that_cannot_be_used_sends_nothing(at: Shell) -> None:
    at.write("people.csv", "")
    assert at.run("sync", "-c", "job.yaml").code == 65
    (at.folder / "people.csv").unlink()
    assert at.run("sync", "-c", "job.yaml").code == 66


def test_a_key_that_opens_nothing_is_told(
    at: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNERISE_API_KEY", "another-key")
    assert at.run("sync", "-c", "job.yaml").code == 77


def test_a_damaged_state_is_told(at: Shell) -> None:
    at.run("sync", "-c", "job.yaml")
    next((at.folder / ".crm-pipeline" / "state").glob("*/state.json")).write_text("{")

    ended = at.run("sync", "-c", "job.yaml")

    assert ended.code == 74
    assert "the delta state is damaged" in ended.err


def test_files_of_a_plan_are_private(at: Shell) -> None:
    folder = Path(plan_in(at.run("plan", "-c", "job.yaml")))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


# -- the key -----------------------------------------------------------------------


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    key = digest_key(tmp_path / "work", {})
    path = tmp_path / "work" / "key"

    assert digest_key(tmp_path / "work", {}) == key == path.read_bytes().hex()
    assert path.stat().st_size == KEY_BYTES
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_key_of_the_environment_wins(tmp_path: Path) -> None:
    told = {"CRM_PIPELINE_KEY": "k" * 40}

    assert digest_key(tmp_path, told) == "k" * 40
    assert not (tmp_path / "key").exists()


def test_a_short_key_or_a_cut_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="shorter than 32"):
        digest_key(tmp_path, {"CRM_PIPELINE_KEY": "secret"})
    (tmp_path / "key").write_bytes(b"cut")
    with pytest.raises(SettingsError, match="not the key that was made"):
        digest_key(tmp_path, {})


def test_a_key_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    (tmp_path / "key").mkdir()
    with pytest.raises(SettingsError, match="cannot be read"):
        digest_key(tmp_path, {})


def test_the_nightly_job_of_the_configs_sends_changed_rows_only(at: Shell) -> None:
    for name in ("configs", "sample_data"):
        shutil.copytree(
            ROOT / name, at.folder / name, ignore=shutil.ignore_patterns(".*", "__*")
        )
    first = at.run("sync", "-c", "configs/nightly-sync.yaml", "--json")
    source = at.folder / "sample_data" / "customers.csv"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("44,Köln,50667,", "44,Köln,50668,", 1), "utf-8")
    second = at.run("sync", "-c", "configs/nightly-sync.yaml", "--json")

    assert (first.code, second.code) == (3, 3)
    assert first.json["rows"]["accepted"] == second.json["rows"]["unchanged"] + 1
    assert second.json["rows"]["accepted"] == 1
    assert second.json["plan"]["changed_fields"] == {"zipCode": 1}
