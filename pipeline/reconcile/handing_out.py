"""
Buckets that workers compare: the driver hands them out, and takes them in their order.

So what is written is what one process writes. Nothing is sent anywhere: whatever ends
the command, the same one may be given again.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.continuing import versions_at_work
from pipeline.distributed.cluster import engine_of
from pipeline.distributed.in_order import InOrder, Terms
from pipeline.errors import PatienceEndedError
from pipeline.files import make_private_dir, using
from pipeline.reconcile.bucket_work import (
    BucketTask,
    compare_files,
    fetched,
    leave_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.distributed.cluster import Cluster
    from pipeline.reconcile.bucket import BucketResult, BucketRules
    from pipeline.reconcile.bucket_work import BucketAnswer
    from pipeline.retrying import Clock
    from pipeline.spill import Spill
    from pipeline.stopping import StopSignal

_AGAIN: Final = (
    "Nothing was sent or changed: give the same command again, or without --engine."
)
_GONE: Final = f"the scheduler of the cluster is gone. {_AGAIN}"


@dataclass(frozen=True, slots=True)
class Sharing:
    """
    With whom the work is shared.

    Attributes:
        run_id: No other run may have it: a worker that was given up may still write.
        scratch: Of the run, where all workers see it.
        max_wait_s: How long no worker may be there.
    """

    cluster: Cluster
    run_id: str
    scratch: Path
    stop: StopSignal
    clock: Clock
    max_wait_s: float


async def compare_on_cluster(
    waiting: Spill,
    rules: BucketRules,
    sharing: Sharing,
    take: Callable[[Iterator[BucketResult]], None],
) -> None:
    """
    Have everything compared that waits, by the workers of a cluster.

    Args:
        take: Called once, in a thread; gets what the buckets came to, in their order.

    Effects: all that waits is on disk then. Its files, and those with what was found,
        are removed as they are used.

    Raises:
        PatienceEndedError: The scheduler or all workers are gone, or worker after
            worker dies of a bucket.
        SettingsError: A worker cannot do what this process would do.
        UnreachableError: There is no scheduler, or a worker does not come up.
        StoppedError: Somebody asked to stop.
        CannotWriteError: The disk of the work folder.
    """
    folder = make_private_dir(sharing.scratch / f"compared-{sharing.run_id}").absolute()
    light, versions = leave_rows(rules, folder), versions_at_work()
    tasks = [
        BucketTask(n, tuple(path.absolute() for path in files), light, folder, versions)
        for n, files in enumerate(waiting.groups(), start=1)
    ]
    opened = engine_of(sharing.cluster)(
        sharing.cluster, run_id=sharing.run_id, rate=None
    )
    terms = Terms(
        sharing.clock,
        sharing.max_wait_s,
        name_of=_name,
        advice=_AGAIN,
        check=sharing.stop.check,
    )
    try:
        async with opened as engine:
            parts = InOrder(engine, compare_files, tasks, terms)
            loop = asyncio.get_running_loop()
            try:
                await asyncio.to_thread(take, _results(parts, loop))
            finally:
                await parts.let_go()
    except OSError:
        raise PatienceEndedError(_GONE) from None


def _name(task: BucketTask) -> str:
    return f"part {task.number} of the comparison"


def _results(
    parts: InOrder[BucketTask, BucketAnswer], loop: asyncio.AbstractEventLoop
) -> Iterator[BucketResult]:
    """Wait for one result after the other, in another thread than that of the loop."""
    while True:
        found = asyncio.run_coroutine_threadsafe(_next(parts), loop).result()
        if found is None:
            return
        task, answer = found
        for path in task.files:
            with using(path):
                path.unlink()
        yield fetched(answer)


async def _next(
    parts: InOrder[BucketTask, BucketAnswer],
) -> tuple[BucketTask, BucketAnswer] | None:
    """Return the next one; raise no OSError: a writer would take it for its own."""
    try:
        return await parts.next()
    except OSError:
        raise PatienceEndedError(_GONE) from None
