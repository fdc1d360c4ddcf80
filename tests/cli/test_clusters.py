"""Whose processes work: flags that contradict each other, or lead nowhere."""

from __future__ import annotations

import socket
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pipeline.sandbox.server import RunningSandbox
    from shell import Shell


needs_dask = pytest.mark.skipif(
    find_spec("distributed") is None, reason="the extra `dask` is not installed"
)
PEOPLE = "email\na@example.com\n"


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--workers", "2"], "--scheduler and --workers are for --engine dask"),
        (["--engine", "dask"], "say where the workers are"),
        (
            ["--engine", "dask", "--workers", "2", "--scheduler", "tls://h:1"],
            "say where the workers are",
        ),
        (
            ["--engine", "dask", "--workers", "2", "--dry-run"],
            "--dry-run sends nothing",
        ),
        (
            ["--engine", "dask", "--scheduler", "tcp://10.0.0.1:8786"],
            "tcp:// is for this machine only",
        ),
        (["--engine", "dask", "--scheduler", "h:8786"], "tls://HOST:PORT"),
    ],
)
def test_flags_that_lead_nowhere_are_refused_before_anything_is_read(
    shell: Shell, sandbox: RunningSandbox, flags: list[str], why: str
) -> None:
    shell.write("p.csv", PEOPLE)
    ended = shell.run("import", "p.csv", *flags)

    assert (ended.code, ended.out) == (78, "")
    assert why in ended.err
    assert sandbox.sandbox.store.requests() == []


@pytest.mark.parametrize(
    "command",
    [("import", "p.csv"), ("reconcile", "p.csv", "--against", "not-there.csv")],
    ids=lambda command: command[0],
)
def test_without_dask_the_command_says_what_to_install(
    shell: Shell,
    sandbox: RunningSandbox,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    monkeypatch.setitem(sys.modules, "dask", None)
    monkeypatch.delitem(sys.modules, "pipeline.distributed.dask_engine", raising=False)
    shell.write("p.csv", PEOPLE)
    ended = shell.run(*command, "--engine=dask", "--workers=2")

    assert ended.code == 78
    assert "pip install 'crm-pipeline[dask]'" in ended.err
    assert sandbox.sandbox.store.requests() == []


@needs_dask
@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_is_told_before_anything_is_read(
    shell: Shell, sandbox: RunningSandbox
) -> None:
    shell.write("p.csv", PEOPLE)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        ended = shell.run("import", "p.csv", "--engine=dask", "--scheduler", address)

    assert ended.code == 69
    assert f"the scheduler at {address} does not answer" in ended.err
    assert "Traceback" not in ended.err
    assert sandbox.sandbox.store.requests() == []


@needs_dask
def test_a_scheduler_without_certificates_is_told(
    shell: Shell, sandbox: RunningSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    del sandbox
    monkeypatch.delenv("DASK_DISTRIBUTED__COMM__TLS__CA_FILE", raising=False)
    shell.write("p.csv", PEOPLE)
    ended = shell.run(
        "import", "p.csv", "--engine=dask", "--scheduler=tls://127.0.0.1:1"
    )

    assert ended.code == 78
    assert "tls:// needs certificates" in ended.err
