"""
Nights of `sync`, the real process killed in each of their phases, and their ends.

A night is killed while it reads, when its plan is written, while the rows that went
first are read back, while it sends, and while what is proven becomes state. Whatever
comes next, a resumption or another night, the CRM equals the source, and one more night
has nothing to send.
"""

import random
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pipeline.sandbox.weather import Weather
from torture.process import LOOK_EVERY_S, PATIENCE_S, Place, place
from torture.proof import Chapter, Figure

# Half of them change, and more than a hundred rows have a canary.
N_PEOPLE: Final = 220
N_NIGHTS: Final = 25
PACE: Final = ("--max-rows", "10", "--concurrency", "2")
SLOW: Final = Weather(slow=1.0, slow_s=0.03)
NIGHT: Final = ("sync", "-c", "job.yaml", *PACE)
GOES_ON: Final = ("sync", "resume")
OK: Final = 0
# Every other person changes from night to night, which is not usual.
JOB: Final = (
    "version: 1\nname: people\nsource: {path: people.csv}\n"
    "sync: {guards: {max_changed: 1}}\n"
)

Source = dict[str, tuple[str, str]]


def _plans(here: Place) -> int:
    return len(list(here.work_dir.glob("runs/*/plan.json")))


def _generations(here: Place) -> frozenset[str]:
    return frozenset(path.name for path in here.work_dir.glob("state/*/g*"))


# Phase → what of a work folder, or of the service, is another one when it has begun.
PHASES: Final[dict[str, Callable[[Place], object]]] = {
    "reading": lambda here: (here.work_dir / "scratch").is_dir(),
    "planned": _plans,
    "canary": Place.n_reads,
    "sending": Place.n_canaries,
    "confirming": _generations,
}


@dataclass(frozen=True)
class Night:
    """What a killed night came to."""

    phase: str
    was_killed: bool
    is_equal: bool
    n_sent_after: int
    code: int


def killed_night(here: Place, source: Source, phase: str, dice: random.Random) -> Night:
    """Kill one night, end it, and look."""
    _write(here, source)
    delay_s = dice.choice((0.0, 0.01, 0.05))
    was_killed = struck(here, NIGHT, PHASES[phase], delay_s)
    code = _ended(here, dice.choice(GOES_ON))
    if code == OK:  # what was resumed may be older than the source
        code = _ended(here, "sync")
    here.sandbox.sandbox.settle()
    is_equal = _is_equal(here, source)
    after = here.run(*NIGHT)
    sent = after.summary["rows"]["accepted"] if after.code == OK else -1
    return Night(phase, was_killed, is_equal, sent, code)


def _write(here: Place, source: Source) -> None:
    lines = [f"{name},{first},{consent}" for name, (first, consent) in source.items()]
    text = "\n".join(["customId,firstName,agreements.email", *lines])
    (here.folder / "people.csv").write_text(f"{text}\n")
    (here.folder / "job.yaml").write_text(JOB)


def _ended(here: Place, word: str) -> int:
    words = NIGHT if word == "sync" else (word, *PACE[2:])
    return here.run(*words).code


def struck(
    here: Place,
    night: tuple[str, ...],
    mark: Callable[[Place], object],
    delay_s: float,
) -> bool:
    """Run a night and kill it once the mark is another one; say whether it was."""
    before = mark(here)
    process = here.start(*night)
    try:
        began_s = time.monotonic()
        while process.poll() is None and mark(here) == before:
            if time.monotonic() - began_s > PATIENCE_S:
                raise TimeoutError("the night does not come to this phase")
            time.sleep(LOOK_EVERY_S)
        time.sleep(delay_s)
    finally:
        process.kill()
        process.communicate()
    return process.returncode < 0


def _is_equal(here: Place, source: Source) -> bool:
    crm: dict[str, dict[str, Any]] = {
        profile["customId"]: profile for profile in here.sandbox.sandbox.profiles()
    }
    return all(
        crm[name]["firstName"] == first
        and crm[name]["agreements"]["email"] is (consent == "yes")
        for name, (first, consent) in source.items()
    )


def nights(n_nights: int, seed: int) -> list[Night]:
    """Kill so many nights of one job, each in another phase."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    source: Source = {f"C{n}": (f"Ewa {n}", "yes") for n in range(N_PEOPLE)}
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        place(Path(folder), SLOW, (), settle_s=0.0) as here,
    ):
        for n in range(n_nights):
            for name in dice.sample(sorted(source), N_PEOPLE // 2):
                source[name] = (f"Ewa {n}", dice.choice(("yes", "no")))
            phase = tuple(PHASES)[n % len(PHASES)]
            found.append(killed_night(here, source, phase, dice))
    return found


def prove(n: int | None) -> Chapter:
    """Kill nights, and tell what was left."""
    n_nights = n or N_NIGHTS
    found = nights(n_nights, seed=11)
    hit = {
        phase: sum(x.was_killed for x in found if x.phase == phase) for phase in PHASES
    }
    n_unequal = sum(not night.is_equal for night in found)
    n_again = sum(night.n_sent_after != 0 for night in found)
    n_odd = sum(night.code != OK for night in found)
    told = ", ".join(f"{phase} {n}" for phase, n in hit.items())
    return Chapter(
        "Nights that are killed",
        "The real `sync`, killed while it reads, plans, reads its canary back, sends "
        "and confirms; a resumption or another night follows. A state ahead of what "
        "is proven would leave a row unsent, and the CRM would not equal the source.",
        (
            Figure("nights", str(len(found)), str(n_nights), len(found) == n_nights),
            Figure("killed in", told, "each phase", all(hit.values())),
            Figure("mornings that differ", str(n_unequal), "0", n_unequal == 0),
            Figure("nights after with rows to send", str(n_again), "0", n_again == 0),
            Figure("other exit codes than 0", str(n_odd), "0", n_odd == 0),
        ),
    )
