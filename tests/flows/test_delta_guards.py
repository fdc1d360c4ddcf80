"""Guards and the canary: an odd night stops before it does harm."""

from pathlib import Path

import httpx
import polars as pl
import pytest

from flows.delta_town import N_PEOPLE, Forgetful, of_three_shapes, town
from pipeline.contract import BATCH_PATH
from pipeline.errors import LimitError, SettingsError
from sandbox_driver import Wire


@pytest.mark.anyio
async def test_a_source_that_is_half_gone_stops_the_night(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        await at.night()
        n_sent = len(at.sandbox.truth())
        for name in [*at.rows][: N_PEOPLE // 2]:
            del at.rows[name]
        at.rows["C59"][1] = "Last"
        report = await at.night()

        assert isinstance(report.error, LimitError)
        assert "least_rows" in str(report.error)
        assert report.applied is None
        assert at.held()["C59"]["firstName"] == "Ewa 59"
        batches = [e for e in at.sandbox.truth()[n_sent:] if e.name == "batch"]
        assert batches == []
        # Who looked at the plan may apply it.
        done = await at.apply(report.planned)
        assert done.counts.accepted == 1


@pytest.mark.anyio
async def test_a_value_that_is_not_accepted_stops_the_night(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        guards = {"accepted_values": {"city": ["Opole"], "agreements.email": [True]}}
        at.settings["sync"] = {"guards": guards}
        assert (await at.night()).error is None
        at.rows["C1"][2] = "Oppole"
        at.rows["C2"][3] = "no"
        report = await at.night()

        assert "1 rows have a value of city" in str(report.error)
        assert "1 rows have a value of agreements.email" in str(report.error)


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [None, "integer", "number"])
async def test_accepted_numbers_may_be_text_or_numbers(
    tmp_path: Path, kind: str | None
) -> None:
    async with town(tmp_path) as at:
        for n, row in enumerate(at.rows.values()):
            row[2] = str(n % 3)
        at.settings["rows"] = {"extra_columns": "ignore"}
        at.settings["mapping"] = {
            "customId": "customId",
            "attributes": {"n": {"column": "city", "type": kind}},
        }
        guards = {"accepted_values": {"attributes.n": [0, 1, 2]}}
        at.settings["sync"] = {"guards": guards}
        assert (await at.plan()).plan.trips == ()  # type: ignore[union-attr]
        at.rows["C1"][2] = "3"
        assert len((await at.plan()).plan.trips) == 1  # type: ignore[union-attr]


@pytest.mark.anyio
async def test_values_of_a_field_that_is_not_mapped_are_refused(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["sync"] = {"guards": {"accepted_values": {"company": ["A"]}}}

        with pytest.raises(SettingsError, match="not mapped: company"):
            await at.plan()


class Refusing(Wire):
    """Refuses every row."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            return httpx.Response(400, stream=httpx.ByteStream(b"{}"))
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_a_canary_goes_first_and_is_read_back(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        report = await at.night()

        assert report.applied is not None
        assert report.applied.canary is not None
        assert 25 <= report.applied.canary.n_rows <= 100
        assert report.applied.counts.accepted == 300
        rows = pl.read_parquet(report.applied.folder / "rows.parquet")
        first = rows.filter(pl.col("lane") == 0)
        assert report.applied.canary.n_rows == first.height
        assert first["row_no"].is_sorted()
        assert 101 in first["row_no"]
        assert rows.select("source_no", "row_no").is_duplicated().sum() == 0


@pytest.mark.anyio
async def test_a_canary_that_differs_stops_the_rest_and_goes_on_when_it_is_right(
    tmp_path: Path,
) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        report = await at.night(at.through(Forgetful))

        assert report.applied is not None
        assert isinstance(report.applied.error, LimitError)
        assert "in city" in str(report.applied.error)
        assert report.applied.is_resumable
        assert len(at.held()) == report.applied.counts.accepted <= 100

        # The canary is read again: as long as the CRM differs, nothing more goes out.
        again = await at.apply_id(report.applied.run_id)
        assert isinstance(again.error, LimitError)
        assert again.delivery.n_requests == 0
        unwanted = at.job.model_copy(
            update={"sync": at.job.sync.model_copy(update={"canary": False})}
        )
        done = await at.apply_id(report.applied.run_id, filed=unwanted)
        assert done.error is None
        assert done.counts.accepted == 300


@pytest.mark.anyio
async def test_a_canary_that_is_refused_stops_the_rest(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(300)
        at.settings["delivery"] = {"max_rejects": 1_000}
        report = await at.night(at.through(Refusing))

        assert report.applied is not None
        assert isinstance(report.applied.error, LimitError)
        assert "0 were accepted" in str(report.applied.error)
        assert report.applied.counts.pending >= 200
        assert at.held() == {}
