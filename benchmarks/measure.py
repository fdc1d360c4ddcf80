"""
Processes and what they cost: wall and CPU seconds, peak memory, and the sink's counts.

The standard library only. A child inherits the peak memory of its parent on Linux
(`ru_maxrss` counts from the fork), so this process has to stay small.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HERE: Final = Path(__file__).parent
_KIB: Final = 1024 if sys.platform == "linux" else 1


class WrongResultError(Exception):
    """A count is off or a body differs: the numbers would mean nothing."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a process took; medians where there were several."""

    wall_s: float
    cpu_s: float
    peak_mb: float


@dataclass(frozen=True, slots=True)
class Sink:
    """A running sink."""

    base_url: str

    def stats(self) -> dict[str, Any]:
        """Ask what came."""
        url = f"{self.base_url}/stats"
        with urllib.request.urlopen(url, timeout=300) as reply:  # noqa: S310 - loopback
            told: dict[str, Any] = json.load(reply)
        return told


def script(name: str, *arguments: object) -> list[str]:
    """Return the command line of a script of this folder."""
    return [sys.executable, str(HERE / name), *map(str, arguments)]


def answer(name: str, *arguments: object) -> dict[str, Any]:
    """Run a script that prints JSON."""
    done = subprocess.run(script(name, *arguments), check=True, stdout=subprocess.PIPE)
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def data(n_rows: int, kind: str) -> Path:
    """Let `data.py` make a file, or find it made."""
    command = script("data.py", n_rows, kind)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def cost_of(command: Sequence[str], environment: dict[str, str]) -> Cost:
    """
    Run a command to its end.

    Raises:
        WrongResultError: It failed.
    """
    began_s = time.perf_counter()
    # As installed: with compiled modules, for all sides alike.
    settings = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, env=settings | environment)
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise WrongResultError(f"exit code {process.returncode}: {' '.join(command)}")
    cpu_s = usage.ru_utime + usage.ru_stime
    return Cost(wall_s, cpu_s, usage.ru_maxrss * _KIB / 1e6)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(
        median(cost.wall_s for cost in costs),
        median(cost.cpu_s for cost in costs),
        median(cost.peak_mb for cost in costs),
    )


@contextmanager
def sink(*options: object) -> Iterator[Sink]:
    """Run a sink of its own for one measurement."""
    command = script("sink.py", *options)
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            if process.stdout is None:
                raise WrongResultError("the sink has no output")
            yield Sink(f"http://127.0.0.1:{int(process.stdout.readline())}")
        finally:
            process.terminate()


def expect(what: str, found: object, wanted: object) -> None:
    """
    Compare.

    Raises:
        WrongResultError: They differ.
    """
    if found != wanted:
        raise WrongResultError(f"{what}: {found}, but {wanted} was expected")
