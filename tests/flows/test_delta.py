"""Nights: what changed goes out, what is proven is known, and nothing else is."""

import dataclasses
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline import (
    ApplyReport,
    ApplyRequest,
    Connector,
    Continuation,
    ImportRequest,
    Job,
    PlanReport,
    PlanRequest,
    StopSignal,
    SyncReport,
    VerifyRequest,
    apply_plan,
    list_runs,
    make_plan,
    plan_to_resume,
    purge_runs,
    run_import,
    run_sync,
    verify_run,
)
from pipeline.contract import BATCH_PATH
from pipeline.delta.plan_files import is_plan, write_plan
from pipeline.delta.state import StateStore
from pipeline.errors import (
    InterruptedRunError,
    LimitError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
    WrongWorkspaceError,
)
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import RunState
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.weather import Weather
from sandbox_driver import FakeTime, Wire, served

KEY = "0123456789abcdef" * 4
HEADER = "customId,email,firstName,city,agreements.email"
N_PEOPLE = 60


def people(n: int = N_PEOPLE) -> dict[str, list[str]]:
    """Rows by customId; the last cell is a consent."""
    return {
        f"C{i}": [f"p{i}@example.com", f"Ewa {i}", "Opole" if i % 2 else "", "yes"]
        for i in range(n)
    }


@dataclass
class Town:
    """A work folder, a source that changes from night to night, and a CRM."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    time: FakeTime
    rows: dict[str, list[str]] = field(default_factory=people)
    settings: dict[str, Any] = field(default_factory=dict)
    key: str = KEY
    stop: StopSignal = field(default_factory=StopSignal)

    @property
    def work_dir(self) -> Path:
        return self.folder / "work"

    @property
    def job(self) -> Job:
        path = self.folder / "people.csv"
        lines = [",".join([name, *cells]) for name, cells in self.rows.items()]
        path.write_text("\n".join([HEADER, *lines]) + "\n")
        told = {
            "name": "people",
            "source": {"path": str(path)},
            "delivery": {"max_rows": 10, "concurrency": 1},
        }
        return Job.model_validate(told | self.settings)

    def request(self, **more: Any) -> PlanRequest:
        line = ImportRequest(self.job, self.work_dir, stop=self.stop)
        return PlanRequest(line, self.key, **{"now": self.time.wall} | more)

    async def plan(self, **more: Any) -> PlanReport:
        report = await make_plan(self.request(**more), self.connector)
        assert report.plan is not None
        return report

    async def apply(
        self, plan: PlanReport, connector: Connector | None = None, **more: Any
    ) -> ApplyReport:
        assert plan.plan is not None
        return await self.apply_id(plan.plan.plan_id, connector, **more)

    async def apply_id(
        self, plan_id: str, connector: Connector | None = None, **more: Any
    ) -> ApplyReport:
        told: dict[str, Any] = {"now": self.time.wall, "stop": self.stop}
        request = ApplyRequest(self.work_dir, plan_id, **told | more)
        return await apply_plan(request, connector or self.connector)

    async def night(
        self, connector: Connector | None = None, **more: Any
    ) -> SyncReport:
        report = await run_sync(self.request(**more), connector or self.connector)
        self.sandbox.settle()
        return report

    def through(self, wire: Callable[[Sandbox], httpx.AsyncBaseTransport]) -> Connector:
        return replace(self.connector, transport=wire(self.sandbox))

    def held(self) -> dict[str, dict[str, Any]]:
        """What the CRM holds, by customId."""
        return {profile["customId"]: profile for profile in self.sandbox.profiles()}

    def assert_equal(self) -> None:
        """Every row of the source is what the CRM holds, blank cells apart."""
        held = self.held()
        for name, (email, first, city, consent) in self.rows.items():
            profile = held[name]
            assert profile["email"] == email
            assert profile["firstName"] == first
            assert city in ("", profile["city"])
            assert profile["agreements"]["email"] is (consent == "yes")


@asynccontextmanager
async def town(folder: Path, weather: Weather | None = None) -> AsyncIterator[Town]:
    options = SandboxOptions(weather=weather or Weather(), settle_s=0.0)
    with served(options) as (sandbox, connector, fake):
        yield Town(folder, sandbox, connector, fake)


class Stopping(Wire):
    """Asks the run to stop when so many batches have come through."""

    def __init__(self, sandbox: Sandbox, stop: StopSignal, after: int) -> None:
        super().__init__(sandbox)
        self._stop = stop
        self._left = after

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await super().handle_async_request(request)
        if request.url.path == BATCH_PATH:
            self._left -= 1
            if self._left == 0:
                self._stop.request()
        return reply


class Deaf(Wire):
    """Carries batches out and loses the answers."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await super().handle_async_request(request)
        if request.url.path == BATCH_PATH:
            raise httpx.ReadError("")
        return reply


def bodies(plan: PlanReport) -> list[dict[str, Any]]:
    rows = pl.read_parquet(plan.run.folder / "rows.parquet")
    return [json.loads(text) for text in rows["json"]]


@pytest.mark.anyio
async def test_the_second_night_sends_changed_rows_only(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        first = await at.night()
        assert first.applied is not None
        assert first.applied.counts.accepted == N_PEOPLE
        at.assert_equal()

        again = await at.night()
        assert again.applied is not None
        assert again.applied.counts.unchanged == N_PEOPLE
        assert again.applied.delivery.n_requests == 0

        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        at.rows["C99"] = ["p99@example.com", "New", "", "yes"]
        del at.rows["C3"]
        third = await at.night()
        assert third.applied is not None
        plan = third.applied.plan.figures
        assert (plan.n_new, plan.n_changed, plan.n_vanished) == (1, 2, 1)
        assert plan.changed_fields == {"firstName": 1, "agreements.email": 1}
        assert plan.withdrawn == {"agreements.email": 1}
        assert third.applied.counts.accepted == 3
        at.assert_equal()


@pytest.mark.anyio
async def test_the_equation_holds_with_every_kind_of_row(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C5"][0] = "no address"
        source = at.folder / "people.csv"
        job = at.job
        text = source.read_text()
        source.write_text(f"{text}\nC2,,Twice,,\n")
        line = ImportRequest(job, at.work_dir)
        report = await run_sync(PlanRequest(line, KEY), at.connector)

        assert report.applied is not None
        counts = report.applied.counts
        assert counts.as_dict() == {
            **dict.fromkeys(counts.as_dict(), 0),
            "read": N_PEOPLE + 2,
            "empty": 1,
            "blocked": 1,
            "folded": 1,
            "unchanged": N_PEOPLE - 3,
            "accepted": 2,
        }
        frame = pl.read_parquet(report.applied.folder / "outcomes.parquet")
        assert frame["state"].value_counts().height == 5
        assert frame.select("source_no", "row_no").is_duplicated().sum() == 0


@pytest.mark.anyio
async def test_changed_fields_alone_go_out_with_the_identifiers(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        at.settings["sync"] = {"fields": "changed"}
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        plan = await at.plan()

        assert bodies(plan) == [
            {
                "customId": "C2",
                "email": "p2@example.com",
                "agreements": {"email": False},
            },
            {"customId": "C1", "email": "p1@example.com", "firstName": "Eva"},
        ]
        await at.apply(plan)
        at.sandbox.settle()
        at.assert_equal()


@pytest.mark.anyio
async def test_withdrawals_go_first(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        for name in ("C7", "C40", "C59"):
            at.rows[name][3] = "no"
        plan = await at.plan()

        first = [body["customId"] for body in bodies(plan)[:4]]
        assert first == ["C7", "C40", "C59", "C0"]


@pytest.mark.anyio
async def test_a_blank_cell_changes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][2] = ""
        blank = await at.night()
        at.rows["C1"][2] = "Opole"
        back = await at.night()

        for report in (blank, back):
            assert report.applied is not None
            assert report.applied.counts.unchanged == N_PEOPLE
        assert blank.planned.plan is not None
        assert blank.planned.plan.figures.lost_fields == {"city": 1}
        at.assert_equal()


@pytest.mark.anyio
async def test_erasing_is_a_change_once(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][2] = "NIL"
        at.settings["rows"] = {"null_token": "NIL", "allow_erase": {"city": 1}}
        erasing = await at.plan()
        assert erasing.plan is not None
        assert erasing.plan.figures.erased_fields == {"city": 1}
        assert bodies(erasing)[0]["city"] is None
        await at.apply(erasing)
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_planned == 0


@pytest.mark.anyio
async def test_who_vanished_and_returns_is_sent_whole(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        row = at.rows.pop("C1")
        gone = await at.night()
        still = await at.night()
        at.rows["C1"] = row
        back = await at.night()

        figures = [
            report.applied.plan.figures
            for report in (gone, still, back)
            if report.applied is not None
        ]
        assert [one.n_vanished for one in figures] == [1, 0, 0]
        assert [one.n_new for one in figures] == [0, 0, 1]


@pytest.mark.anyio
async def test_a_row_that_left_without_an_answer_is_known_no_more(
    tmp_path: Path,
) -> None:
    """The CRM may hold the new value, so the old one is no longer unchanged."""
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.settings["delivery"] = {"max_wait": 1.0, "concurrency": 1}
        lost = await at.night(at.through(Deaf))
        assert lost.applied is not None
        assert lost.applied.counts.unknown == 1
        assert at.held()["C1"]["firstName"] == "Eva"

        at.rows["C1"][1] = "Ewa 1"
        back = await at.night()

        assert back.applied is not None
        assert back.applied.counts.accepted == 1
        at.assert_equal()


@pytest.mark.anyio
async def test_what_the_service_refuses_is_handed_back_and_planned_again(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, Weather(seed=3, partial=1.0)) as at:
        report = await at.night()
        assert report.applied is not None
        n = report.applied.counts.rejected
        assert n > 0
        lines = (report.applied.folder / "refused.jsonl").read_text().splitlines()
        assert len(lines) == n
        told = json.loads(lines[0])
        assert told["_state"] == "rejected"
        assert told["customId"] == f"C{told['_row_no'] - 1}"
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_planned == n


# -- refusals ----------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_plan_is_sent_as_it_stands_and_the_source_is_not_read(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        (at.folder / "people.csv").unlink()
        report = await at.apply(plan)
        at.sandbox.settle()

        assert report.counts.accepted == N_PEOPLE
        at.assert_equal()
        with pytest.raises(SettingsError, match="applied already"):
            await at.apply(plan)


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["rows.parquet", "vanished.parquet"])
async def test_an_altered_file_is_refused(tmp_path: Path, name: str) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        path = plan.run.folder / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))

        with pytest.raises(SourceChangedError, match="not the file that was planned"):
            await at.apply(plan)
        path.unlink()
        with pytest.raises(SourceChangedError, match="is gone"):
            await at.apply(plan)
        assert at.held() == {}
        assert list_runs(at.work_dir) == []


@pytest.mark.anyio
async def test_an_altered_plan_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        path = plan.run.folder / "plan.json"
        path.write_text(path.read_text().replace("86400.0", "99999999.0"))

        with pytest.raises(SourceChangedError, match="was altered"):
            await at.apply(plan)


@pytest.mark.anyio
@pytest.mark.parametrize("text", ["", "{}", '{"version": 1}', '{"version": 9}', "[1]"])
async def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        (plan.run.folder / "plan.json").write_text(text)

        with pytest.raises(
            (SourceChangedError, SettingsError), match="make a new plan"
        ):
            await at.apply(plan)


@pytest.mark.anyio
async def test_a_folder_without_a_plan_is_told_so(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        with pytest.raises(SettingsError, match="there is no plan"):
            await at.apply_id("20260101-000000-0000")


@pytest.mark.anyio
async def test_another_mapping_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan(filed=at.job)
        other = at.job.model_copy(
            update={"rows": at.job.rows.model_copy(update={"blank": "block"})}
        )
        pace = at.job.model_copy(update={"work_dir": "elsewhere"})

        with pytest.raises(SettingsError, match="the job is not the one"):
            await at.apply(plan, filed=other)
        report = await at.apply(plan, filed=pace)
        assert report.counts.accepted == N_PEOPLE


@pytest.mark.anyio
async def test_another_workspace_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        assert plan.plan is not None
        write_plan(plan.run.folder, replace(plan.plan, workspace="another"))

        with pytest.raises(WrongWorkspaceError):
            await at.apply(plan)


@pytest.mark.anyio
async def test_a_plan_grows_old(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        at.time.now_s += 24 * 3600 + 1

        with pytest.raises(StaleRunError, match=r"24\.0 hours old"):
            await at.apply(plan)


@pytest.mark.anyio
async def test_a_plan_from_another_state_is_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        old = await at.plan()
        await at.night()

        with pytest.raises(StaleRunError, match="generation 0 of the state"):
            await at.apply(old)


@pytest.mark.anyio
async def test_a_first_plan_is_refused_after_an_import(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        old = await at.plan()
        at.rows["C1"][1] = "Newer"
        await run_import(ImportRequest(at.job, at.work_dir), at.connector)

        with pytest.raises(StaleRunError, match="older values must not replace"):
            await at.apply(old)


@pytest.mark.anyio
async def test_a_source_that_stops_a_check_stops_a_night(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows["C1"][2] = "NIL"
        at.settings["rows"] = {"null_token": "NIL"}
        report = await at.night()

        assert isinstance(report.planned.run.error, LimitError)
        assert report.applied is None
        assert not is_plan(report.planned.run.folder)
        assert at.held() == {}


# -- interruptions -----------------------------------------------------------------


@pytest.mark.anyio
async def test_an_interrupted_plan_goes_on_where_it_was(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        cut = await at.apply(plan, wire)
        assert isinstance(cut.error, InterruptedRunError)
        assert cut.is_resumable
        assert 0 < cut.counts.accepted < N_PEOPLE
        assert plan_to_resume(at.work_dir, cut.run_id) == cut.run_id

        seen = []
        done = await at.apply_id(
            cut.run_id,
            stop=StopSignal(),
            on_resume=lambda run, plan: seen.append((run.run_id, plan.n_accepted)),
        )

        assert seen == [(cut.run_id, cut.counts.accepted)]
        assert done.counts.accepted == N_PEOPLE
        assert done.delivery.rows_accepted == N_PEOPLE - cut.counts.accepted
        at.sandbox.settle()
        at.assert_equal()
        at.stop = StopSignal()
        assert (await at.plan()).plan.figures.n_planned == 0  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_night_after_an_interrupted_one_sends_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        cut = await at.night(wire)
        assert cut.applied is not None
        at.stop = StopSignal()
        at.rows["C59"][1] = "Last"
        more = await at.night()

        assert more.applied is not None
        assert more.applied.error is None
        assert more.applied.counts.unchanged == cut.applied.counts.accepted
        at.assert_equal()
        with pytest.raises(StaleRunError):
            await at.apply_id(cut.applied.run_id)


@pytest.mark.anyio
async def test_a_state_that_is_behind_catches_up(tmp_path: Path) -> None:
    """As after a kill between the last verdict and the state."""
    async with town(tmp_path) as at:
        await at.night()
        folder = StateStore(at.work_dir, _guid(at), "people").folder
        before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
        at.rows["C1"][1] = "Eva"
        await at.night()
        for path in sorted(folder.rglob("*"), reverse=True):
            path.unlink() if path.is_file() else path.rmdir()
        for path, content in before.items():
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_unchanged == N_PEOPLE


@pytest.mark.anyio
async def test_planning_over_an_interrupted_run_changes_no_generation_twice(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        await at.night(wire)
        at.stop = StopSignal()
        plans = [await at.plan(), await at.plan()]

        generations = [plan.plan.state_generation for plan in plans if plan.plan]
        assert len(set(generations)) == 1


# -- guards and the canary ---------------------------------------------------------


@pytest.mark.anyio
async def test_a_source_that_is_half_gone_stops_the_night(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        n_sent = len(at.sandbox.truth())
        for name in [*at.rows][: N_PEOPLE // 2]:
            del at.rows[name]
        at.rows["C59"][1] = "Last"
        report = await at.night()

        assert isinstance(report.error, LimitError)
        assert "least_rows" in str(report.error)
        assert report.applied is None
        assert at.held()["C59"]["firstName"] == "Ewa 59"
        batches = [e for e in at.sandbox.truth()[n_sent:] if e.name == "batch"]
        assert batches == []
        # Who looked at the plan may apply it.
        done = await at.apply(report.planned)
        assert done.counts.accepted == 1


@pytest.mark.anyio
async def test_a_value_that_is_not_accepted_stops_the_night(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        guards = {"accepted_values": {"city": ["Opole"], "agreements.email": [True]}}
        at.settings["sync"] = {"guards": guards}
        assert (await at.night()).error is None
        at.rows["C1"][2] = "Oppole"
        at.rows["C2"][3] = "no"
        report = await at.night()

        assert "1 rows have a value of city" in str(report.error)
        assert "1 rows have a value of agreements.email" in str(report.error)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [None, "integer", "number"])
async def test_accepted_numbers_may_be_text_or_numbers(
    tmp_path: Path, kind: str | None
) -> None:
    async with town(tmp_path) as at:
        for n, row in enumerate(at.rows.values()):
            row[2] = str(n % 3)
        at.settings["rows"] = {"extra_columns": "ignore"}
        at.settings["mapping"] = {
            "customId": "customId",
            "attributes": {"n": {"column": "city", "type": kind}},
        }
        guards = {"accepted_values": {"attributes.n": [0, 1, 2]}}
        at.settings["sync"] = {"guards": guards}
        assert (await at.plan()).plan.trips == ()  # type: ignore[union-attr]
        at.rows["C1"][2] = "3"
        assert len((await at.plan()).plan.trips) == 1  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_values_of_a_field_that_is_not_mapped_are_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["sync"] = {"guards": {"accepted_values": {"company": ["A"]}}}

        with pytest.raises(SettingsError, match="not mapped: company"):
            await at.plan()


class Forgetful(Wire):
    """Loses a field of every batch, as a CRM that knows another name for it."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            body = request.content.replace(b'"city"', b'"town"')
            kept = {k: v for k, v in request.headers.items() if k != "content-length"}
            request = httpx.Request(
                request.method, request.url, headers=kept, content=body
            )
        return await super().handle_async_request(request)


class Refusing(Wire):
    """Refuses every row."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            return httpx.Response(400, stream=httpx.ByteStream(b"{}"))
        return await super().handle_async_request(request)


def of_three_shapes(n: int) -> dict[str, list[str]]:
    rows = people(n)
    for i in range(0, n, 7):
        rows[f"C{i}"][0] = ""
    rows["C100"][1] = "A name that is the longest of all"
    return rows


@pytest.mark.anyio
async def test_a_canary_goes_first_and_is_read_back(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        report = await at.night()

        assert report.applied is not None
        assert report.applied.canary is not None
        assert 25 <= report.applied.canary.n_rows <= 100
        assert report.applied.counts.accepted == 300
        rows = pl.read_parquet(report.applied.folder / "rows.parquet")
        first = rows.filter(pl.col("lane") == 0)
        assert report.applied.canary.n_rows == first.height
        assert first["row_no"].is_sorted()
        assert 101 in first["row_no"]
        assert rows.select("source_no", "row_no").is_duplicated().sum() == 0


@pytest.mark.anyio
async def test_a_canary_that_differs_stops_the_rest_and_goes_on_when_it_is_right(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        report = await at.night(at.through(Forgetful))

        assert report.applied is not None
        assert isinstance(report.applied.error, LimitError)
        assert "in city" in str(report.applied.error)
        assert report.applied.is_resumable
        assert len(at.held()) == report.applied.counts.accepted <= 100

        # The canary is read again: as long as the CRM differs, nothing more goes out.
        again = await at.apply_id(report.applied.run_id)
        assert isinstance(again.error, LimitError)
        assert again.delivery.n_requests == 0
        unwanted = at.job.model_copy(
            update={"sync": at.job.sync.model_copy(update={"canary": False})}
        )
        done = await at.apply_id(report.applied.run_id, filed=unwanted)
        assert done.error is None
        assert done.counts.accepted == 300


@pytest.mark.anyio
async def test_a_canary_that_is_refused_stops_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        at.settings["delivery"] = {"max_rejects": 1_000}
        report = await at.night(at.through(Refusing))

        assert report.applied is not None
        assert isinstance(report.applied.error, LimitError)
        assert "0 were accepted" in str(report.applied.error)
        assert report.applied.counts.pending >= 200
        assert at.held() == {}


# -- what nobody can know ----------------------------------------------------------


@pytest.mark.anyio
async def test_an_import_of_the_dataset_makes_the_next_plan_a_full_one(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        await at.night()
        line = ImportRequest(at.job, at.work_dir, continuation=Continuation())
        await run_import(line, at.connector)
        plan = await at.plan()

        assert plan.plan is not None
        assert plan.plan.figures.n_new == N_PEOPLE
        assert "(import) sent rows of this dataset" in plan.plan.reasons[0]
        await at.apply(plan)
        assert (await at.plan()).plan.figures.n_planned == 0  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_lost_key_means_a_full_plan_and_a_new_beginning(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.key = "f" * 64
        plan = await at.plan()

        assert plan.plan is not None
        assert plan.plan.figures.n_new == N_PEOPLE
        assert "the key of the digests" in plan.plan.reasons[0]
        await at.apply(plan)
        assert (await at.plan()).plan.figures.n_planned == 0  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_a_full_plan_has_every_row_and_says_what_that_risks(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        await at.night()
        plan = await at.plan(is_full=True)

        assert plan.plan is not None
        assert plan.plan.figures.n_new == N_PEOPLE
        assert "start automations" in plan.plan.reasons[0]


@pytest.mark.anyio
async def test_another_mapping_is_noticed_and_explained(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["mapping"] = {
            "customId": "customId",
            "email": "email",
            "city": "city",
        }
        at.settings["rows"] = {"extra_columns": "ignore"}
        await at.night()
        at.settings["mapping"] = {
            "customId": "customId",
            "city": {"column": "city", "trim": False},
            "firstName": "firstName",
        }
        plan = await at.plan()

        assert plan.plan is not None
        told = " ".join(plan.plan.reasons)
        assert "new fields (firstName)" in told
        assert "no longer email" in told
        assert "reads city in another way" in told
        assert plan.plan.figures.changed_fields == {"firstName": N_PEOPLE}


@pytest.mark.anyio
async def test_rows_that_were_purged_unconfirmed_make_a_full_plan(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        plan = await at.plan()
        await at.apply(plan)
        store = StateStore(at.work_dir, _guid(at), "people")
        record = store.record()
        assert record is not None
        told = json.loads((store.folder / "state.json").read_text())
        told |= {"run_generation": record.run_generation - 1}
        (store.folder / "state.json").write_text(json.dumps(told))
        purge_runs(at.work_dir, keep_days=0.0, now=lambda: 9e9)
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_new == N_PEOPLE
        assert "removed or altered" in again.plan.reasons[0]


def _guid(at: Town) -> str:
    with Journal.open(at.work_dir / JOURNAL_NAME) as journal:
        (run, *_) = journal.runs()
        assert run.workspace is not None
        return run.workspace


@pytest.mark.anyio
async def test_a_run_of_a_plan_is_done_in_the_journal(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        report = await at.night()
        (run,) = list_runs(at.work_dir)

        assert report.applied is not None
        assert (run.run_id, run.command) == (report.applied.run_id, "sync")
        assert run.state is RunState.DONE
        with pytest.raises(SettingsError, match="applied a plan"):
            await verify_run(VerifyRequest(at.work_dir, run.run_id), at.connector)
        assert dataclasses.asdict(report.applied.plan)["workspace"] == run.workspace
