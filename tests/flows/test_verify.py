"""Reading back tells what is there, what is not, and what nobody can know yet."""

import csv
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline import (
    Connector,
    Identifier,
    ImportRequest,
    Job,
    RunReport,
    StopSignal,
    VerifyReport,
    VerifyRequest,
    delete_profile,
    run_import,
    update_profile,
    verify_run,
)
from pipeline.contract import BATCH_PATH
from pipeline.errors import (
    ContractError,
    InterruptedRunError,
    SettingsError,
    SourceChangedError,
    WrongWorkspaceError,
)
from pipeline.records import VerifyState
from pipeline.sandbox.server import WORKSPACE_GUID, Sandbox, SandboxOptions
from pipeline.sandbox.weather import Weather
from sandbox_driver import FakeTime, Wire, served

N_ROWS = 400
SETTLED, DIFFERS = VerifyState.SETTLED, VerifyState.DIFFERS
ABSENT, NOT_YET = VerifyState.ABSENT, VerifyState.NOT_YET
UNVERIFIED = VerifyState.UNVERIFIED


@dataclass
class Desk:
    """A work folder, its source, a sandbox, and a clock that jumps over waits."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    time: FakeTime

    def source(self, extra: str = "") -> Path:
        path = self.folder / "people.csv"
        lines = [
            f"C{n},{'' if n % 2 else f'p{n}@example.com'},Ewa {n},{n}"
            for n in range(N_ROWS)
        ]
        text = "\n".join(lines)
        path.write_text(f"customId,email,firstName,attributes.n\n{text}\n{extra}")
        return path

    async def imported(self, **more: Any) -> RunReport:
        job = job_of(self.source(**more))
        report = await run_import(self.request(job), self.connector)
        assert report.error is None
        return report

    def request(self, job: Job) -> ImportRequest:
        return ImportRequest(job, self.folder / "work")

    async def verified(
        self, run_id: str, connector: Connector | None = None, **more: Any
    ) -> VerifyReport:
        request = VerifyRequest(
            self.folder / "work",
            run_id,
            **{"wall": self.wall, "n_rows": None, "settle_s": 0.0} | more,
        )
        return await verify_run(request, connector or self.connector)

    def wall(self) -> float:
        """The journal's own clock, and what was waited since."""
        return time.time() + self.time.now_s

    def through(self, wire: Callable[[Sandbox], httpx.AsyncBaseTransport]) -> Connector:
        return replace(self.connector, transport=wire(self.sandbox))

    async def change(self, number: int, fields: dict[str, Any]) -> None:
        known = Identifier("customId", f"C{number}")
        await update_profile(self.connector, known, fields)
        self.sandbox.settle()


def job_of(source: Path, **more: Any) -> Job:
    """A job whose import leaves reading back to the test."""
    told = {"source": {"path": str(source)}, "verify": "none", **more}
    return Job.model_validate(told)


@asynccontextmanager
async def desk(
    folder: Path, weather: Weather | None = None, settle_s: float = 0.0
) -> AsyncIterator[Desk]:
    options = SandboxOptions(weather=weather or Weather(), settle_s=settle_s)
    with served(options) as (sandbox, connector, fake):
        yield Desk(folder, sandbox, connector, fake)


def lines_of(report: VerifyReport) -> list[dict[str, str]]:
    assert report.path is not None
    with report.path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.anyio
async def test_what_arrived_is_settled(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        report = await at.verified(run.run_id)

        assert report.counts == dict.fromkeys(VerifyState, 0) | {SETTLED: N_ROWS}
        assert (report.n_accepted, report.n_asked) == (N_ROWS, N_ROWS)
        assert (report.wrong_share_at_most, report.n_wrong) == (0.0, 0)
        assert (report.path, report.refusal) == (None, None)
        assert not (report.folder / "verify-differences.csv").exists()


@pytest.mark.anyio
async def test_one_altered_and_one_deleted_row_are_found_and_named(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        await at.change(7, {"firstName": "Eva", "attributes.n": "8", "attributes.m": 1})
        await delete_profile(at.connector, Identifier("customId", "C200"))
        at.sandbox.settle()
        report = await at.verified(run.run_id)

        assert report.counts[SETTLED] == N_ROWS - 2
        assert (report.counts[DIFFERS], report.counts[ABSENT]) == (1, 1)
        assert report.fields == {"firstName": 1, "attributes.n": 1}
        assert report.wrong_share_at_most == 2 / N_ROWS
        place = {"source": "people.csv", "row_no": "8", "state": "differs"}
        assert lines_of(report) == [
            place | {"field": "firstName", "sent": '"Ewa 7"', "found": '"Eva"'},
            place | {"field": "attributes.n", "sent": '"7"', "found": '"8"'},
            {"source": "people.csv", "row_no": "201", "state": "absent"}
            | {"field": "", "sent": "", "found": ""},
        ]

        await at.change(7, {"firstName": "Ewa 7", "attributes.n": "7"})
        again = await at.verified(run.run_id)
        assert (again.counts[DIFFERS], again.counts[ABSENT]) == (0, 1)
        assert [line["row_no"] for line in lines_of(again)] == ["201"]


@pytest.mark.anyio
async def test_a_sample_says_how_much_may_be_wrong(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        report = await at.verified(run.run_id, n_rows=100)

        assert report.counts[SETTLED] == report.n_asked == 100
        assert report.counts[UNVERIFIED] == N_ROWS - 100
        assert 0.029 < report.wrong_share_at_most < 0.031


@pytest.mark.anyio
async def test_a_slow_queue_is_waited_for(tmp_path: Path) -> None:
    async with desk(tmp_path, settle_s=40.0) as at:
        run = await at.imported()
        n_before = len(at.sandbox.store.requests())
        report = await at.verified(run.run_id, settle_s=600.0)

        assert report.counts[SETTLED] == N_ROWS
        assert report.settled_after_s is not None
        assert 40.0 <= report.settled_after_s < 80.0
        # A few were asked for again and again, the others once.
        assert len(at.sandbox.store.requests()) - n_before < N_ROWS + 100


@pytest.mark.anyio
async def test_what_is_not_there_in_time_is_absent_and_before_that_not_yet(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path, Weather(lost=1.0)) as at:
        run = await at.imported()
        began_s = at.time.now_s
        late = await at.verified(run.run_id, settle_s=120.0, n_rows=20)

        assert late.counts[ABSENT] == late.n_wrong == 20
        assert at.time.now_s - began_s < 180.0
        assert len(lines_of(late)) == 20


@pytest.mark.anyio
async def test_nobody_waits_for_rows_whose_time_is_over(tmp_path: Path) -> None:
    async with desk(tmp_path, Weather(lost=1.0)) as at:
        run = await at.imported()
        at.time.now_s += 601.0
        began_s = at.time.now_s
        report = await at.verified(run.run_id, settle_s=600.0, n_rows=20)

        assert report.counts[ABSENT] == 20
        assert at.time.now_s == began_s


@pytest.mark.anyio
async def test_a_request_to_stop_ends_the_wait(tmp_path: Path) -> None:
    async with desk(tmp_path, Weather(lost=1.0)) as at:
        run = await at.imported()
        stop = StopSignal()

        class Asked(Wire):
            async def handle_async_request(
                self, request: httpx.Request
            ) -> httpx.Response:
                if "by-customid" in request.url.path:
                    stop.request()
                return await super().handle_async_request(request)

        report = await at.verified(
            run.run_id, at.through(Asked), stop=stop, settle_s=600.0
        )

        assert isinstance(report.error, InterruptedRunError)
        assert report.counts[UNVERIFIED] == N_ROWS - report.n_asked >= N_ROWS - 8
        assert at.time.now_s < 1.0


class Instead(Wire):
    """A service that answers every question for a profile in the same way."""

    def __init__(self, sandbox: Sandbox, status: int, body: bytes) -> None:
        super().__init__(sandbox)
        self._status = status
        self._body = body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and "/v4/clients/" in request.url.path:
            return httpx.Response(self._status, stream=httpx.ByteStream(self._body))
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_a_key_that_may_not_read_leaves_rows_unverified(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        report = await at.verified(
            run.run_id, at.through(partial(Instead, status=403, body=b"{}"))
        )

        assert report.counts[UNVERIFIED] == report.n_accepted == N_ROWS
        assert report.n_wrong == 0
        assert "refused (403)" in str(report.refusal)


@pytest.mark.anyio
async def test_what_is_no_profile_is_no_difference_either(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        with pytest.raises(ContractError, match="no profile"):
            await at.verified(
                run.run_id, at.through(partial(Instead, status=200, body=b"[1]"))
            )


@pytest.mark.anyio
@pytest.mark.parametrize(
    "change", ["gone", "longer", "same size", "no column", "another column"]
)
async def test_a_source_that_is_not_what_was_sent_cannot_be_verified(
    tmp_path: Path, change: str
) -> None:
    async with desk(tmp_path) as at:
        run = await at.imported()
        path = tmp_path / "people.csv"
        text = path.read_text()
        if change == "gone":
            path.unlink()
        elif change == "longer":
            path.write_text(f"{text}C9999,,New,1\n")
        elif change == "same size":
            path.write_text(text.replace("Ewa 7", "Eva 7"))
        elif change == "no column":
            path.write_text(text.replace("customId,", "", 1))
        else:  # as long as before, and yet the mapping does not fit it any more
            path.write_text(text.replace("firstName", "wasThere1", 1))
        with pytest.raises(SourceChangedError, match="cannot be verified: its source"):
            await at.verified(run.run_id)


@pytest.mark.anyio
async def test_only_the_workspace_of_the_run_can_tell(tmp_path: Path) -> None:
    async with desk(tmp_path) as at, desk(tmp_path) as other:
        run = await at.imported()
        with pytest.raises(SettingsError, match="there is no run nonsense"):
            await at.verified("nonsense")

        class Elsewhere(Wire):
            async def handle_async_request(
                self, request: httpx.Request
            ) -> httpx.Response:
                response = await super().handle_async_request(request)
                if "business-profile" not in request.url.path:
                    return response
                told = await response.aread()
                body = told.replace(WORKSPACE_GUID.encode(), b"elsewhere")
                return httpx.Response(200, stream=httpx.ByteStream(body))

        with pytest.raises(WrongWorkspaceError):
            await other.verified(run.run_id, other.through(Elsewhere))


class DownAfter(Wire):
    """A service that goes away behind the first batch."""

    n_batches = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.n_batches += request.url.path == BATCH_PATH
        if self.n_batches > 1:
            raise httpx.ConnectError("down", request=request)
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_of_an_unfinished_run_the_accepted_rows_are_asked_for(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        job = job_of(at.source(), delivery={"max_rows": 50})
        run = await run_import(at.request(job), at.through(DownAfter))
        report = await at.verified(run.run_id)

        assert run.counts.pending == N_ROWS - 50
        assert report.counts[SETTLED] == report.n_accepted == 50


@pytest.mark.anyio
async def test_folded_rows_are_compared_as_they_were_sent(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        extra = "C3,,Folded,3\nC4,p4@example.com,,44\n"
        run = await at.imported(extra=extra)
        report = await at.verified(run.run_id)

        assert run.counts.folded == 2
        assert report.counts[SETTLED] == report.n_accepted == N_ROWS


@pytest.mark.anyio
async def test_the_rate_of_the_job_is_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as at:
        job = job_of(at.source(), delivery={"rate": 5.0})
        run = await run_import(at.request(job), at.connector)
        began_s = at.time.now_s
        report = await at.verified(run.run_id, n_rows=100)

        assert report.n_asked == 100
        assert at.time.now_s - began_s >= 99 / 5.0 - 1.0


@pytest.mark.anyio
async def test_rows_that_share_a_phone_with_one_that_has_nothing_else_are_left_out(
    tmp_path: Path,
) -> None:
    async with desk(tmp_path) as at:
        path = tmp_path / "people.csv"
        path.write_text(
            "customId,phone,firstName\n"
            "A,+48600100200,Ala\n,+48600100200,Someone\nB,+48600100201,Bea\n"
        )
        job = job_of(path)
        run = await run_import(at.request(job), at.connector)
        report = await at.verified(run.run_id)
        sampled = await at.verified(run.run_id, n_rows=2)

        assert run.counts.accepted == report.n_accepted == 3
        assert (report.n_ambiguous, report.counts[UNVERIFIED]) == (2, 2)
        assert report.counts[SETTLED] == report.n_asked == 1
        assert sampled.counts == report.counts
