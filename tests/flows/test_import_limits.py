"""Where an operator's limit ends an import: its rows are pending, never lost."""

from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from import_day import imported, people, under
from pipeline.contract import BATCH_PATH
from pipeline.errors import LimitError, PatienceEndedError
from pipeline.journal import list_runs
from pipeline.journal_tables import RunState
from pipeline.resuming import unfinished_runs
from sandbox_driver import Wire

N_ROWS = 300
IN_FLIGHT = 3  # batches with a worker while one is sent
# One row of each ten: p0005, p0015, ...
REFUSING = "calm,refuse=5@example.com,refuse_status=400"


class DownForBatches(Wire):
    """A service that takes no batches."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            return httpx.Response(503, stream=httpx.ByteStream(b""))
        return await super().handle_async_request(request)


@pytest.mark.anyio
async def test_one_refusal_more_than_allowed_ends_it(tmp_path: Path) -> None:
    async with under(REFUSING) as (sandbox, connector, _):
        source = people(tmp_path / "people.csv", N_ROWS)
        report = await imported(source, connector, max_rejects=3)

        assert type(report.error) is LimitError
        assert "more than 3 rows (--max-rejects)" in str(report.error)
        counts = report.counts
        assert 3 < counts.rejected <= 3 + IN_FLIGHT
        assert counts.accepted + counts.rejected + counts.pending == N_ROWS
        assert counts.pending >= N_ROWS - 50
        assert counts.accepted == sandbox.store.count_profiles()
        (run,) = list_runs(tmp_path / "work")
        assert (run.exit_code, run.state) == (6, RunState.PENDING)
        assert unfinished_runs([run]) == [run]


@pytest.mark.anyio
@pytest.mark.parametrize("most", [None, 30])
async def test_as_many_refusals_as_allowed_do_not(
    tmp_path: Path, most: int | None
) -> None:
    async with under(REFUSING) as (sandbox, connector, _):
        source = people(tmp_path / "people.csv", N_ROWS)
        report = await imported(source, connector, max_rejects=most)

        assert report.error is None
        assert (report.counts.rejected, report.counts.pending) == (30, 0)
        assert sandbox.store.count_profiles() == N_ROWS - 30


@pytest.mark.anyio
async def test_without_a_limit_a_hundred_refusals_are_borne(tmp_path: Path) -> None:
    # Named by a 207, so that the others of a batch are through at once.
    weather = "calm,refuse=5@example.com,refuse_status=207"
    async with under(weather) as (_, connector, _):
        source = people(tmp_path / "people.csv", 1100)
        report = await imported(source, connector)

        assert type(report.error) is LimitError
        assert "more than 100 rows" in str(report.error)
        assert 100 < report.counts.rejected <= 100 + IN_FLIGHT


@pytest.mark.anyio
async def test_a_duration_ends_it_with_the_rest_pending(tmp_path: Path) -> None:
    weather = "calm,slow=1.0,slow_s=2.0"
    async with under(weather, jumps=False) as (sandbox, connector, time):
        source = people(tmp_path / "people.csv", N_ROWS)
        report = await imported(source, connector, max_duration=15.0)

        assert type(report.error) is PatienceEndedError
        assert "15 s of --max-duration" in str(report.error)
        assert time.now_s <= 15 + 2 * 4  # the login, and what was in flight
        assert 0 < report.counts.accepted < N_ROWS
        assert report.counts.unknown == 0
        assert report.counts.pending == N_ROWS - report.counts.accepted
        assert report.counts.accepted == sandbox.store.count_profiles()
        (run,) = list_runs(tmp_path / "work")
        assert (run.exit_code, run.state) == (75, RunState.PENDING)


@pytest.mark.anyio
@pytest.mark.parametrize("most_s", [20.0, 200.0])
async def test_patience_is_as_long_as_it_was_said(
    tmp_path: Path, most_s: float
) -> None:
    async with under("calm") as (sandbox, connector, time):
        source = people(tmp_path / "people.csv", N_ROWS)
        down = replace(connector, transport=DownForBatches(sandbox))
        report = await imported(source, down, max_wait=most_s)

        assert type(report.error) is PatienceEndedError
        assert 0.5 * most_s < time.now_s <= 1.2 * most_s
        assert report.counts.pending == N_ROWS
        assert sandbox.store.count_profiles() == 0
