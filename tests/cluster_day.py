"""One import by the workers of a cluster: real processes, a sandbox on a socket."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import psutil

from certificates import RIGHT
from torture.process import PATIENCE_S, Ended, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LOOK_EVERY_S: Final = 0.02
BATCH_ROWS: Final = 20
PACE: Final = (f"--max-rows={BATCH_ROWS}", "--concurrency=2")
TWO_WORKERS: Final = ("--engine=dask", "--workers=2")


def write_people(folder: Path, n_rows: int, *, poison: str = "") -> Path:
    """Write rows of which some fold and one is blocked; *poison* stands in the last."""
    lines = [f"p{n:05}@example.com,C{n},Name {n}" for n in range(1, n_rows + 1)]
    lines += [f"p{n:05}@example.com,C{n},Again {n}" for n in range(1, 50, 5)]
    lines.append("not an address,,Nobody")
    if poison:
        lines.append(f"last@example.com,C0,{poison}")
    path = folder / "people.csv"
    path.write_text("email,customId,firstName\n" + "\n".join(lines) + "\n")
    return path


def outcomes(place: Place, run_id: str) -> pl.DataFrame:
    """How every row ended; the numbers of batches differ from cut to cut."""
    path = place.work_dir / "runs" / run_id / "outcomes.parquet"
    return pl.read_parquet(path).drop("batch_no").sort("source_no", "row_no")


def people_in(place: Place) -> dict[str, dict[str, Any]]:
    """The CRM without the UUIDs that it drew itself, in the order of arrival."""
    return {
        person: {name: value for name, value in profile.items() if name != "uuid"}
        for person, profile in place.crm().items()
    }


def worker_processes(driver: int) -> list[psutil.Process]:
    """The workers of a driver, not what starts them."""
    return [
        child
        for child in psutil.Process(driver).children(recursive=True)
        if "spawn_main" in " ".join(child.cmdline())
    ]


def until(is_so: Callable[[], bool], what: str) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not is_so():
        if time.monotonic() > end_s:
            raise TimeoutError(what)
        time.sleep(LOOK_EVERY_S)


@dataclass
class Driver:
    """An import at work."""

    place: Place
    process: subprocess.Popen[str]

    def ended(self) -> Ended:
        try:
            out, said = self.process.communicate(timeout=PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
        code = self.process.returncode
        return Ended(code, n_hits=0, took_s=0.0, out=out, said=said)

    def wait_for_batches(self, n: int) -> None:
        def are_there() -> bool:
            if self.process.poll() is not None:
                raise AssertionError(self.process.communicate())
            return self.place.n_batches() >= n

        until(are_there, f"{n} batches do not come")


def start(place: Place, *more: object) -> Driver:
    return Driver(place, place.start("import", *PACE, *more))


def sent_twice(place: Place) -> int:
    """Batches of which the same body came once more."""
    digests = [record.digest for record in place.sandbox.sandbox.store.batches()]
    return len(digests) - len(set(digests))


def arrivals(place: Place) -> Iterator[float]:
    for record in place.sandbox.sandbox.store.batches():
        yield record.at_s


def most_in_a_second(times: list[float]) -> int:
    ordered = sorted(times)
    return max(
        (sum(at <= other < at + 1.0 for other in ordered) for at in ordered), default=0
    )


def equation(summary: Any) -> int:
    """The rows by state, added up."""
    states = ("empty", "blocked", "folded", "unchanged", "accepted", "rejected")
    return sum(summary["rows"][state] for state in (*states, "pending"))


# -- a scheduler and workers as processes of their own ---------------------------------


@dataclass
class OwnCluster:
    """
    Processes that outlive a driver, with certificates.

    Attributes:
        environment: Of all of them, and of the driver.
    """

    folder: Path
    environment: dict[str, str]
    processes: list[subprocess.Popen[bytes]]

    def start(self, *words: str, inside: tuple[str, ...] = ()) -> None:
        """Start one process; *inside* is the command that gives it a network."""
        n = len(self.processes)
        with (self.folder / f"process-{n}.log").open("wb") as log:
            process = subprocess.Popen(
                [*inside, sys.executable, *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
            )
        self.processes.append(process)

    def start_scheduler(self, host: str) -> str:
        """Start one; return its address."""
        found = self.folder / "scheduler.json"
        module = ("-m", "distributed.cli.dask_scheduler")
        options = ("--protocol=tls", f"--host={host}", "--port=0", "--no-dashboard")
        self.start(*module, *options, f"--scheduler-file={found}")
        until(found.exists, "the scheduler does not start")
        address: str = json.loads(found.read_text())["address"]
        return address

    def start_worker(
        self, scheduler: str, *more: str, inside: tuple[str, ...] = ()
    ) -> None:
        module = ("-m", "distributed.cli.dask_worker", scheduler)
        options = ("--nthreads=1", "--no-dashboard", f"--local-directory={self.folder}")
        self.start(*module, *options, *more, inside=inside)


@contextmanager
def own_cluster(place: Place) -> Iterator[OwnCluster]:
    folder = place.folder / "cluster"
    folder.mkdir()
    pem = folder / "both.pem"
    pem.write_text(RIGHT)
    settings = {
        "COMM__REQUIRE_ENCRYPTION": "True",
        "COMM__TLS__CA_FILE": str(pem),
        "COMM__TIMEOUTS__CONNECT": "5s",
        "COMM__TIMEOUTS__TCP": "12s",
        "SCHEDULER__WORKER_TTL": "8s",
    }
    for role in ("SCHEDULER", "WORKER", "CLIENT"):
        settings[f"COMM__TLS__{role}__CERT"] = str(pem)
    dask = {f"DASK_DISTRIBUTED__{name}": value for name, value in settings.items()}
    cluster = OwnCluster(folder, place.environment | dask, [])
    try:
        yield cluster
    finally:
        for process in cluster.processes:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()
