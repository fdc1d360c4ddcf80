"""A first night takes for confirmed what an export shows, and nothing more."""

import json
from pathlib import Path

import polars as pl
import pytest

from flows.crm_files import N_VILLAGERS, exported, filled, village
from flows.delta_town import Deaf, Town, bodies, guid
from pipeline import (
    ImportRequest,
    Job,
    PlanReport,
    PlanRequest,
    make_plan,
    run_import,
)
from pipeline.delta.confirming import catch_up
from pipeline.delta.digests import N_BUCKETS
from pipeline.delta.state import StateStore
from pipeline.errors import (
    SettingsError,
    SourceChangedError,
    SourceUnusableError,
    WrongWorkspaceError,
)
from pipeline.journal import JOURNAL_NAME, Journal


def figures(report: PlanReport) -> tuple[int, int, int, int]:
    """Adopted, new, changed, unchanged."""
    assert report.plan is not None
    told = report.plan.figures
    return told.n_adopted, told.n_new, told.n_changed, told.n_unchanged


def state_of(at: Town) -> dict[str, pl.DataFrame]:
    store = StateStore(at.work_dir, guid(at), "people")
    record = store.record()
    assert record is not None
    digests = store.digests(record)
    found = {str(n): digests.read(range(n, n + 1)) for n in range(N_BUCKETS)}
    return {name: frame for name, frame in found.items() if frame is not None}


@pytest.mark.anyio
@pytest.mark.parametrize("name", ["crm.parquet", "crm.csv", "crm.jsonl"])
async def test_only_differences_are_sent_and_the_rest_is_known(
    tmp_path: Path, name: str
) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at, name)
        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        at.rows["C99"] = ["p99@example.com", "New", "", "yes"]
        del at.rows["C3"]

        first = await at.night(crm=crm)

        assert figures(first.planned) == (N_VILLAGERS - 1, 1, 2, N_VILLAGERS - 3)
        assert first.applied is not None
        assert first.applied.counts.accepted == 3
        assert first.applied.plan.figures.changed_fields == {
            "firstName": 1,
            "agreements.email": 1,
        }
        at.assert_equal()

        second = await at.night()
        assert second.applied is not None
        assert second.applied.delivery.n_requests == 0
        # Who is in the CRM and was never in the source is nobody of ours.
        assert second.applied.plan.figures.n_vanished == 0


@pytest.mark.anyio
async def test_what_an_export_cannot_show_is_sent(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at, detail="list")
        at.settings = {"sync": {"fields": "changed"}}

        plan = await at.plan(crm=crm)

        # The list holds no agreements.
        assert figures(plan) == (N_VILLAGERS, 0, N_VILLAGERS, 0)
        assert plan.plan is not None
        assert plan.plan.figures.changed_fields == {"agreements.email": N_VILLAGERS}
        assert set(bodies(plan)[0]) == {"customId", "email", "agreements"}
        assert any("counts as confirmed" in reason for reason in plan.plan.reasons)
        assert any("every other row is new" in reason for reason in plan.plan.reasons)


def points(at: Town, kind: str) -> None:
    at.settings = {
        "mapping": {
            "customId": "customId",
            "email": "email",
            "attributes": {"points": {"column": "firstName", "type": kind}},
        },
        "rows": {"extra_columns": "ignore"},
    }
    for n, row in enumerate(at.rows.values()):
        row[1] = str(n)


@pytest.mark.anyio
@pytest.mark.parametrize("is_certified", [True, False])
@pytest.mark.parametrize("name", ["crm.parquet", "crm.csv"])
async def test_a_text_that_may_be_a_number_is_taken_only_with_its_certificate(
    tmp_path: Path, name: str, *, is_certified: bool
) -> None:
    async with village(tmp_path) as at:
        points(at, "integer")
        await filled(at)
        crm = await exported(at, name)
        if not is_certified:
            (at.folder / f"{name}.certificate.json").unlink()

        plan = await at.plan(crm=crm)
        n_unchanged = N_VILLAGERS if is_certified else 0
        assert figures(plan)[3] == n_unchanged

        # A text is another value than the number.
        at.settings["mapping"]["attributes"] = {"points": "firstName"}
        plan = await at.plan(crm=crm)
        assert figures(plan) == (N_VILLAGERS, 0, N_VILLAGERS, 0)


@pytest.mark.anyio
async def test_an_empty_cell_is_no_proof_that_a_field_is_empty(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        n_blank = sum(not row[2] for row in at.rows.values())
        rows = {"blank": "erase", "allow_erase": {"city": n_blank}}
        at.settings = {"rows": rows}

        plan = await at.plan(crm=crm)

        assert plan.plan is not None
        assert plan.plan.figures.changed_fields == {"city": n_blank}
        assert plan.plan.figures.erased_fields == {"city": n_blank}


@pytest.mark.anyio
async def test_whoever_meets_two_profiles_is_not_adopted(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        # The e-mail of one profile and the customId of another.
        at.rows = {"C1": ["p2@example.com", "Ewa 1", "Opole", "yes"]} | {
            name: cells for name, cells in at.rows.items() if name not in ("C1", "C2")
        }

        plan = await at.plan(crm=crm)

        assert figures(plan) == (N_VILLAGERS - 2, 1, 0, N_VILLAGERS - 2)


@pytest.mark.anyio
async def test_a_row_without_a_proof_is_not_known_though_an_export_showed_it(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        at.rows["C1"][1] = "Eva"
        at.settings = {"delivery": {"max_rows": 10, "concurrency": 1, "max_wait": 1}}
        cut = await at.night(at.through(Deaf), crm=crm)
        assert cut.applied is not None
        assert cut.applied.counts.pending == 1
        assert at.held()["C1"]["firstName"] == "Eva"

        # As the export had it: it is not what the CRM holds.
        at.rows["C1"][1] = "Ewa 1"
        night = await at.night()

        assert figures(night.planned) == (0, 0, 1, N_VILLAGERS - 1)
        assert at.held()["C1"]["firstName"] == "Ewa 1"


@pytest.mark.anyio
async def test_an_export_is_adopted_only_before_anything_was_sent(
    tmp_path: Path,
) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        at.rows = {name: at.rows[name] for name in ("C1", "C2")}
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C3"] = ["p3@example.com", "Ewa 3", "Opole", "yes"]

        plan = await at.plan(crm=crm)

        assert figures(plan) == (0, 1, 1, 1)
        assert plan.plan is not None
        assert any("was not read" in reason for reason in plan.plan.reasons)
        assert not (plan.run.folder / "seen.parquet").exists()


@pytest.mark.anyio
async def test_an_import_before_the_first_plan_bars_an_export(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        await run_import(ImportRequest(at.job, at.work_dir), at.connector)

        plan = await at.plan(crm=crm)

        assert figures(plan) == (0, N_VILLAGERS, 0, 0)


@pytest.mark.anyio
async def test_a_plan_that_is_not_applied_leaves_no_state(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)

        await at.plan(crm=crm)
        again = await at.plan()

        assert figures(again) == (0, N_VILLAGERS, 0, 0)


@pytest.mark.anyio
async def test_folding_an_adopted_night_in_twice_is_the_same(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        at.rows["C1"][1] = "Eva"
        await at.night(crm=crm)
        before = state_of(at)
        store = StateStore(at.work_dir, guid(at), "people")
        record = store.record()
        assert record is not None

        # As a crash leaves it after the export was folded in, and before its rows.
        (store.folder / "state.json").unlink()
        with Journal.open(at.work_dir / JOURNAL_NAME) as journal:
            catch_up(store, journal, at.work_dir, tmp_path / "once")
            told = json.loads((store.folder / "state.json").read_text())
            told |= {"run_generation": 0, "run_mark": ""}
            (store.folder / "state.json").write_text(json.dumps(told))
            catch_up(store, journal, at.work_dir, tmp_path / "twice")

        after = state_of(at)
        assert before.keys() == after.keys()
        assert all(before[name].equals(after[name]) for name in before)


@pytest.mark.anyio
async def test_an_altered_record_of_what_was_seen_is_refused(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        plan = await at.plan(crm=await exported(at))
        seen = plan.run.folder / "seen.parquet"
        pl.read_parquet(seen).head(1).write_parquet(seen)

        with pytest.raises(SourceChangedError, match=r"seen\.parquet"):
            await at.apply(plan)


@pytest.mark.anyio
async def test_an_export_of_another_workspace_is_refused(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        certificate = at.folder / "crm.parquet.certificate.json"
        told = json.loads(certificate.read_text())
        assert told["workspace"]
        certificate.write_text(json.dumps(told | {"workspace": "another"}))

        with pytest.raises(WrongWorkspaceError, match="from the workspace another"):
            await at.plan(crm=crm)


@pytest.mark.anyio
async def test_what_is_no_export_is_refused(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        path = tmp_path / "odd.csv"
        path.write_text("firstName\nEwa\n")
        with pytest.raises(SourceUnusableError, match="none of its profiles"):
            await at.plan(crm=path)

        await filled(at)
        crm = await exported(at, "people-only.csv", spreadsheet_safe=True)
        with pytest.raises(SettingsError, match="spreadsheet-safe"):
            await at.plan(crm=crm)


@pytest.mark.anyio
async def test_a_file_of_the_portal_is_adopted(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        path = tmp_path / "portal.csv"
        lines = ["id,email,custom_identify,firstname,city,newsletter_agreement"]
        lines += [
            f"{n},P{n}@Example.com,C{n},Ewa {n},{'Opole' if n % 2 else ''},true"
            for n in range(N_VILLAGERS)
        ]
        path.write_text("\n".join(lines) + "\n")

        plan = await at.plan(crm=path)

        assert figures(plan) == (N_VILLAGERS, 0, 0, N_VILLAGERS)


@pytest.mark.anyio
async def test_rows_that_are_folded_are_adopted_as_one_person(tmp_path: Path) -> None:
    async with village(tmp_path) as at:
        await filled(at)
        crm = await exported(at)
        source = tmp_path / "twice.csv"
        source.write_text(
            "customId,email,firstName,city\nC1,,,Opole\n,p2@example.com,Ewa 2,\n"
            "C1,p1@example.com,Ewa 1,\n"
        )
        told = {"name": "twice", "source": {"path": str(source)}}
        line = ImportRequest(Job.model_validate(told), at.work_dir)
        request = PlanRequest(line, at.key, crm=crm, now=at.time.wall)

        report = await make_plan(request, at.connector)

        assert figures(report) == (2, 0, 0, 2)
        assert report.run.counts.folded == 1
