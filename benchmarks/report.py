"""Rows of the table, the JSON file, and the part of `docs/benchmarks.md` they fill."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results" / "latest.json"
PAGE: Final = HERE.parent / "docs" / "benchmarks.md"
BEGIN: Final = "<!-- begin: written by `make bench` -->"
END: Final = "<!-- end -->"
PACKAGES: Final = ("polars", "httpx", "orjson")


@dataclass(frozen=True, slots=True)
class Line:
    """
    One measured thing.

    Attributes:
        target: What it has to reach; empty for a line that only informs.
        reached: None without a target.
    """

    what: str
    figure: str
    target: str = ""
    reached: bool | None = None


def at_least(what: str, ratio: float, wanted: float) -> Line:
    """Return a line for a ratio that has a lower bound."""
    told = f"{ratio:.2f} ×"
    return Line(what, told, f"≥ {wanted:g} ×", ratio >= wanted)


def machine() -> dict[str, str]:
    """Say on what and with what it was measured; no name of the machine."""
    told = {
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "cores": str(os.cpu_count()),
        "system": f"{platform.system()} {platform.machine()}",
        "Python": platform.python_version(),
    }
    return told | {package: version(package) for package in PACKAGES}


def write(lines: list[Line], raw: dict[str, object], command: str) -> str:
    """
    Write the JSON file, and the table into the page unless the run was a quick one.

    Returns:
        The table.
    """
    about = machine() | {"command": command}
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"about": about, "lines": [asdict(line) for line in lines], "raw": raw}
    RESULTS.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    table = _table(lines, about)
    if "--quick" not in command:
        _into_page(table)
    return table


def _table(lines: list[Line], about: dict[str, str]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = [
        f"| {line.what} | {line.figure} | {line.target} | {words[line.reached]} |"
        for line in lines
    ]
    where = ", ".join(f"{k} {v}" for k, v in about.items() if k != "command")
    return "\n".join(
        [
            f"Made by `{about['command']}`; {where}.",
            "",
            "| measured | figure | target | reached |",
            "|---|---|---|---|",
            *rows,
        ]
    )


def _into_page(table: str) -> None:
    page = PAGE.read_text("utf-8")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", "utf-8")
