"""
How long a comparison of two large sides takes, and how much memory.

    python benchmarks/reconcile.py [--rows N] [--crm parquet|csv] [--baseline]
        [--workers N]

The sides are those of `sides.py`, the tool is its real command line; a count that is
off ends with 1.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import HERE, WrongResultError, answer, cost_of, expect

TOOL: Final = str(Path(sys.executable).with_name("crm-pipeline"))


def compare(folder: Path, asked: argparse.Namespace) -> dict[str, Any]:
    """Make the sides, compare them, and return the cost."""
    wanted = answer("sides.py", folder, asked.rows, asked.crm)
    crm, summary = folder / f"crm.{asked.crm}", folder / "summary.json"
    command = [TOOL, "reconcile", folder / "source.csv", "--against", crm]
    command += ["-c", folder / "job.yaml", "--work-dir", folder / "work"]
    command += ["--summary", summary, "--fail-over", "100%", "--quiet"]
    command += ["--baseline", crm] if asked.baseline else []
    command += ["--engine", "dask", "--workers", asked.workers] if asked.workers else []
    cost = cost_of(list(map(str, command)), {})
    told = json.loads(summary.read_text("utf-8"))
    expect("rows", {name: told["rows"][name] for name in wanted}, wanted)
    edited = "source_newer" if asked.baseline else "differs"
    expect("cities", told["fields"]["city"][edited], wanted["differing"])
    n_repaired = wanted["differing"] + wanted["only_in_source"]
    expect("rows to repair", told["repair_rows"], n_repaired)
    return {
        "crm": asked.crm,
        "sides": 3 if asked.baseline else 2,
        "workers": asked.workers,
        "wall_s": round(cost.wall_s, 1),
        "cpu_s": round(cost.cpu_s, 1),
        "peak_mb": round(cost.peak_mb),
        **wanted,
    }


def main() -> int:
    """Compare, and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--crm", choices=["parquet", "csv"], default="parquet")
    parser.add_argument(
        "--baseline", action="store_true", help="three sides: the export once more"
    )
    parser.add_argument("--workers", type=int, help="processes that compare")
    asked = parser.parse_args()
    data = HERE / "data"
    data.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=data) as folder:
        try:
            print(json.dumps(compare(Path(folder), asked), indent=2))
        except WrongResultError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
