"""An interrupted import goes on where its journal ends, and nowhere else."""

import asyncio
import json
import shutil
import sqlite3
import stat
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline import (
    Connector,
    Continuation,
    Credentials,
    ImportRequest,
    Job,
    RemoteSettings,
    ResumePlan,
    Run,
    RunReport,
    Secret,
    list_runs,
    remembered_job,
    resumable_runs,
    run_import,
)
from pipeline.continuing import versions_at_work
from pipeline.contract import BATCH_PATH
from pipeline.errors import (
    InterruptedRunError,
    InvariantError,
    LockedError,
    SettingsError,
    SourceChangedError,
    SourceUnusableError,
    StaleRunError,
)
from pipeline.journal_tables import RunState
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, Sandbox, SandboxOptions, build_sandbox
from pipeline.sandbox.weather import Weather
from sandbox_driver import FakeTime, Wire

PROFILES = 200
TWICE = 20
NOBODY = 10
N_ROWS = PROFILES + TWICE + NOBODY
BATCH_ROWS = 20


class Interrupted(Wire):
    """A service on a day on which *act* happens when the n-th batch arrives."""

    def __init__(self, sandbox: Sandbox, n: int, act: Callable[[], None]) -> None:
        super().__init__(sandbox)
        self.n = n
        self.act = act
        self.keys: list[str] = []
        self.bodies: Counter[bytes] = Counter()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            self.n -= 1
            if self.n == 0:
                self.act()
            if self.n <= 0:
                raise httpx.ConnectError("down", request=request)
            body = request.content
            self.bodies[body] += 1
            self.keys += [row["customId"] for row in json.loads(body)]
        return await super().handle_async_request(request)


@dataclass
class Office:
    """A work folder, a source and a sandbox that lives through all runs."""

    folder: Path
    sandbox: Sandbox
    clock: Clock
    shown: list[tuple[Run, ResumePlan]] = field(default_factory=list)

    def source(self, tier: str = "gold", name: str = "people.csv") -> Path:
        rows = [f"c{n},{tier} {n}" for n in range(PROFILES)]
        rows += [f"c{n},again {n}" for n in range(TWICE)]
        rows += [f",nobody {n}" for n in range(NOBODY)]
        path = self.folder / name
        path.write_text("customId,attributes.tier\n" + "\n".join(rows) + "\n")
        return path

    def job(self, **sections: Any) -> Job:
        delivery = {"max_rows": BATCH_ROWS, "concurrency": 2}
        delivery |= sections.pop("delivery", {})
        return Job.model_validate(
            {
                "source": {"path": str(self.folder / "people.csv")},
                "delivery": delivery,
                "verify": "none",
            }
            | sections
        )

    def request(self, job: Job | None = None, work: str = "work") -> ImportRequest:
        return ImportRequest(
            job or self.job(),
            self.folder / work,
            on_resume=lambda run, plan: self.shown.append((run, plan)),
        )

    async def run(
        self, request: ImportRequest, wire: httpx.AsyncBaseTransport | None = None
    ) -> RunReport:
        remote = RemoteSettings("http://127.0.0.1:1", Credentials(Secret(""), KEY))
        wire = wire or Wire(self.sandbox)
        return await run_import(request, Connector(remote, wire, self.clock))

    async def stopped(self, n: int = 4, work: str = "work") -> tuple[str, Interrupted]:
        """Import until somebody asks to stop, at the n-th batch."""
        request = self.request(work=work)
        wire = Interrupted(self.sandbox, n, request.stop.request)
        report = await self.run(request, wire)
        assert isinstance(report.error, InterruptedRunError)
        return report.run_id, wire

    async def killed(self, n: int) -> tuple[str, Interrupted]:
        """
        Import until the n-th batch, and go on with the disk as it was then.

        What a process leaves that dies there is what its files hold at this moment.
        """
        request = self.request(work="doomed")

        def die() -> None:
            shutil.copytree(self.folder / "doomed", self.folder / "work")
            request.stop.request()

        wire = Interrupted(self.sandbox, n, die)
        report = await self.run(request, wire)
        return report.run_id, wire

    def resumption(self, run_id: str, **more: Any) -> ImportRequest:
        job = remembered_job(self.folder / "work", run_id)
        wish = Continuation(run_id, **more)
        return replace(self.request(job), continuation=wish, command="resume")

    def crm(self) -> dict[str, str]:
        self.sandbox.settle()
        return {
            profile["customId"]: profile["attributes"]["tier"]
            for profile in self.sandbox.profiles()
        }


KEY = Secret(API_KEY)
CRM = {f"c{n}": f"gold {n}" for n in range(TWICE, PROFILES)} | {
    f"c{n}": f"again {n}" for n in range(TWICE)
}


@asynccontextmanager
async def office(folder: Path, **weather: Any) -> AsyncIterator[Office]:
    time = FakeTime()

    async def sleep(seconds: float) -> None:
        time.now_s += seconds
        await asyncio.sleep(0)

    sandbox = build_sandbox(
        SandboxOptions(weather=Weather(**weather), settle_s=0.0),
        clock=time.clock,
        wall_clock=time.wall,
        sleep=sleep,
    )
    clock = Clock(now=time.clock, sleep=sleep, chance=lambda: 0.5)
    with closing(sandbox):
        opened = Office(folder, sandbox, clock)
        opened.source()
        yield opened


def states(report: RunReport) -> pl.DataFrame:
    outcomes = pl.read_parquet(report.folder / "outcomes.parquet")
    return outcomes.select("row_no", "state", "code", "folded_into")


@pytest.mark.anyio
async def test_the_same_import_goes_on_with_a_stopped_run(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        run_id, before = await at.stopped()
        after = Interrupted(at.sandbox, 10**6, lambda: None)
        report = await at.run(at.request(), after)

        assert report.error is None
        assert report.run_id == run_id
        counts = report.counts
        assert (counts.accepted, counts.folded, counts.blocked) == (200, 20, 10)
        assert sorted(before.keys + after.keys) == sorted(CRM)
        assert at.crm() == CRM
        assert [run.state for run in list_runs(tmp_path / "work")] == [RunState.DONE]
        [(run, plan)] = at.shown
        assert (run.run_id, plan.n_accepted) == (run_id, len(before.keys))


@pytest.mark.anyio
@pytest.mark.parametrize("n", [1, 2, 3, 6, 10])
async def test_a_killed_run_is_resumed_by_its_name(tmp_path: Path, n: int) -> None:
    async with office(tmp_path) as at:
        run_id, before = await at.killed(n)
        [known] = resumable_runs(tmp_path / "work")
        assert (known.run_id, known.state) == (run_id, RunState.OPEN)
        after = Interrupted(at.sandbox, 10**6, lambda: None)
        report = await at.run(at.resumption(run_id), after)

        assert report.error is None
        assert report.counts.accepted == len(CRM)
        assert at.crm() == CRM
        again = before.bodies & after.bodies
        assert again.total() <= 2  # no more than were in flight
        assert set(before.keys) | set(after.keys) == set(CRM)


@pytest.mark.anyio
async def test_a_resumed_run_tells_what_an_undisturbed_one_tells(
    tmp_path: Path,
) -> None:
    refusals = {"refuse": "gold 77", "refuse_status": 400}
    async with office(tmp_path / make(tmp_path, "a"), **refusals) as calm:
        undisturbed = await calm.run(calm.request())
    async with office(tmp_path / make(tmp_path, "b"), **refusals) as at:
        run_id, _ = await at.killed(5)
        resumed = await at.run(at.resumption(run_id))

        assert resumed.counts == undisturbed.counts
        assert resumed.counts.rejected == 1
        assert states(resumed).equals(states(undisturbed))
        assert sorted(resumed.files.paths) == sorted(undisturbed.files.paths)


def make(folder: Path, name: str) -> str:
    (folder / name).mkdir()
    return name


@pytest.mark.anyio
async def test_other_limits_do_not_change_what_was_recorded(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        run_id, before = await at.killed(4)
        job = at.job(delivery={"max_rows": 7, "concurrency": 1})
        after = Interrupted(at.sandbox, 10**6, lambda: None)
        report = await at.run(at.request(job), after)

        assert (report.run_id, report.error) == (run_id, None)
        sizes = Counter(len(json.loads(body)) for body in after.bodies)
        assert 1 <= sizes.pop(BATCH_ROWS) <= 6  # three workers a place had one
        assert max(sizes) == 7
        assert at.crm() == CRM
        assert set(before.keys) | set(after.keys) == set(CRM)


@pytest.mark.anyio
async def test_a_fresh_run_sends_everything_and_bars_the_older_one(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.stopped()
        wire = Interrupted(at.sandbox, 10**6, lambda: None)
        fresh = replace(at.request(), continuation=Continuation(is_fresh=True))
        report = await at.run(fresh, wire)

        assert report.run_id != run_id
        assert len(wire.keys) == len(CRM)
        with pytest.raises(StaleRunError, match=report.run_id):
            await at.run(replace(at.request(), continuation=Continuation(run_id)))
        assert resumable_runs(tmp_path / "work") == []


@pytest.mark.anyio
async def test_a_changed_source_is_another_run(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.stopped()
        at.source(tier="silver")
        with pytest.raises(SourceChangedError, match=f"run {run_id} began with"):
            await at.run(at.resumption(run_id))
        n_before = len(at.crm())
        report = await at.run(at.request())

        assert n_before < len(CRM)
        assert report.run_id != run_id
        assert at.crm() == {
            key: tier.replace("gold", "silver") for key, tier in CRM.items()
        }


@pytest.mark.anyio
@pytest.mark.parametrize(
    "sections",
    [
        {"rows": {"duplicates": "first"}},
        {"delivery": {"max_bytes": 2_000}},
        {"mapping": {"customId": "customId", "attributes": {"t": "attributes.tier"}}},
        {
            "mapping": {
                "customId": "customId",
                "attributes": {"tier": {"column": "attributes.tier", "trim": False}},
            }
        },
    ],
    ids=["rows", "bytes", "mapping", "options"],
)
async def test_another_job_is_another_run(
    tmp_path: Path, sections: dict[str, Any]
) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.stopped()
        other = at.request(at.job(**sections))
        with pytest.raises(SettingsError, match=f"run {run_id} began with"):
            await at.run(replace(other, continuation=Continuation(run_id)))
        report = await at.run(other)
        assert report.run_id != run_id
        assert report.counts.accepted == len(CRM)


@pytest.mark.anyio
async def test_guards_and_pace_are_not_part_of_a_run(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.stopped()
        job = at.job(
            rows={"extra_columns": "ignore"},
            verify="none",
            delivery={"rate": 50.0, "concurrency": 1},
        )
        report = await at.run(at.request(job))
        assert (report.run_id, report.error) == (run_id, None)


@pytest.mark.anyio
async def test_a_body_that_comes_out_different_stops_unless_it_may(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.killed(4)
        with closing(sqlite3.connect(tmp_path / "work" / "journal.sqlite")) as db, db:
            db.execute(
                "UPDATE batch SET digest = 'x' WHERE batch_no NOT IN "
                "(SELECT batch_no FROM verdict WHERE state = 'accepted')"
            )
            db.execute("UPDATE run SET versions = json_object('encoder', 'of old')")
        n_before = len(at.crm())
        wire = Interrupted(at.sandbox, 10**6, lambda: None)
        refused = await at.run(at.resumption(run_id), wire)
        assert isinstance(refused.error, InvariantError)
        assert "--replan" in str(refused.error)
        assert "encoder of old" in str(refused.error)
        assert refused.counts.pending > 0
        assert len(at.crm()) == n_before

        report = await at.run(at.resumption(run_id, is_replanned=True))
        assert report.error is None
        assert report.counts.accepted == len(CRM)
        assert at.crm() == CRM
        assert list_runs(tmp_path / "work")[0].versions == versions_at_work()


@pytest.mark.anyio
async def test_a_run_that_is_complete_or_unknown_is_not_resumed(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        done = await at.run(at.request())
        assert resumable_runs(tmp_path / "work") == []
        with pytest.raises(SettingsError, match="is complete"):
            remembered_job(tmp_path / "work", done.run_id)
        with pytest.raises(SettingsError, match="no run nobody"):
            await at.run(replace(at.request(), continuation=Continuation("nobody")))


@pytest.mark.anyio
async def test_the_job_of_a_run_is_private_and_holds_no_key(tmp_path: Path) -> None:
    mapping = {"attributes": {"t": "attributes.tier"}, "customId": "customId"}
    async with office(tmp_path) as at:
        request = at.request(at.job(mapping=mapping))
        await at.run(request, Interrupted(at.sandbox, 2, request.stop.request))
        [run] = resumable_runs(tmp_path / "work")
        path = tmp_path / "work" / "runs" / run.run_id / "job.json"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert API_KEY not in path.read_text()

        job = remembered_job(tmp_path / "work", run.run_id)
        assert job.mapping is not None
        assert job.mapping.order == ("attributes", "customId")
        assert job.source.paths == (str(tmp_path / "people.csv"),)

        path.write_text('{"colour": "blue"}')
        with pytest.raises(SettingsError, match="another version"):
            remembered_job(tmp_path / "work", run.run_id)
        path.unlink()
        with pytest.raises(SettingsError, match="Import the source again"):
            remembered_job(tmp_path / "work", run.run_id)
        again = await at.run(at.request(request.job))
        assert again.run_id == run.run_id


@pytest.mark.anyio
async def test_two_runs_that_share_their_locks_never_write_to_one_workspace(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        locks = tmp_path / "locks"
        second: list[BaseException] = []
        asked = [True]

        class Meanwhile(Wire):
            async def handle_async_request(
                self, request: httpx.Request
            ) -> httpx.Response:
                if request.url.path == BATCH_PATH and asked:
                    asked.clear()
                    other = replace(at.request(work="other"), lock_dir=locks)
                    try:
                        await at.run(other)
                    except LockedError as error:
                        second.append(error)
                return await super().handle_async_request(request)

        first = replace(at.request(), lock_dir=locks)
        report = await at.run(first, Meanwhile(at.sandbox))

        assert report.error is None
        assert len(second) == 1
        assert "this workspace" in str(second[0])
        assert list_runs(tmp_path / "other") == []
        later = await at.run(replace(at.request(work="other"), lock_dir=locks))
        assert later.error is None


@pytest.mark.anyio
async def test_nothing_that_was_spilled_stays_behind(tmp_path: Path) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.killed(4)
        assert any((tmp_path / "work" / "scratch").rglob("*.ipc"))
        await at.run(at.resumption(run_id))
        left = {path.name for path in (tmp_path / "work").iterdir()}
        assert left == {".gitignore", "journal.sqlite", "lock", "locks", "runs"}
        assert [path.name for path in (tmp_path / "work" / "runs").iterdir()] == [
            run_id
        ]


@pytest.mark.anyio
async def test_findings_accepted_before_stay_accepted_and_others_stop(
    tmp_path: Path,
) -> None:
    accepted = {"accept_findings": ["ROUNDED_15"]}
    async with office(tmp_path) as at:
        rows = "".join(f"4{n}345678901234000,gold\n" for n in range(10, 90))
        at.source().write_text(f"customId,attributes.tier\n{rows}")
        request = at.request(at.job(rows=accepted))
        await at.run(request, Interrupted(at.sandbox, 3, request.stop.request))
        [run] = resumable_runs(tmp_path / "work")
        resumption = at.resumption(run.run_id)
        outcomes = tmp_path / "work" / "runs" / run.run_id / "outcomes.parquet"
        told = outcomes.read_bytes()
        wire = Interrupted(at.sandbox, 10**6, lambda: None)

        # Its files tell what was sent before: they are left alone.
        strict = replace(resumption, job=at.job())
        with pytest.raises(SourceUnusableError, match="This command sent nothing"):
            await at.run(strict, wire)
        assert outcomes.read_bytes() == told
        anew = await at.run(at.request(), wire)
        assert isinstance(anew.error, SourceUnusableError)
        assert anew.run_id != run.run_id
        assert wire.keys == []

        report = await at.run(resumption, wire)
        assert report.error is None
        assert report.counts.accepted == 80


@pytest.mark.anyio
async def test_a_file_that_was_being_written_is_removed_by_whoever_comes_next(
    tmp_path: Path,
) -> None:
    async with office(tmp_path) as at:
        run_id, _ = await at.stopped()
        folder = tmp_path / "work" / "runs" / run_id
        whole = {path.name for path in folder.iterdir()}
        (folder / ".rejected.csv.k2_x9abc").write_text("somebody@example.com")
        (folder / ".kept").write_text("not ours")

        await at.run(replace(at.request(), is_dry_run=True))

        assert {path.name for path in folder.iterdir()} == whole | {".kept"}
