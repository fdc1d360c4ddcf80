"""A signal lets what is in flight end; what was answered is known, the rest pending."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather

PROJECT = Path(__file__).parents[2]
N_SENDABLE = 4_632
BATCH_PATH = "/v4/clients/batch"


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_ends_an_import_after_what_is_in_flight(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    weather = Weather(slow=1.0, slow_s=0.2)
    with running_sandbox(SandboxOptions(settle_s=0.0, weather=weather)) as sandbox:
        process = _import(tmp_path, sandbox)
        _until_a_batch_came(sandbox)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
        n_queued = sum(
            event.kind.value == "queued" and event.name == "batch"
            for event in sandbox.sandbox.truth()
        )

    rows = summary["rows"]
    assert process.returncode == code
    assert summary["exit_code"] == code
    assert rows["accepted"] + rows["pending"] == N_SENDABLE
    assert 0 < rows["accepted"] <= 100 * n_queued
    assert rows["unknown"] == 0
    assert "rows are pending. To send them: crm-pipeline resume" in said.decode()


def _import(folder: Path, sandbox: RunningSandbox) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pipeline", "import"]
    command += ["-c", str(PROJECT / "configs/migrate-customers.yaml")]
    command += ["--work-dir", str(folder / "work"), "--quiet"]
    command += ["--summary", str(folder / "summary.json")]
    command += ["--max-rows", "100", "--concurrency", "2"]
    environment = os.environ | {
        "SYNERISE_BASE_URL": sandbox.base_url,
        "SYNERISE_API_KEY": sandbox.api_key,
    }
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE)


def _until_a_batch_came(sandbox: RunningSandbox) -> None:
    """Wait for the process, which has its own pace; a minute is a failure."""
    end = time.monotonic() + 60
    while not any(event.kind.value == "queued" for event in sandbox.sandbox.truth()):
        assert time.monotonic() < end
        time.sleep(0.01)
