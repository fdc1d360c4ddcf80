"""
Drawn sources, bad and good, before the guards of a job that knows two usual nights.

Each bad source is spoilt in one way that sources are spoilt in, as far as drawn. It is
stopped when its plan is not applied by `sync`: because a guard trips, or because the
check, the mapping or the reader refuses it. Good sources change as much as a night may.
"""

import csv
import random
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final

import anyio

from pipeline import Connector, ImportRequest, Job, PlanRequest, make_plan, run_sync
from pipeline.errors import PipelineError
from pipeline.sandbox.server import SandboxOptions
from sandbox_driver import served
from torture.proof import Chapter, Figure

N_SOURCES: Final = 200
N_PEOPLE: Final = 400
LEAST_STOPPED: Final = 0.95
MOST_STOPPED: Final = 0.01
KEY: Final = "0123456789abcdef" * 4
CITIES: Final = ("Opole", "Lublin", "Gdynia", "Kraków", "Łódź")
TIERS: Final = ("gold", "silver", "none")

Row = dict[str, str]
Rows = list[Row]


def people(n: int, dice: random.Random) -> Rows:
    return [person(i, dice) for i in range(n)]


def person(i: int, dice: random.Random) -> Row:
    return {
        "customId": f"C{i:05}",
        "email": f"p{i}@example.com",
        "firstName": dice.choice(("Ewa", "Jan", "Żaneta", "Łukasz", "Anna")),
        "city": dice.choice(CITIES) if dice.random() < 0.9 else "",
        "zipCode": f"{dice.randint(10, 99)}-{dice.randint(100, 999)}",
        "birthDate": f"19{dice.randint(50, 99)}-{dice.randint(1, 12):02}-"
        f"{dice.randint(1, 28):02}",
        "agreements.email": dice.choice(("yes", "no")),
        "attributes.tier": dice.choice(TIERS),
        "attributes.points": str(dice.randint(0, 999)),
    }


# -- how sources are spoilt --------------------------------------------------------


def _some(rows: Rows, dice: random.Random) -> Rows:
    """Return a drawn part of the rows, two fifths at least."""
    return dice.sample(rows, round(len(rows) * dice.uniform(0.4, 1.0)))


def _each(change: Callable[[Row, random.Random], None]) -> Callable[..., Rows]:
    def spoil(rows: Rows, dice: random.Random) -> Rows:
        for row in _some(rows, dice):
            change(row, dice)
        return rows

    return spoil


def empty(_rows: Rows, _dice: random.Random) -> Rows:
    return []


def cut_off(rows: Rows, dice: random.Random) -> Rows:
    return rows[: round(len(rows) * dice.uniform(0.05, 0.85))]


def doubled(rows: Rows, dice: random.Random) -> Rows:
    return rows + [dict(row) for row in _some(rows, dice)]


def swapped(rows: Rows, dice: random.Random) -> Rows:
    one, other = dice.sample(("firstName", "city", "zipCode", "attributes.tier"), 2)
    for row in rows:
        row[one], row[other] = row[other], row[one]
    return rows


def shifted(rows: Rows, dice: random.Random) -> Rows:
    """A column that was joined one row off."""
    name = dice.choice(("firstName", "zipCode", "birthDate", "attributes.points"))
    values = [row[name] for row in rows]
    for row, value in zip(rows, values[1:] + values[:1], strict=True):
        row[name] = value
    return rows


def renamed(rows: Rows, dice: random.Random) -> Rows:
    name = dice.choice(("customId", "city", "attributes.tier"))
    return [{f"{k}_2" if k == name else k: v for k, v in row.items()} for row in rows]


def other_ids(rows: Rows, _dice: random.Random) -> Rows:
    for row in rows:
        row["customId"] = row["customId"].lstrip("C0") or "0"
        row["email"] = ""
    return rows


def constant(rows: Rows, dice: random.Random) -> Rows:
    name = dice.choice(("firstName", "zipCode", "birthDate"))
    value = rows[0][name]
    return [row | {name: value} for row in rows]


def blanked(rows: Rows, dice: random.Random) -> Rows:
    name = dice.choice(("city", "zipCode", "birthDate", "attributes.points"))
    for row in _some(rows, dice):
        row[name] = ""
    return rows


BAD: Final[dict[str, Callable[[Rows, random.Random], Rows]]] = {
    "empty": empty,
    "cut off": cut_off,
    "doubled": doubled,
    "two columns swapped": swapped,
    "a column one row off": shifted,
    "a column blank": blanked,
    "a column renamed": renamed,
    "other identifiers": other_ids,
    "one value everywhere": constant,
    "numbers as fractions": _each(
        lambda row, _: row.update(
            {"attributes.points": row["attributes.points"] + ".0"}
        )
    ),
    "wrong encoding": _each(
        lambda row, _: row.update(
            {"firstName": "Ã…" + row["firstName"], "city": "Å‚" + row["city"]}
        )
    ),
    "null as a word": _each(lambda row, _: row.update({"city": "NULL"})),
    "values nobody knows": _each(lambda row, _: row.update({"attributes.tier": "5"})),
    "addresses broken": _each(
        lambda row, _: row.update({"email": row["email"].replace("@", " at ")})
    ),
    "all consents given": _each(lambda row, _: row.update({"agreements.email": "yes"})),
    "dates turned": _each(
        lambda row, _: row.update({"birthDate": row["birthDate"][::-1]})
    ),
}


def good(rows: Rows, dice: random.Random) -> Rows:
    """A night: some leave, some come, some change, and a few cells are lost."""
    kept = dice.sample(rows, round(len(rows) * dice.uniform(0.95, 1.0)))
    for row in dice.sample(kept, round(len(kept) * dice.uniform(0, 0.18))):
        name = dice.choice(("firstName", "city", "zipCode", "attributes.points"))
        row[name] = person(0, dice)[name]
    for row in dice.sample(kept, round(len(kept) * dice.uniform(0, 0.03))):
        row[dice.choice(("city", "zipCode"))] = ""
    n_new = round(len(rows) * dice.uniform(0, 0.08))
    return kept + [person(10_000 + i, dice) for i in range(n_new)]


# -- the nights --------------------------------------------------------------------


def job_of(folder: Path, rows: Rows) -> Job:
    path = folder / "people.csv"
    names = list(rows[0]) if rows else list(person(0, random.Random(0)))  # noqa: S311
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)
    told = {
        "name": "people",
        "source": {"path": str(path)},
        "sync": {"guards": {"accepted_values": {"attributes.tier": TIERS}}},
    }
    return Job.model_validate(told)


async def is_stopped(folder: Path, rows: Rows, connector: Connector) -> bool:
    """Return whether a night would send nothing of this source."""
    line = ImportRequest(job_of(folder, rows), folder / "work")
    try:
        report = await make_plan(PlanRequest(line, KEY), connector)
    except PipelineError:
        return True
    return report.plan is None or bool(report.plan.trips)


async def judged(n_sources: int, seed: int) -> tuple[dict[str, list[bool]], list[bool]]:
    """Return for bad sources, by kind, and for good ones whether they were stopped."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    usual = people(N_PEOPLE, dice)
    bad: dict[str, list[bool]] = {kind: [] for kind in BAD}
    good_ones = []
    with (
        tempfile.TemporaryDirectory() as name,
        served(SandboxOptions(settle_s=0.0)) as (_, connector, _),
    ):
        folder = Path(name)
        for _ in range(2):
            line = ImportRequest(job_of(folder, usual), folder / "work")
            report = await run_sync(PlanRequest(line, KEY), connector)
            if report.error is not None:
                raise report.error
        for n in range(n_sources):
            kind = tuple(BAD)[n % len(BAD)]
            spoilt = BAD[kind]([dict(row) for row in usual], dice)
            bad[kind].append(await is_stopped(folder, spoilt, connector))
            night = good([dict(row) for row in usual], dice)
            good_ones.append(await is_stopped(folder, night, connector))
    return bad, good_ones


def prove(n: int | None) -> Chapter:
    """Draw sources, and count which the guards stop."""
    n_sources = n or N_SOURCES
    bad, good_ones = anyio.run(judged, n_sources, 7)
    stopped = Counter({kind: sum(found) for kind, found in bad.items()})
    n_bad, n_good = stopped.total(), sum(good_ones)
    table = [("spoilt by", "sources", "stopped")]
    table += [(kind, str(len(bad[kind])), str(stopped[kind])) for kind in bad]
    return Chapter(
        "Sources that are bad, and sources that are not",
        "Plans of drawn sources, against the state of two nights. A guard that is too "
        "wide lets bad ones pass; one that is too narrow stops nights as they are.",
        (
            Figure(
                "bad sources stopped before anything is sent",
                f"{n_bad} of {n_sources}",
                f"at least {LEAST_STOPPED:.0%}",
                n_bad >= LEAST_STOPPED * n_sources,
            ),
            Figure(
                "good sources stopped",
                f"{n_good} of {n_sources}",
                f"at most {MOST_STOPPED:.0%}",
                n_good <= MOST_STOPPED * n_sources,
            ),
        ),
        tuple(table),
    )
