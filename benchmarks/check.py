"""
`make bench-check`: has anything become slower than `baseline.json` says?

Compared are ratios, never seconds: CPU of the tool over CPU of a plain Python loop on
the same rows, which is the yardstick, measured next to each other again and again. The
middle of all rounds counts. What is beyond the tolerance is measured a second time, and
fails only if both together still are.

    python benchmarks/check.py [--quick] [--write]

`--write` makes what was measured the new baseline: on a quiet machine, and in a commit
that says why.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.contest import PEERS, run_peer, run_tool
from benchmarks.measure import WrongResultError, data, script
from benchmarks.ratios import (
    QUICK_TOLERANCE,
    TOLERANCE,
    drifts,
    failing,
    middles,
    told,
)
from benchmarks.report import machine

if TYPE_CHECKING:
    from collections.abc import Sequence

BASELINE: Final = Path(__file__).parent / "baseline.json"
# Of the whole import, and of stations: many short rounds lie closer to their yardstick
# than few long ones. On two cores with three other programs at work, the middles of
# three times 15 rounds of 40,000 rows lay within 5 %, those of 5 rounds of 100,000
# within 20 %.
IMPORT_ROWS: Final = 100_000
STATION_ROWS: Final = 40_000


@dataclass(frozen=True, slots=True)
class Rounds:
    """How often everything is measured, and how much slower is no matter."""

    n_imports: int
    n_stations: int
    tolerance: float


FULL: Final = Rounds(9, 31, TOLERANCE)
QUICK: Final = Rounds(5, 15, QUICK_TOLERANCE)
# One thread: its seconds are work, those of several are also waiting for each other.
ONE_THREAD: Final = {"POLARS_MAX_THREADS": "1"}


def import_rounds(path: Path, n_rounds: int) -> list[dict[str, float]]:
    """
    Compare the whole command with the plain script; prove the first of each.

    The script is the shorter and the less steady of the two, so it runs twice before
    the command and twice after it.
    """
    rounds = []
    with tempfile.TemporaryDirectory(prefix="crm-bench-") as name:
        folder = Path(name)
        run_peer(PEERS[0], path, dump=folder / "bodies")
        before_s = script_s(path)
        for number in range(n_rounds):
            dump = folder / "bodies" if number == 0 else None
            ours, _ = run_tool(path, folder=folder, dump=dump, settings=ONE_THREAD)
            after_s = script_s(path)
            rounds.append({"import": 2 * ours.cpu_s / (before_s + after_s)})
            before_s = after_s
    return rounds


def script_s(path: Path) -> float:
    """Return the CPU seconds of the plain script, the mean of two runs."""
    return (run_peer(PEERS[0], path).cpu_s + run_peer(PEERS[0], path).cpu_s) / 2


def station_rounds(path: Path, n_rounds: int) -> list[dict[str, float]]:
    """Compare stations with the yardstick, in one process that nothing else shares."""
    command = script("stages.py", "rounds", path, n_rounds)
    settings = os.environ | ONE_THREAD
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, env=settings)
    if done.returncode:
        raise WrongResultError(f"exit code {done.returncode}: {' '.join(command)}")
    rounds: list[dict[str, float]] = json.loads(done.stdout)
    return rounds


def measured(rounds: Rounds) -> list[dict[str, float]]:
    """Measure everything."""
    imports = import_rounds(data(IMPORT_ROWS, "csv"), rounds.n_imports)
    return imports + station_rounds(data(STATION_ROWS, "csv"), rounds.n_stations)


def check(times: Rounds) -> int:
    """Compare with the baseline, and look twice before saying that it is worse."""
    baseline: dict[str, Any] = json.loads(BASELINE.read_text("utf-8"))
    was: dict[str, float] = baseline["ratios"]
    rounds = measured(times)
    found = drifts(was, middles(rounds), times.tolerance)
    if failing(found):
        names = ", ".join(drift.name for drift in failing(found))
        print(f"a second look, because of: {names}", file=sys.stderr)
        rounds += measured(times)
        found = drifts(was, middles(rounds), times.tolerance)
    print(told(found))
    here = machine()
    others = [f"{k} {v}" for k, v in baseline["about"].items() if here.get(k) != v]
    if others := [each for each in others if not each.startswith("date")]:
        print(f"the baseline was made with {', '.join(others)}", file=sys.stderr)
    for drift in failing(found):
        print(
            f"WRONG: {drift.name} is {drift.verdict} ({drift.change:+.1%}). Find what "
            "it is, or make it the baseline: make bench-baseline, and say why.",
            file=sys.stderr,
        )
    return 1 if failing(found) else 0


def write(rounds: Sequence[dict[str, float]]) -> None:
    """Make these rounds the baseline."""
    ratios = {name: round(ratio, 4) for name, ratio in middles(rounds).items()}
    text = json.dumps({"about": machine(), "ratios": ratios}, indent=2)
    BASELINE.write_text(f"{text}\n", "utf-8")
    print(text)


def main() -> int:
    """Check, or write the baseline."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--write", action="store_true", help="the new baseline")
    asked = parser.parse_args()
    times = QUICK if asked.quick else FULL
    try:
        if asked.write:
            write(measured(times))
            return 0
        return check(times)
    except WrongResultError as error:
        print(f"WRONG: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
