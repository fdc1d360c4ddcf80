"""
`python tests/prove.py [MACHINE]... [--n N] [--write]`: the long proofs, with figures.

Without a name, every machine runs. `--n` sets the number of cases of each; without it
the numbers of docs/proof.md are run. `--write` writes that page. Ends with 1 when a
figure is not what was asked for.
"""

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

from torture import (
    altered,
    bad_list,
    canaries,
    faults,
    guarded_nights,
    journal_cost,
    killed_nights,
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

MACHINES: Final[dict[str, Machine]] = {
    "kills": kills,
    "worst-weather": worst_weather,
    "nth-operation": nth_operation.prove,
    "power-loss": power_loss.prove,
    "schedules": schedules.prove,
    "life": lives.prove,
    "soak": soak.prove,
    "pacing": pace.prove,
    "journal": journal_cost.prove,
    "thirty-nights": thirty_nights.prove,
    "killed-nights": killed_nights.prove,
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
The page is written by that command and never by hand.
In messages, `FOLDER` and `RUN` stand for the folder and the name of a run.
"""
# What is another one with every run, so that two pages can be compared.
CHANGING: Final = (
    (re.compile(rf"{re.escape(tempfile.gettempdir())}/[^\s/:,;)]+"), "FOLDER"),
    (re.compile(r"\b[0-9]{8}-[0-9]{6}-[0-9a-f]{4}\b"), "RUN"),
)


def section(name: str, chapter: Chapter) -> str:
    """Return a chapter as Markdown."""
    lines = [
        f"## {chapter.title}",
        "",
        f"`python tests/prove.py {name}`",
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


def main() -> int:
    parser = argparse.ArgumentParser(description="Run the long proofs.")
    parser.add_argument("machines", nargs="*", metavar="MACHINE", help=str([*MACHINES]))
    parser.add_argument("--n", type=int, help="cases of each machine")
    parser.add_argument("--write", action="store_true", help="write docs/proof.md")
    told = parser.parse_args()
    unknown = set(told.machines) - set(MACHINES)
    if unknown:
        parser.error(f"no such machine: {', '.join(sorted(unknown))}")
    sections: list[str] = []
    is_met = True
    for name in told.machines or MACHINES:
        began_s = time.monotonic()
        chapter = MACHINES[name](told.n)
        is_met &= chapter.is_met
        sections.append(section(name, chapter))
        sys.stdout.write(f"{sections[-1]}\n({time.monotonic() - began_s:.0f} s)\n\n")
        sys.stdout.flush()
    if told.write:
        left_out = [
            name for name in MACHINES if name not in (told.machines or MACHINES)
        ]
        words = f"Not run for this page: {', '.join(left_out)}.\n" if left_out else ""
        page = "\n".join(filter(None, [HEAD, words, *sections]))
        PAGE.write_text(page, encoding="utf-8")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
