"""
A run whose rows are sent by workers: the driver cuts, hands out, adds up.

What is before the first row and after the last verdict is that of one machine. Between
them the rows that go out are cut into partitions, each is sent by one worker, and the
journals of all are taken over into that of the run. On disk are a few partitions at a
time.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections import Counter
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Final

from pipeline.continuing import versions_at_work
from pipeline.distributed.cluster import engine_of, told_by
from pipeline.distributed.in_order import LOOK_S
from pipeline.distributed.journals import FOLDER_NAME, hand_over, take_over
from pipeline.distributed.partitions import cut_into_partitions, rows_a_partition
from pipeline.distributed.work import (
    PartitionReport,
    PartitionTask,
    deliver_partition,
    settings_to_send,
)
from pipeline.endings import gravest, out_of_time, too_many_rejects
from pipeline.errors import PatienceEndedError, PipelineError
from pipeline.files import make_private_dir, using
from pipeline.tally import DeliveryReport
from pipeline.terms import most_rejects

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    import polars as pl

    from pipeline.credentials import RemoteSettings
    from pipeline.distributed.cluster import Answer, Cluster, Engine
    from pipeline.distributed.partitions import Partition
    from pipeline.journal import Journal
    from pipeline.journal_tables import Run
    from pipeline.records import Encoded
    from pipeline.resuming import ResumePlan
    from pipeline.retrying import Clock
    from pipeline.settings import Job
    from pipeline.stopping import StopSignal

LAST_WORDS_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class Delegation:
    """
    What is handed to workers.

    Attributes:
        job: How to send, and how to log in.
        run_folder: Of the run, where all workers see it.
        scratch: For rows on their way; likewise.
        run: It names the workspace, too.
        n_rows: All rows of the run that can be sent.
        resumed: What of them was recorded before.
    """

    job: Job
    run_folder: Path
    scratch: Path
    run: Run
    journal: Journal
    remote: RemoteSettings
    n_rows: int
    resumed: ResumePlan | None
    stop: StopSignal
    clock: Clock

    @property
    def folder(self) -> Path:
        """Of the journals of partitions."""
        return self.run_folder / FOLDER_NAME

    def task(self, partition: Partition, rows: Path) -> PartitionTask:
        """Return what travels to the worker."""
        remote = self.remote
        return PartitionTask(
            run=self.run,
            partition=partition,
            rows=rows.absolute(),
            folder=self.folder.absolute(),
            settings=settings_to_send(self.job),
            base_url=remote.base_url,
            ca_bundle=remote.ca_bundle,
            env_proxy=remote.env_proxy,
            guid=self.run.workspace,
            versions=versions_at_work(),
            is_replanned=self.resumed is not None and self.resumed.is_replanned,
        )


async def deliver_on_cluster(
    encoded: Iterable[Encoded],
    what: Delegation,
    cluster: Cluster,
    on_progress: Callable[[DeliveryReport], None],
) -> None:
    """
    Have everything sent that goes out, by the workers of a cluster.

    Args:
        encoded: As `Outgoing.encoded` gives it.

    Effects: as `deliver`, in journals of partitions; at the end, and when it is an
        error, they are taken over into that of the run.

    Raises:
        As `deliver`; PatienceEndedError as well when the scheduler or all workers are
        gone, or when worker after worker dies of one partition.
        UnreachableError: There is no scheduler.
        LockedError: A worker that was given up is still at work.
    """
    error: BaseException | None = None
    try:
        delivery = what.job.delivery
        opened = engine_of(cluster)(cluster, run_id=what.run.run_id, rate=delivery.rate)
        async with opened as engine:
            await _drive(encoded, what, engine, on_progress)
    except PipelineError as stopped:
        error = stopped
    except OSError:
        error = PatienceEndedError(GONE)
    try:
        await asyncio.to_thread(take_over, what.journal, what.run_folder)
    except PipelineError as failed:
        error = gravest(error, failed)
    if error is not None:
        raise error


async def _drive(
    encoded: Iterable[Encoded],
    what: Delegation,
    engine: Engine,
    on_progress: Callable[[DeliveryReport], None],
) -> None:
    n_places = await engine.n_places()
    n_rows = rows_a_partition(what.n_rows, what.job.delivery.max_rows, n_places)
    cuts = cut_into_partitions(encoded, what.resumed, n_rows)
    await _Driver(what, engine, _Preparation(what, cuts), on_progress).run()


class _Preparation:
    """Writes one partition after the other, each in a thread."""

    def __init__(
        self,
        what: Delegation,
        cuts: Iterator[tuple[Partition, list[pl.DataFrame]]],
    ) -> None:
        self._what = what
        self._cuts = cuts
        self._folder = make_private_dir(what.scratch / FOLDER_NAME)
        resumed = what.resumed
        run_id = what.run.run_id
        self._known = [] if resumed is None else what.journal.batches(run_id)

    async def next(self) -> PartitionTask | None:
        """Return the next partition, its rows on disk; None behind the last."""
        return await asyncio.to_thread(self._next)

    def _next(self) -> PartitionTask | None:
        found = next(self._cuts, None)
        if found is None:
            return None
        partition, frames = found
        rows = make_private_dir(self._folder / f"{partition.number:06}")
        for n, frame in enumerate(frames):
            path = rows / f"{n:06}.ipc"
            with using(path):
                path.touch(mode=0o600)
                frame.write_ipc(path)
        what = self._what
        hand_over(what.journal, what.run, partition, what.folder, self._known)
        return what.task(partition, rows)


class _Driver:
    """One call of `deliver_on_cluster`."""

    def __init__(
        self,
        what: Delegation,
        engine: Engine,
        preparation: _Preparation,
        show: Callable[[DeliveryReport], None],
    ) -> None:
        self._what = what
        self._engine = engine
        self._preparation = preparation
        self._show = show
        self._delivery = told = what.job.delivery
        n_before = 0 if what.resumed is None else what.resumed.n_rejected
        most = most_rejects(told.max_rejects, what.n_rows)
        self._most_rejects = max(0, most - n_before)
        self._began_s = self._worked_s = what.clock.now()
        self._ended_s = math.inf
        self._error: BaseException | None = None
        self._left: BaseException | None = None
        self._n_stops = 0
        self._report = DeliveryReport()
        self._running: set[asyncio.Task[PartitionReport]] = set()
        self._ahead: asyncio.Task[PartitionTask | None] | None = None

    async def run(self) -> None:
        """Hand out until nothing is left, or something ends it."""
        self._ahead = asyncio.create_task(self._preparation.next())
        try:
            while self._running or self._has_more:
                n_places = await self._engine.n_places()
                self._hand_out(n_places)
                await self._wait(n_places)
                await self._look(n_places)
                if self._now_s - self._ended_s > LAST_WORDS_S:
                    break  # whoever does not end is a worker that is gone
        except OSError:
            self._fail(PatienceEndedError(GONE))
        finally:
            await self._let_go()
        self._show(self._report)
        error = gravest(self._error, self._left)
        if error is not None:
            raise error

    @property
    def _has_more(self) -> bool:
        return self._error is None and self._ahead is not None

    @property
    def _now_s(self) -> float:
        return self._what.clock.now()

    def _fail(self, error: BaseException) -> None:
        """Hand out nothing more; the gravest error is the one that is raised."""
        self._error = gravest(self._error, error)
        self._ended_s = min(self._ended_s, self._now_s)

    def _hand_out(self, n_places: int) -> None:
        """Give the partition that is ready to the cluster, and prepare another."""
        ahead = self._ahead
        is_ready = self._has_more and ahead is not None and ahead.done()
        if ahead is None or not is_ready or len(self._running) >= n_places:
            return
        self._ahead = None
        error = ahead.exception()
        if error is not None:
            self._fail(error)
            return
        task = ahead.result()
        if task is not None:
            self._running.add(asyncio.create_task(self._deliver(task)))
            self._ahead = asyncio.create_task(self._preparation.next())

    async def _deliver(self, task: PartitionTask) -> PartitionReport:
        try:
            answer = await self._engine.run(deliver_partition, task)
        finally:
            shutil.rmtree(task.rows, ignore_errors=True)
        return answer.result or _unanswered(task.partition, answer)

    async def _wait(self, n_places: int) -> None:
        """Wait for whatever ends next, but not for long."""
        waits: set[asyncio.Task[Any]] = set(self._running)
        if self._ahead is not None and self._has_more and len(waits) < n_places:
            waits.add(self._ahead)
        if not waits:
            await self._what.clock.sleep(LOOK_S)
            return
        done, _ = await asyncio.wait(
            waits, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
        )
        for task in done & self._running:
            self._running.remove(task)
            self._take(task.result())

    def _take(self, report: PartitionReport) -> None:
        """Go on after a partition, or end: as its error asks for."""
        error = report.error
        if error is None:
            return
        told = told_by(f"partition {report.number}", error, report.host)
        if report.is_through:
            self._left = gravest(self._left, told)
        else:
            self._fail(told)

    async def _look(self, n_places: int) -> None:
        """Add up what the workers tell, hold the bounds of the run, pass stops on."""
        self._report = _sum(await self._engine.counts(), self._now_s - self._began_s)
        self._show(self._report)
        if n_places:
            self._worked_s = self._now_s
        elif self._now_s - self._worked_s > self._delivery.max_wait:
            self._fail(PatienceEndedError("no worker of the cluster is left."))
        if self._report.rows_rejected > self._most_rejects:
            self._fail(too_many_rejects(self._most_rejects))
        most_s = self._delivery.max_duration
        if most_s is not None and self._report.seconds > most_s:
            self._fail(out_of_time(most_s))
        stop = self._what.stop
        if stop.n_requests:
            self._fail(stop.error())
        n_stops = max(stop.n_requests, int(self._error is not None))
        if n_stops > self._n_stops:
            self._n_stops = n_stops
            await self._engine.stop(n_stops)

    async def _let_go(self) -> None:
        """End what is still at work here; a worker ends by itself."""
        for task in self._running:
            task.cancel()
        left = [*self._running, *([] if self._ahead is None else [self._ahead])]
        await asyncio.gather(*left, return_exceptions=True)


def _unanswered(
    partition: Partition, answer: Answer[PartitionReport]
) -> PartitionReport:
    """Return what is known of a partition whose workers tell nothing."""
    number, n_rows = partition.number, partition.n_rows
    error = answer.error
    if not isinstance(error, PatienceEndedError):  # a defect ends the run
        return PartitionReport(number, error=error, host=answer.host)
    words = str(error).rstrip(".")
    told = PatienceEndedError(
        f"{words}; what is not answered of its {n_rows} rows is pending. Look at the "
        "logs of the workers."
    )
    return PartitionReport(number, n_rows, DeliveryReport(rows_pending=n_rows), told)


def _sum(counts: Iterable[Mapping[str, Any]], seconds: float) -> DeliveryReport:
    """Return the deliveries of all workers as one."""
    numbers: Counter[str] = Counter()
    statuses: Counter[int] = Counter()
    for told in counts:
        statuses.update({int(k): n for k, n in (told.get("statuses") or {}).items()})
        numbers.update({k: n for k, n in told.items() if k in _NUMBERS})
    return DeliveryReport(
        **numbers, statuses=dict(sorted(statuses.items())), seconds=seconds
    )


_NUMBERS: Final = {each.name for each in fields(DeliveryReport)} - {
    "statuses",
    "seconds",
}
GONE: Final = (
    "the scheduler of the cluster is gone; its workers stop by themselves, and what "
    "was answered is recorded."
)
