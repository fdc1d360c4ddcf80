"""The command line in this process, and a sandbox to talk to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli.main import main
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Shell:
    """Runs `crm-pipeline` with its files in a folder of its own."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def run(self, *arguments: object) -> Ended:
        self.capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        said = self.capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 0, said.out, said.err)

    def write(self, name: str, text: str | bytes) -> Path:
        path = self.folder / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path


@pytest.fixture
def shell(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Shell:
    """A shell in an empty folder, without credentials."""
    monkeypatch.chdir(tmp_path)
    for name in ("API_KEY", "TOKEN", "BASE_URL", "WORKSPACE_GUID"):
        monkeypatch.delenv(f"SYNERISE_{name}", raising=False)
        monkeypatch.delenv(f"SYNERISE_{name}_FILE", raising=False)
    return Shell(tmp_path, capsys)


@pytest.fixture
def sandbox(monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningSandbox]:
    """A sandbox on a socket that applies at once; the environment points to it."""
    with running_sandbox(SandboxOptions(settle_s=0.0)) as running:
        monkeypatch.setenv("SYNERISE_BASE_URL", running.base_url)
        monkeypatch.setenv("SYNERISE_API_KEY", running.api_key)
        yield running
