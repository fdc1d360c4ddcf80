"""
A month of nights in virtual time: cron at half past two in Warsaw, and at five again.

The service is down for minutes or for an hour, answers badly or late now and then, and
its tokens live ten minutes, some of them less. One night has the hour from two to three
twice, so cron runs twice; before another one nothing has changed. Every morning the CRM
has to equal the source. `large_nights` lives the same month with a million people.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import anyio
import httpx

from pipeline import Connector, ImportRequest, Job, PlanRequest, run_sync
from pipeline.errors import PipelineError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.weather import Weather
from sandbox_driver import WALL_S, FakeTime, Wire, served
from torture.crowd import CONSENT, SEEN, Crowd, Size
from torture.held import Asked, Seen, asked, look, n_taken
from torture.proof import Chapter, Figure

N_NIGHTS: Final = 30
PEOPLE: Final = Size(600, changed=0.1, moved=0.02, max_rows=50)
ZONE: Final = ZoneInfo("Europe/Warsaw")
FIRST_DAY: Final = date(2027, 10, 10)
CLOCK_CHANGES: Final = date(2027, 10, 31)
STILL_DAY: Final = date(2027, 11, 1)  # nothing changes in the source
AT: Final = time(2, 30)
AGAIN_AT: Final = time(5, 0)
OUTAGES_S: Final = (0.0, 0.0, 240.0, 3_600.0)
TOKEN_S: Final = 600.0
KEY: Final = "0123456789abcdef" * 4
DATABASE: Final = "crm.sqlite"
WEATHER: Final = Weather(
    seed=3,
    unavailable=0.05,
    throttle=0.05,
    torn_after=0.05,
    torn_before=0.05,
    expire=0.01,
    slow=0.05,
    slow_s=20.0,
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
    """
    A job, its source, and the CRM that it is for.

    Attributes:
        mornings: What each of them showed.
        n_runs: Of cron's command; n_failed of them did not end well.
        n_read: Rows that these runs had before them.
        n_still: Rows that reached the CRM in the night before which nothing changed;
            None without such a night.
        asked: Requests so far.
    """

    folder: Path
    sandbox: Sandbox
    connector: Connector
    gate: Gate
    dice: random.Random
    size: Size
    crowd: Crowd
    mornings: list[Seen] = field(default_factory=list)
    n_runs: int = 0
    n_failed: int = 0
    n_read: int = 0
    n_sent: int = 0
    n_still: int | None = None
    asked: Asked = field(default_factory=Asked)

    @property
    def source(self) -> Path:
        return self.folder / "people.csv"

    @property
    def database(self) -> Path:
        return self.folder / DATABASE

    def job(self) -> Job:
        names = [name for name in self.crowd.rows.columns if "." not in name]
        told = {
            "name": "people",
            "source": {"path": str(self.source)},
            "workspace": {"timezone": str(ZONE)},
            "mapping": {
                **{name: name for name in names},
                "agreements": {"email": CONSENT},
                "attributes": {
                    "tier": "attributes.tier",
                    "points": {"column": "attributes.points", "type": "integer"},
                    "seen": {"column": SEEN, "type": "datetime"},
                },
            },
            "delivery": {"max_rows": self.size.max_rows} if self.size.max_rows else {},
            "sync": {"fields": self.dice.choice(("all", "changed"))},
        }
        return Job.model_validate(told)

    async def night(self, day: date) -> None:
        """Run cron's command at its time, and at five if that did not go well."""
        self.crowd.write(self.source)
        is_fine = True
        for at_s in instants(day):
            self.gate.until_s = at_s - WALL_S + self.dice.choice(OUTAGES_S)
            is_fine = await self.run(at_s)
        if not is_fine:
            self.gate.until_s = 0.0
            await self.run(datetime.combine(day, AGAIN_AT, ZONE).timestamp())

    async def run(self, at_s: float) -> bool:
        """Run cron's command at an instant; say whether all of it went well."""
        clock = self.gate.time
        clock.now_s = max(clock.now_s, at_s - WALL_S)
        self.n_runs += 1
        self.n_read += self.crowd.rows.height
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

    def look(self) -> Seen:
        """Compare everybody who was ever in the source with the whole CRM."""
        self.sandbox.settle()
        return look(self.database, self.crowd.everybody(), str(ZONE))


def instants(day: date) -> Iterator[float]:
    """Give the moments of half past two: two where the clock goes back."""
    found = {
        datetime.combine(day, AT, ZONE).replace(fold=n).timestamp() for n in (0, 1)
    }
    yield from sorted(found)


def days(n_nights: int) -> list[date]:
    """Return the days of so many nights; of few, those around the odd ones."""
    first = FIRST_DAY
    if n_nights < N_NIGHTS:
        first = CLOCK_CHANGES - timedelta(days=(n_nights - 1) // 2)
    return [first + timedelta(days=n) for n in range(n_nights)]


@contextmanager
def beginning(size: Size, seed: int, day: date) -> Iterator[Month]:
    """Give a month before its first night, and an empty CRM."""
    dice = random.Random(seed)  # noqa: S311 - repeatable
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = SandboxOptions(
            weather=WEATHER,
            database=str(folder / DATABASE),
            settle_s=0.0,
            token_lifetime_s=TOKEN_S,
        )
        with served(options) as (sandbox, connector, fake):
            gate = Gate(fake)
            way = replace(connector, transport=Guarded(sandbox, gate))
            crowd = Crowd(size, day, dice)
            yield Month(folder, sandbox, way, gate, dice, size, crowd)


async def lived(
    n_nights: int,
    size: Size,
    seed: int,
    on_morning: Callable[[Month], None] = lambda _month: None,
) -> Month:
    """Live so many nights, and look every morning."""
    first, *others = days(n_nights)
    with beginning(size, seed, first) as month:
        for day in (first, *others):
            is_still = day == STILL_DAY and day != first
            if day != first and not is_still:
                month.crowd.pass_day(day)
            n_before = n_taken(month.database)
            await month.night(day)
            if is_still:
                month.n_still = n_taken(month.database) - n_before
            month.mornings.append(month.look())
            month.asked = asked(month.database)
            on_morning(month)
    return month


def figures(month: Month, n_nights: int) -> tuple[Figure, ...]:
    """Return what a month has to show."""
    n_bad = sum(not seen.is_equal for seen in month.mornings)
    n_seen = sum(seen.n_people for seen in month.mornings)
    n_lived, n_still = len(month.mornings), month.n_still
    requests = month.asked
    return (
        Figure("nights", str(n_lived), str(n_nights), n_lived == n_nights),
        Figure(
            "runs, and those that failed",
            f"{month.n_runs}, {month.n_failed}",
            "more runs than nights",
            month.n_runs > n_nights,
        ),
        Figure(
            "requests, of these not answered as asked, expired tokens among them",
            f"{requests.n_requests:,}, {requests.n_bad:,}, {requests.n_expired:,}",
            "some of each",
            requests.n_expired > 0 or n_nights < N_NIGHTS,
        ),
        Figure("mornings on which the CRM differs", str(n_bad), "0", n_bad == 0),
        Figure("profiles compared on these mornings", f"{n_seen:,}", "all", n_seen > 0),
        Figure(
            "rows sent in the night before which nothing changed",
            "no such night" if n_still is None else str(n_still),
            "0",
            not n_still,
        ),
        Figure(
            "rows sent, of those that were read",
            f"{month.n_sent:,} of {month.n_read:,}",
            "less than half",
            month.n_sent < month.n_read // 2 or n_nights < N_NIGHTS,
        ),
    )


def prove(n: int | None) -> Chapter:
    """Live a month, and look every morning."""
    n_nights = n or N_NIGHTS
    month = anyio.run(lived, n_nights, PEOPLE, 5)
    return Chapter(
        "A month of nights",
        "Virtual time: outages of minutes and of an hour, bad answers and late ones, "
        "tokens that live ten minutes or less, the night in which the clock goes back, "
        "and one before which nothing changed. What a lost answer or a failed night "
        "left unsent would show in the morning.",
        figures(month, n_nights),
    )
