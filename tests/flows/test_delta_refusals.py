"""Plans that are not applied: altered, old, overtaken, or of something else."""

from dataclasses import replace
from pathlib import Path

import pytest

from flows.delta_town import N_PEOPLE, town
from pipeline import ImportRequest, list_runs, run_import
from pipeline.delta.plan_files import is_plan, write_plan
from pipeline.errors import (
    LimitError,
    SettingsError,
    SourceChangedError,
    StaleRunError,
    WrongWorkspaceError,
)


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
