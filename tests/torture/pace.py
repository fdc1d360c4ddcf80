"""How the pace finds itself: the scenarios of `benchmarks/pacing.py`, with bounds."""

from typing import Final

from benchmarks.pacing import SCENARIOS, SEEDS, table
from torture.proof import Chapter, Figure

SLOW_NAME: Final = "B: 10 a second, 429 with Retry-After"
OUTAGE_NAME: Final = "D: 60 s of 503"


def _share(cell: str) -> float:
    return float(cell.strip().rstrip("%")) / 100


def prove(n: int | None) -> Chapter:
    names = (SLOW_NAME, OUTAGE_NAME)
    scenarios = [one for one in SCENARIOS if n is None or one.name in names]
    lines = table(scenarios, SEEDS if n is None else SEEDS[:1])
    rows = [tuple(cell.strip() for cell in line.split("|")[1:-1]) for line in lines]
    head, by_name = rows[0], {row[0]: row for row in rows[2:]}
    slow, outage = by_name[SLOW_NAME], by_name[OUTAGE_NAME]
    return Chapter(
        "The pace",
        "Two thousand batches (where no number is told) against a model of a service, "
        f"{'five seeds' if n is None else 'one seed'} each; the means. Everything "
        "between the feed and the wire is the product's own code, the time is virtual.",
        (
            Figure(
                "wasted requests under a hidden limit of 10 a second",
                slow[4],
                "≤ 3 %",
                _share(slow[4]) <= 0.03,
            ),
            Figure("of that limit, used", slow[2], "≥ 75 %", _share(slow[2]) >= 0.75),
            Figure(
                "wasted requests over an outage of 60 s",
                outage[4],
                "≤ 3 %",
                _share(outage[4]) <= 0.03,
            ),
        ),
        (head, *rows[2:]),
    )
