"""
The driver, with workers that are tasks of this process: who hands out what, and when.

Real worker processes are in `flows/test_import_cluster.py`.
"""

from __future__ import annotations

import asyncio
import pickle
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from import_day import people, under
from pipeline import Cluster, Connector, ImportRequest, Job, StopSignal, run_import
from pipeline.cli.exit_codes import exit_code_of_run
from pipeline.continuing import Continuation
from pipeline.distributed.hub import Turn
from pipeline.distributed.journals import FOLDER_NAME, partition_journal, take_over
from pipeline.errors import (
    LimitError,
    LockedError,
    PatienceEndedError,
    SettingsError,
)
from pipeline.journal import JOURNAL_NAME, Journal
from pipeline.locks import lock_partition
from pipeline.sandbox.server import API_KEY
from task_workers import Falling, Gone, Here

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline import RunReport
    from pipeline.distributed.cluster import Answer
    from pipeline.distributed.work import PartitionTask

N_ROWS = 120


async def imported(
    source: Path,
    connector: Connector,
    here: Here | None,
    *,
    stop: StopSignal | None = None,
    run_id: str | None = None,
    **delivery: Any,
) -> RunReport:
    """Import in batches of five, by the workers of *here*, or by this process."""
    job = Job.model_validate(
        {
            "source": {"path": str(source)},
            "delivery": {"max_rows": 5, "concurrency": 2} | delivery,
            "verify": "none",
        }
    )
    request = ImportRequest(
        job,
        source.parent / "work",
        continuation=Continuation(run_id),
        exit_code=exit_code_of_run,
        stop=stop or StopSignal(),
        cluster=None if here is None else Cluster(n_workers=2, opens=here.opens),
    )
    return await run_import(request, connector)


def outcomes(report: RunReport) -> pl.DataFrame:
    return pl.read_parquet(report.files.paths["outcomes"]).drop("batch_no")


def test_workers_leave_what_one_process_leaves(tmp_path: Path) -> None:
    async def scenario(*, is_cluster: bool) -> tuple[RunReport, Here, list[Any]]:
        folder = tmp_path / str(is_cluster)
        folder.mkdir()
        sky = "refuse=p0033,refuse_status=400,refuse_named=false"
        async with under(sky) as (sandbox, connector, time):
            here = Here(connector, time.clock)
            source = people(folder / "p.csv", N_ROWS)
            source.write_text(source.read_text() + "p0007@example.com,C7\nbad,\n")
            report = await imported(source, connector, here if is_cluster else None)
            sandbox.settle()
            return report, here, sorted(p["email"] for p in sandbox.profiles())

    one, _, expected = asyncio.run(scenario(is_cluster=False))
    many, here, found = asyncio.run(scenario(is_cluster=True))

    assert (many.error, many.counts) == (None, one.counts)
    assert outcomes(many).equals(outcomes(one))
    assert found == expected
    # Batches of 5 rows: 8 partitions of the main lane, and one of the folded rows.
    assert [task.partition.n_rows for task in here.tasks] == [15] * 7 + [14, 1]
    assert here.most_at_once == 2
    assert many.delivery is not None
    assert one.delivery is not None
    assert many.delivery.rows_accepted == one.delivery.rows_accepted
    assert many.delivery.n_requests == one.delivery.n_requests
    assert not (many.folder / FOLDER_NAME).exists()


def test_a_partition_of_a_dead_worker_goes_on_where_it_was(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under("slow=1,slow_s=0.1", jumps=False) as (
            sandbox,
            connector,
            time,
        ):
            here = Here(connector, time.clock, deaths={3: 1})
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here)
            batches = sandbox.store.batches()
        n_twice = len(batches) - len({batch.digest for batch in batches})

        assert report.error is None
        assert report.counts.accepted == N_ROWS
        assert n_twice <= 2  # two places in flight
        assert here.hub.counts.keys() >= {Turn(3, 1), Turn(3, 2)}

    asyncio.run(scenario())


def test_a_partition_that_kills_everybody_is_left_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    class Poisoned(Here):
        async def _once(self, work: Any, task: PartitionTask) -> Any:
            if task.partition.number == 1:
                raise Gone
            return await super()._once(work, task)

    async def scenario() -> None:
        async with under("calm") as (_, connector, time):
            here = Poisoned(connector, time.clock)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here)

            assert isinstance(report.error, PatienceEndedError)
            assert "partition 1: it dies" in str(report.error)
            assert report.counts.accepted == N_ROWS - 15
            assert report.is_resumable

            again = await imported(source, connector, None, run_id=report.run_id)
            assert again.counts.accepted == N_ROWS

    asyncio.run(scenario())


def test_a_cluster_goes_on_with_what_one_process_began(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under("calm") as (sandbox, connector, time):
            source = people(tmp_path / "p.csv", N_ROWS)
            stop = StopSignal()
            first = await imported_until(source, connector, stop, n_batches=8)
            here = Here(connector, time.clock)
            rest = await imported(source, connector, here, run_id=first.run_id)
            batches = sandbox.store.batches()

            assert 0 < first.counts.accepted < N_ROWS
            assert rest.counts.accepted == N_ROWS
            assert len({b.digest for b in batches}) == len(batches) == N_ROWS // 5
            # What is proven as a whole is not handed out again.
            n_handed = sum(task.partition.n_rows for task in here.tasks)
            assert n_handed < N_ROWS

    asyncio.run(scenario())


async def imported_until(
    source: Path, connector: Connector, stop: StopSignal, *, n_batches: int
) -> RunReport:
    """Import by this process, and ask it to stop after some batches."""
    seen = 0
    inner = connector.clock.now

    def now() -> float:
        nonlocal seen
        seen += 1
        if seen == n_batches * 8:
            stop.request()
        return inner()

    clock = replace(connector.clock, now=now)
    return await imported(source, replace(connector, clock=clock), None, stop=stop)


def test_a_stop_reaches_the_workers_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under("calm") as (sandbox, connector, time):
            stop = StopSignal()
            here = Here(connector, time.clock, on_tell=lambda _: stop.request())
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here, stop=stop)
            assert report.error is not None
            assert type(report.error).__name__ == "InterruptedRunError"
            assert report.counts.pending > 0

            calm = Here(connector, time.clock)
            rest = await imported(source, connector, calm, run_id=report.run_id)
            batches = sandbox.store.batches()

            assert rest.error is None
            assert rest.counts.accepted == N_ROWS
            assert len({b.digest for b in batches}) == len(batches)

    asyncio.run(scenario())


def test_a_scheduler_that_is_gone_ends_the_run_with_what_is_known(
    tmp_path: Path,
) -> None:
    def die(here: Here) -> None:
        here.is_silent = True

    async def scenario() -> None:
        async with under("calm") as (_, connector, time):
            here = Here(connector, time.clock, on_tell=die)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here)

            assert isinstance(report.error, PatienceEndedError)
            assert "scheduler of the cluster" in str(report.error)
            assert report.counts.accepted + report.counts.pending == N_ROWS
            assert report.is_resumable

    asyncio.run(scenario())


def test_a_service_that_is_gone_while_a_worker_logs_in_is_waited_for(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with under("calm") as (sandbox, connector, time):
            falling = replace(connector, transport=Falling(sandbox, time.clock))
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, falling, Here(falling, time.clock))

            assert report.error is None
            assert report.counts.accepted == N_ROWS

    asyncio.run(scenario())


def test_refused_rows_are_counted_over_all_workers(tmp_path: Path) -> None:
    async def scenario() -> None:
        sky = "refuse=@example,refuse_status=400"
        async with under(sky) as (_, connector, time):
            here = Here(connector, time.clock)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here, max_rejects=30)

            assert isinstance(report.error, LimitError)
            assert "more than 30 rows" in str(report.error)
            assert report.counts.pending > 0

    asyncio.run(scenario())


def test_a_run_without_workers_ends_when_patience_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under("calm") as (_, connector, time):
            here = Here(connector, time.clock, n_workers=0)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here, max_wait=5.0)

            assert isinstance(report.error, PatienceEndedError)
            assert "no worker of the cluster is left" in str(report.error)
            assert here.tasks == []
            assert report.counts.pending == N_ROWS

    asyncio.run(scenario())


def test_the_time_of_a_run_is_that_of_all_workers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with under("slow=1,slow_s=2") as (_, connector, time):
            here = Here(connector, time.clock)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here, max_duration=20.0)

            assert isinstance(report.error, PatienceEndedError)
            assert "--max-duration" in str(report.error)

    asyncio.run(scenario())


def test_what_a_worker_cannot_do_ends_the_run_and_names_the_host(
    tmp_path: Path,
) -> None:
    def changed(task: PartitionTask) -> PartitionTask:
        return replace(task, versions={"polars": "0.1"})

    class Old(Here):
        async def run(self, work: Any, task: PartitionTask) -> Answer[Any]:
            return await super().run(work, changed(task))

    async def scenario() -> None:
        async with under("calm") as (_, connector, time):
            here = Old(connector, time.clock)
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here)

            assert isinstance(report.error, SettingsError)
            assert "install the same versions" in str(report.error)
            assert report.counts.pending == N_ROWS

    asyncio.run(scenario())


def test_a_partition_that_somebody_still_holds_is_not_taken_over(
    tmp_path: Path,
) -> None:
    from_before: list[str] = []

    async def scenario() -> None:
        async with under("calm") as (_, connector, time):
            stop = StopSignal()
            here = Here(connector, time.clock, on_tell=lambda _: stop.request())
            source = people(tmp_path / "p.csv", N_ROWS)
            report = await imported(source, connector, here, stop=stop)
            from_before.append(report.run_id)

    asyncio.run(scenario())
    work_dir = tmp_path / "work"
    folder = work_dir / "runs" / from_before[0] / FOLDER_NAME
    folder.mkdir()
    with Journal.open(partition_journal(folder, 1)):
        pass
    with (
        lock_partition(folder, 1),
        Journal.open(work_dir / JOURNAL_NAME) as journal,
        pytest.raises(LockedError, match="partition 1 of the run"),
    ):
        take_over(journal, folder.parent, patience_s=0.0)
    assert partition_journal(folder, 1).exists()
    with Journal.open(work_dir / JOURNAL_NAME) as journal:
        take_over(journal, folder.parent)
    assert not folder.exists()


def test_nothing_secret_and_no_row_travels(tmp_path: Path) -> None:
    async def scenario() -> list[PartitionTask]:
        async with under("calm") as (_, connector, time):
            here = Here(connector, time.clock)
            await imported(people(tmp_path / "p.csv", N_ROWS), connector, here)
            return here.tasks

    told = pickle.dumps(asyncio.run(scenario()))

    assert API_KEY.encode() not in told
    assert b"example.com" not in told
