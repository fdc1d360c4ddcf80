"""
A Hypothesis state machine: the life of one job, among people and services that err.

A rule is one command, and what happens in the middle of it: a request to stop, a kill
(the disk as it was at that instant is all that is left), a service that goes away, a
token that expires, a clock that jumps, a second command, an edit of the file. What the
service has applied is kept here and compared with what the run claims.
"""

import asyncio
import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import httpx
import polars as pl
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from pipeline import (
    Connector,
    Continuation,
    Credentials,
    ImportRequest,
    Job,
    RemoteSettings,
    RunReport,
    Secret,
    list_runs,
    remembered_job,
    resumable_runs,
    run_import,
)
from pipeline.errors import (
    InterruptedRunError,
    LockedError,
    PatienceEndedError,
    PipelineError,
    SourceChangedError,
    UnreachableError,
)
from pipeline.journal_tables import RunState
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, SandboxOptions, build_sandbox
from pipeline.sandbox.weather import Weather
from sandbox_driver import FakeTime
from torture.life_day import Day, Side, Truth

PEOPLE: Final = 60
POISONED: Final = 7  # its batch is refused without a name, and halved down to it
POISON: Final = "poison"
NOBODIES: Final = 3
BATCH_ROWS: Final = 5
CONCURRENCY: Final = 2
TOKEN_S: Final = 600.0
KEY: Final = Secret(API_KEY)
MOMENTS: Final = st.integers(1, PEOPLE // BATCH_ROWS)


@dataclass
class Told:
    """What the events of all commands came to."""

    commands: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)


class Life(RuleBasedStateMachine):
    """One work folder, one source and one service."""

    told = Told()

    def __init__(self) -> None:
        super().__init__()
        self._folder = Path(tempfile.mkdtemp(prefix="life-"))
        self._work = self._folder / "work"
        self._source = self._folder / "people.csv"
        self._time = FakeTime()
        self._chance = random.Random(1)  # noqa: S311 - repeatable
        sandbox = build_sandbox(
            SandboxOptions(
                weather=Weather(refuse=POISON, refuse_named=False),
                settle_s=0.0,
                token_lifetime_s=TOKEN_S,
            ),
            clock=self._time.clock,
            wall_clock=self._time.wall,
            sleep=self._sleep,
        )
        self._truth = Truth(sandbox)
        self._may_repeat = 0
        self._version = 0
        self._version_of: dict[str, int] = {}

    def teardown(self) -> None:
        """Whatever happened before, the same command twice brings everything in."""
        try:
            self._undisturbed()
            assert self._file() == self._seen()
        finally:
            self._truth.sandbox.close()
            shutil.rmtree(self._folder)

    # -- commands --------------------------------------------------------------------

    @initialize()
    def write(self) -> None:
        lines = [f"c{n},{tier}" for n, tier in enumerate(self._tiers())]
        lines += [f",{n}" for n in range(NOBODIES)]
        self._source.write_text("customId,attributes.tier\n" + "\n".join(lines) + "\n")

    @rule()
    def edit_file(self) -> None:
        self._count("edit_file")
        self._version += 1
        self.write()

    @rule()
    def start(self) -> None:
        self._count("start")
        self._undisturbed()

    @rule()
    def start_afresh(self) -> None:
        self._count("start_afresh")
        request = replace(self._request(), continuation=Continuation(is_fresh=True))
        self._truth.bodies.clear()
        report = self._run(request, self._day())
        self._whole(report)

    @rule(n=MOMENTS, side=st.sampled_from(Side))
    def signal(self, n: int, side: Side) -> None:
        self._count("signal")
        request = self._request()
        report = self._run(request, self._day(n, request.stop.request, side))
        assert report.error is None or type(report.error) is InterruptedRunError

    @rule(n=MOMENTS, side=st.sampled_from(Side))
    def signal_twice(self, n: int, side: Side) -> None:
        self._count("signal_twice")
        request = self._request()

        def act() -> None:
            request.stop.request()
            request.stop.request()

        self._may_repeat += CONCURRENCY
        report = self._run(request, self._day(n, act, side))
        assert report.error is None or type(report.error) is InterruptedRunError

    @rule(n=MOMENTS, side=st.sampled_from(Side))
    def kill(self, n: int, side: Side) -> None:
        self._count("kill")
        request = self._request()
        snapshot = self._folder / "snapshot"

        def act() -> None:
            shutil.copytree(self._work, snapshot)
            day.is_down = True
            request.stop.request()
            request.stop.request()

        day = self._day(n, act, side)
        self._may_repeat += CONCURRENCY
        self._run(request, day)
        if snapshot.exists():  # else there were fewer batches than that
            shutil.rmtree(self._work)
            snapshot.rename(self._work)

    @rule(n=MOMENTS, side=st.sampled_from(Side))
    def fault(self, n: int, side: Side) -> None:
        self._count("fault")

        def act() -> None:
            day.is_down = True

        day = self._day(n, act, side)
        self._may_repeat += CONCURRENCY
        report = self._run(self._request(), day)
        assert report.error is None or isinstance(
            report.error, PatienceEndedError | UnreachableError
        )

    @rule(n=MOMENTS)
    def expire_token(self, n: int) -> None:
        self._count("expire_token")
        self._whole(self._run(self._request(), self._day(n, self._jump(2 * TOKEN_S))))

    @rule(n=MOMENTS, hours=st.integers(1, 200))
    def jump_clock(self, n: int, hours: int) -> None:
        self._count("jump_clock")
        self._may_repeat += CONCURRENCY  # a request that overslept its deadline
        report = self._run(self._request(), self._day(n, self._jump(hours * 3600.0)))
        if report.error is not None:  # the breaker's patience may have passed, too
            assert isinstance(report.error, PatienceEndedError)

    @rule(n=MOMENTS)
    def second_run(self, n: int) -> None:
        self._count("second_run")
        seconds: list[asyncio.Task[BaseException | RunReport]] = []

        async def second() -> BaseException | RunReport:
            try:
                return await self._import(self._request(), self._day())
            except PipelineError as error:
                return error

        def act() -> None:
            seconds.append(asyncio.create_task(second()))

        async def both() -> RunReport:
            report = await self._import(self._request(), self._day(n, act))
            for task in seconds:
                assert isinstance(await task, LockedError)
            return report

        self._whole(asyncio.run(both()))

    @rule()
    def resume(self) -> None:
        # No precondition: what a run leaves depends on threads, and draws must not.
        left = self._resumable()
        if not left:
            return
        self._count("resume")
        run_id = left[-1]
        request = self._request(remembered_job(self._work, run_id))
        request = replace(request, continuation=Continuation(run_id), command="resume")
        try:
            report = self._run(request, self._day())
        except SourceChangedError:
            Life.told.ends["SourceChangedError"] += 1
            assert self._version != self._version_of[run_id]
            return
        assert self._version == self._version_of[run_id]
        self._whole(report)

    # -- what always holds -----------------------------------------------------------

    @invariant()
    def the_service_holds_what_it_accepted(self) -> None:
        self._truth.sandbox.settle()
        assert self._seen() == self._truth.crm

    @invariant()
    def nothing_is_sent_twice_beyond_what_was_in_flight(self) -> None:
        n_again = sum(n - 1 for n in self._truth.bodies.values())
        assert n_again <= self._may_repeat

    @invariant()
    def a_run_that_is_done_has_nothing_left(self) -> None:
        if self._work.exists():
            left = set(self._resumable())
            for run in list_runs(self._work):
                assert run.state is not RunState.DONE or run.run_id not in left

    # -- helpers ---------------------------------------------------------------------

    def _tiers(self) -> list[str]:
        tiers = [f"gold {n}" for n in range(PEOPLE)]
        tiers[self._version % PEOPLE] = f"edit {self._version}"
        tiers[POISONED] = POISON
        return tiers

    def _file(self) -> dict[str, str]:
        return {f"c{n}": tier for n, tier in enumerate(self._tiers()) if n != POISONED}

    def _seen(self) -> dict[str, str]:
        return {
            p["customId"]: p["attributes"]["tier"]
            for p in self._truth.sandbox.profiles()
        }

    def _resumable(self) -> list[str]:
        if not self._work.exists():
            return []
        return [run.run_id for run in resumable_runs(self._work)]

    def _request(self, job: Job | None = None) -> ImportRequest:
        delivery = {"max_rows": BATCH_ROWS, "concurrency": CONCURRENCY}
        sections = {"source": {"path": str(self._source)}, "delivery": delivery}
        told = Job.model_validate({**sections, "verify": "none"})
        return ImportRequest(job or told, self._work)

    def _day(
        self,
        n: int = 0,
        act: Callable[[], None] = lambda: None,
        side: Side = Side.BEFORE,
    ) -> Day:
        return Day(self._truth, n, act, side)

    def _jump(self, seconds: float) -> Callable[[], None]:
        def act() -> None:
            self._time.now_s += seconds

        return act

    async def _sleep(self, seconds: float) -> None:
        self._time.now_s += seconds
        await asyncio.sleep(0)

    async def _import(
        self, request: ImportRequest, wire: httpx.AsyncBaseTransport
    ) -> RunReport:
        known = set(self._resumable())
        remote = RemoteSettings("http://127.0.0.1:1", Credentials(api_key=KEY))
        clock = Clock(self._time.clock, self._sleep, self._chance.random)
        report = await run_import(request, Connector(remote, wire, clock))
        self._version_of.setdefault(report.run_id, self._version)
        if report.run_id not in known:
            # Another run than before: what it sends, it sends for the first time.
            self._may_repeat += self._truth.bodies.total()
        Life.told.ends[type(report.error).__name__] += 1
        counts = report.counts
        sums = counts.accepted + counts.pending + counts.rejected + counts.blocked
        assert (counts.read, sums) == (PEOPLE + NOBODIES, PEOPLE + NOBODIES)
        self._claims(report)
        return report

    def _run(self, request: ImportRequest, wire: httpx.AsyncBaseTransport) -> RunReport:
        return asyncio.run(self._import(request, wire))

    def _claims(self, report: RunReport) -> None:
        """What is called accepted, the service has accepted, and with this value."""
        outcomes = pl.read_parquet(report.folder / "outcomes.parquet")
        accepted = outcomes.filter(pl.col("state") == "accepted")["row_no"]
        file = [(f"c{n}", tier) for n, tier in enumerate(self._tiers())]
        assert {file[row_no - 1] for row_no in accepted} <= self._truth.applied

    def _undisturbed(self) -> None:
        self._whole(self._run(self._request(), self._day()))

    def _whole(self, report: RunReport) -> None:
        assert report.error is None
        assert (report.counts.accepted, report.counts.rejected) == (PEOPLE - 1, 1)

    def _count(self, command: str) -> None:
        Life.told.commands[command] += 1
