"""
How much sooner two workers read profiles one by one, before a sandbox of 100 ms.

Each worker has as many questions in flight as the process before it; one process with
as many as both together is the fourth side. Every file is compared with the first, byte
by byte. Rates are those at the sandbox, from the first question to the last.
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
from pipeline.sandbox.server import SandboxOptions, running_sandbox
from pipeline.sandbox.weather import Weather

PROFILES: Final = 2_000
N_TIMES: Final = 3
DELAY_S: Final = 0.1
PLACES: Final = 4
WANTED: Final = 1.6
WORKERS: Final = ("--engine", "dask", "--workers")
TWO: Final = "two workers"
ALONE: Final = "one process"
SIDES: Final[dict[str, tuple[object, ...]]] = {
    ALONE: ("--concurrency", PLACES),
    "one worker": ("--concurrency", PLACES, *WORKERS, 1),
    TWO: ("--concurrency", PLACES, *WORKERS, 2),
    "one process, twice the places": ("--concurrency", 2 * PLACES),
}


def exported(
    folder: Path, n_profiles: int, options: tuple[object, ...]
) -> tuple[float, float, bytes]:
    """Return questions a second at the sandbox, seconds of the command, the file."""
    weather = Weather(slow=1.0, slow_s=DELAY_S)
    sandbox = SandboxOptions(weather=weather, seed_profiles=n_profiles)
    path = folder / "all.jsonl"
    command = [TOOL, "export", path, "--detail", "full", "--road", "windows"]
    command += ["--overwrite", "--quiet", "--work-dir", folder / "work", *options]
    with running_sandbox(sandbox) as running:
        found = {
            "SYNERISE_BASE_URL": running.base_url,
            "SYNERISE_API_KEY": running.api_key,
        }
        cost = cost_of(list(map(str, command)), found)
        records = running.sandbox.store.requests()
    moments = [record.at_s for record in records if record.name == "get_by_id"]
    expect("questions", len(moments), n_profiles)
    rate = len(moments) / (max(moments) - min(moments))
    return rate, cost.wall_s, path.read_bytes()


def main() -> int:
    """Measure in rounds, and print a table and the ratio."""
    parser = argparse.ArgumentParser(description="Measure an export by workers.")
    parser.add_argument("--profiles", type=int, default=PROFILES)
    parser.add_argument("--times", type=int, default=N_TIMES)
    asked = parser.parse_args()
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SIDES}
    first: bytes | None = None
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        for _ in range(asked.times):
            for name, options in SIDES.items():
                rate, wall_s, content = exported(Path(folder), asked.profiles, options)
                first = first or content
                expect(f"the file of {name} is that of {ALONE}", content == first, True)  # noqa: FBT003 - wanted
                found[name].append((rate, wall_s))
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
