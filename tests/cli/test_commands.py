"""The commands as an operator types them: words, numbers, and nothing sent in error."""

import json
import re
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from pipeline.cli.main import SWITCH_S
from pipeline.sandbox.server import (
    API_KEY,
    WORKSPACE_GUID,
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import Weather
from shell import Shell

ROOT = Path(__file__).parents[2]
PEOPLE = "email,firstName\newa@example.com,Ewa\njan@example.org,Jan\n"
OTHER_GUID = "11111111-2222-4333-8444-555555555555"
IMPORT = ["import", "people.csv"]
HEAVY = ("polars", "httpx", "pydantic", "starlette")


def test_help_is_fast_and_loads_nothing_heavy() -> None:
    code = (
        "import sys, pipeline.cli.main as m\n"
        "try: m.main(['--help'])\n"
        "except SystemExit: pass\n"
        f"print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    times = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Seconds of the processor: those of the wall count the neighbours as well.
        times.append(
            after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        )

    assert run.stdout.splitlines()[-1] == "[]"
    assert "import" in run.stdout
    assert min(times) <= 0.2


def test_a_thread_that_computes_lets_the_loop_send_soon(shell: Shell) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.005)
    try:
        shell.run("--version")
        assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize(
    "command",
    ["demo", "check", "init", "import", "export", "profile", "runs", "sandbox"],
)
def test_every_command_has_help_within_80_columns(shell: Shell, command: str) -> None:
    ended = shell.run(command, "--help")

    assert ended.code == 0
    assert max(map(len, ended.out.splitlines())) <= 80


def test_an_import_says_who_what_and_how_much(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE)

    ended = shell.run("import", "people.csv")

    assert ended.code == 0
    assert ended.out == ""
    assert "email     -> email" in ended.err
    assert f"({WORKSPACE_GUID}) at {sandbox.base_url}" in ended.err
    assert "2 rows read = 2 accepted" in ended.err
    assert max(map(len, ended.err.splitlines())) <= 100
    assert sandbox.sandbox.store.count_profiles() == 2


def test_json_is_data_on_stdout_and_summary_json_is_the_same(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", PEOPLE)

    ended = shell.run(
        "import", "people.csv", "--json", "--quiet", "--summary", "s.json"
    )

    assert ended.err == ""
    assert ended.json["rows"]["accepted"] == 2
    assert ended.json["rows"]["settled"] == 2
    assert ended.json["requests"]["status"]["202"] == 1
    assert json.loads((shell.folder / "s.json").read_text()) == ended.json
    folder = Path(ended.json["files"]["outcomes"]).parent
    assert json.loads((folder / "summary.json").read_text()) == ended.json
    assert sandbox.base_url


def test_the_newcomer_sees_the_columns_left_over_and_the_flag(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("my.csv", "E-Mail,shoe size\newa@example.com,38\n")

    ended = shell.run("import", "my.csv")

    assert ended.code == 78
    assert "E-Mail -> email" in ended.err
    assert "shoe size" in ended.err
    assert "--extra-columns ignore" in ended.err
    assert sandbox.sandbox.store.batches() == []

    again = shell.run("import", "my.csv", "--extra-columns", "attributes")

    assert again.code == 0
    sandbox.sandbox.settle()
    (profile,) = sandbox.sandbox.profiles()
    assert profile["attributes"]["shoe size"] == "38"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["import", "missing.csv"], 66, "missing.csv"),
        (["import", "no*.csv"], 66, "no*.csv"),
        (["import", "empty.csv"], 65, "0 bytes"),
        (["import"], 78, "name a source"),
        ([*IMPORT, "-c", "none.yaml"], 78, "none.yaml"),
        ([*IMPORT, "-c", "typo.yaml"], 78, "line 2: sauce: unknown key"),
        ([*IMPORT, "-c", "column.yaml"], 78, "'mail'"),
        ([*IMPORT, "--max-rows", "1001"], 78, "max_rows"),
        ([*IMPORT, "--max-rejects", "-1"], 78, "max_rejects: Input should be greater"),
        ([*IMPORT, "--max-wait", "0"], 78, "max_wait: Input should be greater than 0"),
        ([*IMPORT, "--max-duration", "-5"], 78, "max_duration: Input should be gr"),
        ([*IMPORT, "--max-wait", "nan"], 78, "max_wait: Input should be"),
        ([*IMPORT, "--delimiter", ";;"], 78, "delimiter"),
        (["import", "people.jsonl", "--delimiter", ","], 78, "is for CSV"),
        (["init", "people.jsonl", "--delimiter", ","], 78, "is for CSV"),
        (["check", "people.parquet", "--encoding", "utf-8"], 78, "is for text"),
        ([*IMPORT, "--region", "PL"], 78, "no column is mapped to phone"),
        ([*IMPORT, "--region", "DE", "-c", "region.yaml"], 78, "of the region PL"),
        ([*IMPORT, "--quiet", "-v"], 2, "contradict each other"),
        ([*IMPORT, "--encoding", "klingon"], 78, "klingon"),
        ([*IMPORT, "--format", "parquet"], 65, "people.csv"),
        ([*IMPORT, "--no-such-flag"], 2, "--no-such-flag"),
        (["no-such-command"], 2, "no-such-command"),
        ([*IMPORT, "--expect-workspace", OTHER_GUID], 78, "pinned. Nothing was sent"),
        ([*IMPORT, "--base-url", "http://example.com"], 78, "plain http"),
        ([*IMPORT, "--base-url", "http://127.0.0.1:9"], 69, "127.0.0.1:9"),
        (["export", "people.csv"], 73, "--overwrite"),
        (["export", "people.xlsx"], 78, ".parquet"),
        (["init", "people.csv", "-o", "typo.yaml"], 73, "typo.yaml"),
        (["profile", "get"], 78, "--email"),
        (["profile", "get", "--custom-id", ".."], 78, "'..'"),
        (["profile", "create", "--email", "x@y.com", "--set", "shoe=1"], 78, "shoe"),
        (["profile", "delete", "--email", "ewa@example.com"], 78, "--yes"),
        (["sandbox", "--weather", "hail"], 78, "hail"),
    ],
)  # fmt: skip
def test_bad_input_is_one_clear_sentence_and_nothing_is_sent(
    shell: Shell, sandbox: RunningSandbox, arguments: list[str], code: int, words: str
) -> None:
    shell.write("people.csv", PEOPLE)
    shell.write("empty.csv", "")
    shell.write("typo.yaml", "version: 1\nsauce: {path: people.csv}\n")
    shell.write("column.yaml", "mapping: {email: mail}\n")
    phone = "{column: firstName, region: PL}"
    shell.write("region.yaml", f"mapping: {{email: email, phone: {phone}}}\n")
    shell.write("people.jsonl", '{"email": "ewa@example.com"}\n')
    pl.DataFrame({"email": ["ewa@example.com"]}).write_parquet("people.parquet")

    ended = shell.run(*arguments)

    assert ended.code == code, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err
    assert ended.out == ""
    assert sandbox.sandbox.store.batches() == []
    assert sandbox.sandbox.store.count_profiles() == 0


def test_limits_are_flags_and_keys_and_a_flag_wins(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("people.csv", PEOPLE + "bad@example.com,Bad\n")
    shell.write("job.yaml", "delivery: {max_rejects: 0, max_wait: 5, max_duration: 9}")
    weather = Weather(refuse="bad@example.com")
    with running_sandbox(SandboxOptions(settle_s=0.0, weather=weather)) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)

        by_key = shell.run("import", "people.csv", "-c", "job.yaml")
        by_flag = shell.run(
            "import", "people.csv", "-c", "job.yaml", "--max-rejects", "1"
        )

    assert by_key.code == 6
    assert "more than 0 rows (--max-rejects)" in by_key.err
    assert by_flag.code == 3


def test_without_credentials_it_says_which_to_set(shell: Shell) -> None:
    shell.write("people.csv", PEOPLE)

    ended = shell.run("import", "people.csv")

    assert ended.code == 77
    assert "SYNERISE_API_KEY" in ended.err
    assert "crm-pipeline demo" in ended.err


def test_a_wrong_key_is_refused_with_77(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = "99999999-9999-4999-8999-999999999999"
    monkeypatch.setenv("SYNERISE_API_KEY", wrong)
    shell.write("people.csv", PEOPLE)

    ended = shell.run("import", "people.csv")

    assert ended.code == 77
    assert wrong not in ended.err
    assert sandbox.sandbox.store.batches() == []


def test_basic_auth_and_a_ready_token_work(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("people.csv", PEOPLE)
    shell.write("basic.yaml", "workspace: {auth: basic}\n")
    monkeypatch.setenv("SYNERISE_WORKSPACE_GUID", WORKSPACE_GUID)

    ended = shell.run("import", "people.csv", "-c", "basic.yaml")

    assert ended.code == 0, ended.err
    names = {request.name for request in sandbox.sandbox.store.requests()}
    assert not any("login" in name for name in names)


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--error-on-empty"], 9)])
def test_a_header_without_rows_is_said_and_deletes_nothing(
    shell: Shell, sandbox: RunningSandbox, flags: list[str], code: int
) -> None:
    shell.write("header.csv", "email,firstName\n")

    ended = shell.run("import", "header.csv", *flags)

    assert ended.code == code
    *_, told, files, names, report = ended.err.splitlines()
    assert told == "the source has no rows; nothing was sent"
    assert files.startswith("files in ")
    assert report.startswith("report: ")
    assert "summary.json" in names
    assert "rows read" not in ended.err
    assert "forecast" not in ended.err
    assert sandbox.sandbox.store.batches() == []


@pytest.mark.parametrize(("flags", "code"), [([], 0), (["--error-on-empty"], 9)])
def test_an_empty_file_can_be_allowed(
    shell: Shell, flags: list[str], code: int, sandbox: RunningSandbox
) -> None:
    shell.write("empty.csv", "")
    shell.write("people.csv", PEOPLE)
    real = shell.run("import", "people.csv", "--json").json

    ended = shell.run(
        "import", "empty.csv", "--allow-empty", "--json", "--summary", "s.json", *flags
    )

    assert (ended.code, ended.json["exit_code"]) == (code, code)
    assert ended.json["source"] == ["empty.csv"]
    assert set(ended.json["rows"].values()) == {0}
    assert ended.json.keys() == real.keys()
    assert ended.json["rows"].keys() == real["rows"].keys()
    assert ended.json["requests"].keys() == real["requests"].keys()
    assert json.loads((shell.folder / "s.json").read_text()) == ended.json
    assert len(sandbox.sandbox.store.batches()) == 1


def test_runs_lists_what_was_run(shell: Shell, sandbox: RunningSandbox) -> None:
    assert "no runs" in shell.run("runs").err
    shell.write("people.csv", PEOPLE)
    run_id = shell.run("import", "people.csv", "--json").json["run_id"]

    ended = shell.run("runs")

    assert run_id in ended.out
    assert "exit 0" in ended.out
    (run,) = shell.run("runs", "--json").json
    assert (run["run_id"], run["workspace"]) == (run_id, WORKSPACE_GUID)
    assert sandbox.base_url


def test_init_proposes_a_job_that_runs_as_it_is(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write(
        "people.csv",
        "E-Mail,Vorname,firstname,shoe size,NO\newa@example.com,x,Ewa,38,y\n",
    )

    ended = shell.run("init", "people.csv", "-o", "job.yaml")

    assert ended.code == 0, ended.err
    text = (shell.folder / "job.yaml").read_text()
    assert f"guid: {WORKSPACE_GUID}" in text
    assert "email: E-Mail" in text
    assert "extra_columns: refuse" in text
    advised = ended.err.strip().splitlines()[-1].partition("Next: crm-pipeline ")[2]
    checked = shell.run(*advised.split())
    assert checked.code == 0, checked.err
    assert shell.run("import", "-c", "job.yaml").code == 0
    sandbox.sandbox.settle()
    (profile,) = sandbox.sandbox.profiles()
    assert profile["firstName"] == "Ewa"
    sent = {
        name: profile["attributes"][name] for name in ("Vorname", "shoe size", "NO")
    }
    assert sent == {"Vorname": "x", "shoe size": "38", "NO": "y"}


def test_init_lists_what_cannot_be_sent_and_why(shell: Shell) -> None:
    frame = pl.DataFrame(
        {
            "email": ["ewa@example.com"],
            "tier": ["a"],
            "attributes.tier": ["b"],
            "status": ["x"],
            "odd\nname": ["y"],
            "photo": [b"z"],
            "points": [7],
        }
    )
    frame.write_parquet(shell.folder / "people.parquet")

    ended = shell.run("init", "people.parquet")

    assert ended.code == 0, ended.err
    text = (shell.folder / "people.yaml").read_text()
    comments = [line for line in text.splitlines() if line.startswith("  #   ")]
    for line, (name, why) in zip(
        comments,
        [
            ("'tier'", "this attribute already"),
            ("'status'", "keeps this name"),
            (r"'odd\nname'", "forbids"),
            ("'photo'", "Binary"),
        ],
        strict=True,
    ):
        assert name in line
        assert why in line
    assert "extra_columns: ignore" in text
    assert "points: points" in text
    assert "tier: attributes.tier" in text
    assert shell.run("check", "-c", "people.yaml").code == 0


def test_one_profile_is_created_read_changed_and_deleted(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    def settled(*arguments: str) -> int:
        code = shell.run("profile", *arguments).code
        sandbox.sandbox.settle()
        return code

    mail = "o'neil+a/b@example.com"
    assert (
        settled(
            "create",
            "--email",
            mail,
            "--set",
            "firstName=Ewa",
            "--set",
            "attributes.points:=5",
            "--set",
            "agreements.sms=yes",
        )
        == 0
    )
    profile = shell.run("profile", "get", "--email", mail).json
    assert (profile["firstName"], profile["attributes"]["points"]) == ("Ewa", 5)
    assert profile["agreements"]["sms"] is True
    assert (
        settled("update", "--email", mail, "--set", "city=Łódź", "--unset", "firstName")
        == 0
    )
    profile = shell.run("profile", "get", "--email", mail).json
    assert (profile["city"], profile["firstName"]) == ("Łódź", None)
    assert settled("update", "--uuid", profile["uuid"], "--set", "city=Gdynia") == 0
    assert shell.run("profile", "get", "--email", mail).json["city"] == "Gdynia"
    assert settled("update", "--email", mail, "--unset", "email") == 78
    assert settled("delete", "--email", mail, "--yes") == 0
    assert shell.run("profile", "get", "--email", mail).code == 3
    assert settled("update", "--email", mail, "--set", "city=X") == 3  # fmt: skip


def test_a_phone_that_is_not_all_a_profile_has_needs_a_yes(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.run(
        "profile", "create", "--email", "ewa@example.com", "--phone", "+48600100200"
    )
    sandbox.sandbox.settle()

    refused = shell.run(
        "profile", "update", "--phone", "+48600100200", "--set", "city=X"
    )
    done = shell.run(
        "profile", "update", "--phone", "+48600100200", "--set", "city=X", "--yes"
    )

    assert refused.code == 6
    assert "--yes" in refused.err
    assert done.code == 0
    assert "clientId" in done.err


def read_text_csv(path: Path) -> pl.DataFrame:
    frame = pl.read_csv(path, infer_schema=False)
    return frame.with_columns(pl.col("clientId").cast(pl.Int64))


@pytest.mark.parametrize(
    "kind",
    [
        "csv",
        pytest.param("parquet", marks=pytest.mark.slow),
        pytest.param("jsonl", marks=pytest.mark.slow),
    ],
)
def test_an_export_holds_every_profile_under_native_names(
    shell: Shell, sandbox: RunningSandbox, kind: str
) -> None:
    shell.run("import", ROOT / "sample_data/customers.parquet",
              "-c", ROOT / "configs/migrate-customers.yaml", "--work-dir", "w",
              "--format", "parquet")  # fmt: skip
    sandbox.sandbox.settle()

    ended = shell.run("export", f"out.{kind}", "--json")

    assert ended.code == 0, ended.err
    readers = {
        "csv": read_text_csv,
        "parquet": pl.read_parquet,
        "jsonl": pl.read_ndjson,
    }
    frame = readers[kind](shell.folder / f"out.{kind}")  # type: ignore[operator]
    assert frame.height == sandbox.sandbox.store.count_profiles()
    assert {"clientId", "firstName", "customId", "birthDate"} <= set(frame.columns)
    by_id = {p["clientId"]: p for p in sandbox.sandbox.profiles()}
    for row in frame.head(50).iter_rows(named=True):
        assert row["email"] == by_id[row["clientId"]]["email"]
        assert row["lastName"] == by_id[row["clientId"]]["lastName"]
    assert (shell.folder / f"out.{kind}").stat().st_mode & 0o777 == 0o600


@pytest.mark.slow
def test_an_export_past_the_cap_is_read_in_windows(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SandboxOptions(seed_profiles=10_200)
    with running_sandbox(options) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", API_KEY)

        ended = shell.run("export", "all.parquet", "--json", "--road", "windows")

    assert ended.code == 0
    assert "10,200 profiles, complete: all.parquet" in ended.err
    assert "of them full" in ended.err
    assert (ended.json["profiles"], ended.json["all"]) == (10_200, 10_200)
    frame = pl.read_parquet(shell.folder / "all.parquet")
    assert frame["clientId"].n_unique() == frame.height == 10_200
    certificate = json.loads(
        (shell.folder / "all.parquet.certificate.json").read_bytes()
    )
    assert (certificate["complete"], certificate["cap"]) == (True, 10_000)


@pytest.mark.parametrize("is_allowed", [False, True], ids=["refused", "allowed"])
def test_an_export_that_cannot_be_counted_says_so_and_ends_with_5(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, *, is_allowed: bool
) -> None:
    switches = Switches(list_shape="bare_array")
    with running_sandbox(SandboxOptions(switches=switches, seed_profiles=20)) as api:
        monkeypatch.setenv("SYNERISE_BASE_URL", api.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", API_KEY)
        flags = ["--allow-incomplete"] if is_allowed else []

        ended = shell.run("export", "all.parquet", "--json", *flags)

    assert ended.code == (0 if is_allowed else 5)
    assert "NOT COMPLETE: the service does not say how many profiles" in ended.err
    assert ended.json["complete"] is False
    assert (shell.folder / "all.parquet").exists() == is_allowed
    assert (shell.folder / "all.incomplete.parquet").exists() != is_allowed


def test_the_sandbox_command_tells_where_it_listens_and_ends_on_a_signal() -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline", "sandbox", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGTERM)
        code = process.wait(10)

    assert told["api_key"] == API_KEY
    assert told["pid"] == process.pid
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told["base_url"])
    assert code == 0


def test_a_port_in_use_is_said(shell: Shell) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        ended = shell.run("sandbox", "--port", taken.getsockname()[1])

    assert ended.code == 73
    assert "--port" in ended.err


def test_the_demo_ends_well(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)

    ended = shell.run("demo", "--work-dir", shell.folder / "demo")

    assert ended.code == 0, ended.err
    for words in ("4,632 accepted", "300 hold every field", "complete", "made to go"):
        assert words in ended.err


def test_no_value_of_a_row_and_no_secret_is_ever_said(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    canaries = ["canary-name", "canary@example.com", "600100999", "canary-broken"]
    shell.write(
        "people.csv",
        "email,firstName,phone,birthDate\n"
        f"{canaries[1]},{canaries[0]},+48{canaries[2]},1900-01-01\n"
        f"{canaries[1]},{canaries[0]},+48{canaries[2]},1990-01-01\n"
        f"{canaries[3]}@,x,,\n",
    )

    ended = shell.run("import", "people.csv", "-v", "--json", "--work-dir", "work")

    assert ended.code == 3
    journal = b"".join(path.read_bytes() for path in Path("work").glob("journal*"))
    told = (ended.out + ended.err).encode() + journal
    for secret in (*canaries, API_KEY):
        assert secret.encode() not in told
    assert sandbox.base_url


def test_output_that_nobody_reads_stops_nothing() -> None:
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "pipeline", "check", "--help"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        told = process.stderr.read()

    assert b"Traceback" not in told
