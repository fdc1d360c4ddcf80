"""Tables, the JSON file, and the part of `docs/benchmarks.md` they fill."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.chart import Bar, chart

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from benchmarks.contest import Standing

HERE: Final = Path(__file__).parent
RESULTS: Final = HERE / "results" / "latest.json"
PAGE: Final = HERE.parent / "docs" / "benchmarks.md"
CHART: Final = HERE.parent / "docs" / "benchmarks.svg"
BEGIN: Final = "<!-- begin: written by `make bench-full` -->"
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


@dataclass(frozen=True, slots=True)
class Results:
    """
    What a run came to.

    Attributes:
        n_rows: That every side of the comparison sent.
        standings: Of the sides, ours first.
        stages: Station → CPU microseconds a row.
        raw: Figures for machines.
    """

    n_rows: int
    lines: Sequence[Line]
    standings: Sequence[Standing]
    stages: Mapping[str, float]
    raw: Mapping[str, object]


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


def write(results: Results, command: str, *, into_page: bool) -> str:
    """
    Write the JSON file, and if told so the page with its picture.

    Returns:
        The tables.
    """
    about = machine() | {"command": command}
    RESULTS.parent.mkdir(exist_ok=True)
    told = {"about": about} | asdict(results)
    RESULTS.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", "utf-8")
    text = tables(results, about)
    if into_page:
        CHART.write_text(picture(results), "utf-8")
        page = into(PAGE.read_text("utf-8"), f"{text}\n\n{shown(results.n_rows)}")
        PAGE.write_text(page, "utf-8")
    return text


def tables(results: Results, about: Mapping[str, str]) -> str:
    """Return everything that was measured, as Markdown."""
    where = ", ".join(f"{k} {v}" for k, v in about.items() if k != "command")
    parts = [f"Made by `{about['command']}`; {where}."]
    if results.lines:
        parts.append(_lines(results.lines))
    if results.standings:
        parts += [f"{results.n_rows:,} rows, every side:", _sides(results)]
    if results.stages:
        parts += ["Each station alone:", _stages(results.stages)]
    return "\n\n".join(parts)


def _lines(lines: Sequence[Line]) -> str:
    words = {True: "yes", False: "**no**", None: ""}
    rows = [
        (line.what, line.figure, line.target, words[line.reached]) for line in lines
    ]
    return table(("measured", "figure", "target", "reached"), rows, n_texts=4)


def _sides(results: Results) -> str:
    ours = results.standings[0].cost
    rows: list[tuple[str, ...]] = []
    for standing in results.standings:
        cost = standing.cost
        if cost is None or ours is None:
            rows.append((standing.name, "–", "–", "–", "–", "–", standing.note))
            continue
        figures = (f"{cost.wall_s:.1f}", f"{cost.cpu_s:.1f}", f"{cost.peak_mb:.0f}")
        ratios = (cost.wall_s / ours.wall_s, cost.cpu_s / ours.cpu_s)
        told = (f"{ratio:.2f} ×" for ratio in ratios)
        rows.append((standing.name, *figures, *told, standing.note))
    head = ("side", "wall s", "CPU s", "peak MB", "wall / ours", "CPU / ours", "with")
    return table(head, rows)


def _stages(stages: Mapping[str, float]) -> str:
    rows = [
        (name, f"{cost_us:.2f}", f"{1e3 / cost_us:,.0f}")
        for name, cost_us in stages.items()
    ]
    return table(("station", "CPU µs a row", "thousand rows a CPU second"), rows)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, n_texts: int = 1
) -> str:
    """Return a table in Markdown; the first *n_texts* columns stand to the left."""
    rules = ["---" if n < n_texts else "---:" for n in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rules, *rows))


def picture(results: Results) -> str:
    """Return the sides as bars."""
    bars = [
        Bar(each.name.replace("`", ""), (each.cost.wall_s, each.cost.cpu_s))
        for each in results.standings
        if each.cost is not None
    ]
    title = f"Seconds for {results.n_rows:,} rows of CSV; less is better"
    return chart(title, ("wall", "CPU"), bars)


def shown(n_rows: int) -> str:
    """Return the line that shows the picture."""
    words = f"Bars: wall and CPU seconds of each side for {n_rows:,} rows"
    return f"![{words}]({CHART.name})"


def into(page: str, text: str) -> str:
    """Return the page with *text* between its marks."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
