"""A mirror deletes whom this tool made and who has no row; and nobody else, ever."""

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from flows.crm_files import N_VILLAGERS, exported, filled, village
from flows.delta_town import Deaf, Town
from pipeline import Identifier, PlanReport, SyncReport, delete_profile
from pipeline.contract import CLIENTS_PATH
from pipeline.delta.deleting import ActionCounts
from pipeline.errors import LimitError, PatienceEndedError
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.journal_tables import RunState
from pipeline.sandbox.server import Sandbox
from sandbox_driver import Wire

MANY = 5


def mirror(at: Town, **more: Any) -> None:
    guards = {"least_rows": 0.0}  # a few of twelve are more than is usual
    told = {"mode": "mirror", "max_deletes": MANY, "guards": guards}
    at.settings["sync"] = told | more


async def made(at: Town) -> None:
    """A first night of a mirror: it looks everybody up, and makes them."""
    mirror(at)
    night = await at.night()
    assert night.planned.plan is not None
    assert night.planned.plan.figures.n_looked_up == N_VILLAGERS


def leave(at: Town, *names: str) -> None:
    for name in names:
        del at.rows[name]


def deletes(report: PlanReport) -> tuple[int, int]:
    """Profiles to delete, and persons kept."""
    assert report.plan is not None
    figures = report.plan.figures
    return figures.n_deletes, figures.n_kept


def reasons(report: PlanReport) -> str:
    assert report.plan is not None
    return " | ".join(report.plan.reasons)


def actions(night: SyncReport) -> ActionCounts:
    assert night.applied is not None
    return night.applied.actions


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["crm.parquet", "crm.csv", "crm.jsonl"])
async def test_whom_it_made_and_who_left_is_deleted(tmp_path: Path, name: str) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1", "C2")

        night = await at.night(crm=await exported(at, name))

        assert deletes(night.planned) == (2, 0)
        assert actions(night) == ActionCounts(done=2)
        assert at.held().keys() == at.rows.keys()
        written = pl.read_parquet(night.planned.run.folder / "deletes.parquet")
        assert sorted(written["customId"]) == ["C1", "C2"]

        # Nothing is left of them to be deleted.
        again = await at.night(crm=await exported(at, "again.parquet"))
        assert deletes(again.planned) == (0, 0)


@pytest.mark.anyio
async def test_whom_it_found_there_is_never_deleted(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        mirror(at)
        await at.night()
        leave(at, "C1", "C2")

        night = await at.night(crm=await exported(at))

        assert deletes(night.planned) == (0, 2)
        assert len(at.held()) == N_VILLAGERS
        kept = pl.read_parquet(night.planned.run.folder / "kept.parquet")
        assert sorted(kept["customId"]) == ["C1", "C2"]
        assert kept["clientId"].null_count() == 0


@pytest.mark.anyio
async def test_who_was_sent_in_another_mode_is_never_deleted(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await at.night()
        mirror(at)
        leave(at, "C1")

        night = await at.night(crm=await exported(at))

        assert deletes(night.planned) == (0, 1)


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["create-only", "mirror"])
async def test_a_look_up_after_the_first_sending_is_too_late(
    tmp_path: Path, mode: str
) -> None:
    async with village(tmp_path) as at:
        await at.night()
        row = at.rows.pop("C1")
        at.settings["sync"] = {"guards": {"least_rows": 0.0}}
        await at.night()
        gone = await delete_profile(at.connector, Identifier("customId", "C1"))
        assert gone.state == "accepted"
        at.sandbox.settle()
        at.rows["C1"] = row
        mirror(at, mode=mode)
        await at.night()
        assert "C1" in at.held()
        leave(at, "C1")
        mirror(at)

        plan = await at.plan(crm=await exported(at))

        assert deletes(plan) == (0, 1)


@pytest.mark.anyio
async def test_whom_create_only_made_may_be_deleted(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        at.settings["sync"] = {"mode": "create-only"}
        await at.night()
        mirror(at)
        leave(at, "C1")

        night = await at.night(crm=await exported(at))

        assert actions(night) == ActionCounts(done=1)


@pytest.mark.anyio
async def test_beyond_the_budget_nobody_is_looked_up_nor_deleted(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        mirror(at, lookup_budget=N_VILLAGERS - 1)
        first = await at.night()
        assert first.applied is not None
        assert first.applied.counts.accepted == N_VILLAGERS
        assert "12 new persons would have to be looked up" in reasons(first.planned)
        leave(at, "C1")

        night = await at.night(crm=await exported(at))

        assert deletes(night.planned) == (0, 1)


@pytest.mark.anyio
async def test_without_an_export_they_are_told_and_kept(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1")

        night = await at.night()

        assert deletes(night.planned) == (0, 1)
        assert "name one with --crm FILE" in reasons(night.planned)
        vanished = pl.read_parquet(night.planned.run.folder / "vanished.parquet")
        assert vanished.height == 1
        # They are not forgotten for that.
        later = await at.night(crm=await exported(at))
        assert actions(later) == ActionCounts(done=1)


@pytest.mark.anyio
async def test_a_row_that_cannot_be_sent_may_be_of_anybody(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        at.rows["C1"][0] = "no address"

        night = await at.night(crm=await exported(at))

        assert deletes(night.planned) == (0, 1)
        assert "1 row of the source cannot be read" in reasons(night.planned)


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["omitted", "superseded"])
async def test_an_identifier_that_is_not_sent_hides_a_person(
    tmp_path: Path, how: str
) -> None:
    async with village(tmp_path) as at:
        await made(at)
        rows = at.rows.pop("C1")
        if how == "omitted":
            # C1 with a slip, and a new address: nobody can tell that it is C1.
            at.rows["C1\u00ad"] = ["new@example.com", *rows[1:]]
            at.settings["mapping"] = {
                "customId": {"column": "customId", "on_invalid": "omit"},
                "email": "email",
                "firstName": "firstName",
                "city": "city",
                "agreements": {"email": "agreements.email"},
            }
        else:
            at.rows["C2"][0] = "p2@example.com"
            at.settings["rows"] = {"duplicates": "first"}
            at.rows[" C2"] = ["", "Ewa", "", "yes"]

        plan = await at.plan(crm=await exported(at))

        assert deletes(plan) == (0, 1)
        assert "1 row of the source cannot be read" in reasons(plan)


@pytest.mark.anyio
async def test_an_empty_source_deletes_nobody_by_default(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        mirror(at, max_deletes=0)
        leave(at, *list(at.rows)[1:])

        night = await at.night(crm=await exported(at))

        assert isinstance(night.error, LimitError)
        assert "11 profiles would be deleted: more than 0" in str(night.error)
        assert len(at.held()) == N_VILLAGERS
        assert night.planned.plan is not None
        plan_id = night.planned.plan.plan_id
        with pytest.raises(LimitError, match="--max-deletes 11"):
            await at.apply_id(plan_id, max_deletes=10)
        applied = await at.apply_id(plan_id, max_deletes=11)
        assert applied.actions == ActionCounts(done=11)


@pytest.mark.anyio
async def test_a_source_without_anybody_deletes_nobody_at_all(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        mirror(at, max_deletes=N_VILLAGERS)
        crm = await exported(at)
        leave(at, *list(at.rows))

        plan = await at.plan(crm=crm)

        assert deletes(plan) == (0, N_VILLAGERS)
        assert "the source has nobody" in reasons(plan)


@pytest.mark.anyio
async def test_a_new_name_for_the_same_person_deletes_nobody(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        # The same e-mail under another customId: one profile, another person key.
        at.rows["D1"] = at.rows.pop("C1")

        night = await at.night(crm=await exported(at))

        assert deletes(night.planned) == (0, 1)


async def edited(at: Town, name: str, **fields: str) -> None:
    """Let somebody change a profile in the CRM."""
    rows, at.rows = at.rows, {name: list(at.rows[name])}
    at.rows[name][0] = fields.get("email", at.rows[name][0])
    await filled(at)
    at.rows = rows


@pytest.mark.anyio
async def test_a_profile_that_got_another_identifier_is_kept(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        await edited(at, "C1", email="other@example.com")
        leave(at, "C1")

        plan = await at.plan(crm=await exported(at))

        assert deletes(plan) == (0, 1)


@pytest.mark.anyio
async def test_a_profile_that_changes_after_the_export_is_kept(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        crm = await exported(at)
        await edited(at, "C1", email="other@example.com")
        leave(at, "C1", "C2")

        night = await at.night(crm=crm)

        assert deletes(night.planned) == (2, 0)
        assert actions(night) == ActionCounts(done=1, refused=1)
        assert "C1" in at.held()
        assert "C2" not in at.held()


@pytest.mark.anyio
async def test_who_is_gone_already_is_done(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        crm = await exported(at)
        leave(at, "C1")
        await at.night(crm=crm)
        assert "C1" not in at.held()

        # Somebody else makes such a person now: it is not ours.
        rows, at.rows = at.rows, {"C1": ["p1@example.com", "Ewa", "", "yes"]}
        await filled(at)
        at.rows = rows
        for path in (crm, await exported(at, "later.parquet")):
            night = await at.night(crm=path)
            assert deletes(night.planned) == (0, 0)
        assert "C1" in at.held()


class CutOff(Wire):
    """Carries so many deletions out, and is deaf to the answer of the last one."""

    def __init__(self, sandbox: Sandbox, n_deletes: int) -> None:
        super().__init__(sandbox)
        self._left = n_deletes
        self.deleted: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method != "DELETE":
            return await super().handle_async_request(request)
        if not self._left:
            raise httpx.ConnectError("")
        reply = await super().handle_async_request(request)
        self.deleted.append(request.url.path.removeprefix(f"{CLIENTS_PATH}/"))
        self._left -= 1
        if not self._left:
            raise httpx.ReadError("")
        return reply


@pytest.mark.anyio
async def test_an_interrupted_deletion_goes_on_with_the_same_profiles(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1", "C2", "C3")
        limits = {"max_rows": 10, "concurrency": 1, "max_wait": 1}
        at.settings["delivery"] = limits
        cut_off = CutOff(at.sandbox, 2)
        crm = await exported(at)

        night = await at.night(at.through(lambda _sandbox: cut_off), crm=crm)

        assert night.applied is not None
        assert isinstance(night.applied.error, PatienceEndedError)
        assert actions(night) == ActionCounts(done=1, pending=2)
        assert night.applied.is_resumable
        plan_id = night.applied.run_id
        with Journal.open(at.work_dir / JOURNAL_NAME) as journal:
            run = journal.run(plan_id)
            assert run is not None
            assert run.state is RunState.PENDING

        resumed = await at.apply_id(plan_id)

        at.sandbox.settle()
        assert resumed.error is None
        assert resumed.actions == ActionCounts(done=3)
        assert at.held().keys() == at.rows.keys()
        assert len(set(cut_off.deleted)) == 2


@pytest.mark.anyio
async def test_a_night_after_a_cut_off_deletes_only_what_was_not_begun(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1", "C2", "C3")
        at.settings["delivery"] = {"max_rows": 10, "concurrency": 1, "max_wait": 1}
        crm = await exported(at)
        cut = at.through(lambda sandbox: CutOff(sandbox, 2))
        await at.night(cut, crm=crm)
        at.sandbox.settle()

        # The second was begun, and may be gone; of the third nothing was begun.
        night = await at.night(crm=await exported(at, "later.parquet"))

        assert deletes(night.planned) == (1, 0)
        assert at.held().keys() == at.rows.keys()


class CrashedError(BaseException):
    """The process ends here."""


class Crashing(Wire):
    """Ends the process after so many requests for profiles were carried out."""

    def __init__(self, sandbox: Sandbox, n_left: int) -> None:
        super().__init__(sandbox)
        self._left = n_left

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await super().handle_async_request(request)
        if request.url.path.startswith(f"{CLIENTS_PATH}/"):
            self._left -= 1
            if self._left < 0:
                raise CrashedError
        return reply


@pytest.mark.anyio
async def test_a_crash_at_every_request_deletes_nobody_else(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1", "C2", "C3")
        at.settings["delivery"] = {"max_rows": 10, "concurrency": 1}
        plan = await at.plan(crm=await exported(at))
        assert plan.plan is not None
        crashes = 0
        for n_requests in (0, 1, 2, 0, 1, 1):
            crash = replace(at.connector, transport=Crashing(at.sandbox, n_requests))
            with suppress(CrashedError):
                await at.apply(plan, crash)
                break
            crashes += 1
            at.sandbox.settle()
        applied = await at.apply(plan)

        assert crashes == 6
        assert applied.actions == ActionCounts(done=3)
        at.sandbox.settle()
        assert at.held().keys() == at.rows.keys()


@pytest.mark.anyio
async def test_who_was_sent_in_doubt_is_made_only_by_the_same_run(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        at.settings["delivery"] = {"max_rows": 6, "concurrency": 1, "max_wait": 1}
        mirror(at)
        cut = await at.night(at.through(Deaf))
        assert cut.applied is not None
        assert cut.applied.counts.accepted == 0
        assert len(at.held()) == N_VILLAGERS
        resumed = await at.apply_id(cut.applied.run_id)
        assert resumed.counts.accepted == N_VILLAGERS
        at.sandbox.settle()
        leave(at, "C1")

        plan = await at.plan(crm=await exported(at))

        assert deletes(plan) == (1, 0)


@pytest.mark.anyio
async def test_who_was_sent_in_doubt_and_planned_anew_is_not_made(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        at.settings["delivery"] = {"max_rows": 6, "concurrency": 1, "max_wait": 1}
        mirror(at)
        await at.night(at.through(Deaf))
        assert len(at.held()) == N_VILLAGERS
        await at.night()
        leave(at, "C1")

        plan = await at.plan(crm=await exported(at))

        assert deletes(plan) == (0, 1)


@pytest.mark.anyio
async def test_an_altered_list_of_deletions_is_refused(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await made(at)
        leave(at, "C1")
        plan = await at.plan(crm=await exported(at))
        told = json.loads((plan.run.folder / "plan.json").read_text())
        assert set(told["files"]) >= {"deletes.parquet", "vanished.parquet"}
        path = plan.run.folder / "deletes.parquet"
        pl.read_parquet(path).with_columns(clientId=pl.lit("1")).write_parquet(path)

        with pytest.raises(Exception, match=r"deletes\.parquet"):
            await at.apply(plan)
