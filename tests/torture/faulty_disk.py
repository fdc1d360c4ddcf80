"""The disk that fails on demand, from Python: see `faulty_disk.c`."""

import ctypes
import errno
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum, IntFlag
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final, Never, TypeVar

SOURCE: Final = Path(__file__).with_suffix(".c")
TESTS: Final = Path(__file__).parents[1]
RAM: Final = Path("/dev/shm")  # noqa: S108 - a disk in memory, where there is one
MOST_S: Final = 60

T = TypeVar("T")


class Mode(IntEnum):
    """What the n-th operation meets; the numbers of the C source."""

    KILL = 1
    TORN = 2
    ONCE = 3
    LASTING = 4


class Kind(IntFlag):
    """Operations that are counted; the numbers of the C source."""

    OPEN = 1
    WRITE = 2
    FLUSH = 4
    RENAME = 8
    REMOVE = 16


ALL_KINDS: Final = sum(Kind)


@dataclass(frozen=True)
class DiskFault:
    """One kind of trouble with a disk."""

    name: str
    mode: Mode
    error: int = 0
    kinds: int = ALL_KINDS


DISK_FAULTS: Final = (
    DiskFault("kill -9", Mode.KILL),
    DiskFault("kill -9 after half a write", Mode.TORN, kinds=Kind.WRITE),
    DiskFault("ENOSPC once", Mode.ONCE, errno.ENOSPC),
    DiskFault("ENOSPC from there on", Mode.LASTING, errno.ENOSPC),
    DiskFault("EIO once", Mode.ONCE, errno.EIO),
    DiskFault("EIO from there on", Mode.LASTING, errno.EIO),
    DiskFault("EINTR once", Mode.ONCE, errno.EINTR),
)


class Disk:
    """The disk of this process, which was started under the library."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)
        self._library.disk_seen.restype = ctypes.c_long
        self._library.disk_arm.argtypes = [ctypes.c_int] * 3 + [
            ctypes.c_long,
            ctypes.c_int,
        ]

    def watch(self, folder: Path) -> None:
        """Look at what happens below *folder*, which has no symbolic link in it."""
        self._library.disk_watch(os.fsencode(folder))

    def arm(self, fault: DiskFault, n: int, report: int) -> None:
        """Let the n-th operation meet *fault*; it is named to the descriptor."""
        self._library.disk_arm(fault.mode, fault.error, fault.kinds, n, report)

    def record(self, log: int) -> None:
        """Write every operation to the descriptor."""
        self._library.disk_record(log)

    def mark(self, words: str) -> None:
        """Put words between the recorded operations."""
        self._library.disk_mark(words.encode())

    @property
    def n_seen(self) -> int:
        """Operations since `arm`."""
        seen: int = self._library.disk_seen()
        return seen

    @property
    def has_fired(self) -> bool:
        """Whether the fault was met."""
        return bool(self._library.disk_has_fired())


def build(folder: Path) -> Path:
    """
    Compile the library.

    Raises:
        RuntimeError: This machine cannot: the proof is missing, not passed.
    """
    if sys.platform != "linux":
        raise RuntimeError("the faulty disk needs Linux: it is loaded by LD_PRELOAD")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise RuntimeError(
            "the faulty disk is written in C and there is no compiler; install one "
            "(Debian, Ubuntu: apt install gcc libc6-dev)"
        )
    library = folder / "faulty_disk.so"
    flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread")
    subprocess.run([compiler, *flags, "-o", library, SOURCE], check=True)
    return library


@contextmanager
def workshop() -> Iterator[Path]:
    """Give a folder in memory if there is one, else on the disk; no links in it."""
    with TemporaryDirectory(dir=RAM if RAM.is_dir() else None) as folder:
        yield Path(folder).resolve()


def under_it(library: Path, machine: str, *arguments: str) -> subprocess.Popen[str]:
    """Start a machine's own module as a process on the faulty disk."""
    # One thread, so that the n-th operation is the same one in every run.
    more = {"LD_PRELOAD": str(library), "POLARS_MAX_THREADS": "1"}
    return worker(machine, *arguments, more=more)


def worker(
    machine: str, *arguments: str, more: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a machine's own module as a process, with *more* in its environment."""
    script = Path(__file__).with_name(machine)
    return subprocess.Popen(
        [sys.executable, script, *arguments],
        env={**os.environ, "PYTHONPATH": str(TESTS), **(more or {})},
        stdout=subprocess.PIPE,
        text=True,
    )


def told(process: subprocess.Popen[str]) -> str:
    """
    Return what a worker printed, once it has ended.

    Raises:
        RuntimeError: It failed; what it said is on stderr.
    """
    text = process.communicate()[0]
    if process.returncode:
        raise RuntimeError(f"a worker ended with {process.returncode}")
    return text


@dataclass(frozen=True)
class Died:
    """How a process ended that gave no answer."""

    how: str


def in_child(work: Callable[[int], object], loads: Callable[[bytes], T]) -> T | Died:
    """
    Do *work* in a copy of this process, and return what it wrote to its descriptor.

    This process must not have used polars, whose threads a copy would lack.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_child(work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        told = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return Died(signal.Signals(os.WTERMSIG(status)).name)
    return loads(told) if told else Died(f"exit {os.WEXITSTATUS(status)}")


def _be_the_child(work: Callable[[int], object], writing: int) -> Never:
    try:
        signal.alarm(MOST_S)
        work(writing)
    finally:
        os._exit(1)
