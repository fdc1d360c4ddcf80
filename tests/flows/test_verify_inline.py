"""An import reads back by itself: what it says, what it waits for, how it ends."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from pipeline import (
    Connector,
    ImportRequest,
    Job,
    RunReport,
    StopSignal,
    VerifyReport,
    VerifyRequest,
    list_runs,
    run_import,
    verify_run,
)
from pipeline.errors import InterruptedRunError, InvariantError
from pipeline.journal_tables import RunState
from pipeline.records import VerifyState
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.weather import Weather
from pipeline.verify.report import accepted_parts
from sandbox_driver import FakeTime, Wire, served

N_ROWS = 600
SETTLED, DIFFERS = VerifyState.SETTLED, VerifyState.DIFFERS
ABSENT, NOT_YET = VerifyState.ABSENT, VerifyState.NOT_YET
UNVERIFIED = VerifyState.UNVERIFIED


def people(folder: Path, n_rows: int = N_ROWS) -> Path:
    path = folder / "people.csv"
    rows = (
        f"C{n},{'' if n % 3 else f'p{n}@example.com'},Ewa {n}\n" for n in range(n_rows)
    )
    path.write_text("customId,email,firstName\n" + "".join(rows))
    return path


def request(folder: Path, **job: Any) -> ImportRequest:
    told = {"source": {"path": str(people(folder))}, **job}
    return ImportRequest(
        Job.model_validate(told),
        folder / "work",
        exit_code=lambda _counts, error, n_wrong: 130 if error else 4 * bool(n_wrong),
    )


def reply(status: int, body: bytes = b"", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, headers=named, stream=httpx.ByteStream(body))


class Reads(Wire):
    """Notes the profiles that were asked for; may act on one of them, or answer it."""

    def __init__(
        self, sandbox: Sandbox, act: Callable[[int], httpx.Response | None]
    ) -> None:
        super().__init__(sandbox)
        self._act = act
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and "/v4/clients/by-" in request.url.path:
            self.asked.append(request.url.path.rpartition("/")[2])
            n = len(self.asked)
            await asyncio.sleep(0)  # as a socket would, let others run
            answer = self._act(n)
            if answer is not None:
                return answer
        return await super().handle_async_request(request)


def imported(
    asked: ImportRequest,
    *,
    weather: Weather | None = None,
    settle_s: float = 0.0,
    act: Callable[[int], httpx.Response | None] = lambda _n: None,
) -> tuple[RunReport, Reads, FakeTime]:
    options = SandboxOptions(weather=weather or Weather(), settle_s=settle_s)
    with served(options) as (sandbox, connector, time):
        wire = Reads(sandbox, act)
        there = Connector(connector.remote, wire, connector.clock)
        return asyncio.run(run_import(asked, there)), wire, time


def seen(report: RunReport) -> VerifyReport:
    assert report.verification is not None
    assert sum(report.accepted_parts.values()) == report.counts.accepted
    return report.verification


def test_a_sample_of_300_rows_is_read_back_by_itself(tmp_path: Path) -> None:
    told: list[int] = []
    asked = request(tmp_path)
    report, wire, _ = imported(
        ImportRequest(asked.job, asked.work_dir, on_verify=told.append)
    )

    assert told == [300]
    assert (
        seen(report).counts[SETTLED] == seen(report).n_asked == len(wire.asked) == 300
    )
    assert report.accepted_parts["unverified"] == N_ROWS - 300
    # 200 of the 600 rows have two identifiers: half of the sample, not a third.
    assert sum(int(name[1:]) % 3 == 0 for name in wire.asked) == 150
    assert 0.0095 < seen(report).wrong_share_at_most < 0.015
    assert (report.n_wrong, report.paths.keys() & {"differences"}) == (0, set())


def test_the_command_asks_for_the_same_rows(tmp_path: Path) -> None:
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        first, again = Reads(sandbox, lambda _: None), Reads(sandbox, lambda _: None)

        async def both() -> None:
            there = Connector(connector.remote, first, connector.clock)
            run = await run_import(request(tmp_path, verify_rows=40), there)
            there = Connector(connector.remote, again, connector.clock)
            verify = VerifyRequest(tmp_path / "work", run.run_id, n_rows=40)
            await verify_run(verify, there)

        asyncio.run(both())

    assert len(first.asked) == 40
    assert sorted(first.asked) == sorted(again.asked)


@pytest.mark.parametrize("max_store_bytes", [2**30, 1], ids=["kept", "read again"])
def test_all_rows_are_asked_for_when_the_job_says_so(
    tmp_path: Path, max_store_bytes: int
) -> None:
    asked = request(tmp_path, verify="all")
    report, wire, _ = imported(
        ImportRequest(asked.job, asked.work_dir, max_store_bytes=max_store_bytes)
    )

    assert seen(report).counts[SETTLED] == N_ROWS == len(wire.asked)
    assert seen(report).wrong_share_at_most == 0.0


def test_none_asks_for_nothing(tmp_path: Path) -> None:
    report, wire, _ = imported(request(tmp_path, verify="none"))

    assert (report.verification, wire.asked) == (None, [])
    assert report.accepted_parts["unverified"] == N_ROWS


def test_a_slow_queue_is_waited_for(tmp_path: Path) -> None:
    report, wire, time = imported(request(tmp_path), settle_s=20.0)

    assert seen(report).counts[SETTLED] == 300
    assert seen(report).settled_after_s is not None
    assert 20.0 <= time.now_s < 60.0
    assert len(wire.asked) < 300 + 80  # a few rows told when to ask for the others


def test_a_minute_is_the_longest_wait_and_not_yet_is_no_failure(
    tmp_path: Path,
) -> None:
    report, wire, time = imported(request(tmp_path), weather=Weather(lost=1.0))

    assert seen(report).counts[NOT_YET] == 300
    assert len(wire.asked) < 300 + 100  # all of them once, a few again and again
    assert (report.n_wrong, report.error) == (0, None)
    assert 59.0 < time.now_s < 62.0


def test_answers_that_take_time_are_no_gate_that_is_shut(tmp_path: Path) -> None:
    options = SandboxOptions(weather=Weather(lost=1.0))
    with served(options) as (sandbox, connector, time):

        def later(_n: int) -> None:
            time.now_s += 0.05

        there = Connector(connector.remote, Reads(sandbox, later), connector.clock)
        report = asyncio.run(run_import(request(tmp_path), there))

    assert seen(report).refusal is None
    assert seen(report).counts[NOT_YET] == 300


def test_what_is_absent_after_its_time_is_wrong_and_named(tmp_path: Path) -> None:
    asked = request(tmp_path, settle=10.0, verify_rows=50)
    report, _, time = imported(asked, weather=Weather(lost=1.0))

    assert seen(report).counts[ABSENT] == report.n_wrong == 50
    assert pl.read_csv(report.paths["differences"]).height == 50
    assert 9.0 < time.now_s < 12.0
    runs = list_runs(tmp_path / "work")
    assert [(run.exit_code, run.state) for run in runs] == [(4, RunState.DONE)]


def test_another_value_differs_after_its_time(tmp_path: Path) -> None:
    def other(n: int) -> httpx.Response | None:
        profile = b'{"clientId": 1, "customId": "nobody"}'
        return reply(200, profile) if n == 1 else None

    asked = request(tmp_path, settle=0.0, verify_rows=50)
    report, _, _ = imported(asked, act=other)

    assert seen(report).counts[DIFFERS] == report.n_wrong == 1
    assert seen(report).counts[SETTLED] == 49
    assert "customId" in seen(report).fields


def test_a_key_that_may_not_read_is_no_failure(tmp_path: Path) -> None:
    report, wire, _ = imported(request(tmp_path), act=lambda _: reply(403, b"{}"))

    assert seen(report).counts[UNVERIFIED] == N_ROWS
    assert "refused (403)" in str(seen(report).refusal)
    assert (report.error, report.n_wrong) == (None, 0)
    assert len(wire.asked) < 20


@pytest.mark.parametrize(
    "answer",
    [lambda _: reply(200, b"[1]"), lambda _: reply(429, Retry_After="3600")],
    ids=["no profile", "an hour"],
)
def test_a_service_that_cannot_be_read_leaves_the_import_done(
    tmp_path: Path, answer: Callable[[int], httpx.Response]
) -> None:
    report, _, time = imported(request(tmp_path), act=answer)

    assert seen(report).counts[UNVERIFIED] == N_ROWS
    assert (report.error, report.n_wrong) == (None, 0)
    assert seen(report).refusal
    assert time.now_s < 62.0


def test_a_signal_while_it_waits_ends_it_with_what_is_known(tmp_path: Path) -> None:
    stop = StopSignal()
    asked = request(tmp_path)
    asked = ImportRequest(
        asked.job, asked.work_dir, stop=stop, exit_code=asked.exit_code
    )
    report, wire, time = imported(
        asked, act=lambda n: stop.request() if n == 100 else None
    )

    assert isinstance(report.error, InterruptedRunError)
    assert 80 <= seen(report).counts[SETTLED] <= len(wire.asked) <= 120
    assert time.now_s < 1.0
    assert (report.counts.pending, report.is_resumable) == (0, False)
    runs = list_runs(tmp_path / "work")
    assert [(run.exit_code, run.state) for run in runs] == [(130, RunState.DONE)]


class Dead(Wire):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/batch"):
            raise httpx.ConnectError("down", request=request)
        return await super().handle_async_request(request)


def test_what_did_not_all_go_out_is_not_waited_for(tmp_path: Path) -> None:
    with served(SandboxOptions(settle_s=600.0)) as (sandbox, connector, _):
        there = Connector(connector.remote, Dead(sandbox), connector.clock)
        report = asyncio.run(run_import(request(tmp_path), there))

    assert report.error is not None
    assert report.verification is None


def test_a_gate_that_one_reader_meets_holds_all_of_them(tmp_path: Path) -> None:
    at: list[float] = []

    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, time):

        def busy(n: int) -> httpx.Response | None:
            at.append(time.now_s)
            return reply(429, Retry_After="7") if n == 50 else None

        there = Connector(connector.remote, Reads(sandbox, busy), connector.clock)
        report = asyncio.run(run_import(request(tmp_path), there))

    assert seen(report).counts[SETTLED] == 300
    shut = [now_s for now_s in at if at[49] < now_s < at[49] + 7.0]
    assert shut == []
    assert at[-1] > at[49] + 7.0


def test_the_parts_never_exceed_what_is_accepted() -> None:
    parts = accepted_parts(5, {SETTLED: 3, NOT_YET: 1, UNVERIFIED: 9})

    assert sum(parts.values()) == 5
    assert parts[UNVERIFIED] == 1
    with pytest.raises(InvariantError, match="4 were read back"):
        accepted_parts(3, {SETTLED: 4})
