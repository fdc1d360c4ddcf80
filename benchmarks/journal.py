"""
How long a run of ten million rows takes to be picked up again from its journal.

    python benchmarks/journal.py [--batches N] [--runs N]

Builds the journal through the tool's own calls: each batch intended and answered, one
in a hundred torn and tried again, one in a hundred refused and split, the last sixteen
cut off. Then a process of its own opens, checks and reads it and plans the resumption,
five times; the median counts. Earlier runs in the same file show what history costs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import polars as pl

from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import FIRST_CHILD_NO, Run, RunState
from pipeline.records import Batch, BatchState, RowRange, Step, Verdict
from pipeline.resuming import plan_resume, unfinished_runs

if TYPE_CHECKING:
    from collections.abc import Iterator

BATCH_ROWS: Final = 1000
AT_ONCE: Final = 250
REPEATS: Final = 5
CUT_OFF: Final = 16
ONE_IN: Final = 100  # is torn, and as many refused
A_TORN_ONE: Final = 1
A_REFUSED_ONE: Final = 2
ACCEPTED: Final = Verdict(Step.DONE, BatchState.ACCEPTED, "HTTP_202", 202)
REFUSED: Final = Verdict(Step.REFUSED, BatchState.PENDING, "HTTP_400", 400)
TORN: Final = Verdict(Step.AGAIN, BatchState.UNKNOWN, "READ_ERROR")


def made(batch_no: int, first: int, n_rows: int, parent_no: int | None = None) -> Batch:
    """Make a batch with a digest of the usual length and no body."""
    rows = pl.select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        pl.int_range(first, first + n_rows, dtype=pl.UInt64).alias("row_no"),
    )
    return Batch(batch_no, 2, rows, b"[]", f"{batch_no:064x}", parent_no)


async def settle(journal: Journal, run_id: str, no: int, n_batches: int) -> None:
    """Record what a batch of a run goes through."""
    first = (no - 1) * BATCH_ROWS + 1
    await journal.intend(run_id, made(no, first, BATCH_ROWS), target_bytes=950_000)
    if no > n_batches - CUT_OFF:
        return
    if no % ONE_IN == A_TORN_ONE:
        await journal.record(run_id, no, 1, TORN)
        await journal.attempt(run_id, no, 2)
        await journal.record(run_id, no, 2, ACCEPTED)
    elif no % ONE_IN == A_REFUSED_ONE:
        named = [RowRange(0, first + 499, first + 499)]
        await journal.record(run_id, no, 1, REFUSED, rejected=named)
        half = BATCH_ROWS // 2
        for n, start in enumerate((first, first + half)):
            child_no = FIRST_CHILD_NO + 2 * no + n
            part = made(child_no, start, half, no)
            await journal.intend(run_id, part, target_bytes=950_000)
            await journal.record(run_id, child_no, 1, ACCEPTED)
    else:
        await journal.record(run_id, no, 1, ACCEPTED)


def build(path: Path, n_batches: int, n_runs: int) -> None:
    """Write the journal of finished runs and of one that was cut off."""

    async def main(journal: Journal, run_id: str) -> None:
        for start in range(1, n_batches + 1, AT_ONCE):
            numbers = range(start, min(start + AT_ONCE, n_batches + 1))
            await asyncio.gather(
                *(settle(journal, run_id, no, n_batches) for no in numbers)
            )

    with Journal.open(path) as journal:
        for n in range(n_runs):
            run = Run(f"20250101-000000-{n:04x}", "import", "customers", "guid")
            journal.begin_run(run)
            asyncio.run(main(journal, run.run_id))
            if n < n_runs - 1:
                journal.end_run(run.run_id, 0, state=RunState.DONE)


def pick_up(path: Path) -> dict[str, float]:
    """Do what a resumption does before it reads the source."""
    began_s, began_cpu_s = time.perf_counter(), time.process_time()
    with Journal.open(path) as journal:
        opened_s = time.perf_counter()
        (run,) = unfinished_runs(journal.runs())
        batches = journal.batches(run.run_id)
        read_s = time.perf_counter()
        plan = plan_resume(run, batches, now={})
    ended_s = time.perf_counter()
    return {
        "open_s": opened_s - began_s,
        "read_s": read_s - opened_s,
        "plan_s": ended_s - read_s,
        "all_s": ended_s - began_s,
        "all_cpu_s": time.process_time() - began_cpu_s,
        "batches": len(batches),
        "rows_again": plan.n_again,
    }


def repeated(path: Path) -> Iterator[dict[str, float]]:
    """Pick it up in a process of its own, again and again."""
    for _ in range(REPEATS):
        done = subprocess.run(
            [sys.executable, __file__, "--read", str(path)],
            check=True,
            capture_output=True,
            text=True,
        )
        yield json.loads(done.stdout)


def main() -> None:
    """Build, measure, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--batches", type=int, default=10_000, help="of each run")
    parser.add_argument("--runs", type=int, default=1, help="in one journal")
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.read:
        print(json.dumps(pick_up(asked.read)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / JOURNAL_NAME
        began_s = time.perf_counter()
        build(path, asked.batches, asked.runs)
        built_s = time.perf_counter() - began_s
        found = list(repeated(path))
        told = {name: round(median(f[name] for f in found), 3) for name in found[0]}
        size_mb = path.stat().st_size / 1e6
        told |= {"runs": asked.runs, "size_mb": round(size_mb, 1)}
        print(json.dumps(told | {"built_s": round(built_s, 1)}, indent=2))


if __name__ == "__main__":
    main()
