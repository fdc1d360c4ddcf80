"""
The month of `thirty_nights` with a million people: what a real list is like.

The source is a CSV file of a million rows every night; the CRM is the sandbox, with its
profiles in a file of its own, and all of them are compared every morning.
"""

import sys
import time
from itertools import pairwise
from statistics import median
from typing import Final

import anyio

from pipeline.cli.memory import peak_rss_bytes
from torture.crowd import Size
from torture.proof import Chapter, Figure
from torture.thirty_nights import N_NIGHTS, Month, figures, lived

PEOPLE: Final = Size(1_000_000, changed=0.01, moved=0.002)
SHORT_PEOPLE: Final = Size(20_000, changed=0.01, moved=0.002)
MOST_PEAK_MB: Final = 6_000


def prove(n: int | None) -> Chapter:
    """Live a month of a million people, or *n* nights of 20,000."""
    n_nights = n or N_NIGHTS
    size = PEOPLE if n is None else SHORT_PEOPLE
    marks_s = [time.process_time()]

    def tell(month: Month) -> None:
        """Take the time, and show that it goes on."""
        marks_s.append(time.process_time())
        took_s = marks_s[-1] - marks_s[-2]
        night = len(month.mornings)
        sys.stderr.write(f"night {night}, {took_s:.0f} CPU s: {month.mornings[-1]}\n")

    month = anyio.run(lived, n_nights, size, 5, tell)
    first_s, *others_s = (after - before for before, after in pairwise(marks_s))
    peak_mb = peak_rss_bytes() / 1e6
    # A few people say nothing of it, and a test of them is one of many in its process.
    is_bound = n is None
    return Chapter(
        "A month of nights, a million people",
        f"The month above with {size.n_people:,} people: the first night sends all of "
        f"them; then every day {size.changed:.1%} change, {size.moved:.1%} leave and "
        f"{size.moved:.1%} come, half of them for the second time. Every morning all "
        "fields of all who were ever in the source are read from the sandbox's own "
        "file and compared with what they should be.",
        (
            *figures(month, n_nights),
            Figure(
                "CPU time of the first night, and of the middle of the others, CRM and "
                "comparison included",
                f"{first_s:.0f} s, {median(others_s or [first_s]):.0f} s",
                "",
                is_met=True,
            ),
            Figure(
                "most memory, the sandbox included",
                f"{peak_mb:,.0f} MB",
                f"less than {MOST_PEAK_MB:,} MB" if is_bound else "",
                not is_bound or peak_mb < MOST_PEAK_MB,
            ),
        ),
    )
