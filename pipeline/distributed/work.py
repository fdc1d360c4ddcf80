"""
What a worker does with a partition: the line from the chunker on, as on one machine.

Batches, delivery, verdicts and journal are those of every import; only the places come
from the scheduler. Whoever gets a partition second finds the journal of the first, and
goes on as a resumption does.
"""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from pipeline.chunker import BatchLimits
from pipeline.connection import Connector, connected
from pipeline.continuing import versions_at_work
from pipeline.delivery import deliver
from pipeline.distributed.journals import partition_journal
from pipeline.distributed.limiting import taken_on
from pipeline.environment import remote_settings
from pipeline.errors import PipelineError, SettingsError, StoppedError
from pipeline.files import make_private_dir
from pipeline.journal import Journal
from pipeline.locks import lock_partition
from pipeline.rebatch import rebuild
from pipeline.records import Encoded
from pipeline.resuming import plan_resume
from pipeline.settings import Job
from pipeline.spill import read_frame
from pipeline.tally import DeliveryReport
from pipeline.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pipeline.distributed.limiting import ClusterLimiter, Link
    from pipeline.distributed.partitions import Partition
    from pipeline.journal_tables import Run
    from pipeline.resuming import ResumePlan
    from pipeline.stopping import StopSignal


class Task(Protocol):
    """What every task says of the service, and of the tool; no secret is in it."""

    @property
    def settings(self) -> str:
        """Of the job, as JSON: how to send, and how to log in."""

    @property
    def base_url(self) -> str:
        """Of the service."""

    @property
    def ca_bundle(self) -> str | None:
        """See `RemoteSettings`."""

    @property
    def env_proxy(self) -> bool:
        """See `RemoteSettings`."""

    @property
    def versions(self) -> Mapping[str, str]:
        """Of the driver; a worker has the same."""


@dataclass(frozen=True, slots=True)
class PartitionTask:
    """
    All that travels to a worker: names, numbers and settings; no row and no secret.

    Attributes:
        rows: Folder with the encoded rows, in files that sort by their names.
        folder: Of the journals of partitions; made when needed.
        settings: Of the job, as JSON: how to send, and how to log in.
        guid: Of the workspace that the driver found; the worker's key must open it.
        versions: Of the driver; a worker has the same.
    """

    run: Run
    partition: Partition
    rows: Path
    folder: Path
    settings: str
    base_url: str
    ca_bundle: str | None
    env_proxy: bool
    guid: str | None
    versions: Mapping[str, str]
    is_replanned: bool = False


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """
    What came of a partition, as far as its worker knows; the journal knows all.

    Attributes:
        n_rows: That were to be sent.
        error: Why rows of it are left; None as well when the run was told to stop.
        host: Where its worker is; empty when none is left to tell.
    """

    number: int
    n_rows: int = 0
    delivery: DeliveryReport = field(default_factory=DeliveryReport)
    error: PipelineError | None = None
    host: str = ""

    @property
    def is_through(self) -> bool:
        """Whether every batch had its turn: then another partition may fare better."""
        done = self.delivery
        n_seen = done.rows_accepted + done.rows_rejected + done.rows_pending
        return self.error is None or (0 < self.n_rows <= n_seen)


def settings_to_send(job: Job) -> str:
    """Return the part of a job that a worker needs, as JSON; it holds no secret."""
    return job.model_dump_json(include={"workspace", "delivery"})


async def deliver_partition(
    task: PartitionTask, link: Link, connector: Connector | None = None
) -> PartitionReport:
    """
    Send the rows of a partition, or what is left of them.

    Args:
        connector: The service; as the environment of the worker says, if not given.

    Effects: as `deliver`, in the journal of the partition.
    """
    number = task.partition.number
    try:
        job, connector = prepared(task, task.rows, connector)
        # Before the lock: whoever has it lets go.
        async with taken_on(link, number, connector.clock.now) as (limiter, stop):
            with lock_partition(make_private_dir(task.folder), number):
                return await _send(task, job, connector, limiter, stop)
    except PipelineError as failed:
        return PartitionReport(number, error=failed, host=socket.gethostname())


async def _send(
    task: PartitionTask,
    job: Job,
    connector: Connector,
    limiter: ClusterLimiter,
    stop: StopSignal,
) -> PartitionReport:
    path = partition_journal(task.folder, task.partition.number)
    error: PipelineError | None = None
    with Journal.open(path) as journal:
        plan = _begin(journal, task)
        delivery = job.delivery
        limits = BatchLimits(delivery.max_rows, delivery.max_bytes)
        terms = terms_of(
            delivery,
            task.partition.n_rows,
            resumed=plan,
            stop=stop,
            clock=connector.clock,
        )
        # What is counted over all workers is counted by the driver.
        terms = replace(
            terms, rate=None, max_rejects=None, max_duration_s=None, shared=limiter
        )
        try:
            async with connected(connector, task.guid, stop=stop) as (client, _):
                await deliver(
                    rebuild(_rows(task), plan, limits, target=terms.target),
                    client=client,
                    journal=journal,
                    run_id=task.run.run_id,
                    terms=terms,
                    on_progress=lambda report: setattr(limiter, "counts", report),
                )
        except PipelineError as stopped:
            is_ordered = isinstance(stopped, StoppedError)
            error = limiter.lost if is_ordered else stopped
    n_rows = task.partition.n_rows - plan.n_accepted - plan.n_rejected
    number, host = task.partition.number, socket.gethostname()
    return PartitionReport(number, n_rows, limiter.counts, error, host)


def _begin(journal: Journal, task: PartitionTask) -> ResumePlan:
    """Begin the journal of a partition, or go on with it; return what is left."""
    run, partition = task.run, task.partition
    if journal.run(run.run_id) is None:
        journal.begin_run(run)
    else:
        journal.resume_run(run.run_id)
    plan = plan_resume(
        run,
        journal.batches(run.run_id),
        now=run.versions,
        replan=task.is_replanned,
    )
    return replace(
        plan,
        next_no=max(plan.next_no, partition.first_no),
        next_child_no=max(plan.next_child_no, partition.first_child_no),
    )


def _rows(task: PartitionTask) -> Iterator[Encoded]:
    for path in sorted(task.rows.iterdir()):
        yield Encoded(read_frame(path), task.partition.lane)


def prepared(
    task: Task, folder: Path, connector: Connector | None
) -> tuple[Job, Connector]:
    """
    See that this worker can do what the driver would do, and how it logs in.

    Args:
        folder: In the work folder; the driver sees it.
        connector: The service; as the environment of the worker says, if not given.

    Raises:
        SettingsError: It cannot.
        TokenRefusedError: Its environment has no credentials.
    """
    check_place(folder, task.versions)
    job = Job.model_validate(json.loads(task.settings))
    if connector is None:
        remote = remote_settings(
            job,
            base_url=task.base_url,
            ca_bundle=task.ca_bundle,
            env_proxy=task.env_proxy,
        )
        connector = Connector(remote)
    return job, replace(connector, was_heard=True)  # by the driver


def check_place(folder: Path, versions: Mapping[str, str]) -> None:
    """
    See that this worker can do what the driver would do.

    Args:
        folder: Of the task, in the work folder of the driver.
        versions: Of the driver.

    Raises:
        SettingsError: It cannot.
    """
    if not folder.is_dir():
        raise SettingsError(
            f"this worker does not see {folder}: the work folder has to lie where "
            "all workers see it under the same name (--work-dir)"
        )
    now = versions_at_work()
    if now != versions:
        told = ", ".join(f"{name} {number}" for name, number in sorted(now.items()))
        raise SettingsError(
            f"this worker has {told}, which is not what the driver has; install the "
            "same versions on all of them"
        )
