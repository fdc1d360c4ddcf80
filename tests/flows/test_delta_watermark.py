"""Nights that read what is new in a query, and all that is not confirmed."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import httpx
import pytest

from pipeline import (
    Connector,
    ImportRequest,
    Job,
    PlanReport,
    PlanRequest,
    StopSignal,
    SyncReport,
    list_runs,
    make_plan,
    run_import,
    run_sync,
)
from pipeline.contract import BATCH_PATH
from pipeline.delta.state import StateStore
from pipeline.delta.watermark import Watermark
from pipeline.errors import SettingsError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from sandbox_driver import Wire, served

KEY = "0123456789abcdef" * 4
N_PEOPLE = 60
# Of the first rows; the clock of the tests stands a year later.
DAY = "2026-01-{:02} 12:00:00"


@dataclass
class Warehouse:
    """A database, a job that reads it, and a CRM."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    sync: dict[str, Any] = field(default_factory=lambda: {"canary": False})
    settings: dict[str, Any] = field(default_factory=dict)
    whole: ClassVar[dict[str, Any]] = {"canary": False, "watermark": None}

    @property
    def path(self) -> Path:
        return self.folder / "shop.db"

    def run(self, statement: str, *values: object) -> None:
        with closing(sqlite3.connect(self.path)) as base, base:
            base.execute(statement, values)

    def put(self, name: str, city: str | None, at: str | None) -> None:
        self.run("REPLACE INTO people VALUES (?, ?, ?)", name, city, at)

    def touch(self, name: str, city: str, at: str) -> None:
        self.run("UPDATE people SET city=?, at=? WHERE customId=?", city, at, name)

    @property
    def job(self) -> Job:
        told: dict[str, Any] = {
            "name": "people",
            "source": {
                "query": "SELECT customId, city, at FROM people ORDER BY customId",
                "connection": f"sqlite:///{self.path}",
            },
            "delivery": {"max_rows": 10, "concurrency": 1},
            "sync": {"watermark": {"column": "at", "lag": 86_400}} | self.sync,
        }
        return Job.model_validate(told | self.settings)

    def request(self, **more: Any) -> PlanRequest:
        line = ImportRequest(self.job, self.folder / "work", stop=StopSignal())
        return PlanRequest(line, KEY, **more)

    async def plan(self, **more: Any) -> PlanReport:
        report = await make_plan(self.request(**more), self.connector)
        assert report.plan is not None
        return report

    async def night(self, wire: Wire | None = None, **more: Any) -> SyncReport:
        connector = replace(self.connector, transport=wire) if wire else self.connector
        report = await run_sync(self.request(**more), connector)
        self.sandbox.settle()
        return report

    def store(self) -> StateStore:
        workspace = list_runs(self.folder / "work")[0].workspace
        assert workspace is not None
        return StateStore(self.folder / "work", workspace, "people")

    def mark(self) -> Watermark | None:
        record = self.store().record()
        assert record is not None
        return record.watermark

    def cities(self) -> dict[str, str | None]:
        return {one["customId"]: one.get("city") for one in self.sandbox.profiles()}


@asynccontextmanager
async def warehouse(folder: Path) -> AsyncIterator[Warehouse]:
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        at = Warehouse(folder, sandbox, connector)
        at.run("CREATE TABLE people (customId TEXT PRIMARY KEY, city TEXT, at TEXT)")
        rows = [(f"C{n:02}", DAY.format(1 + n % 20)) for n in range(N_PEOPLE)]
        with closing(sqlite3.connect(at.path)) as base, base:
            base.executemany("INSERT INTO people VALUES (?, 'Opole', ?)", rows)
        yield at


def told(report: PlanReport) -> str:
    assert report.plan is not None
    return " ".join(report.plan.reasons)


class Refusing(Wire):
    """Refuses one person."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH and b"C59" in request.content:
            return httpx.Response(400, stream=httpx.ByteStream(b"{}"))
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_the_second_night_reads_what_is_new(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        first = await at.night()
        assert first.planned.run.counts.read == N_PEOPLE
        mark = at.mark()
        assert mark is not None
        assert (mark.column, mark.value) == ("at", "2026-01-20T12:00:00.000000")

        at.touch("C07", "Lublin", DAY.format(22))
        at.put("D01", "Sopot", DAY.format(21))
        second = await at.night()
        # Three of the twentieth and three of the day before, which are in the lag.
        assert second.planned.run.counts.read == 2 + 6
        assert second.planned.plan is not None
        assert second.planned.plan.figures.n_changed == 1
        assert second.planned.plan.figures.n_new == 1
        assert second.planned.plan.figures.n_vanished == 0
        assert "only rows with at from 2026-01-19 00:00:00" in told(second.planned)
        assert at.cities()["C07"] == "Lublin"

        third = await at.night()
        assert third.planned.run.counts.unchanged == 2
        assert third.applied is not None
        assert third.applied.delivery.n_requests == 0


@pytest.mark.anyio
async def test_rows_that_were_left_out_are_still_known(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        at.run("DELETE FROM people WHERE customId = 'C00'")
        await at.night()
        at.sync, at.settings = at.whole, {"rows": {"extra_columns": "ignore"}}
        whole = await at.plan()

        assert whole.plan is not None
        assert whole.plan.figures.n_unchanged == N_PEOPLE - 1
        assert whole.plan.figures.n_vanished == 1


@pytest.mark.anyio
async def test_a_row_without_a_moment_is_always_read(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        at.put("N1", "Opole", None)
        at.put("N2", "Opole", "some day")
        await at.night()
        at.run("UPDATE people SET city = 'Elk' WHERE customId IN ('N1', 'N2')")
        await at.night()

        assert (at.cities()["N1"], at.cities()["N2"]) == ("Elk", "Elk")


@pytest.mark.anyio
async def test_what_was_not_accepted_is_read_again(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        before = at.mark()
        at.touch("C59", "Lublin", DAY.format(25))
        at.touch("C01", "Lublin", DAY.format(28))
        report = await at.night(Refusing(at.sandbox))
        assert report.applied is not None
        assert report.applied.counts.rejected == 1
        assert at.mark() == before

        await at.night()
        assert at.cities()["C59"] == "Lublin"
        mark = at.mark()
        assert mark is not None
        assert mark.value.startswith("2026-01-28")


@pytest.mark.anyio
async def test_a_whole_reading_that_was_not_accepted_keeps_no_watermark(
    tmp_path: Path,
) -> None:
    async with warehouse(tmp_path) as at:
        await at.night(Refusing(at.sandbox))
        assert at.mark() is None
        again = await at.night()

        assert again.planned.run.counts.read == N_PEOPLE
        assert "no watermark was confirmed" in told(again.planned)
        assert len(at.cities()) == N_PEOPLE
        assert at.mark() is not None


@pytest.mark.anyio
async def test_another_way_of_reading_reads_everything(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        for settings, sync in (
            ({"rows": {"blank": "block"}}, {}),
            ({"mapping": {"customId": "customId", "displayName": "city"}}, {}),
            ({}, {"watermark": {"column": "at", "lag": 5}}),
        ):
            at.settings, at.sync = settings, {"canary": False} | sync
            found = await at.plan()
            assert found.run.counts.read == N_PEOPLE
            assert "in another way than before" in told(found)
            assert not list((at.folder / "work" / "runs").glob("*/spool"))


@pytest.mark.anyio
async def test_a_lost_state_and_full_read_everything(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        full = await at.plan(is_full=True)
        assert full.run.counts.read == N_PEOPLE
        assert full.plan is not None
        assert full.plan.figures.n_planned == N_PEOPLE

        (state,) = (at.folder / "work" / "state").glob("*/state.json")
        state.unlink()
        (at.folder / "work" / "journal.sqlite").unlink()
        lost = await at.plan()
        assert lost.run.counts.read == N_PEOPLE
        assert "nothing was confirmed yet" in told(lost)


@pytest.mark.anyio
async def test_another_key_reads_everything(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        report = await make_plan(replace(at.request(), key="f" * 64), at.connector)

        assert report.run.counts.read == N_PEOPLE
        assert "the key of the digests" in told(report)


@pytest.mark.anyio
async def test_a_column_that_became_another_kind_reads_everything(
    tmp_path: Path,
) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        store = at.store()
        record = store.record()
        assert record is not None
        assert record.watermark is not None
        odd = replace(record.watermark, kind="local")
        store.change(replace(record, watermark=odd), lambda _bucket: None)
        found = await at.plan()

        assert found.run.counts.read == N_PEOPLE
        assert "at tells moments in another way" in told(found)


@pytest.mark.anyio
async def test_several_rows_of_a_person_keep_no_watermark(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        at.settings = {
            "source": {
                "query": "SELECT customId, city, at FROM people "
                "UNION ALL SELECT customId, 'Elk', at FROM people "
                "WHERE customId = 'C01'",
                "connection": f"sqlite:///{at.path}",
            }
        }
        first = await at.night()

        assert "are of persons who have several" in told(first.planned)
        assert at.mark() is None


@pytest.mark.anyio
async def test_a_mirror_reads_everything_and_deletes_nobody_for_it(
    tmp_path: Path,
) -> None:
    async with warehouse(tmp_path) as at:
        at.sync = {"canary": False, "mode": "mirror", "max_deletes": N_PEOPLE}
        await at.night()
        assert at.mark() is not None
        at.touch("C07", "Lublin", DAY.format(22))
        second = await at.night()

        assert second.planned.run.counts.read == N_PEOPLE
        assert "a mirror has to see who has no row" in told(second.planned)
        assert second.planned.plan is not None
        assert second.planned.plan.figures.n_deletes == 0
        assert len(at.cities()) == N_PEOPLE


@pytest.mark.anyio
async def test_rows_that_are_held_back_keep_no_watermark(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        at.sync = {"canary": False, "mode": "update-only"}
        first = await at.night()
        assert first.planned.run.counts.blocked == N_PEOPLE
        assert at.mark() is None

        told = {"name": "others", "sync": {}, "rows": {"extra_columns": "ignore"}}
        other = Job.model_validate(at.job.model_dump(include={"source"}) | told)
        line = ImportRequest(other, tmp_path / "elsewhere")
        assert (await run_import(line, at.connector)).error is None
        at.sandbox.settle()
        # Nobody touched them, and now they may go.
        second = await at.night()
        assert second.planned.run.counts.read == N_PEOPLE
        assert second.applied is not None
        assert second.applied.counts.accepted == N_PEOPLE


@pytest.mark.anyio
async def test_a_night_without_a_watermark_keeps_none(tmp_path: Path) -> None:
    async with warehouse(tmp_path) as at:
        await at.night()
        at.sync, at.settings = at.whole, {"rows": {"extra_columns": "ignore"}}
        await at.night()

        assert at.mark() is None


@pytest.mark.anyio
async def test_guards_take_a_small_night_for_usual_and_a_large_one_not(
    tmp_path: Path,
) -> None:
    async with warehouse(tmp_path) as at:
        at.settings = {"delivery": {"max_rows": 1000}}
        at.run(
            "WITH RECURSIVE r(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM r LIMIT 300)"
            "INSERT INTO people SELECT 'E' || n, 'Opole', ? FROM r",
            DAY.format(2),
        )
        await at.night()
        at.run(
            "UPDATE people SET city='Elk', at=? WHERE customId < 'C30'", DAY.format(23)
        )
        small = await at.plan()
        assert small.plan is not None
        assert small.plan.figures.n_changed == 30
        assert small.plan.trips == ()

        at.run(
            "UPDATE people SET city='Elk', at=? WHERE customId >= 'E'", DAY.format(23)
        )
        large = await at.plan()
        assert large.plan is not None
        assert "(max_changed)" in large.plan.trips[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"source": {"path": "people.csv"}}, "is for a query"),
        ({"sync": {"watermark": {"column": "no"}}}, "'no', and the source has no such"),
        ({"sync": {"watermark": {"column": "n"}}}, "'n', and the source has no date"),
    ],
)
async def test_a_watermark_that_makes_no_sense(
    tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    async with warehouse(tmp_path) as at:
        (tmp_path / "people.csv").write_text("customId\nC1\n")
        query = "SELECT customId, at, 1 AS n FROM people"
        connection = f"sqlite:///{at.path}"
        at.settings = {
            "source": {"query": query, "connection": connection},
            "rows": {"extra_columns": "ignore"},
        } | settings
        with pytest.raises(SettingsError, match=words):
            await at.plan()
