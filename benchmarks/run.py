"""
`make bench`: measures the tool, and other ways to do the same, in one run.

Every side is a process of its own, the tool is its real command line. A run fails when
a count is off or a profile differs from the truth; a target that is missed is said in
the table and fails nothing, because a busy machine misses many.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks.measure import (
    Cost,
    WrongResultError,
    answer,
    cost_of,
    expect,
    middle,
    script,
)
from benchmarks.measure import sink as running_sink
from benchmarks.report import Line, at_least, write

ROWS: Final = 1_000_000
QUICK_ROWS: Final = 200_000
MEMORY_ROWS: Final = 10_000_000
N_TIMES: Final = 3
DELAY_MS: Final = 100
CONCURRENCY: Final = 10
MAX_PEAK_MB: Final = 500
MAX_RECONCILE_MB: Final = 1000
MIN_SHARE: Final = 0.95
ONE_REPEATS: Final = 200  # as in data.py, which this small process must not import
PAGED_ROWS: Final = 200_000
COMPARED_PAGE_ROWS: Final = 45_000
MIN_PAGE_RATE: Final = 350
PAGE_WAYS: Final = ("ours", "from_dicts", "read_json")
WAYS: Final = ("ours_texts", "ours", "to_dicts", "to_dicts_careful", "iter_rows")
TOOL: Final = str(Path(sys.executable).with_name("crm-pipeline"))
KEY: Final = {"SYNERISE_API_KEY": "00000000-0000-4000-8000-000000000001"}


class Bench:
    """One run; gathers lines for people and raw figures for machines."""

    def __init__(self, folder: Path, n_rows: int) -> None:
        self._folder = folder
        self._n_rows = n_rows
        self.lines: list[Line] = []
        self.raw: dict[str, object] = {"rows": n_rows}

    # -- the encoder -------------------------------------------------------------------

    def encoders(self) -> None:
        """Compare three ways from clean rows to bodies."""
        clean = data(self._n_rows, "clean")
        ways: dict[str, list[Cost]] = {}
        for _ in range(N_TIMES):
            for way in WAYS:
                told = answer("encode.py", way, clean)
                expect("encoded rows", told["rows"], self._n_rows)
                cost = Cost(told["wall_s"], told["cpu_s"], 0.0)
                ways.setdefault(way, []).append(cost)
        compared = answer("encode.py", "equal", clean)
        wanted = {"rows": self._n_rows, "different": 0}
        expect("records of all encoders", compared, wanted)
        cpu_s = {way: middle(costs).cpu_s for way, costs in ways.items()}
        self.raw["encode_cpu_s"] = cpu_s
        texts, bodies = cpu_s["ours_texts"], cpu_s["ours"]
        slow, fast = cpu_s["to_dicts"], cpu_s["iter_rows"]
        self.lines += [
            at_least("encoder, CPU, against `to_dicts` + orjson", slow / texts, 6),
            at_least("encoder, CPU, against `iter_rows` + orjson", fast / texts, 2.3),
            Line(
                "encoder, CPU, against `to_dicts` with a careful loop + orjson",
                f"{cpu_s['to_dicts_careful'] / texts:.2f} ×",
            ),
            Line(
                "the first two with cutting into bodies and SHA-256 of each",
                f"{slow / bodies:.2f} × and {fast / bodies:.2f} ×",
            ),
            Line("records that differ after parsing", f"0 of {self._n_rows:,}"),
        ]

    # -- pages of an export ------------------------------------------------------------

    def pages(self) -> None:
        """Compare three ways from pages of profiles to frames."""
        n_rows = min(self._n_rows, PAGED_ROWS)
        costs: dict[str, list[float]] = {}
        for _ in range(N_TIMES):
            for way in PAGE_WAYS:
                told = answer("pages.py", way, n_rows)
                expect("profiles of the pages", told["rows"], n_rows)
                costs.setdefault(way, []).append(told["cpu_s"])
        compared = answer("pages.py", "equal", COMPARED_PAGE_ROWS)
        wanted = {"rows": COMPARED_PAGE_ROWS, "different": 0}
        expect("cells of the pages", compared, wanted)
        cpu_s = {way: median(seconds) for way, seconds in costs.items()}
        self.raw["pages_cpu_s"] = cpu_s
        rate = n_rows / cpu_s["ours"] / 1000
        self.lines += [
            Line(
                "pages of an export, thousand profiles a second of CPU",
                f"{rate:.0f}",
                f"≥ {MIN_PAGE_RATE}",
                rate >= MIN_PAGE_RATE,
            ),
            at_least(
                "the same, CPU, against orjson + `from_dicts`",
                cpu_s["from_dicts"] / cpu_s["ours"],
                2,
            ),
            Line(
                "the same against `read_json`, which bends values without a word",
                f"{cpu_s['read_json'] / cpu_s['ours']:.2f} ×",
            ),
        ]

    # -- end to end --------------------------------------------------------------------

    def end_to_end(self) -> None:
        """Compare the whole import with a sequential script."""
        csv = data(self._n_rows, "csv")
        ours, theirs, seen = [], [], set()
        for number in range(N_TIMES):
            dump = self._folder / "bodies" if number == 0 else None
            cost, stats = self._import(csv, dump=dump)
            ours.append(cost)
            seen.add(stats["digest"])
            theirs.append(self._sequential(csv))
        expect("different sets of bodies in as many runs", len(seen), 1)
        self.raw["end_to_end"] = {
            "ours": [asdict(cost) for cost in ours],
            "sequential": [asdict(cost) for cost in theirs],
        }
        our, their = middle(ours), middle(theirs)
        self.lines += [
            at_least(
                "import of CSV, wall, against DictReader + httpx",
                their.wall_s / our.wall_s,
                2.5,
            ),
            Line("the same, CPU", f"{their.cpu_s / our.cpu_s:.2f} ×"),
            Line("peak RSS at that size", f"{our.peak_mb:.0f} MB"),
            Line("profiles at the sink that differ from the truth", "0"),
        ]

    def _import(
        self,
        path: Path,
        *options: object,
        dump: Path | None = None,
        keeps: bool = True,
        delay_ms: int = 0,
    ) -> tuple[Cost, dict[str, Any]]:
        """Run the command line against a sink of its own, and check every count."""
        n_rows = int(path.stem.rpartition("-")[2])
        job = path.with_suffix(f"{path.suffix}.yaml")
        keeping = ["--keep"] if keeps else []
        dumping = ["--dump", dump] if dump else []
        with (
            tempfile.TemporaryDirectory(dir=self._folder) as work_dir,
            running_sink("--delay-ms", delay_ms, *keeping, *dumping) as sink,
        ):
            summary_path = Path(work_dir) / "summary.json"
            command = [TOOL, "import", path, "-c", job, "--base-url", sink.base_url]
            command += ["--work-dir", work_dir, "--summary", summary_path, "--quiet"]
            command += ["--verify=none"]  # the sink takes profiles and shows none
            cost = cost_of([*map(str, command), *map(str, options)], KEY)
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

    def _sequential(self, path: Path) -> Cost:
        with running_sink("--keep") as sink:
            command = script("peers/sequential.py", path, sink.base_url)
            cost = cost_of(command, {})
            expect("rows of the script", sink.stats()["rows"], self._n_rows)
        return cost

    # -- a service that takes its time ------------------------------------------------

    def slow_sink(self) -> None:
        """Compare with what a sink of 100 ms allows ten requests in flight."""
        path = data(self._n_rows, "csv")
        options = ("--concurrency", CONCURRENCY)
        _, stats = self._import(path, *options, delay_ms=DELAY_MS)
        allowed_s = stats["batches"] * DELAY_MS / 1000 / CONCURRENCY
        share = allowed_s / stats["span_s"]
        if stats["most_open"] > CONCURRENCY:
            raise WrongResultError(f"{stats['most_open']} requests at once")
        self.raw["slow_sink"] = {"share": share, **stats}
        self.lines.append(
            Line(
                f"sink of {DELAY_MS} ms, {CONCURRENCY} in flight: share of what it "
                "allows, at the sink",
                f"{share:.1%}",
                f"≥ {MIN_SHARE:.0%}",
                share >= MIN_SHARE,
            )
        )

    # -- memory ------------------------------------------------------------------------

    def memory(self) -> None:
        """Import ten times as many rows, once each."""
        for kind in ("csv", "parquet"):
            path = data(MEMORY_ROWS, kind)
            cost, _ = self._import(path, keeps=False)
            self.raw[f"memory_{kind}"] = asdict(cost)
            self.lines.append(
                Line(
                    f"peak RSS, {MEMORY_ROWS // 1_000_000} M rows of {kind}",
                    f"{cost.peak_mb:.0f} MB",
                    f"≤ {MAX_PEAK_MB} MB",
                    cost.peak_mb <= MAX_PEAK_MB,
                )
            )

    # -- two sides compared ----------------------------------------------------------

    def reconciliation(self) -> None:
        """Compare a source with an export of as many profiles, in another order."""
        n_rows = QUICK_ROWS if self._n_rows == QUICK_ROWS else MEMORY_ROWS
        told = answer("reconcile.py", "--rows", n_rows)
        self.raw["reconcile"] = told
        self.lines += [
            Line(
                f"reconcile, {n_rows:,} rows with as many profiles: peak RSS",
                f"{told['peak_mb']} MB",
                f"≤ {MAX_RECONCILE_MB} MB",
                told["peak_mb"] <= MAX_RECONCILE_MB,
            ),
            Line("the same, wall and CPU", f"{told['wall_s']} s, {told['cpu_s']} s"),
        ]


def data(n_rows: int, kind: str) -> Path:
    """Make a file, or find it made."""
    command = script("data.py", n_rows, kind)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return Path(done.stdout.strip())


def main() -> int:
    """Measure, write the results, and print the table."""
    parser = argparse.ArgumentParser(description="Measure the tool.")
    parser.add_argument(
        "--quick", action="store_true", help="200,000 rows and no memory runs"
    )
    is_quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        bench = Bench(Path(folder), QUICK_ROWS if is_quick else ROWS)
        parts = [bench.encoders, bench.pages, bench.end_to_end, bench.slow_sink]
        parts += [bench.reconciliation]
        parts += [] if is_quick else [bench.memory]
        try:
            for part in parts:
                n_before = len(bench.lines)
                part()
                for line in bench.lines[n_before:]:
                    print(f"{line.what}: {line.figure} {line.target}", flush=True)
        except WrongResultError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    command = "benchmarks/run.py --quick" if is_quick else "make bench"
    print(write(bench.lines, bench.raw, command))
    return 0


if __name__ == "__main__":
    sys.exit(main())
