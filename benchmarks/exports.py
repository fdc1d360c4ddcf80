"""
Whole exports past the cap of the list, by each road, against the sandbox.

    python benchmarks/exports.py [--profiles N] [--road pages|windows]

The tool and the sandbox are their real command lines. The file must hold every profile
once and its certificate must call it complete; else it ends with 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.measure import WrongResultError, answer, cost_of, expect

if TYPE_CHECKING:
    from collections.abc import Iterator

TOOL: Final = str(Path(sys.executable).with_name("crm-pipeline"))
ROADS: Final = ("pages", "windows")


@contextmanager
def sandbox(n_profiles: int) -> Iterator[dict[str, str]]:
    """Serve so many profiles; gives the environment that finds them."""
    command = [TOOL, "sandbox", "--port", "0", "--seed-profiles", str(n_profiles)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = json.loads(process.stdout.readline() if process.stdout else "")
            yield {
                "SYNERISE_BASE_URL": told["base_url"],
                "SYNERISE_API_KEY": told["api_key"],
            }
        finally:
            process.terminate()


def export(folder: Path, n_profiles: int, road: str) -> dict[str, Any]:
    """Export everything by one road, and look at the file and its certificate."""
    path = folder / f"{road}.parquet"
    command = [TOOL, "export", path, "--road", road, "--work-dir", folder / road]
    with sandbox(n_profiles) as environment:
        summary_path = folder / f"{road}.json"
        command += ["--quiet", "--summary", summary_path]
        cost = cost_of(list(map(str, command)), environment)
    summary = json.loads(summary_path.read_text())
    certificate = json.loads(
        path.with_name(f"{path.name}.certificate.json").read_text()
    )
    expect("complete", certificate["complete"], True)  # noqa: FBT003 - wanted
    wanted = {"rows": n_profiles, "different": n_profiles}
    expect("profiles of the file", answer("ids.py", path), wanted)
    return {
        "road": road,
        "profiles": n_profiles,
        "evidence": certificate["evidence"],
        "requests": summary["requests"],
        "wall_s": round(cost.wall_s, 1),
        "cpu_s": round(cost.cpu_s, 1),
        "peak_mb": round(cost.peak_mb),
    }


def main() -> int:
    """Export by each road, and print one JSON object a line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--profiles", type=int, default=25_000)
    parser.add_argument("--road", choices=ROADS, help="both when not given")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="crm-exports-") as folder:
        try:
            for road in [asked.road] if asked.road else ROADS:
                told = export(Path(folder), asked.profiles, road)
                print(json.dumps(told), flush=True)
        except WrongResultError as error:
            print(f"WRONG: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
