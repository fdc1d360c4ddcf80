"""One run a work folder, one run a workspace; a dead process holds nothing."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline.errors import CannotWriteError, LockedError
from pipeline.locks import Holder, lock_folder, lock_health, lock_workspace

THEN = Holder(now=lambda: 0.0)
HOST = "https://api.example.com"


def test_only_one_process_holds_a_folder(tmp_path: Path) -> None:
    holder = rf"process {os.getpid()} on {socket.gethostname()}, since 1970-01-01"
    with lock_folder(tmp_path, holder=THEN):
        began_s = time.monotonic()
        with pytest.raises(LockedError, match=holder), lock_folder(tmp_path):
            pass
        assert time.monotonic() - began_s < 1
        assert stat.S_IMODE((tmp_path / "lock").stat().st_mode) == 0o600
    with lock_folder(tmp_path):
        pass


def test_two_datasets_of_one_workspace_do_not_run_at_once(tmp_path: Path) -> None:
    locks = tmp_path / "locks"
    with lock_workspace(locks, host=HOST, guid="g1", dataset="customers", holder=THEN):
        with (
            pytest.raises(LockedError, match=r"this workspace .*dataset customers\)"),
            lock_workspace(locks, host=HOST, guid="g1", dataset="suppliers"),
        ):
            pass
        with lock_workspace(locks, host=HOST, guid="g2", dataset="suppliers"):
            pass
        with lock_workspace(locks, host="http://localhost", guid="g1", dataset="x"):
            pass
    with lock_workspace(locks, host=HOST, guid="g1", dataset="suppliers"):
        pass

    assert stat.S_IMODE(locks.stat().st_mode) == 0o700
    assert not any("g1" in path.name for path in locks.iterdir())


def test_a_lock_dies_with_its_process(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path\n"
        "from pipeline.locks import lock_folder, lock_workspace\n"
        "folder = Path(sys.argv[1])\n"
        "with lock_folder(folder), lock_workspace("
        "folder, host='h', guid='g', dataset='d'):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], check=False, timeout=50
    )
    assert done.returncode == -signal.SIGKILL
    with (
        lock_folder(tmp_path),
        lock_workspace(tmp_path, host="h", guid="g", dataset="d"),
    ):
        pass


def test_a_process_at_work_is_named_to_another(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from pipeline.locks import lock_folder\n"
        "with lock_folder(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with (
            pytest.raises(LockedError, match=rf"process {other.pid} on"),
            lock_folder(tmp_path),
        ):
            pass
        other.kill()
        other.wait(timeout=20)
        with lock_folder(tmp_path):
            pass


def test_a_name_in_a_lock_cannot_write_to_a_terminal(tmp_path: Path) -> None:
    evil = "\x1b[2J" + "n" * 1000
    with (
        lock_workspace(tmp_path, host=HOST, guid="g", dataset=evil),
        pytest.raises(LockedError) as refused,
        lock_workspace(tmp_path, host=HOST, guid="g", dataset="d"),
    ):
        pass

    assert "\x1b" not in str(refused.value)
    assert len(str(refused.value)) < 800


def test_a_disk_that_grants_a_lock_to_everybody_is_refused(tmp_path: Path) -> None:
    careless = Holder(flock=lambda _handle, _operation: None)
    with (
        pytest.raises(CannotWriteError, match="one lock to two"),
        lock_folder(tmp_path, holder=careless),
    ):
        pass


def test_a_disk_without_locks_is_refused(tmp_path: Path) -> None:
    def unknown(_handle: int, _operation: int) -> None:
        raise OSError(95, "Operation not supported")

    with (
        pytest.raises(CannotWriteError, match="not supported"),
        lock_folder(tmp_path, holder=Holder(flock=unknown)),
    ):
        pass


def test_a_folder_that_cannot_be_locked_is_named(tmp_path: Path) -> None:
    with pytest.raises(CannotWriteError, match="lock"), lock_folder(tmp_path / "no"):
        pass
    (tmp_path / "lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CannotWriteError), lock_folder(tmp_path):
        pass
    assert not (tmp_path / "elsewhere").exists()


def test_a_lock_file_that_vanishes_meanwhile_is_told(tmp_path: Path) -> None:
    def vanish(_handle: int, _operation: int) -> None:
        (tmp_path / "lock").unlink()

    with (
        pytest.raises(CannotWriteError, match="Put the work folder"),
        lock_folder(tmp_path, holder=Holder(flock=vanish)),
    ):
        pass


def test_a_lock_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    def spoil(handle: int, _operation: int) -> None:
        if taken:
            raise BlockingIOError
        taken.append(handle)
        os.dup2(read_only, handle)  # what is written next fails

    taken: list[int] = []
    (tmp_path / "lock").touch()
    read_only = os.open(tmp_path / "lock", os.O_RDONLY)
    try:
        with (
            pytest.raises(CannotWriteError, match="Put the work folder"),
            lock_folder(tmp_path, holder=Holder(flock=spoil)),
        ):
            pass
    finally:
        os.close(read_only)
    with lock_folder(tmp_path):
        pass


def test_who_waits_too_long_for_the_health_is_refused(tmp_path: Path) -> None:
    waits: list[float] = []
    with (
        lock_health(tmp_path, holder=THEN),
        pytest.raises(LockedError, match="the health of the datasets"),
        lock_health(tmp_path, sleep=waits.append),
    ):
        pass

    assert round(sum(waits)) == 30
