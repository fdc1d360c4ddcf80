"""Applied plans are read back: at their end, and by `verify` later."""

from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from flows.delta_town import KEY, Stopping, Town, town
from pipeline import (
    Identifier,
    ImportRequest,
    Job,
    PlanRequest,
    VerifyReport,
    VerifyRequest,
    delete_profile,
    list_runs,
    run_sync,
    update_profile,
    verify_run,
)
from pipeline.contract import BATCH_PATH
from pipeline.errors import InterruptedRunError, SourceChangedError
from pipeline.journal_tables import RunState
from pipeline.records import VerifyState
from pipeline.sandbox.server import Sandbox
from pipeline.stopping import StopSignal
from sandbox_driver import Wire

SETTLED, DIFFERS = VerifyState.SETTLED, VerifyState.DIFFERS
ABSENT, NOT_YET = VerifyState.ABSENT, VerifyState.NOT_YET


class Reads(Wire):
    """Notes the profiles that were asked for; may stop a run at the first."""

    def __init__(self, sandbox: Sandbox, stop: StopSignal | None = None) -> None:
        super().__init__(sandbox)
        self._stop = stop
        self.asked: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/v4/clients/by-" in request.url.path:
            self.asked.append(request.url.path.rpartition("/")[2])
            if self._stop is not None:
                self._stop.request()
        return await super().handle_async_request(request)


class Blind(Wire):
    """Refuses to show profiles."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/v4/clients/by-" in request.url.path:
            return httpx.Response(403, stream=httpx.ByteStream(b"{}"))
        return await super().handle_async_request(request)


async def verified(at: Town, run_id: str, **more: Any) -> VerifyReport:
    told = {"n_rows": None, "settle_s": 0.0, "wall": at.time.wall} | more
    return await verify_run(VerifyRequest(at.work_dir, run_id, **told), at.connector)


async def change(at: Town, name: str, fields: dict[str, Any]) -> None:
    await update_profile(at.connector, Identifier("customId", name), fields)
    at.sandbox.settle()


@pytest.mark.anyio
async def test_a_night_reads_back_what_it_sent_and_nothing_else(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        told: list[int] = []
        await at.night()
        for n in (1, 2, 3):
            at.rows[f"C{n}"][1] = "Eva"
        wire = Reads(at.sandbox)
        plan = await at.plan()
        report = await at.apply(plan, at.through(lambda _: wire), on_verify=told.append)

        assert told == [3]
        assert sorted(wire.asked) == ["C1", "C2", "C3"]
        assert report.verification is not None
        assert report.verification.counts[SETTLED] == 3
        assert report.accepted_parts["settled"] == 3
        assert (report.n_wrong, report.error) == (0, None)


@pytest.mark.anyio
async def test_verify_draws_the_rows_that_a_night_drew(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings |= {"verify_rows": 7, "sync": {"canary": False}}
        wire, again = Reads(at.sandbox), Reads(at.sandbox)
        night = await at.night(at.through(lambda _: wire))
        assert night.applied is not None
        request = VerifyRequest(at.work_dir, night.applied.run_id, n_rows=7)
        await verify_run(request, at.through(lambda _: again))

        assert len(wire.asked) == 7
        assert sorted(wire.asked) == sorted(again.asked)


@pytest.mark.anyio
@pytest.mark.parametrize("fields", ["all", "changed"])
async def test_verify_tells_what_the_crm_lost_of_what_was_sent(
    tmp_path: Path, fields: str
) -> None:
    async with town(tmp_path) as at:
        at.settings["sync"] = {"fields": fields}
        await at.night()
        for n in (1, 2, 3):
            at.rows[f"C{n}"][1] = "Eva"
        report = (await at.night()).applied
        assert report is not None
        await change(at, "C1", {"firstName": "Edited"})
        await change(at, "C2", {"city": "Edited"})
        await delete_profile(at.connector, Identifier("customId", "C3"))
        at.sandbox.settle()
        seen = await verified(at, report.run_id)

        # C2 gives no city, so nothing was said about it.
        assert seen.counts == {
            SETTLED: 1, DIFFERS: 1, ABSENT: 1, NOT_YET: 0, VerifyState.UNVERIFIED: 0,
        }  # fmt: skip
        assert seen.fields == {"firstName": 1}
        assert seen.path is not None
        lines = pl.read_csv(seen.path).select("source", "row_no", "state").rows()
        assert lines == [("people.csv", 2, "differs"), ("people.csv", 4, "absent")]


@pytest.mark.anyio
async def test_the_source_need_not_be_there(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        report = (await at.night()).applied
        assert report is not None
        (at.folder / "people.csv").unlink()

        assert (await verified(at, report.run_id)).counts[SETTLED] == 60


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["rows.parquet", "plan.json"])
async def test_a_plan_that_is_gone_or_altered_proves_nothing(
    tmp_path: Path, name: str
) -> None:
    async with town(tmp_path) as at:
        report = (await at.night()).applied
        assert report is not None
        path = report.folder / name
        path.write_bytes(path.read_bytes().replace(b"people", b"others") + b" ")
        with pytest.raises(SourceChangedError, match="gone or were altered"):
            await verified(at, report.run_id)
        path.unlink()
        with pytest.raises(SourceChangedError, match="bring it back"):
            await verified(at, report.run_id)


@pytest.mark.anyio
async def test_rows_that_differ_at_the_end_of_a_night_are_told(tmp_path: Path) -> None:
    class Forgetful(Wire):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            if request.url.path == BATCH_PATH:
                body = request.content.replace(b'"Eva"', b'"Ava"')
                request = httpx.Request(
                    "POST", request.url, headers=request.headers, content=body
                )
            return await super().handle_async_request(request)

    async with town(tmp_path) as at:
        at.settings["settle"] = 0.0
        await at.night()
        at.rows["C1"][1] = "Eva"
        codes: list[int] = []

        def code(_counts: object, error: object, n_wrong: int) -> int:
            codes.append(4 if n_wrong else int(error is not None))
            return codes[-1]

        plan = await at.plan()
        report = await at.apply(plan, at.through(Forgetful), exit_code=code)

        assert report.n_wrong == 1
        assert report.error is None
        assert report.paths["differences"].is_file()
        assert codes == [0, 4]  # the run is over before it is read back
        assert list_runs(at.work_dir)[-1].exit_code == 4
        # What was accepted is known all the same; the next night has nothing to send.
        again = await at.plan()
        assert again.plan is not None
        assert again.plan.figures.n_planned == 0


@pytest.mark.anyio
@pytest.mark.parametrize("verify", ["none", "all"])
async def test_the_job_says_how_much_is_read_back(tmp_path: Path, verify: str) -> None:
    async with town(tmp_path) as at:
        at.settings |= {"verify": verify, "verify_rows": 3, "sync": {"canary": False}}
        wire = Reads(at.sandbox)
        report = (await at.night(at.through(lambda _: wire))).applied

        assert report is not None
        assert len(wire.asked) == (0 if verify == "none" else 60)
        assert (report.verification is None) is (verify == "none")


@pytest.mark.anyio
async def test_another_reading_back_may_be_asked_for(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        told = at.job.model_copy(update={"verify": "none"})
        report = await at.apply(plan, told=told)

        assert report.verification is None


@pytest.mark.anyio
async def test_a_key_that_may_not_read_leaves_a_night_as_it_is(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        report = (await at.night(at.through(Blind))).applied

        assert report is not None
        assert report.verification is not None
        assert report.verification.refusal is not None
        assert report.error is None
        assert report.accepted_parts["unverified"] == report.counts.accepted == 60


@pytest.mark.anyio
async def test_a_stop_while_rows_are_read_back_costs_no_row(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Reads(sandbox, at.stop))
        report = (await at.night(wire)).applied

        assert report is not None
        assert isinstance(report.error, InterruptedRunError)
        assert report.counts.accepted == 60
        assert not report.is_resumable
        assert list_runs(at.work_dir)[-1].state is RunState.DONE
        at.stop = StopSignal()
        again = await at.plan()
        assert again.plan is not None
        assert again.plan.figures.n_planned == 0


@pytest.mark.anyio
async def test_a_resumed_night_is_read_back_as_a_whole(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, 2))
        cut = (await at.night(wire)).applied
        assert cut is not None
        assert cut.verification is None
        done = await at.apply_id(cut.run_id, stop=StopSignal())

        assert done.verification is not None
        assert done.verification.n_accepted == 60


@pytest.mark.anyio
async def test_rows_that_share_a_phone_are_left_out(tmp_path: Path) -> None:
    lines = ["customId,email,phone", "C1,a@example.com,+48600100200"]
    lines += [",,+48600100200", "C3,c@example.com,", ",,+48600100203"]
    path = tmp_path / "phones.csv"
    path.write_text("\n".join(lines) + "\n")
    async with town(tmp_path) as at:
        told = {"name": "phones", "source": {"path": str(path)}}
        line = ImportRequest(Job.model_validate(told), at.work_dir)
        request = PlanRequest(line, KEY, now=at.time.wall)
        report = (await run_sync(request, at.connector)).applied
        assert report is not None
        at.sandbox.settle()
        later = await verified(at, report.run_id)

        for seen in (report.verification, later):
            assert seen is not None
            assert (seen.n_accepted, seen.n_asked, seen.n_ambiguous) == (4, 2, 2)
        shared = report.folder / "shared.parquet"
        shared.write_bytes(shared.read_bytes() + b" ")
        with pytest.raises(SourceChangedError, match="gone or were altered"):
            await verified(at, report.run_id)
