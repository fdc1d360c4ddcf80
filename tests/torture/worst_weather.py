"""
The worst weather there is, ten kills, and in the end the CRM of a calm day.

The preset `worst` holds only what passes with time: no row is refused by chance, and
nothing that was accepted is forgotten. So the equality is over all rows.
"""

import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from pipeline.sandbox.records import TruthKind
from pipeline.sandbox.weather import PRESETS
from torture.kills import N_READ, N_SENT, PARTIAL, calm_run, source_text
from torture.process import Blow, Crm, Ended, Place, place
from torture.proof import Chapter, Figure

N_RUNS: Final = 6
N_KILLS: Final = 10
N_WORKERS: Final = 6
BATCH_ROWS: Final = 3
MOST_CONCURRENCY: Final = 8
# Ends that leave rows pending: the weather outlasted the patience of the run, or two
# tokens in a row were declared expired.
GAVE_UP: Final = (75, 77)
MOST_PROCESSES: Final = 60
ARGUMENTS: Final = ("--max-rows", str(BATCH_ROWS))


@dataclass(frozen=True)
class Storm:
    """What one import came to; `n_differ` profiles are not those of a calm day."""

    n_kills: int
    n_processes: int
    n_gave_up: int
    n_differ: int
    rows: dict[str, int]
    statuses: Counter[int]
    n_again: int
    seconds: float


def storm(folder: Path, seed: int, expected: Crm) -> Storm:
    """Kill an import ten times in the worst weather; then let it end."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    began_s = time.monotonic()
    weather = replace(PRESETS["worst"], seed=seed)
    pace = ("--concurrency", dice.randint(1, MOST_CONCURRENCY))
    n_kills = n_processes = n_gave_up = 0
    with place(folder, weather, ARGUMENTS, settle_s=0.3) as here:
        (folder / "people.csv").write_text(source_text())
        while n_processes < MOST_PROCESSES:
            word = dice.choice(("resume", "import")) if n_processes else "import"
            n_processes += 1
            if n_kills < N_KILLS:
                blow = _blow(dice, here, N_KILLS - n_kills)
                ended, _ = here.struck(blow, word, *pace)
                n_kills += ended.code < 0
            else:
                ended = here.run(word, *pace)
            n_gave_up += ended.code in GAVE_UP
            if _is_end(ended):
                break
        crm = here.crm()
        keys = expected.keys() | crm.keys()
        requests = here.sandbox.sandbox.store.requests()
        taken = [
            e.digest
            for e in here.truth()
            if (e.name, e.kind) == ("batch", TruthKind.QUEUED)
        ]
        return Storm(
            n_kills,
            n_processes,
            n_gave_up,
            sum(expected.get(key) != crm.get(key) for key in keys),
            ended.summary["rows"],
            Counter(r.status if r.answered else 0 for r in requests),
            len(taken) - len(set(taken)),
            time.monotonic() - began_s,
        )


def _blow(dice: random.Random, here: Place, n_left: int) -> Blow:
    """Leave enough for the blows that follow."""
    n_batches = N_SENT // BATCH_ROWS - len(here.crm()) // BATCH_ROWS
    n_most = max(1, n_batches // n_left)
    return Blow((signal.SIGKILL,), dice.randint(1, n_most), dice.uniform(0.0, 0.3))


def _is_end(ended: Ended) -> bool:
    """Return whether the run has ended; a fault of the tool is raised."""
    if ended.code in (-signal.SIGKILL, *GAVE_UP):
        return False
    if ended.code == 0 and ended.summary["run_id"] is None:
        return False  # a resumption, and no run had begun
    if ended.code != PARTIAL:
        raise AssertionError(f"it ended with {ended.code}: {ended.said}")
    return True


def worst_weather(n: int | None = None) -> Chapter:
    """Bring *n* imports through the worst weather and ten kills each."""
    n_runs = N_RUNS if n is None else n
    drawn = random.SystemRandom().randrange(10**6)
    sys.stderr.write(f"worst-weather: seeds 1 and {drawn}, and those that follow\n")
    folder = Path(tempfile.mkdtemp(prefix="worst-weather-"))
    expected = calm_run(folder / "calm", "calm").crm
    seeds = [(drawn if no % 2 else 1) + no // 2 for no in range(n_runs)]
    with ThreadPoolExecutor(N_WORKERS) as pool:
        found = list(
            pool.map(lambda seed: storm(folder / f"{seed}", seed, expected), seeds)
        )
    shutil.rmtree(folder)
    return told(found, drawn)


def told(found: list[Storm], drawn: int) -> Chapter:
    """Make figures of what was seen."""

    def total(of: Callable[[Storm], int]) -> int:
        return sum(map(of, found))

    n_runs = len(found)
    statuses: Counter[int] = sum((storm.statuses for storm in found), Counter())
    n_good = sum(n for status, n in statuses.items() if 200 <= status < 300)
    n_bad = statuses.total() - n_good
    seconds = max(storm.seconds for storm in found)
    return Chapter(
        "The worst weather, and ten kills",
        f"An import of {N_READ} rows in batches of {BATCH_ROWS} against a sandbox on a "
        f"socket with `--weather worst`, killed {N_KILLS} times while it sends and "
        "brought to its end by `resume` and `import`, drawn. Then every profile is "
        "compared, field by field, with those of one undisturbed run in calm weather. "
        "The weather refuses no row by chance, so nothing is left out of the "
        f"comparison. Of {statuses.total():,} requests {n_bad:,} were answered with "
        f"an error or not at all; {total(lambda s: s.n_again):,} batches were taken "
        f"twice; {total(lambda s: s.n_processes)} processes, of which "
        f"{total(lambda s: s.n_gave_up)} gave up with rows pending; the longest import "
        f"{seconds:.0f} s, seeds 1 and {drawn} and those that follow.",
        (
            _figure("imports", n_runs, n_runs),
            _figure("kill -9", total(lambda s: s.n_kills), N_KILLS * n_runs),
            _figure("profiles that differ", total(lambda s: s.n_differ), 0),
            _figure(
                "rows accepted in the end",
                total(lambda s: s.rows["accepted"]),
                N_SENT * n_runs,
            ),
            _figure(
                "rows rejected or pending in the end",
                total(lambda s: s.rows["rejected"] + s.rows["pending"]),
                0,
            ),
        ),
    )


def _figure(name: str, n: int, wanted: int) -> Figure:
    return Figure(name, f"{n:,}", f"{wanted:,}", n == wanted)
