"""
`make bench`: measures the tool, and other ways to do the same, in one run.

Every side is a process of its own, the tool is its real command line. A run fails when
a count is off or a profile differs from the truth; a target that is missed is said in
the table and fails nothing, because a busy machine misses many.

`--full` (`make bench-full`) adds the peers that have to be installed for it and the
runs of ten million rows, and writes `docs/benchmarks.md`.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.contest import BASELINE, PEERS, Standing, contest, run_tool
from benchmarks.measure import Cost, WrongResultError, answer, data, expect, middle
from benchmarks.report import Line, Results, at_least, write

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: Final = 1_000_000
QUICK_ROWS: Final = 200_000
STAGE_ROWS: Final = 200_000
MEMORY_ROWS: Final = 10_000_000
N_TIMES: Final = 3
DELAY_MS: Final = 100
CONCURRENCY: Final = 10
MAX_PEAK_MB: Final = 500
MAX_RECONCILE_MB: Final = 1000
MIN_SHARE: Final = 0.95
MIN_CPU_SHARE: Final = 0.85
PAGED_ROWS: Final = 200_000
COMPARED_PAGE_ROWS: Final = 45_000
MIN_PAGE_RATE: Final = 350
EXPORTED: Final = 100_000
ROADS: Final = ("pages", "windows")
STAGES: Final = (
    "read",
    "transform",
    "lint",
    "encode",
    "fold",
    "store",
    "chunk",
    "journal",
    "deliver",
    "pages",
    "digest",
    "delta",
    "reconcile",
)
PAGE_WAYS: Final = ("ours", "from_dicts", "read_json")
WAYS: Final = ("ours_texts", "ours", "to_dicts", "to_dicts_careful", "iter_rows")


class Bench:
    """One run; gathers lines for people and raw figures for machines."""

    def __init__(self, folder: Path, n_rows: int, *, is_full: bool) -> None:
        self._folder = folder
        self._n_rows = n_rows
        self._is_full = is_full
        self.lines: list[Line] = []
        self.standings: list[Standing] = []
        self.stages: dict[str, float] = {}
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
            at_least("encoder, CPU, against `to_dicts` + orjson", slow / texts, 7),
            at_least("encoder, CPU, against `iter_rows` + orjson", fast / texts, 2.5),
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
        """Compare the whole import with other ways to send the file."""
        path = data(self._n_rows, "csv")
        found = contest(path, self._folder, N_TIMES, with_extras=self._is_full)
        for standing in found:
            print(f"{standing.name}: {standing.words()}", flush=True)
            self.standings.append(standing)
        costs = {each.name: each.cost for each in self.standings}
        our, their = costs[self.standings[0].name], costs[BASELINE]
        if our is None or their is None:
            raise WrongResultError("the tool and the plain script always run")
        for peer in PEERS:
            cost = costs.get(peer.name)
            if cost is not None and peer.factor is not None:
                what = f"import of CSV, wall, against {peer.name}"
                ratio = cost.wall_s / our.wall_s
                self.lines.append(at_least(what, ratio, peer.factor))
        share = our.cpu_s / our.wall_s / (os.cpu_count() or 1)
        self.lines += [
            Line(
                "CPU of the import over all cores, share of its wall clock",
                f"{share:.2f}",
                f"≥ {MIN_CPU_SHARE}",
                share >= MIN_CPU_SHARE,
            ),
            Line(
                f"import of CSV, CPU, against {BASELINE}",
                f"{their.cpu_s / our.cpu_s:.2f} ×",
            ),
            Line("peak RSS at that size", f"{our.peak_mb:.0f} MB"),
            Line("profiles at the sink that differ from the truth", "0"),
        ]

    # -- a service that takes its time ------------------------------------------------

    def slow_sink(self) -> None:
        """Compare with what a sink of 100 ms allows ten requests in flight."""
        path = data(self._n_rows, "csv")
        options = ("--concurrency", CONCURRENCY)
        _, stats = run_tool(path, *options, folder=self._folder, delay_ms=DELAY_MS)
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

    # -- stages alone ------------------------------------------------------------------

    def stages_alone(self) -> None:
        """Measure each station of the line with everything around it taken away."""
        n_rows = min(self._n_rows, STAGE_ROWS)
        path = data(n_rows, "csv")
        for stage in STAGES:
            costs = []
            for _ in range(N_TIMES):
                told = answer("stages.py", stage, path)
                costs.append(told["cpu_s"] / told["rows"])
            self.stages[stage] = median(costs) * 1e6
            print(f"{stage}: {self.stages[stage]:.2f} µs a row", flush=True)

    # -- memory ------------------------------------------------------------------------

    def memory(self) -> None:
        """Import ten million rows, or more where that was asked for, once each."""
        n_rows = max(MEMORY_ROWS, self._n_rows)
        for kind in ("csv", "parquet"):
            path = data(n_rows, kind)
            cost, _ = run_tool(path, folder=self._folder, keeps=False)
            self.raw[f"memory_{kind}"] = asdict(cost)
            self.lines.append(
                Line(
                    f"peak RSS, {n_rows // 1_000_000} M rows of {kind}",
                    f"{cost.peak_mb:.0f} MB",
                    f"≤ {MAX_PEAK_MB} MB",
                    cost.peak_mb <= MAX_PEAK_MB,
                )
            )

    # -- two sides compared ----------------------------------------------------------

    def reconciliation(self) -> None:
        """Compare a source with an export of as many profiles, in another order."""
        n_rows = MEMORY_ROWS if self._is_full else self._n_rows
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

    # -- whole exports -----------------------------------------------------------------

    def exports(self) -> None:
        """Export ten times what the list shows, by each road."""
        for road in ROADS:
            told = answer("exports.py", "--profiles", EXPORTED, "--road", road)
            self.raw[f"export_{road}"] = told
            figure = f"{told['requests']} requests, {told['wall_s']} s"
            what = f"{EXPORTED:,} profiles exported complete by {road}"
            self.lines.append(Line(what, f"{figure}, {told['peak_mb']} MB"))


def main() -> int:
    """Measure, write the results, and print the tables."""
    parser = argparse.ArgumentParser(description="Measure the tool.")
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--quick", action="store_true", help="200,000 rows")
    sizes.add_argument(
        "--full",
        action="store_true",
        help="all peers and ten million rows; writes docs/benchmarks.md",
    )
    parser.add_argument("--rows", type=int, help="of the comparison")
    parser.add_argument("--only", help="one part, by name; writes no page")
    asked = parser.parse_args()
    n_rows = asked.rows or (QUICK_ROWS if asked.quick else ROWS)
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as folder:
        bench = Bench(Path(folder), n_rows, is_full=asked.full)
        parts: dict[str, Callable[[], None]] = {
            "encoders": bench.encoders,
            "pages": bench.pages,
            "end_to_end": bench.end_to_end,
            "slow_sink": bench.slow_sink,
            "stages": bench.stages_alone,
            "reconciliation": bench.reconciliation,
        }
        if asked.full:
            parts |= {"memory": bench.memory, "exports": bench.exports}
        if asked.only:
            if asked.only not in parts:
                parser.error(f"--only is one of {', '.join(parts)}")
            parts = {asked.only: parts[asked.only]}
        try:
            for part in parts.values():
                n_before = len(bench.lines)
                part()
                for line in bench.lines[n_before:]:
                    print(f"{line.what}: {line.figure} {line.target}", flush=True)
        except WrongResultError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    is_page = asked.full and not (asked.rows or asked.only)
    command = (
        "make bench-full" if is_page else " ".join(["benchmarks/run.py", *sys.argv[1:]])
    )
    results = Results(n_rows, bench.lines, bench.standings, bench.stages, bench.raw)
    print(write(results, command, into_page=is_page))
    return 0


if __name__ == "__main__":
    sys.exit(main())
