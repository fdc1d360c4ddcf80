"""
`python tests/torture/schedules.py SEED...`: imports with kills under drawn weather.

Each seed draws a job, a service that keeps the truth, its weather, and the lives of
the process until the job is finished. The same seed gives the same events.
"""

import asyncio
import hashlib
import logging
import multiprocessing
import sys
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.virtual_time import run_virtually
from pipeline.chunker import BatchLimits
from pipeline.records import FOLDED_LANE, MAIN_LANE
from torture.proof import Chapter, Figure
from torture.service_model import (
    MANNERS,
    OUTAGES,
    SERVER_ERRORS,
    Phase,
    Tastes,
    Weather,
)
from torture.town import Figures, Life, Person, Town

N_SCHEDULES: Final = 2000
N_REPEATED: Final = 100
N_WORKERS: Final = 2
STORM_S: Final = 3600.0
LAST_LIVES: Final = 8


@dataclass(frozen=True)
class Schedule:
    """What a seed draws."""

    seed: int
    people: tuple[Person, ...]
    tastes: Tastes
    weather: Weather
    lives: tuple[Life, ...]


@dataclass(frozen=True)
class Result:
    """What came of one schedule; `digest` is of the log of all events."""

    seed: int
    wrong: tuple[str, ...]
    figures: Figures
    n_rows: int
    n_refused: int
    n_quarantined: int
    seconds: float
    digest: str
    ends: tuple[str, ...]
    log: tuple[str, ...] = ()


def draw(seed: int) -> Schedule:
    """Draw a schedule."""
    dice = Random(f"schedule {seed}")  # noqa: S311 - repeatable
    people = _people(dice)
    tastes = _tastes(dice, people)
    return Schedule(seed, people, tastes, _weather(dice), _lives(dice))


def _people(dice: Random) -> tuple[Person, ...]:
    n_rows = dice.choice((1, 2, 5, 20, 20, 40, 80, 160))
    row_nos = sorted(dice.sample(range(1, 3 * n_rows + 1), n_rows))
    people = []
    for row_no in row_nos:
        row = (dice.randint(0, 1), row_no)
        lane = MAIN_LANE if dice.random() < 0.9 else FOLDED_LANE
        city = dice.choice(("", "Łódź", "𝄞", "x" * 40)) + f"{dice.randint(0, 9)}"
        text = f'{{"customId":"{row[0]}-{row_no}","city":"{city}","n":{row_no}}}'
        people.append(Person(lane, row, text))
    return tuple(people)


def _tastes(dice: Random, people: tuple[Person, ...]) -> Tastes:
    rows = [one.row for one in people]
    refused = frozenset(dice.sample(rows, min(len(rows), dice.choice((0, 0, 1, 2, 4)))))
    poison = frozenset(dice.sample(rows, min(len(rows), dice.choice((0, 0, 0, 1, 2)))))
    longest = max(len(one.text.encode()) for one in people) + 2
    max_bytes = dice.choice((1_000_000, 1_000_000, 400, 200, longest - 1))
    return Tastes(
        poison,
        dice.choice(SERVER_ERRORS),
        refused,
        dice.choice(MANNERS),
        max(70, max_bytes),
    )


def _weather(dice: Random) -> Weather:
    phases = []
    for _ in range(dice.choice((0, 1, 1, 2, 3, 4))):
        from_s = dice.choice((0.0, 3.0, 30.0, STORM_S / 2)) * dice.random()
        seconds = dice.choice((1.0, 10.0, 60.0, 600.0, 1200.0)) * dice.random()
        share = dice.choice((0.1, 0.2, 1.0, 1.0))
        phases.append(Phase(from_s, from_s + seconds, dice.choice(OUTAGES), share))
    return Weather(
        tuple(phases),
        errors=dice.choice((0.0, 0.0, 0.02, 0.1, 0.2)),
        breaches=dice.choice((0.0, 0.0, 0.0, 0.01)),
        late_s=dice.choice((10.0, 600.0, 7200.0)),
        latency_s=dice.choice((0.02, 0.1, 0.3, 1.0, 5.0)),
        token_s=dice.choice((2.0, 60.0, 600.0, 3600.0)),
        hidden_limit=dice.choice((None, None, None, 10.0, 2.0)),
    )


def _lives(dice: Random) -> tuple[Life, ...]:
    first = _life(dice)
    lives = [first]
    for _ in range(dice.choice((0, 0, 1, 1, 2, 3, 5, 8))):
        life = _life(dice)
        end = dice.choice(("kill", "kill", "kill", "after", "stop", "stop", "cancel"))
        if end == "kill":
            life = replace(life, kill_at=dice.randint(1, dice.choice((4, 12, 40, 150))))
        elif end == "after":
            life = replace(life, kill_s=dice.choice((0.1, 1, 10, 300)) * dice.random())
        elif end == "cancel":
            life = replace(life, cancel_s=dice.choice((0.1, 1, 10, 99)) * dice.random())
        else:
            hurry_s = dice.choice((None, 0.0, 0.5, 15.0))
            stop_s = dice.choice((0.1, 1, 10, 300)) * dice.random()
            life = replace(life, stop_s=stop_s, hurry_s=hurry_s)
        lives.insert(0, life)
    return tuple(lives)


def _life(dice: Random) -> Life:
    return Life(
        limits=BatchLimits(
            dice.choice((1, 2, 3, 5, 8, 12)), dice.choice((120, 300, 2000))
        ),
        concurrency=dice.choice((None, None, 1, 2, 3, 4, 8)),
        rate=dice.choice((None, None, None, 3.0, 20.0)),
        max_wait_s=dice.choice((900.0, 900.0, 60.0)),
        pause_s=dice.choice((0.0, 0.0, 1.0, 60.0, 900.0)) * dice.random(),
        flush_s=dice.choice((0.001, 0.004, 0.004, 0.03, 0.2)),
        replan=dice.random() < 0.1,
    )


@contextmanager
def silence() -> Iterator[None]:
    """Write no log; what a run says of bad weather is not looked at here."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)


def play(schedule: Schedule, *, keep_log: bool = False) -> Result:
    """Live a schedule through in virtual time."""
    memory = Path("/dev/shm")  # noqa: S108 - quicker, where there is one
    place = memory if memory.is_dir() else None
    with tempfile.TemporaryDirectory(dir=place) as folder, silence():
        return run_virtually(_play(schedule, Path(folder), keep_log=keep_log))


async def _play(schedule: Schedule, folder: Path, *, keep_log: bool) -> Result:
    loop = asyncio.get_running_loop()
    town = Town(
        list(schedule.people),
        schedule.tastes,
        schedule.weather,
        folder=folder,
        seed=str(schedule.seed),
    )
    loop.set_exception_handler(lambda _, told: town.claim(f"unseen: {told}"))
    ends = []
    # Whoever sits it out has the patience that is usual, and plans anew no more.
    calm = replace(
        schedule.lives[-1], pause_s=2 * STORM_S, replan=False, max_wait_s=900.0
    )
    for n, life in enumerate((*schedule.lives, *[calm] * LAST_LIVES), 1):
        ends.append(await town.live(life))
        if ends[-1] == "done" or (n > len(schedule.lives) and town.cannot_be_proven):
            break
    else:
        town.claim(f"not finished after {len(ends)} lives: {ends}")
    await town.check_end(is_done=ends[-1] == "done")
    codes = list(town.ledger.codes.values())
    return Result(
        schedule.seed,
        tuple(town.wrong),
        town.figures,
        n_rows=len(schedule.people),
        n_refused=len(codes),
        n_quarantined=codes.count("QUARANTINED"),
        seconds=loop.time(),
        digest=hashlib.sha256("\n".join(town.log).encode()).hexdigest(),
        ends=tuple(ends),
        log=tuple(town.log) if keep_log else (),
    )


def played(seed: int) -> Result:
    """Draw a schedule and play it; for a process of its own."""
    return play(draw(seed))


def results(seeds: Iterable[int]) -> list[Result]:
    """Play many schedules, two at a time."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(N_WORKERS, mp_context=context) as pool:
        return list(pool.map(played, seeds, chunksize=4))


def prove(n: int | None) -> Chapter:
    n_schedules = N_SCHEDULES if n is None else n
    n_repeated = min(N_REPEATED, n_schedules)
    found = results([*range(1, n_schedules + 1), *range(1, n_repeated + 1)])
    first, again = found[:n_schedules], found[n_schedules:]
    wrong = [result for result in first if result.wrong]
    told = "; ".join(f"seed {one.seed}: {one.wrong[0]}" for one in wrong[:3])
    n_same = sum(
        one.digest == other.digest for one, other in zip(first, again, strict=False)
    )
    n_kills = sum(result.figures.n_kills for result in first)
    most_over = max(result.figures.most_over for result in first)
    hours = sum(result.seconds for result in first) / 3600
    n_rows = sum(result.n_rows for result in first)
    n_commits = sum(result.figures.n_commits for result in first)
    return Chapter(
        "Seeded schedules in virtual time",
        f"{n_schedules:,} imports of {n_rows:,} rows in all, {hours:,.0f} virtual "
        f"hours: drawn jobs, weather and ends of the process ({n_kills:,} kills at any "
        "instant, stops, cancellations), against a service that keeps the truth, with "
        "lost answers and copies that are applied late. Delivery, journal, pacing and "
        "resumption are the product's; the service and the time are modelled. After "
        f"each of {n_commits:,} commits: no accepted row goes back or was not "
        "answered so, no row is rejected that nobody refused. At the end: nothing is "
        "lost, no older value stands over a newer one, what is in quarantine is "
        "proven. `python tests/torture/schedules.py SEED` plays one of them again.",
        (
            Figure("schedules", f"{n_schedules:,}", "2,000", n_schedules >= N_SCHEDULES)
            if n is None
            else Figure("schedules", f"{n_schedules:,}", "any", is_met=True),
            Figure(
                "schedules with anything wrong",
                f"{len(wrong)}{f' ({told})' if told else ''}",
                "0",
                not wrong,
            ),
            Figure(
                "requests out, without a written verdict, beyond the places in flight",
                f"{max(most_over, 0)}",
                "0",
                most_over <= 0,
            ),
            Figure(
                "same seed, same events",
                f"{n_same} of {n_repeated}",
                "all",
                n_same == n_repeated,
            ),
        ),
    )


def main() -> None:
    """Play the given seeds and say what was wrong."""
    for seed in map(int, sys.argv[1:]):
        result = play(draw(seed), keep_log=True)
        told = [*result.log, str(result.ends), str(result.figures)]
        told += result.wrong or ("nothing is wrong",)
        sys.stdout.write("\n".join(told) + "\n")


if __name__ == "__main__":
    main()
