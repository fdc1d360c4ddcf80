"""What the reports of plans and nights are made of."""

import dataclasses
import json
from pathlib import Path

import pytest

from flows.delta_town import Deaf, town
from pipeline.delta.examples import PlannedRow
from pipeline.errors import InvariantError
from pipeline.report.planning import PlannedCell
from pipeline.reporting import EXAMPLES
from pipeline.reporting_plans import (
    night_facts,
    plan_facts,
    write_night_report,
    write_plan_report,
)
from pipeline.sandbox.weather import Weather
from report_samples import ENDING


@pytest.mark.anyio
async def test_a_plan_shows_what_changed_field_by_field(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        at.rows["C1"][1] = "Eva"
        at.rows["C2"][3] = "no"
        at.rows["C3"][2] = "NIL"
        at.rows["C99"] = ["p99@example.com", "", "", "yes"]
        at.settings["rows"] = {"null_token": "NIL", "allow_erase": {"city": 1}}
        facts = plan_facts(await at.plan())

        assert facts.n_shown == 4
        assert facts.cells == (
            PlannedCell("3", "changed", "withdraw", "agreements.email", "false"),
            PlannedCell("4", "changed", "erase", "city", ""),
            PlannedCell("2", "changed", "set", "firstName", "Eva"),
            PlannedCell("61", "new", "set", "email", "p99@example.com"),
            PlannedCell("61", "new", "set", "customId", "C99"),
            PlannedCell("61", "new", "grant", "agreements.email", "true"),
        )
        assert facts.workspace.startswith("Sandbox (")


@pytest.mark.anyio
async def test_lines_of_a_plan_are_bounded_by_whole_rows(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        plan = await at.plan()
        wide = {"attributes": {f"a{n}": n for n in range(EXAMPLES - 1)}, "tags": ["x"]}
        rows = tuple(PlannedRow(0, n, None, wide) for n in (1, 2))
        facts = plan_facts(dataclasses.replace(plan, examples=rows))

        assert (facts.n_shown, len(facts.cells)) == (1, EXAMPLES)
        assert facts.cells[7] == PlannedCell("1", "new", "set", "attributes.a7", "7")
        assert facts.cells[-1].value == '["x"]'


@pytest.mark.anyio
async def test_a_night_tells_the_rows_that_the_service_refused(tmp_path: Path) -> None:
    async with town(tmp_path, Weather(seed=3, partial=1.0)) as at:
        at.rows["C5"][0] = "no address"
        report = (await at.night()).applied
        assert report is not None
        facts = night_facts(report)

        codes = {failed.code: failed for failed in facts.failures}
        assert codes["EMAIL"].where == "row 6"
        assert codes["REFUSED"].n_rows == len(facts.examples) == facts.counts.rejected
        refused = [
            json.loads(line)
            for line in (report.folder / "refused.jsonl").read_text().splitlines()
        ]
        assert [(e.place, e.field, e.value) for e in facts.examples] == [
            (str(row["_row_no"]), "email", row["email"]) for row in refused
        ]
        assert facts.sent.n_requests == report.delivery.n_requests
        assert set(facts.files or ()) >= {"outcomes.parquet", "refused.jsonl"}


@pytest.mark.anyio
async def test_a_night_that_ended_early_says_why(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["delivery"] = {"max_wait": 1.0, "concurrency": 1}
        report = (await at.night(at.through(Deaf))).applied
        assert report is not None
        facts = night_facts(report)

        assert facts.error == str(report.error)
        assert (facts.n_canary, facts.failures) == (None, ())


@pytest.mark.anyio
async def test_pages_are_written_whole_and_for_their_owner(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        report = await at.night()
        assert report.applied is not None
        pages = (
            write_plan_report(report.planned, ENDING),
            write_night_report(report.applied, ENDING),
        )

        assert [page.name for page in pages] == ["plan.html", "report.html"]
        assert {page.parent for page in pages} == {report.applied.folder}
        for page in pages:
            assert page.stat().st_mode & 0o777 == 0o600
            assert page.read_text(encoding="utf-8").endswith("</html>\n")


@pytest.mark.anyio
async def test_a_plan_that_was_not_made_has_no_page(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows["C1"][2] = "NIL"
        at.settings["rows"] = {"null_token": "NIL"}
        report = await at.night()

        with pytest.raises(InvariantError):
            plan_facts(report.planned)
