"""
How much sooner two workers read profiles one by one, before a sandbox of 100 ms.

Each worker has as many questions in flight as the process before it; one process with
as many as both together is the fourth side, and with as many as it may have the fifth.
All files are compared, byte by byte. Rates are those at the sandbox, from the first
question to the last.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contest import TOOL
from benchmarks.measure import cost_of, expect
from benchmarks.report import machine
from pipeline.sandbox.server import RunningSandbox, SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather

PROFILES: Final = 1_500
N_TIMES: Final = 3
DELAY_S: Final = 0.1
PLACES: Final = 4
MOST_PLACES: Final = 32
WANTED: Final = 1.6
WORKERS: Final = ("--engine", "dask", "--workers")
TWO: Final = "two workers"
ALONE: Final = "one process"
SIDES: Final[dict[str, tuple[object, ...]]] = {
    ALONE: ("--concurrency", PLACES),
    "one worker": ("--concurrency", PLACES, *WORKERS, 1),
    TWO: ("--concurrency", PLACES, *WORKERS, 2),
    "one process, twice the places": ("--concurrency", 2 * PLACES),
    "one process, all places": ("--concurrency", MOST_PLACES),
}


def exported(
    running: RunningSandbox, folder: Path, options: tuple[object, ...]
) -> tuple[float, float, bytes]:
    """Return questions a second at the sandbox, seconds of the command, the file."""
    path = folder / "all.jsonl"
    command = [TOOL, "export", path, "--detail", "full", "--road", "windows"]
    command += ["--overwrite", "--quiet", "--work-dir", folder / "work", *options]
    store = running.sandbox.store
    n_before = len(store.requests())
    found = {
        "SYNERISE_BASE_URL": running.base_url,
        "SYNERISE_API_KEY": running.api_key,
    }
    cost = cost_of(list(map(str, command)), found)
    records = store.requests()[n_before:]
    moments = [record.at_s for record in records if record.name == "get_by_id"]
    rate = len(moments) / (max(moments) - min(moments))
    return rate, cost.wall_s, path.read_bytes()


def main() -> int:
    """Measure in rounds, and print a table and the ratio."""
    parser = argparse.ArgumentParser(description="Measure an export by workers.")
    parser.add_argument("--profiles", type=int, default=PROFILES)
    parser.add_argument("--times", type=int, default=N_TIMES)
    asked = parser.parse_args()
    weather = Weather(slow=1.0, slow_s=DELAY_S)
    options = SandboxOptions(weather=weather, seed_profiles=asked.profiles)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SIDES}
    files: set[bytes] = set()
    with (
        tempfile.TemporaryDirectory(prefix="crm-bench-") as folder,
        running_sandbox(options) as running,
    ):
        for _ in range(asked.times):
            for name, more in SIDES.items():
                rate, wall_s, content = exported(running, Path(folder), more)
                found[name].append((rate, wall_s))
                files.add(content)
    expect("different files", len(files), 1)
    [content] = files
    expect("profiles in a file", len(content.splitlines()), asked.profiles)
    where = ", ".join(f"{name} {value}" for name, value in machine().items())
    print(f"{asked.profiles:,} profiles, {PLACES} in flight a worker; {where}\n")
    print("| who asks | profiles/s at the sandbox | whole command, s |")
    print("| --- | --- | --- |")
    rates = {}
    for name, runs in found.items():
        rates[name] = median(rate for rate, _ in runs)
        wall_s = median(wall for _, wall in runs)
        print(f"| {name} | {rates[name]:.1f} | {wall_s:.1f} |")
    ratio = rates[TWO] / rates[ALONE]
    print(f"\n{TWO} against {ALONE}: {ratio:.2f} × (wanted: {WANTED} ×)")
    return 0 if ratio >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
