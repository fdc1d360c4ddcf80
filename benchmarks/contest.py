"""
The tool and its peers over the same file, each against a sink of its own.

A side runs as a process; the first run of each is compared with the truth, row by row
and cell by cell, every run by its counts. The rounds go through all sides, so that a
busy minute meets them all.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import Cost, answer, cost_of, expect, middle, script
from benchmarks.measure import sink as running_sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TOOL: Final = str(Path(sys.executable).with_name("crm-pipeline"))
KEY: Final = {"SYNERISE_API_KEY": "00000000-0000-4000-8000-000000000001"}
NO_SETTINGS: Final[dict[str, str]] = {}
ONE_REPEATS: Final = 200  # as in data.py, which this small process must not import


@dataclass(frozen=True, slots=True)
class Peer:
    """
    Another way to send a file.

    Attributes:
        needs: Distributions it runs on, beyond the tool's own and orjson.
        factor: How many times its wall clock is wanted to be that of the tool.
    """

    name: str
    script: str
    needs: tuple[str, ...] = ()
    factor: float | None = None

    def missing(self) -> list[str]:
        """Name what is not installed here."""
        return [name for name in self.needs if not installed(name)]

    def versions(self) -> str:
        """Say with which versions it ran."""
        return ", ".join(f"{name} {installed(name)}" for name in self.needs)


BASELINE: Final = "csv.DictReader + httpx, one request at a time"
PEERS: Final = (
    Peer(BASELINE, "sequential.py", factor=2.8),
    Peer("polars `to_dicts` + httpx, one request at a time", "polars_dicts.py"),
    Peer(
        "pandas + aiohttp, ten in flight",
        "pandas_aiohttp.py",
        ("pandas", "aiohttp"),
        factor=7,
    ),
    Peer(
        "dlt, custom destination, as documented",
        "dlt_documented.py",
        ("dlt",),
        factor=18,
    ),
    Peer(
        "dlt, custom destination, tuned",
        "dlt_tuned.py",
        ("dlt", "pyarrow"),
        factor=2.8,
    ),
    Peer(
        "Meltano SDK, tap and batch sink", "meltano_sdk.py", ("singer-sdk",), factor=6
    ),
    Peer("drt, DuckDB into REST in batches", "drt_project.py", ("drt-core", "duckdb")),
)


@dataclass(frozen=True, slots=True)
class Standing:
    """
    What a side came to.

    Attributes:
        cost: Medians; None where it could not run, and *note* says why.
    """

    name: str
    cost: Cost | None
    note: str = ""

    def words(self) -> str:
        """Say it in a line."""
        if self.cost is None:
            return self.note
        cost = self.cost
        return f"{cost.wall_s:.1f} s, CPU {cost.cpu_s:.1f} s, {cost.peak_mb:.0f} MB"


def installed(name: str) -> str | None:
    """Return the version of a distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run_tool(
    path: Path,
    *options: object,
    folder: Path,
    dump: Path | None = None,
    keeps: bool = True,
    delay_ms: int = 0,
    settings: Mapping[str, str] = NO_SETTINGS,
) -> tuple[Cost, dict[str, Any]]:
    """
    Run the command line against a sink of its own, and check every count.

    Args:
        dump: Where the sink leaves the bodies, to be compared with the truth.
        keeps: Whether the sink keeps them in memory.
        settings: Variables of the environment, beside the key.

    Raises:
        WrongResultError: A count is off, or a profile is not the true one.
    """
    n_rows = rows_in(path)
    job = path.with_suffix(f"{path.suffix}.yaml")
    keeping = ["--keep"] if keeps else []
    dumping = ["--dump", dump] if dump else []
    with (
        tempfile.TemporaryDirectory(dir=folder) as work_dir,
        running_sink("--delay-ms", delay_ms, *keeping, *dumping) as sink,
    ):
        summary_path = Path(work_dir) / "summary.json"
        command = [TOOL, "import", path, "-c", job, "--base-url", sink.base_url]
        command += ["--work-dir", work_dir, "--summary", summary_path, "--quiet"]
        command += ["--verify=none"]  # the sink takes profiles and shows none
        cost = cost_of([*map(str, command), *map(str, options)], KEY | dict(settings))
        stats = sink.stats()
        summary = json.loads(summary_path.read_text("utf-8"))
    n_folded = n_rows // ONE_REPEATS
    found = {state: summary["rows"][state] for state in ("folded", "accepted")}
    wanted = {"folded": n_folded, "accepted": n_rows - n_folded}
    expect("rows of the summary", found, wanted)
    expect("rows at the sink", stats["rows"], n_rows - n_folded)
    expect("bytes at the sink", stats["bytes"], summary["bytes_sent"])
    if dump is not None:
        truth = answer("proof.py", dump, n_rows)
        dump.unlink()
        proven = {"came": n_rows - n_folded, "wrong": 0, "missing": 0}
        expect("profiles at the sink", truth, proven)
    return cost, stats


def run_peer(peer: Peer, path: Path, *, dump: Path | None = None) -> Cost:
    """
    Run a peer against a sink of its own.

    Raises:
        WrongResultError: A row or a cell of the file is not at the sink.
    """
    n_rows = rows_in(path)
    dumping = ["--dump", dump] if dump else []
    with running_sink("--keep", *dumping) as sink:
        cost = cost_of(script(f"peers/{peer.script}", path, sink.base_url), {})
        expect(f"rows of {peer.script}", sink.stats()["rows"], n_rows)
    if dump is not None:
        found = answer("cells.py", dump, path)
        dump.unlink()
        wanted = {"came": n_rows, "wrong": 0, "missing": 0}
        expect(f"rows of {peer.script} at the sink", found, wanted)
    return cost


def rows_in(path: Path) -> int:
    """Return how many rows a file of `data.py` has, as its name says."""
    return int(path.stem.rpartition("-")[2])


def contest(
    path: Path, folder: Path, n_times: int, *, with_extras: bool
) -> Iterator[Standing]:
    """
    Let all sides send *path*, and give what each came to, ours first.

    Args:
        with_extras: Also those peers that need more than the tool and orjson.

    Raises:
        WrongResultError: A side sent something else than it should have.
    """
    asked = [peer for peer in PEERS if with_extras or not peer.needs]
    ready = [peer for peer in asked if not peer.missing()]
    ours: list[Cost] = []
    theirs: dict[Peer, list[Cost]] = {peer: [] for peer in ready}
    digests = set()
    for number in range(n_times):
        dump = folder / "bodies" if number == 0 else None
        cost, stats = run_tool(path, folder=folder, dump=dump)
        ours.append(cost)
        digests.add(stats["digest"])
        for peer in ready:
            print(f"round {number + 1}: {peer.script}", file=sys.stderr, flush=True)
            theirs[peer].append(run_peer(peer, path, dump=dump))
    expect("different sets of bodies in as many runs", len(digests), 1)
    yield Standing("crm-pipeline", middle(ours))
    for peer in asked:
        if peer in theirs:
            yield Standing(peer.name, middle(theirs[peer]), peer.versions())
        else:
            lacking = ", ".join(peer.missing())
            yield Standing(peer.name, None, f"not measured: no {lacking} here")
