"""Nights whose rows are sent by workers: nothing else is another one for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from flows.delta_town import Forgetful, Stopping, Town, of_three_shapes, town
from pipeline import Cluster, StopSignal
from pipeline.delta.lanes import with_less_time
from pipeline.errors import InterruptedRunError, LimitError
from pipeline.records import MAIN_LANE
from pipeline.retrying import SYSTEM_CLOCK
from task_workers import Here

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline import ApplyReport, Connector, SyncReport

pytestmark = pytest.mark.anyio
N_PEOPLE = 300


def workers_of(at: Town, connector: Connector | None = None, **more: Any) -> Here:
    here = Here(connector or at.connector, at.time.clock, **more)
    at.cluster = Cluster(n_workers=2, opens=here.opens)
    return here


def applied(report: SyncReport) -> ApplyReport:
    assert report.applied is not None
    return report.applied


def people_in(at: Town) -> dict[str, list[Any]]:
    """What the CRM holds of the fields of the source."""
    fields = ("email", "firstName", "city", "agreements")
    return {
        name: [profile[field] for field in fields]
        for name, profile in at.held().items()
    }


def sent_twice(at: Town) -> int:
    digests = [batch.digest for batch in at.sandbox.store.batches()]
    return len(digests) - len(set(digests))


async def test_workers_leave_what_one_process_leaves(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async def nights(folder: Path, *, is_cluster: bool) -> tuple[Any, ...]:
        async with town(folder) as at:
            at.rows = of_three_shapes(N_PEOPLE)
            here = workers_of(at) if is_cluster else None
            first = applied(await at.night())
            at.rows["C7"][1] = "Eva"
            del at.rows["C8"]
            second = applied(await at.night())
            third = (await at.plan()).plan
            told = [
                (r.error, r.counts, r.canary, r.delivery.rows_accepted)
                for r in (first, second)
            ]
            assert third is not None
            assert third.figures.n_planned == sent_twice(at) == 0
            if here is not None:
                lanes = {task.partition.lane for task in here.tasks}
                assert min(lanes) == MAIN_LANE
                assert len(here.tasks) > 2
                assert not [*at.work_dir.glob("runs/*/partitions")]
            return (*told, people_in(at))

    one = await nights(tmp_path_factory.mktemp("one"), is_cluster=False)
    many = await nights(tmp_path_factory.mktemp("many"), is_cluster=True)

    assert one[0][0] is None
    assert one[0][1].accepted == N_PEOPLE
    assert one[0][2] is not None
    assert many == one


async def test_no_worker_gets_a_row_while_the_first_ones_differ(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(N_PEOPLE)
        here = workers_of(at)
        report = applied(await at.night(at.through(Forgetful)))

        assert isinstance(report.error, LimitError)
        assert "in city" in str(report.error)
        assert here.tasks == []
        assert len(at.held()) == report.counts.accepted <= 100


@pytest.mark.parametrize("is_finished_by_workers", [True, False])
async def test_a_night_that_workers_left_goes_on(
    tmp_path: Path, *, is_finished_by_workers: bool
) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(N_PEOPLE)
        workers_of(at, on_tell=lambda _: at.stop.request())
        cut = applied(await at.night())
        assert isinstance(cut.error, InterruptedRunError)
        assert cut.is_resumable
        at.stop, at.cluster = StopSignal(), None
        if is_finished_by_workers:
            workers_of(at)
        done = await at.apply_id(cut.run_id)
        at.sandbox.settle()

        assert done.error is None
        assert done.counts.accepted == N_PEOPLE
        assert done.delivery.rows_accepted == N_PEOPLE - cut.counts.accepted
        assert sent_twice(at) == 0
        at.assert_equal()


@pytest.mark.parametrize("n_batches", [1, 12])
async def test_workers_go_on_with_what_one_process_began(
    tmp_path: Path, n_batches: int
) -> None:
    """In the middle of what goes first, and behind it."""
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(N_PEOPLE)
        wire = at.through(lambda sandbox: Stopping(sandbox, at.stop, n_batches))
        cut = applied(await at.night(wire))
        assert isinstance(cut.error, InterruptedRunError)
        at.stop = StopSignal()
        here = workers_of(at)
        done = await at.apply_id(cut.run_id)
        at.sandbox.settle()

        assert done.error is None
        assert done.counts.accepted == N_PEOPLE
        assert len(here.tasks) > 1
        assert sent_twice(at) == 0
        at.assert_equal()


async def test_a_worker_that_dies_costs_no_row(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(N_PEOPLE)
        here = workers_of(at, deaths={2: 1})
        report = applied(await at.night())

        assert report.error is None
        assert report.counts.accepted == N_PEOPLE
        assert here.deaths == {2: 0}
        at.assert_equal()


async def test_what_goes_first_takes_its_part_of_the_time(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.rows = of_three_shapes(N_PEOPLE)
        at.settings["delivery"] = {"max_rows": 10, "max_duration": 60.0}
        connector = replace(at.connector, clock=SYSTEM_CLOCK)
        here = workers_of(at, connector)
        report = applied(await at.night(connector))

        assert report.error is None
        assert report.canary is not None
        told = json.loads(here.tasks[0].settings)["delivery"]
        assert 30.0 < told["max_duration"] < 60.0


async def test_time_that_is_over_leaves_nothing_for_workers(tmp_path: Path) -> None:
    async with town(tmp_path) as at:
        at.settings["delivery"] = {"max_duration": 60.0}
        assert with_less_time(at.job, 15.0).delivery.max_duration == 45.0
        assert 0 < (with_less_time(at.job, 99.0).delivery.max_duration or 0) < 0.01
        at.settings["delivery"] = {}
        assert with_less_time(at.job, 15.0) == at.job
