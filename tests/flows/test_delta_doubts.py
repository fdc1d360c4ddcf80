"""What nobody can know makes a full plan, and the plan says so."""

import json
from pathlib import Path

import pytest

from flows.delta_town import N_PEOPLE, guid, town
from pipeline import Continuation, ImportRequest, purge_runs, run_import
from pipeline.delta.state import StateStore


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
        store = StateStore(at.work_dir, guid(at), "people")
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
