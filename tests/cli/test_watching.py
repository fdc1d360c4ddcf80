"""Commands tell the end of their runs: an alert a change, metrics, never a secret."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from exposition import parsed
from pipeline.locks import lock_folder
from pipeline.run_end import known_health
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather
from shell import Shell
from webhook import SECRET, Webhook, webhook

GOOD = "email\nzofia.canary@example.com\n"
SLOWLY = ("--max-rows", "1", "--concurrency", "1")
BAD = "email\nzofia.canary@example.com\nno address\n"
JOB = """version: 1
name: customers
source: {path: people.csv}
notify: {url: "${ALERTS}"}
metrics: metrics/customers.prom
"""


@pytest.fixture
def hook(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Webhook]:
    """A webhook that the environment names, beside a job that uses it."""
    del sandbox  # in the environment, too
    shell.write("job.yaml", JOB)
    (shell.folder / "metrics").mkdir()
    with webhook() as started:
        monkeypatch.setenv("ALERTS", started.url)
        yield started


def events(hook: Webhook) -> list[tuple[str, str, int]]:
    return [(told["event"], told["activity"], told["exit_code"]) for told in hook.got]


def exit_codes(shell: Shell) -> dict[str, float]:
    text = (shell.folder / "metrics" / "customers.prom").read_text()
    families = parsed(text)
    return {
        dict(key)["activity"]: value
        for key, value in families["crm_pipeline_exit_code"].items()
    }


def test_a_course_of_nights_tells_each_change_once(shell: Shell, hook: Webhook) -> None:
    for text, code in ((BAD, 3), (BAD, 3), ("", 65), (GOOD, 0)):
        shell.write("people.csv", text)
        assert shell.run("import", "-c", "job.yaml").code == code

    assert events(hook) == [
        ("failing", "import", 3),
        ("changed", "import", 65),
        ("recovered", "import", 0),
    ]
    assert hook.got[0]["rows"]["blocked"] == 1
    assert hook.got[0]["text"].endswith(": 1 of 2 rows are blocked or rejected")
    assert exit_codes(shell) == {"import": 0.0}


def test_verify_and_export_have_a_health_of_their_own(
    shell: Shell, hook: Webhook
) -> None:
    shell.write("people.csv", GOOD)
    assert shell.run("import", "-c", "job.yaml").code == 0
    assert shell.run("verify", "-c", "job.yaml").code == 0
    assert shell.run("export", "out.csv", "-c", "job.yaml").code == 0
    assert shell.run("export", "out.csv", "-c", "job.yaml").code == 73

    assert events(hook) == [("failing", "export", 73)]
    assert exit_codes(shell) == {"import": 0.0, "verify": 0.0, "export": 73.0}


def test_nothing_personal_and_no_secret_is_told(
    shell: Shell, hook: Webhook, sandbox: RunningSandbox
) -> None:
    shell.write("people.csv", BAD)
    said = shell.run("import", "-c", "job.yaml", "-v")
    kept = b"".join(
        path.read_bytes()
        for path in (shell.folder / ".crm-pipeline").rglob("*")
        if path.is_file() and not path.name.startswith("rejected")
    )

    everything = json.dumps(hook.got) + said.err + said.out
    everything += (shell.folder / "metrics" / "customers.prom").read_text()
    for canary in ("zofia.canary", sandbox.api_key):
        assert canary not in everything
    assert SECRET not in everything.replace("/hooks/", "")
    assert SECRET.encode() not in kept
    assert b"${ALERTS}" in kept


def test_an_alert_that_fails_is_a_warning_and_no_other_exit_code(
    shell: Shell, hook: Webhook
) -> None:
    hook.answers = [403]
    shell.write("people.csv", BAD)
    ended = shell.run("import", "-c", "job.yaml", "--quiet")

    assert ended.code == 3
    assert "warning: the alert was not taken: it answered with status 403" in ended.err
    hook.answers = [200]
    assert shell.run("import", "-c", "job.yaml").code == 3
    assert events(hook) == [("failing", "import", 3)] * 2


def test_a_check_tells_nobody(shell: Shell, hook: Webhook) -> None:
    shell.write("people.csv", BAD)
    assert shell.run("check", "-c", "job.yaml").code == 3
    assert shell.run("import", "-c", "job.yaml", "--dry-run").code == 3

    assert hook.got == []
    assert not (shell.folder / "metrics" / "customers.prom").exists()


def test_the_variable_may_be_a_file_and_must_be_set(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, hook: Webhook
) -> None:
    shell.write("people.csv", BAD)
    monkeypatch.delenv("ALERTS")
    ended = shell.run("import", "-c", "job.yaml")
    assert ended.code == 78
    assert "ALERTS_FILE" in ended.err

    monkeypatch.setenv("CRM_PIPELINE_TELL", "no")
    assert shell.run("import", "-c", "job.yaml").code == 3
    assert hook.got == []
    assert not (shell.folder / "metrics" / "customers.prom").exists()

    monkeypatch.delenv("CRM_PIPELINE_TELL")
    monkeypatch.setenv("ALERTS_FILE", str(shell.write("hook", f"{hook.url}\n")))
    assert shell.run("import", "-c", "job.yaml").code == 3
    assert len(hook.got) == 1


@pytest.mark.parametrize(
    "address",
    ["http://alerts.example.com/x", "no-url", "https://[x", "ftp://a/b", "https://a b"],
)
def test_an_address_that_cannot_be_one_is_refused_unseen(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    shell.write("job.yaml", JOB)
    shell.write("people.csv", GOOD)
    monkeypatch.setenv("ALERTS", address)
    ended = shell.run("import", "-c", "job.yaml")

    assert ended.code == 78
    assert address not in ended.err


@pytest.mark.parametrize("url", ["https://hooks.example.com/T0P", "${A}/x", "x${A}"])
def test_an_address_in_the_job_is_refused_unseen(shell: Shell, url: str) -> None:
    shell.write("job.yaml", JOB.replace("${ALERTS}", url))
    ended = shell.run("import", "-c", "job.yaml")

    assert ended.code == 78
    assert "line 4: notify.url: must be ${NAME}, a variable, alone" in ended.err
    assert url not in ended.err


def test_slack_and_a_resumption(
    shell: Shell, hook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell.write("job.yaml", JOB.replace('"}', '", form: slack}'))
    shell.write("people.csv", "email\na@example.com\nb@example.com\n")
    first = shell.run(
        *("import", "-c", "job.yaml", "--max-duration", "0.000001", "--max-rows", "1")
    )
    assert first.code == 75
    place = ("--work-dir", shell.folder / ".crm-pipeline")
    monkeypatch.chdir("/")
    assert shell.run("resume", *place, "--max-duration", "60").code == 0
    assert exit_codes(shell) == {"import": 0.0}

    assert [list(told) for told in hook.got] == [["text"], ["text"]]
    failing, recovered = (told["text"] for told in hook.got)
    assert failing.startswith(
        "crm-pipeline: import of customers is failing with exit 75"
    )
    assert recovered.startswith("crm-pipeline: import of customers has recovered")


def test_without_a_job_health_is_kept_by_path(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    del sandbox
    path = shell.write("people.csv", BAD)
    assert shell.run("import", "people.csv").code == 3

    (health,) = known_health(shell.folder / ".crm-pipeline")
    assert (health.last.dataset, health.exit_code) == (str(path), 3)


def test_a_command_that_never_began_leaves_no_folder(shell: Shell) -> None:
    shell.write("people.csv", GOOD)
    assert shell.run("import", "people.csv").code == 77

    assert not (shell.folder / ".crm-pipeline").exists()


@pytest.mark.slow
def test_a_stop_says_nothing_about_health(shell: Shell, hook: Webhook) -> None:
    rows = "".join(f"c{n}@example.com\n" for n in range(99))
    shell.write("people.csv", f"email\n{rows}")
    weather = Weather(slow=1.0, slow_s=0.2)
    with running_sandbox(SandboxOptions(weather=weather)) as running:
        process = import_process(shell.folder, running, hook)
        assert process.stderr
        assert any(b"workspace:" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)

    assert process.returncode == 143
    assert hook.got == []
    assert exit_codes(shell) == {"import": 143.0}
    assert known_health(shell.folder / ".crm-pipeline")[0].exit_code is None


def test_a_run_that_another_one_bars_is_no_news(shell: Shell, hook: Webhook) -> None:
    shell.write("people.csv", GOOD)
    work = shell.folder / ".crm-pipeline"
    work.mkdir()
    with lock_folder(work):
        assert shell.run("import", "-c", "job.yaml").code == 80

    assert hook.got == []
    assert known_health(work) == ()


@pytest.mark.slow
def test_two_schedulers_at_once_are_one_run_and_one_refusal(
    shell: Shell, hook: Webhook
) -> None:
    rows = "".join(f"c{n}@example.com\n" for n in range(20))
    shell.write("people.csv", f"email\n{rows}")
    weather = Weather(slow=1.0, slow_s=0.3)
    with running_sandbox(SandboxOptions(weather=weather)) as running:
        both = [import_process(shell.folder, running, hook) for _ in range(2)]
        said = [process.communicate(timeout=50)[1] for process in both]
        taken = running.sandbox.store.ledger.taken()

    assert sorted(process.returncode for process in both) == [0, 80]
    (refused,) = [
        text for text in said if b"another run holds this work folder" in text
    ]
    assert f"process {both[1 - said.index(refused)].pid} on".encode() in refused
    assert (taken.n_items, taken.n_items_again) == (20, 0)
    assert hook.got == []
    assert exit_codes(shell) == {"import": 0.0}


def import_process(
    folder: Path, running: RunningSandbox, hook: Webhook
) -> subprocess.Popen[bytes]:
    environment = {
        "HOME": str(folder),
        "SYNERISE_BASE_URL": running.base_url,
        "SYNERISE_API_KEY": running.api_key,
        "ALERTS": hook.url,
    }
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline", "import", "-c", "job.yaml", *SLOWLY],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
