"""A town whose list changes from night to night, and ways to disturb its nights."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from pipeline import (
    ApplyReport,
    ApplyRequest,
    Cluster,
    Connector,
    ImportRequest,
    Job,
    PlanReport,
    PlanRequest,
    StopSignal,
    SyncReport,
    apply_plan,
    make_plan,
    run_sync,
)
from pipeline.contract import BATCH_PATH
from pipeline.journal import JOURNAL_NAME, Journal
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


def of_three_shapes(n: int) -> dict[str, list[str]]:
    rows = people(n)
    for i in range(0, n, 7):
        rows[f"C{i}"][0] = ""
    rows["C100"][1] = "A name that is the longest of all"
    return rows


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
    cluster: Cluster | None = None

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
        line = ImportRequest(
            self.job, self.work_dir, cluster=self.cluster, stop=self.stop
        )
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
        told: dict[str, Any] = {
            "now": self.time.wall,
            "stop": self.stop,
            "cluster": self.cluster,
        }
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
            assert profile["email"] == (email or None)
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


def guid(at: Town) -> str:
    with Journal.open(at.work_dir / JOURNAL_NAME) as journal:
        (run, *_) = journal.runs()
        assert run.workspace is not None
        return run.workspace
