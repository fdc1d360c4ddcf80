"""
How much faster workers of a cluster are together, before a sink of 100 ms an answer.

Each worker has as many requests in flight as the one before it, so twice the workers
may send twice as much; what they do not is what the cluster costs. Every count at the
sink is compared, as in `contest`. Rates are those at the sink, from its first request
to its last answer: reading, and starting processes, come before.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks.contest import run_tool
from benchmarks.measure import data
from benchmarks.report import machine

ROWS: Final = 200_000
BATCH_ROWS: Final = 200
N_TIMES: Final = 3
DELAY_MS: Final = 100
CONCURRENCY: Final = 4
WORKERS: Final = (1, 2)
WANTED: Final = 1.8


def rate_at_sink(
    path: Path, folder: Path, n_workers: int | None, batch_rows: int
) -> tuple[float, float]:
    """Return the batches a second at the sink, and the seconds of the whole command."""
    options = ["--concurrency", CONCURRENCY, "--max-rows", batch_rows]
    if n_workers is not None:
        options += ["--engine", "dask", "--workers", n_workers]
    cost, stats = run_tool(path, *options, folder=folder, delay_ms=DELAY_MS)
    return stats["batches"] / stats["span_s"], cost.wall_s


def main() -> int:
    """Measure in rounds, and print a table and the ratio."""
    parser = argparse.ArgumentParser(description="Measure workers of a cluster.")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--max-rows", type=int, default=BATCH_ROWS, help="of a batch")
    parser.add_argument("--times", type=int, default=N_TIMES)
    asked = parser.parse_args()
    path = data(asked.rows, "csv")
    found: dict[int | None, list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        for _ in range(asked.times):
            for n_workers in (None, *WORKERS):
                told = rate_at_sink(path, Path(folder), n_workers, asked.max_rows)
                found.setdefault(n_workers, []).append(told)
    where = ", ".join(f"{name} {value}" for name, value in machine().items())
    size = f"{asked.rows:,} rows, {asked.max_rows} a batch"
    print(f"{size}, {CONCURRENCY} in flight a worker; {where}\n")
    print("| who sends | batches/s at the sink | whole command, s |")
    print("| --- | --- | --- |")
    rates = {}
    for n_workers, runs in found.items():
        rates[n_workers] = median(rate for rate, _ in runs)
        who = "one process" if n_workers is None else f"{n_workers} workers"
        wall_s = median(wall for _, wall in runs)
        print(f"| {who} | {rates[n_workers]:.1f} | {wall_s:.1f} |")
    ratio = rates[2] / rates[1]
    print(f"\ntwo workers against one: {ratio:.2f} × (wanted: {WANTED} ×)")
    return 0 if ratio >= WANTED else 1


if __name__ == "__main__":
    raise SystemExit(main())
