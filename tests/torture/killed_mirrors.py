"""
Nights of a mirror, the real process killed while it deletes, and their ends.

A mirror may delete whom this tool made and who has no row any more, and nobody else:
not whom it found there, not whom it never knew, and nobody who has a row. Whatever
comes after the kill, a resumption or another night, exactly those are there in the end.
"""

import random
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.sandbox.weather import Weather
from torture.killed_nights import struck
from torture.process import Place, place
from torture.proof import Chapter, Figure

N_NIGHTS: Final = 12
N_PEOPLE: Final = 60
N_LEAVING: Final = 20
# Of those in the list, so many were in the CRM before it; as many are in no list.
N_BEFORE: Final = 10
SLOW: Final = Weather(slow=1.0, slow_s=0.03)
PACE: Final = ("--max-rows", "10", "--concurrency", "2")
EXPORT: Final = ("crm.jsonl", "--detail", "full", "--overwrite")
NIGHT: Final = ("-c", "job.yaml", "--crm", "crm.jsonl", *PACE)
BUDGET: Final = ("--max-deletes", str(N_LEAVING))
OK: Final = 0
JOB: Final = (
    "version: 1\nname: people\nsource: {path: people.csv}\n"
    "sync: {mode: mirror, guards: {max_changed: 1, least_rows: 0.1}}\n"
)


@dataclass(frozen=True)
class Night:
    """
    What a killed night came to.

    Attributes:
        n_before_kill: Profiles that it had begun to delete.
        missing: Who should be there, and is not.
        left: Who should be gone, and is not.
        n_after: What one more night would send or delete; -1 where it fails.
    """

    n_before_kill: int
    was_killed: bool
    missing: frozenset[str]
    left: frozenset[str]
    n_after: int


def _n_deletes(here: Place) -> int:
    requests = here.sandbox.sandbox.store.requests()
    return sum(record.name.startswith("delete") for record in requests)


def _write(here: Place, name: str, people: Iterable[str]) -> None:
    lines = [f"{person},{person}@example.com" for person in people]
    here.folder.joinpath(name).write_text("\n".join(["customId,email", *lines, ""]))


def _night(here: Place, dice: random.Random) -> bool:
    """Export, and mirror by it; what was cut off may be resumed first."""
    if dice.random() < 1 / 2 and here.run("resume", *PACE[2:]).code != OK:
        return False
    codes = {here.run("export", *EXPORT).code, here.run("sync", *NIGHT, *BUDGET).code}
    return codes == {OK}


def killed_night(
    here: Place, wanted: set[str], strangers: set[str], dice: random.Random
) -> Night:
    """Kill one night among its deletions, end it, and look."""
    _write(here, "people.csv", sorted(wanted))
    here.run("export", *EXPORT)
    n_before, n_wanted = _n_deletes(here), dice.randrange(1, N_LEAVING)
    was_killed = struck(
        here,
        ("sync", *NIGHT, *BUDGET),
        lambda at: _n_deletes(at) - n_before >= n_wanted,
        dice.choice((0.0, 0.01, 0.05)),
    )
    n_before_kill = _n_deletes(here) - n_before
    is_ended = _night(here, dice)
    there = set(here.crm())
    here.run("export", *EXPORT)
    after = here.run("sync", *NIGHT)
    is_still = is_ended and after.code == OK
    told = after.summary if is_still else {}
    n_after = told["rows"]["accepted"] + told["plan"]["deletes"] if is_still else -1
    everybody = wanted | strangers
    return Night(
        n_before_kill,
        was_killed,
        frozenset(everybody - there),
        frozenset(there - everybody),
        n_after,
    )


def nights(n_nights: int, seed: int) -> list[Night]:
    """Mirror a list of which people leave every day, and kill each night once."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    found_there = {f"B{n}" for n in range(N_BEFORE)}
    strangers = {f"S{n}" for n in range(N_BEFORE)}
    wanted = found_there | {f"C{n}" for n in range(N_PEOPLE)}
    n_made = N_PEOPLE
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        place(Path(folder), SLOW, settle_s=0.0) as here,
    ):
        here.folder.joinpath("job.yaml").write_text(JOB)
        _write(here, "people.csv", sorted(found_there | strangers))
        here.run("import")
        _write(here, "people.csv", sorted(wanted))
        here.run("export", *EXPORT)
        here.run("sync", *NIGHT)
        for _ in range(n_nights):
            made = sorted(name for name in wanted if name.startswith("C"))
            wanted -= set(dice.sample(made, N_LEAVING))
            wanted |= {f"C{n}" for n in range(n_made, n_made + N_LEAVING)}
            n_made += N_LEAVING
            if dice.random() < 1 / 2:  # whom the tool found there stays, row or not
                wanted -= {dice.choice(sorted(found_there))}
            found.append(killed_night(here, wanted, strangers | found_there, dice))
    return found


def prove(n: int | None) -> Chapter:
    """Kill nights of a mirror, and tell who is there."""
    n_nights = n or N_NIGHTS
    found = nights(n_nights, seed=13)
    n_killed = sum(night.was_killed for night in found)
    n_missing = sum(len(night.missing) for night in found)
    n_left = sum(len(night.left) for night in found)
    n_again = sum(night.n_after != 0 for night in found)
    begun = ", ".join(str(night.n_before_kill) for night in found)
    return Chapter(
        "Mirrors that are killed",
        f"The real `sync` of a mirror, {N_LEAVING} of {N_PEOPLE + N_BEFORE} people "
        "gone every night and as many new, killed after the first to the last but one "
        f"of its deletions ({begun} of them had begun). A resumption or another night "
        "follows. Whoever was in the CRM before the tool came, in the list or not, "
        "stays. A deletion of somebody else would show as one missing, a forgotten "
        "one as one left.",
        (
            Figure("nights killed", str(n_killed), str(n_nights), n_killed == n_nights),
            Figure("profiles missing", str(n_missing), "0", n_missing == 0),
            Figure("profiles left", str(n_left), "0", n_left == 0),
            Figure("nights after with work to do", str(n_again), "0", n_again == 0),
        ),
    )
