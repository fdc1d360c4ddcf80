"""Nights: what changed goes out, what is proven is known, and nothing else is."""

import dataclasses
import json
from pathlib import Path

import polars as pl
import pytest

from flows.delta_town import KEY, N_PEOPLE, Deaf, bodies, town
from pipeline import (
    ImportRequest,
    PlanRequest,
    list_runs,
    run_sync,
)
from pipeline.journal_tables import RunState
from pipeline.sandbox.weather import Weather


@pytest.mark.anyio
async def test_the_second_night_sends_changed_rows_only(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        first = await at.night()
        assert first.applied is not None
        assert first.applied.counts.accepted == N_PEOPLE
        at.assert_equal()

        again = await at.night()
        assert again.applied is not None
        assert again.applied.counts.unchanged == N_PEOPLE
        assert again.applied.delivery.n_requests == 0

        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        at.rows["C99"] = ["p99@example.com", "New", "", "yes"]
        del at.rows["C3"]
        third = await at.night()
        assert third.applied is not None
        plan = third.applied.plan.figures
        assert (plan.n_new, plan.n_changed, plan.n_vanished) == (1, 2, 1)
        assert plan.changed_fields == {"firstName": 1, "agreements.email": 1}
        assert plan.withdrawn == {"agreements.email": 1}
        assert third.applied.counts.accepted == 3
        at.assert_equal()


@pytest.mark.anyio
async def test_the_equation_holds_with_every_kind_of_row(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C5"][0] = "no address"
        source = at.folder / "people.csv"
        job = at.job
        text = source.read_text()
        source.write_text(f"{text}\nC2,,Twice,,\n")
        line = ImportRequest(job, at.work_dir)
        report = await run_sync(PlanRequest(line, KEY), at.connector)

        assert report.applied is not None
        counts = report.applied.counts
        assert counts.as_dict() == {
            **dict.fromkeys(counts.as_dict(), 0),
            "read": N_PEOPLE + 2,
            "empty": 1,
            "blocked": 1,
            "folded": 1,
            "unchanged": N_PEOPLE - 3,
            "accepted": 2,
        }
        frame = pl.read_parquet(report.applied.folder / "outcomes.parquet")
        assert frame["state"].value_counts().height == 5
        assert frame.select("source_no", "row_no").is_duplicated().sum() == 0


@pytest.mark.anyio
async def test_changed_fields_alone_go_out_with_the_identifiers(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["sync"] = {"fields": "changed"}
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        plan = await at.plan()

        assert bodies(plan) == [
            {
                "customId": "C2",
                "email": "p2@example.com",
                "agreements": {"email": False},
            },
            {"customId": "C1", "email": "p1@example.com", "firstName": "Eva"},
        ]
        await at.apply(plan)
        at.sandbox.settle()
        at.assert_equal()


@pytest.mark.anyio
async def test_withdrawals_go_first(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        for name in ("C7", "C40", "C59"):
            at.rows[name][3] = "no"
        plan = await at.plan()

        first = [body["customId"] for body in bodies(plan)[:4]]
        assert first == ["C7", "C40", "C59", "C0"]


@pytest.mark.anyio
async def test_a_blank_cell_changes_nothing_and_loses_nothing(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][2] = ""
        blank = await at.night()
        at.rows["C1"][2] = "Opole"
        back = await at.night()

        for report in (blank, back):
            assert report.applied is not None
            assert report.applied.counts.unchanged == N_PEOPLE
        assert blank.planned.plan is not None
        assert blank.planned.plan.figures.lost_fields == {"city": 1}
        at.assert_equal()


@pytest.mark.anyio
async def test_erasing_is_a_change_once(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][2] = "NIL"
        at.settings["rows"] = {"null_token": "NIL", "allow_erase": {"city": 1}}
        erasing = await at.plan()
        assert erasing.plan is not None
        assert erasing.plan.figures.erased_fields == {"city": 1}
        assert bodies(erasing)[0]["city"] is None
        await at.apply(erasing)
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_planned == 0


@pytest.mark.anyio
async def test_who_vanished_and_returns_is_sent_whole(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        row = at.rows.pop("C1")
        gone = await at.night()
        still = await at.night()
        at.rows["C1"] = row
        back = await at.night()

        figures = [
            report.applied.plan.figures
            for report in (gone, still, back)
            if report.applied is not None
        ]
        assert [one.n_vanished for one in figures] == [1, 0, 0]
        assert [one.n_new for one in figures] == [0, 0, 1]


@pytest.mark.anyio
async def test_a_row_that_left_without_an_answer_is_known_no_more(
    tmp_path: Path,
) -> None:
    """The CRM may hold the new value, so the old one is no longer unchanged."""
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.settings["delivery"] = {"max_wait": 1.0, "concurrency": 1}
        lost = await at.night(at.through(Deaf))
        assert lost.applied is not None
        assert lost.applied.counts.unknown == 1
        assert at.held()["C1"]["firstName"] == "Eva"

        at.rows["C1"][1] = "Ewa 1"
        back = await at.night()

        assert back.applied is not None
        assert back.applied.counts.accepted == 1
        at.assert_equal()


@pytest.mark.anyio
async def test_what_the_service_refuses_is_handed_back_and_planned_again(
    tmp_path: Path,
) -> None:
    async with town(tmp_path, Weather(seed=3, partial=1.0)) as at:
        report = await at.night()
        assert report.applied is not None
        n = report.applied.counts.rejected
        assert n > 0
        lines = (report.applied.folder / "refused.jsonl").read_text().splitlines()
        assert len(lines) == n
        told = json.loads(lines[0])
        assert told["_state"] == "rejected"
        assert told["customId"] == f"C{told['_row_no'] - 1}"
        again = await at.plan()

        assert again.plan is not None
        assert again.plan.figures.n_planned == n


@pytest.mark.anyio
async def test_a_run_of_a_plan_is_done_in_the_journal(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        report = await at.night()
        (run,) = list_runs(at.work_dir)

        assert report.applied is not None
        assert (run.run_id, run.command) == (report.applied.run_id, "sync")
        assert run.state is RunState.DONE
        assert dataclasses.asdict(report.applied.plan)["workspace"] == run.workspace
