"""
`python tests/prove.py [MACHINE]... [--n N] [--write]`: the long proofs, with figures.

Without a name, every machine runs: those whose figures are seconds alone, one after the
other, then the rest two at a time, each in a process of its own. `--n` sets the number
of cases of each; without it the numbers of docs/proof.md are run. `--write` writes the
chapters of that page that ran, and leaves the others. Ends with 1 when a figure is not
what was asked for.
"""

import argparse
import datetime as dt
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Final

from torture import (
    altered,
    bad_list,
    canaries,
    faults,
    guarded_nights,
    journal_cost,
    killed_mirrors,
    killed_nights,
    large_nights,
    lives,
    mutants,
    nth_operation,
    pace,
    power_loss,
    roads,
    schedules,
    soak,
    thirty_nights,
    three_way,
)
from torture.kills import kills
from torture.proof import Chapter, Machine
from torture.worst_weather import worst_weather

# Their figures are seconds, which anything beside them would bend.
TIMED: Final = ("journal", "kills")
LANES: Final = 2
MACHINES: Final[dict[str, Machine]] = {
    "journal": journal_cost.prove,
    "kills": kills,
    "worst-weather": worst_weather,
    "nth-operation": nth_operation.prove,
    "power-loss": power_loss.prove,
    "schedules": schedules.prove,
    "life": lives.prove,
    "soak": soak.prove,
    "pacing": pace.prove,
    "thirty-nights": thirty_nights.prove,
    "large-nights": large_nights.prove,
    "killed-nights": killed_nights.prove,
    "killed-mirrors": killed_mirrors.prove,
    "guards": guarded_nights.prove,
    "bad-files": bad_list.prove,
    "faults": faults.prove,
    "three-way": three_way.prove,
    "roads": roads.prove,
    "canaries": canaries.prove,
    "altered-row": altered.prove,
    "mutants": mutants.prove,
}
PAGE: Final = Path(__file__).parents[1] / "docs" / "proof.md"
HEAD: Final = """\
# Proof

What `make torture` measured; `make torture N=20` runs a short form of each part.
The page is written by that command and never by hand; a chapter is written anew by
`python tests/prove.py NAME --write`, and says when it ran and on which commit.
In messages, `FOLDER` and `RUN` stand for the folder and the name of a run.
"""
# What is another one with every run, so that two pages can be compared.
CHANGING: Final = (
    (re.compile(rf"{re.escape(tempfile.gettempdir())}/[^\s/:,;)]+"), "FOLDER"),
    (re.compile(r"\b[0-9]{8}-[0-9]{6}-[0-9a-f]{4}\b"), "RUN"),
)


COMMAND: Final = re.compile(r"^`python tests/prove\.py ([a-z-]+)`", re.MULTILINE)


def section(name: str, chapter: Chapter, ran: str) -> str:
    """Return a chapter as Markdown."""
    lines = [
        f"## {chapter.title}",
        "",
        f"`python tests/prove.py {name}`, {ran}",
        "",
        chapter.words,
        "",
        "| figure | measured | wanted | met |",
        "| --- | --- | --- | --- |",
    ]
    lines += [
        f"| {f.name} | {f.measured} | {f.wanted} | {'yes' if f.is_met else 'NO'} |"
        for f in chapter.figures
    ]
    if chapter.table:
        head, *rows = chapter.table
        lines += ["", _row(head), _row(("---",) * len(head)), *map(_row, rows)]
    text = "\n".join(lines) + "\n"
    for changing, word in CHANGING:
        text = changing.sub(word, text)
    return text


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def chapters_of(page: str) -> dict[str, str]:
    """Return the chapters of a page by the names of their machines."""
    found = {}
    for text in re.split(r"^(?=## )", page, flags=re.MULTILINE)[1:]:
        command = COMMAND.search(text)
        if command is not None:
            found[command[1]] = text
    return found


def page_of(chapters: dict[str, str]) -> str:
    """Return the page, its chapters in the order of the machines."""
    missing = [name for name in MACHINES if name not in chapters]
    words = f"Never run for this page: {', '.join(missing)}.\n" if missing else ""
    told = [chapters[name].strip() + "\n" for name in MACHINES if name in chapters]
    return "\n".join(filter(None, [HEAD, words, *told]))


def moment() -> str:
    """Say when, and of which tree."""
    command = ("git", "describe", "--always", "--dirty")
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    now = dt.datetime.now(dt.UTC)
    return f"{now:%Y-%m-%d %H:%M} UTC, tree {told.stdout.strip()}"


@dataclass(frozen=True)
class Ran:
    """A machine that has run: what it came to, as a chapter and in words."""

    chapter: str
    words: str
    is_met: bool


def alone(name: str, n: int | None) -> Ran:
    """Run a machine in this process."""
    ran, began_s = moment(), time.monotonic()
    chapter = MACHINES[name](n)
    text = section(name, chapter, ran)
    took_s = time.monotonic() - began_s
    return Ran(text, f"{text}\n({took_s:.0f} s)\n\n", chapter.is_met)


def apart(name: str, n: int | None) -> Ran:
    """Run a machine in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.md"
        numbers = () if n is None else ("--n", str(n))
        command = (sys.executable, __file__, name, *numbers, "--page", str(page))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        found = chapters_of(page.read_text("utf-8")) if page.exists() else {}
    return Ran(found.get(name, ""), done.stdout, done.returncode == 0 and name in found)


def all_of(names: Sequence[str], n: int | None) -> Iterator[tuple[str, Ran]]:
    """Run machines, and give what they came to in their order."""
    others = [name for name in names if name not in TIMED]
    for name in names:
        if name in TIMED or len(names) == 1:
            yield name, alone(name, n)
    if len(names) > 1:
        with ThreadPoolExecutor(LANES) as pool:
            yield from zip(others, pool.map(apart, others, repeat(n)), strict=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the long proofs.")
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=str([*MACHINES]))
    parser.add_argument("--n", type=int, help="cases of each machine")
    parser.add_argument("--write", action="store_true", help="write docs/proof.md")
    parser.add_argument("--page", type=Path, help="write this page instead")
    told = parser.parse_args()
    unknown = set(told.machines) - set(MACHINES)
    if unknown:
        parser.error(f"no such machine: {', '.join(sorted(unknown))}")
    chapters: dict[str, str] = {}
    is_met = True
    for name, ran in all_of(told.machines or [*MACHINES], told.n):
        is_met &= ran.is_met
        if ran.chapter:
            chapters[name] = ran.chapter
        sys.stdout.write(ran.words)
        sys.stdout.flush()
    page = told.page or (PAGE if told.write else None)
    if page is not None:
        before = chapters_of(page.read_text("utf-8")) if page.exists() else {}
        page.write_text(page_of(before | chapters), encoding="utf-8")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
