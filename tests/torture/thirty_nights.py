"""
A month of nights in virtual time: cron at half past two in Warsaw, and at five again.

The service is down for minutes or for an hour, answers badly now and then, and its
tokens live ten minutes. One night has the hour from two to three twice, so cron runs
twice. Every morning the CRM has to equal the source.
"""

import csv
import random
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import anyio
import httpx

from pipeline import Connector, ImportRequest, Job, PlanRequest, run_sync
from pipeline.errors import PipelineError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.weather import Weather
from sandbox_driver import WALL_S, FakeTime, Wire, served
from torture.guarded_nights import Row, person
from torture.proof import Chapter, Figure

N_NIGHTS: Final = 30
N_PEOPLE: Final = 600
ZONE: Final = ZoneInfo("Europe/Warsaw")
FIRST_DAY: Final = date(2027, 10, 10)  # the clock goes back on the 31st
AT: Final = time(2, 30)
AGAIN_AT: Final = time(5, 0)
OUTAGES_S: Final = (0.0, 0.0, 240.0, 3_600.0)
TOKEN_S: Final = 600.0
SEEN: Final = "attributes.seen"
KEY: Final = "0123456789abcdef" * 4
WEATHER: Final = Weather(
    seed=3, unavailable=0.05, throttle=0.05, torn_after=0.05, torn_before=0.05
)


@dataclass
class Gate:
    """When the service is down, by the virtual clock."""

    time: FakeTime
    until_s: float = 0.0

    @property
    def is_shut(self) -> bool:
        return self.time.now_s < self.until_s


class Guarded(Wire):
    """A sandbox that is not there while the gate is shut."""

    def __init__(self, sandbox: Sandbox, gate: Gate) -> None:
        super().__init__(sandbox)
        self._gate = gate

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._gate.is_shut:
            raise httpx.ConnectError("")
        return await super().handle_async_request(request)


@dataclass
class Month:
    """A job, its source, and the CRM that it is for."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    gate: Gate
    dice: random.Random
    rows: dict[str, Row] = field(default_factory=dict)
    n_sent: int = 0
    n_failed: int = 0

    def change(self, day: date) -> None:
        """Let a day pass: some leave, some come, and some change."""
        for name in self.dice.sample(sorted(self.rows), len(self.rows) // 50):
            del self.rows[name]
        for name in self.dice.sample(sorted(self.rows), len(self.rows) // 10):
            changed = person(0, self.dice)
            kept = {key: changed[key] for key in ("firstName", "zipCode")}
            seen = datetime.combine(day, time(12, 0)).isoformat()
            self.rows[name] |= kept | {SEEN: seen}
        for _ in range(N_PEOPLE // 50):
            self.join(day)

    def join(self, day: date) -> None:
        row = person(self.dice.randrange(10**5), self.dice)
        seen = datetime.combine(day, time(12, 0)).isoformat()
        row |= {SEEN: seen, "city": row["city"] or "Opole"}
        self.rows.setdefault(row["customId"], row)

    def job(self) -> Job:
        path = self.folder / "people.csv"
        rows = list(self.rows.values())
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        fields = {name: name for name in rows[0] if "." not in name}
        told = {
            "name": "people",
            "source": {"path": str(path)},
            "workspace": {"timezone": str(ZONE)},
            "mapping": {
                **fields,
                "agreements": {"email": "agreements.email"},
                "attributes": {
                    "tier": "attributes.tier",
                    "points": {"column": "attributes.points", "type": "integer"},
                    "seen": {"column": SEEN, "type": "datetime"},
                },
            },
            "delivery": {"max_rows": 50},
            "sync": {"fields": self.dice.choice(("all", "changed"))},
        }
        return Job.model_validate(told)

    async def night(self, at_s: float) -> bool:
        """Run cron's command at an instant; say whether all of it went well."""
        clock = self.gate.time
        clock.now_s = max(clock.now_s, at_s - WALL_S)
        line = ImportRequest(self.job(), self.folder / "work")
        request = PlanRequest(line, KEY, now=clock.wall)
        try:
            report = await run_sync(request, self.connector)
        except PipelineError:
            self.n_failed += 1
            return False
        if report.applied is not None:
            self.n_sent += report.applied.delivery.rows_accepted
        is_fine = report.applied is not None and report.applied.error is None
        self.n_failed += not is_fine
        return is_fine

    def n_wrong(self) -> int:
        """Return the rows of the source that the CRM does not hold as they are."""
        self.sandbox.settle()
        held = {p["customId"]: p for p in self.sandbox.profiles() if p["customId"]}
        return sum(not _is_held(row, held.get(n)) for n, row in self.rows.items())


def _is_held(row: Row, profile: dict[str, Any] | None) -> bool:
    if profile is None:
        return False
    attributes = profile["attributes"]
    seen = datetime.fromisoformat(row[SEEN]).replace(tzinfo=ZONE)
    return (
        all(profile[name] == value for name, value in row.items() if "." not in name)
        and profile["agreements"]["email"] is (row["agreements.email"] == "yes")
        and attributes["tier"] == row["attributes.tier"]
        and attributes["points"] == int(row["attributes.points"])
        and datetime.fromisoformat(attributes["seen"]) == seen
    )


def instants(day: date) -> Iterator[float]:
    """Give the moments of half past two: two where the clock goes back."""
    found = {
        datetime.combine(day, AT, ZONE).replace(fold=n).timestamp() for n in (0, 1)
    }
    yield from sorted(found)


async def month(n_nights: int, seed: int) -> tuple[list[int], Month, int]:
    """Live so many nights; return rows that were wrong each morning, and runs."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    options = SandboxOptions(weather=WEATHER, settle_s=0.0, token_lifetime_s=TOKEN_S)
    wrong, n_runs = [], 0
    with (
        tempfile.TemporaryDirectory() as name,
        served(options) as (sandbox, connector, fake),
    ):
        gate = Gate(fake)
        way = replace(connector, transport=Guarded(sandbox, gate))
        here = Month(Path(name), sandbox, way, gate, dice)
        while len(here.rows) < N_PEOPLE:
            here.join(FIRST_DAY)
        # Few nights are those around the change of the clock.
        skipped = 0 if n_nights >= N_NIGHTS else 21 - n_nights // 2
        for n in range(n_nights):
            day = FIRST_DAY + timedelta(days=skipped + n)
            here.change(day)
            is_fine = True
            for at_s in instants(day):
                gate.until_s = at_s - WALL_S + dice.choice(OUTAGES_S)
                is_fine = await here.night(at_s)
                n_runs += 1
            if not is_fine:
                gate.until_s = 0.0
                await here.night(datetime.combine(day, AGAIN_AT, ZONE).timestamp())
                n_runs += 1
            wrong.append(here.n_wrong())
    return wrong, here, n_runs


def prove(n: int | None) -> Chapter:
    """Live a month, and look every morning."""
    n_nights = n or N_NIGHTS
    wrong, here, n_runs = anyio.run(month, n_nights, 5)
    n_bad = sum(n > 0 for n in wrong)
    most = n_runs * N_PEOPLE
    return Chapter(
        "A month of nights",
        "Virtual time: outages of minutes and of an hour, bad answers, tokens that "
        "live ten minutes, and the night in which the clock goes back. What a lost "
        "answer or a failed night left unsent would show in the morning.",
        (
            Figure("nights", str(len(wrong)), str(n_nights), len(wrong) == n_nights),
            Figure(
                "runs, and those that failed",
                f"{n_runs}, {here.n_failed}",
                "more runs than nights",
                n_runs > n_nights,
            ),
            Figure("mornings on which the CRM differs", str(n_bad), "0", n_bad == 0),
            Figure(
                "rows sent, of those that were read",
                f"{here.n_sent:,} of {most:,}",
                "less than half",
                here.n_sent < most // 2 or n_nights < N_NIGHTS,
            ),
        ),
    )
