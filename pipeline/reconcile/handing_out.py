"""
Buckets that workers compare: the driver hands them out, and takes them in their order.

So what is written is what one process writes. Nothing is sent anywhere: whatever ends
the command, the same one may be given again.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pipeline.continuing import versions_at_work
from pipeline.distributed.cluster import engine_of
from pipeline.errors import InvariantError, PatienceEndedError
from pipeline.files import make_private_dir, using
from pipeline.reconcile.bucket_work import (
    BucketTask,
    compare_files,
    fetched,
    leave_rows,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from pipeline.distributed.cluster import Answer, Cluster, Engine
    from pipeline.errors import PipelineError
    from pipeline.reconcile.bucket import BucketResult, BucketRules
    from pipeline.reconcile.bucket_work import BucketAnswer
    from pipeline.retrying import Clock
    from pipeline.spill import Spill
    from pipeline.stopping import StopSignal

LOOK_S: Final = 0.25
_AGAIN: Final = "Nothing was sent or changed: give the same command again"
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
    try:
        async with opened as engine:
            driver = _Driver(engine, tasks, sharing)
            loop = asyncio.get_running_loop()
            try:
                await asyncio.to_thread(take, _results(driver, loop))
            finally:
                await driver.let_go()
    except OSError:
        raise PatienceEndedError(_GONE) from None


def _results(
    driver: _Driver, loop: asyncio.AbstractEventLoop
) -> Iterator[BucketResult]:
    """Wait for one result after the other, in another thread than that of the loop."""
    while True:
        answer = asyncio.run_coroutine_threadsafe(driver.next(), loop).result()
        if answer is None:
            return
        yield fetched(answer)


class _Driver:
    """One call of `compare_on_cluster`."""

    def __init__(
        self, engine: Engine, tasks: Iterable[BucketTask], sharing: Sharing
    ) -> None:
        self._engine = engine
        self._left = deque(tasks)
        self._out: deque[asyncio.Task[BucketAnswer]] = deque()
        self._sharing = sharing
        self._worked_s = sharing.clock.now()

    async def next(self) -> BucketAnswer | None:
        """
        Return what the next bucket came to; None behind the last.

        Raises:
            As `compare_on_cluster`, and no OSError: a writer would take it for its own.
        """
        try:
            return await self._next()
        except OSError:
            raise PatienceEndedError(_GONE) from None

    async def _next(self) -> BucketAnswer | None:
        while self._left or self._out:
            self._sharing.stop.check()
            await self._hand_out()
            for task in self._out:
                if task.done():
                    task.result()  # an error of a later one need not wait
            if self._out and self._out[0].done():
                return self._out.popleft().result()
            await self._wait()
        return None

    async def _hand_out(self) -> None:
        """Give every place of the cluster a task, as long as there are any."""
        n_places, now_s = await self._engine.n_places(), self._sharing.clock.now()
        if n_places:
            self._worked_s = now_s
        elif now_s - self._worked_s > self._sharing.max_wait_s:
            raise PatienceEndedError(f"no worker of the cluster is left. {_AGAIN}")
        while self._left and len(self._at_work()) < n_places:
            task = self._left.popleft()
            self._out.append(asyncio.create_task(self._compare(task)))

    async def _compare(self, task: BucketTask) -> BucketAnswer:
        answer = await self._engine.run(compare_files, task)
        if answer.result is None:
            raise _failed(task, answer)
        for path in task.files:
            with using(path):
                path.unlink()
        return answer.result

    def _at_work(self) -> list[asyncio.Task[BucketAnswer]]:
        return [task for task in self._out if not task.done()]

    async def _wait(self) -> None:
        """Wait for whatever ends next, but not for long."""
        at_work = self._at_work()
        if at_work:
            await asyncio.wait(
                at_work, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
            )
        else:
            await self._sharing.clock.sleep(LOOK_S)

    async def let_go(self) -> None:
        """End what is still at work here; a worker ends by itself."""
        for task in self._out:
            task.cancel()
        await asyncio.gather(*self._out, return_exceptions=True)


def _failed(task: BucketTask, answer: Answer[Any]) -> PipelineError:
    """Return why a part of the comparison could not be made."""
    error = answer.error or InvariantError("it ended without a word")
    where = f" (worker on {answer.host})" if answer.host else ""
    words = str(error).rstrip(".")
    told = f"part {task.number} of the comparison{where}: {words}"
    if isinstance(error, PatienceEndedError):
        told = f"{told}. Look at the logs of the workers. {_AGAIN}, or without --engine"
    return type(error)(told)
