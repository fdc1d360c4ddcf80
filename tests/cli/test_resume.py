"""What an interrupted import left is sent by `resume`, as an operator types it."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from marks import slow
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather

N_ROWS = 600
BATCH_ROWS = 20
SLOW = Weather(slow=1.0, slow_s=0.05)


@contextmanager
def place(
    folder: Path, weather: Weather = SLOW
) -> Iterator[tuple[RunningSandbox, Any]]:
    """A slow sandbox, and the environment of a command that talks to it."""
    with running_sandbox(SandboxOptions(settle_s=0.0, weather=weather)) as sandbox:
        environment = os.environ | {
            "SYNERISE_BASE_URL": sandbox.base_url,
            "SYNERISE_API_KEY": sandbox.api_key,
            "XDG_STATE_HOME": str(folder / "state"),
        }
        yield sandbox, {"env": environment, "cwd": folder}


def source(folder: Path, name: str = "people.csv", word: str = "gold") -> Path:
    rows = "".join(f"{name}-{n},{word} {n}\n" for n in range(N_ROWS))
    path = folder / name
    path.write_text(f"customId,attributes.tier\n{rows}")
    return path


def command(*arguments: object) -> list[str]:
    words = [*map(str, arguments)]
    # What is sent is looked at in the sandbox; a run that goes on remembers it.
    words += ["--verify=none"] if words[0] == "import" else []
    return [sys.executable, "-m", "pipeline", *words]


def run(how: Any, *arguments: object) -> tuple[int, str, str]:
    ended = subprocess.run(
        command(*arguments), capture_output=True, timeout=60, check=False, **how
    )
    return ended.returncode, ended.stdout.decode(), ended.stderr.decode()


def interrupted(
    sandbox: RunningSandbox, how: Any, path: Path, number: signal.Signals
) -> str:
    """Import in a process of its own, and signal it while batches are out."""
    n_before = n_batches(sandbox)
    arguments = ["import", path, "--max-rows", BATCH_ROWS, "--concurrency", 2]
    process = subprocess.Popen(
        command(*arguments), stderr=subprocess.PIPE, stdout=subprocess.PIPE, **how
    )
    end = time.monotonic() + 60
    while n_batches(sandbox) < n_before + 4:
        assert time.monotonic() < end
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode in (-number, 128 + number)
    text: str = said.decode()
    return text


def n_batches(sandbox: RunningSandbox) -> int:
    truth = sandbox.sandbox.truth()
    return sum(e.kind.value == "queued" and e.name == "batch" for e in truth)


def crm(sandbox: RunningSandbox) -> set[tuple[str, str]]:
    sandbox.sandbox.settle()
    found = sandbox.sandbox.profiles()
    return {(p["customId"], p["attributes"]["tier"]) for p in found}


def sent(name: str = "people.csv", word: str = "gold") -> set[tuple[str, str]]:
    return {(f"{name}-{n}", f"{word} {n}") for n in range(N_ROWS)}


@pytest.mark.parametrize("again", ["resume", *slow("import")])
def test_a_killed_import_goes_on(tmp_path: Path, again: str) -> None:
    with place(tmp_path) as (sandbox, how):
        path = source(tmp_path)
        interrupted(sandbox, how, path, signal.SIGKILL)
        assert len(crm(sandbox)) < N_ROWS
        n_before = n_batches(sandbox)
        arguments = ["import", path, "--max-rows", BATCH_ROWS]
        if again == "resume":
            arguments = ["resume"]
        code, out, said = run(how, *arguments, "--json")

        summary = json.loads(out)
        assert code == 0
        assert "continuing run" in said
        assert summary["rows"]["accepted"] == N_ROWS
        assert crm(sandbox) == sent()
        n_all = n_batches(sandbox)
        assert n_before < n_all
        assert n_all <= N_ROWS / BATCH_ROWS + 2  # no more than were out
        assert run(how, "resume")[0::2] == (
            0,
            "nothing is left to resume in .crm-pipeline\n",
        )


def test_the_command_that_is_printed_sends_the_rest(tmp_path: Path) -> None:
    with place(tmp_path) as (sandbox, how):
        said = interrupted(sandbox, how, source(tmp_path), signal.SIGINT)
        found = re.search(r"To send them: (.*)$", said)
        assert found is not None
        words = shlex.split(found[1])
        assert words[:2] == ["crm-pipeline", "resume"]
        how["cwd"] = "/"
        words[2] = words[2][:-1]  # the beginning of a name is enough
        code, _, said = run(how, *words[1:])

        assert (code, crm(sandbox)) == (0, sent())


@pytest.mark.slow
def test_of_several_runs_one_is_to_be_named(tmp_path: Path) -> None:
    with place(tmp_path) as (sandbox, how):
        for name in ("a.csv", "b.csv"):
            interrupted(sandbox, how, source(tmp_path, name), signal.SIGINT)
        code, _, said = run(how, "resume")
        assert code == 2
        assert "2 runs can be resumed" in said
        listed = re.findall(r"(\S+) \((\S+)\)", said)
        assert [Path(dataset).name for _, dataset in listed] == ["a.csv", "b.csv"]
        for run_id, _ in listed:
            assert run(how, "resume", run_id)[0] == 0
        assert crm(sandbox) == sent("a.csv") | sent("b.csv")


@pytest.mark.slow
def test_what_cannot_go_on_says_why(tmp_path: Path) -> None:
    with place(tmp_path) as (sandbox, how):
        path = source(tmp_path)
        said = interrupted(sandbox, how, path, signal.SIGINT)
        run_id = re.findall(r"resume (\S+)", said)[0]
        source(tmp_path, word="silver")
        code, _, said = run(how, "resume")
        assert (code, "--fresh" in said, str(path) in said) == (81, True, True)

        assert run(how, "import", path)[0] == 0
        code, _, said = run(how, "resume", run_id)
        assert (code, "of the same dataset has begun since" in said) == (82, True)

        code, _, said = run(how, "resume", "nobody")
        assert (code, "crm-pipeline runs" in said) == (78, True)
        assert crm(sandbox) == sent(word="silver")


@pytest.mark.parametrize("is_heard", [True, False])
def test_an_import_does_not_depend_on_who_listens(
    tmp_path: Path, *, is_heard: bool
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with place(tmp_path, Weather()) as (sandbox, how):
        ended = subprocess.run(
            command("import", source(tmp_path), "--json"),
            stdout=subprocess.PIPE if is_heard else writer,
            stderr=writer,
            timeout=60,
            check=False,
            **how,
        )
        os.close(writer)

        assert ended.returncode == 0
        assert crm(sandbox) == sent()
    if is_heard:
        assert json.loads(ended.stdout)["rows"]["accepted"] == N_ROWS


def test_two_work_folders_do_not_write_to_one_workspace_at_once(
    tmp_path: Path,
) -> None:
    with place(tmp_path) as (sandbox, how):
        first = subprocess.Popen(
            command("import", source(tmp_path), "--max-rows", 5, "--concurrency", 1),
            stderr=subprocess.DEVNULL,
            **how,
        )
        try:
            end = time.monotonic() + 60
            while not n_batches(sandbox):
                assert time.monotonic() < end
                time.sleep(0.01)
            second = source(tmp_path, "b.csv")
            code, _, said = run(how, "import", second, "--work-dir", tmp_path / "w2")
        finally:
            first.kill()
            first.wait()

        found = crm(sandbox)

    assert code == 80
    assert f"dataset {tmp_path}/people.csv" in said
    assert not any(customer.startswith("b.csv") for customer, _ in found)
