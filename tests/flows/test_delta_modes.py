"""Only whom the CRM has, or only whom it has not; nobody is guessed at."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from flows.crm_files import N_VILLAGERS, exported, filled, village
from flows.delta_town import Town, bodies, town
from pipeline import ImportRequest, PlanReport, run_import
from pipeline.contract import BATCH_PATH, CLIENTS_PATH
from pipeline.errors import (
    ContractError,
    InterruptedRunError,
    LimitError,
    SettingsError,
    TokenRefusedError,
)
from pipeline.sandbox.server import Sandbox
from sandbox_driver import Wire

N_HERE = 8


class Counting(Wire):
    """Counts the batches, and the questions for one profile."""

    def __init__(self, sandbox: Sandbox) -> None:
        super().__init__(sandbox)
        self.asked: list[str] = []
        self.n_batches = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path == BATCH_PATH:
            self.n_batches += 1
        elif path.startswith(f"{CLIENTS_PATH}/"):
            self.asked.append(path.removeprefix(f"{CLIENTS_PATH}/"))
        return await super().handle_async_request(request)


def mode(at: Town, name: str, **more: Any) -> None:
    at.settings["sync"] = {"mode": name} | more


async def half_filled(at: Town) -> None:
    """The CRM has the first of the source, as somebody else sent them."""
    everybody = at.rows
    at.rows = dict(list(everybody.items())[:N_HERE])
    await filled(at)
    at.rows = everybody


def held_back(report: PlanReport) -> dict[str, int]:
    assert report.plan is not None
    return report.plan.figures.held_back


def codes_in(report: PlanReport) -> dict[str, int]:
    outcomes = pl.read_parquet(report.run.folder / "outcomes.parquet")
    blocked = outcomes.filter(pl.col("state") == "blocked")
    return dict(blocked["code"].value_counts().iter_rows())


@pytest.mark.anyio
@pytest.mark.parametrize("has_export", [True, False])
async def test_update_only_sends_nobody_that_the_crm_does_not_have(
    tmp_path: Path, *, has_export: bool
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        crm = await exported(at) if has_export else None
        at.rows["C1"][1] = "Eva"
        mode(at, "update-only")

        night = await at.night(crm=crm)

        plan = night.planned
        assert held_back(plan) == {"MODE_ABSENT": N_VILLAGERS - N_HERE}
        assert codes_in(plan) == held_back(plan)
        assert plan.plan is not None
        assert plan.plan.figures.n_looked_up == (0 if has_export else N_VILLAGERS)
        assert night.applied is not None
        assert night.applied.counts.blocked == N_VILLAGERS - N_HERE
        # Without an export nobody knows what of them differs.
        assert night.applied.counts.accepted == (1 if has_export else N_HERE)
        assert len(at.held()) == N_HERE
        assert at.held()["C1"]["firstName"] == "Eva"
        rejected = (plan.run.folder / "rejected.csv").read_text()
        assert rejected.count("MODE_ABSENT") == N_VILLAGERS - N_HERE

        # Whom a night has sent is known, the others are asked for again.
        second = await at.night()
        assert second.planned.plan is not None
        assert second.planned.plan.figures.n_looked_up == N_VILLAGERS - N_HERE
        assert second.applied is not None
        assert second.applied.delivery.n_requests == 0
        assert second.applied.counts.unchanged == N_HERE


@pytest.mark.anyio
@pytest.mark.parametrize("has_export", [True, False])
async def test_create_only_leaves_alone_whom_the_crm_has(
    tmp_path: Path, *, has_export: bool
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        crm = await exported(at) if has_export else None
        at.rows["C1"][1] = "Eva"
        mode(at, "create-only")

        night = await at.night(crm=crm)

        # An export also shows who is as he should be.
        n_held = 1 if has_export else N_HERE
        assert held_back(night.planned) == {"MODE_EXISTS": n_held}
        assert night.applied is not None
        assert night.applied.counts.blocked == n_held
        assert night.applied.counts.accepted == N_VILLAGERS - N_HERE
        assert at.held()["C1"]["firstName"] == "Ewa 1"
        assert len(at.held()) == N_VILLAGERS

        # Whom it created it does not change either.
        at.rows[f"C{N_VILLAGERS - 1}"][1] = "Eva"
        counting = Counting(at.sandbox)
        second = await at.night(at.through(lambda _sandbox: counting))
        assert held_back(second.planned) == {"MODE_EXISTS": n_held + 1}
        assert (counting.asked, counting.n_batches) == ([], 0)
        assert second.applied is not None
        assert second.applied.counts.unchanged == N_VILLAGERS - n_held - 1


@pytest.mark.anyio
async def test_one_person_too_many_to_ask_for_stops_everything(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        mode(at, "create-only", lookup_budget=N_VILLAGERS - 1)
        counting = Counting(at.sandbox)
        connector = at.through(lambda _sandbox: counting)

        with pytest.raises(LimitError, match=r"12 persons .* --crm FILE, or raise"):
            await at.night(connector)
        assert (counting.asked, counting.n_batches) == ([], 0)

        mode(at, "create-only", lookup_budget=N_VILLAGERS)
        at.settings["verify"] = "none"  # which would ask too
        night = await at.night(connector)
        assert night.applied is not None
        assert night.applied.counts.accepted == N_VILLAGERS - N_HERE
        # Found by the first identifier, or asked for by both.
        assert len(counting.asked) == N_HERE + 2 * (N_VILLAGERS - N_HERE)


@pytest.mark.anyio
async def test_an_export_that_is_not_complete_proves_nobody_absent(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        names = tmp_path / "names.csv"
        names.write_text("customId\n" + "".join(f"C{n}\n" for n in range(3)))
        crm = await exported(at, names_path=names)
        mode(at, "create-only", lookup_budget=N_VILLAGERS - 4)

        with pytest.raises(LimitError, match=r"9 persons .* not shown to be complete"):
            await at.plan(crm=crm)

        mode(at, "create-only")
        plan = await at.plan(crm=crm)
        assert held_back(plan) == {"MODE_EXISTS": N_HERE - 3}
        assert plan.plan is not None
        assert plan.plan.figures.n_looked_up == N_VILLAGERS - 3
        assert plan.plan.figures.n_unchanged == 3


@pytest.mark.anyio
@pytest.mark.parametrize("spoil", ["altered", "renamed"])
async def test_a_file_that_may_lack_profiles_proves_nobody_absent(
    tmp_path: Path, spoil: str
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        crm = await exported(at, "crm.csv")
        if spoil == "altered":
            crm.write_text("\n".join(crm.read_text().splitlines()[:4]) + "\n")
        else:
            crm = crm.rename(tmp_path / "crm.incomplete.csv")
        mode(at, "update-only", lookup_budget=0)

        with pytest.raises(LimitError, match="not shown to be complete"):
            await at.plan(crm=crm)


@pytest.mark.anyio
async def test_an_old_export_does_not_prove_that_who_was_created_is_absent(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        crm = await exported(at)
        mode(at, "create-only")
        await at.night(crm=crm)
        last = f"C{N_VILLAGERS - 1}"
        row = at.rows.pop(last)
        await at.night(crm=crm)

        at.rows[last] = ["p11@example.com", "Eva", "", "yes"]
        night = await at.night(crm=crm)

        assert night.planned.plan is not None
        assert night.planned.plan.figures.n_looked_up == 1
        assert at.held()[last]["firstName"] == row[1]


@pytest.mark.anyio
async def test_an_export_from_before_an_import_proves_nobody_absent(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        crm = await exported(at)
        await run_import(ImportRequest(at.job, at.work_dir), at.connector)
        at.sandbox.settle()
        mode(at, "create-only")

        plan = await at.plan(crm=crm)

        assert held_back(plan) == {"MODE_EXISTS": N_VILLAGERS}
        assert plan.plan is not None
        assert plan.plan.figures.n_looked_up == N_VILLAGERS - N_HERE


@pytest.mark.anyio
async def test_a_person_is_asked_for_by_every_identifier(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        at.rows = {"C1": ["p1@example.com", "Ewa", "", "yes"]}
        await filled(at)
        at.rows = {"other": ["p1@example.com", "Eva", "", "yes"]}
        mode(at, "create-only")

        plan = await at.plan()

        assert held_back(plan) == {"MODE_EXISTS": 1}


@pytest.mark.anyio
async def test_who_meets_two_profiles_exists(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        at.rows = {"C1": ["p2@example.com", "Ewa", "", "yes"]}
        mode(at, "update-only", lookup_budget=0)
        assert held_back(await at.plan(crm=crm)) == {}

        mode(at, "create-only", lookup_budget=0)
        assert held_back(await at.plan(crm=crm)) == {"MODE_EXISTS": 1}


@pytest.mark.anyio
async def test_a_full_plan_asks_for_everybody(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        mode(at, "update-only")
        await at.night()

        plan = await at.plan(is_full=True)

        assert held_back(plan) == {"MODE_ABSENT": N_VILLAGERS - N_HERE}
        assert plan.plan is not None
        assert plan.plan.figures.n_looked_up == N_VILLAGERS
        assert len(bodies(plan)) == N_HERE


@pytest.mark.anyio
async def test_a_plan_of_one_mode_is_not_applied_in_another(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await half_filled(at)
        mode(at, "update-only")
        plan = await at.plan(filed=at.job)

        mode(at, "create-only")
        with pytest.raises(SettingsError, match="Bring the job back"):
            await at.apply(plan, filed=at.job)


@pytest.mark.anyio
async def test_rows_that_are_held_back_trip_no_guard(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await half_filled(at)
        await at.night()
        mode(at, "create-only")
        for name in list(at.rows)[:30]:
            at.rows[name][1] = "Eva"

        night = await at.night()

        assert night.error is None
        assert held_back(night.planned) == {"MODE_EXISTS": 30}
        assert night.planned.plan is not None
        assert night.planned.plan.figures.changed_fields == {}


class Refusing(Wire):
    """Answers questions for a profile with another status, or body."""

    def __init__(self, sandbox: Sandbox, status: int, body: bytes) -> None:
        super().__init__(sandbox)
        self._reply = status, body

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path != BATCH_PATH and path.startswith(f"{CLIENTS_PATH}/"):
            status, body = self._reply
            return httpx.Response(status, stream=httpx.ByteStream(body))
        return await super().handle_async_request(request)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(403, b"{}", TokenRefusedError), (200, b"<html>", ContractError)],
)
async def test_an_answer_that_tells_nothing_ends_the_plan(
    tmp_path: Path, status: int, body: bytes, error: type[Exception]
) -> None:
    async with village(tmp_path) as at:
        mode(at, "create-only")
        refusing = at.through(lambda sandbox: Refusing(sandbox, status, body))

        with pytest.raises(error):
            await at.night(refusing)

        assert at.held() == {}


class Stopped(Wire):
    """Somebody asks to stop while a profile is asked for, and it never answers."""

    def __init__(self, at: Town) -> None:
        super().__init__(at.sandbox)
        self._stop = at.stop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith(f"{CLIENTS_PATH}/by-"):
            self._stop.request()
            await asyncio.Event().wait()
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_a_signal_ends_the_questions_at_once(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        mode(at, "create-only")

        with pytest.raises(InterruptedRunError):
            await at.night(at.through(lambda _sandbox: Stopped(at)))
