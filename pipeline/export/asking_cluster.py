"""
Questions for single profiles by the workers of a cluster: who gets which unit, when.

Units are handed out in their order and come back in any; they are handed over in their
order again, so the file of the export is that of one process, and whoever goes on with
it finds what one process would have left.
"""

from __future__ import annotations

import asyncio
import secrets
import shutil
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Final

from pipeline.connection import USUAL
from pipeline.continuing import versions_at_work
from pipeline.distributed.cluster import engine_of
from pipeline.distributed.driving import GONE, LAST_WORDS_S, LOOK_S, of_partition
from pipeline.distributed.work import settings_to_send
from pipeline.endings import gravest
from pipeline.errors import PatienceEndedError
from pipeline.export.asking import CONCURRENCY
from pipeline.export.asking_work import (
    UnitReport,
    UnitTask,
    ask_partition,
    read_answers,
    write_questions,
)
from pipeline.files import make_private_dir, using
from pipeline.settings import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pipeline.connection import Connector
    from pipeline.distributed.cluster import Answer, Cluster, Engine
    from pipeline.errors import PipelineError
    from pipeline.export.asking import Answers, Question
    from pipeline.retrying import Clock

# Units that wait for an earlier one are lost when the export is cut off.
AHEAD_A_PLACE: Final = 4


class ClusterAsking:
    """
    Asks by the workers of a cluster; an `asking.Asks`.

    Args:
        folder: For questions and answers on their way, where all workers see it; made
            and removed as needed.
        guid: Of the workspace.
        concurrency: Of each worker.
        rate: Questions a second of all workers together.

    Attributes:
        n_requests: Of the workers, those that died left out.
    """

    def __init__(
        self,
        cluster: Cluster,
        connector: Connector,
        folder: Path,
        *,
        guid: str,
        concurrency: int | None = None,
        rate: float | None = None,
    ) -> None:
        self._cluster = cluster
        self._connector = connector
        self._folder = folder.absolute()
        self._guid = guid
        self._settings = _settings(connector, concurrency or CONCURRENCY)
        self._rate = rate
        self.n_requests = 0

    async def ask(
        self,
        units: Iterable[Sequence[Question]],
        keep: Callable[[int, Answers], None],
    ) -> None:
        """
        Ask; see `asking.Asks`.

        Raises:
            PatienceEndedError: As well when the scheduler or all workers are gone, or
                when worker after worker dies of one unit.
            UnreachableError: There is no scheduler.
            SettingsError: A worker is not set up as it has to be.
        """
        left = iter(units)
        first = next(left, None)
        if first is None:
            return

        def take(n: int, report: UnitReport) -> None:
            self.n_requests += report.n_requests
            keep(n, read_answers(report))

        shutil.rmtree(self._folder, ignore_errors=True)  # of a driver that died
        # A worker of that one may still write, to a folder that nobody reads.
        run_id = f"export-{secrets.token_hex(8)}"
        folder = make_private_dir(self._folder / run_id)
        tasks = self._tasks(chain([first], left), folder)
        opens = engine_of(self._cluster)
        try:
            async with opens(self._cluster, run_id=run_id, rate=self._rate) as engine:
                await _Driver(engine, self._connector.clock, tasks, take).run()
        except OSError:
            raise PatienceEndedError(GONE) from None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _tasks(
        self, units: Iterable[Sequence[Question]], folder: Path
    ) -> Iterator[UnitTask]:
        """Write the questions of one unit after the other."""
        remote, versions = self._connector.remote, versions_at_work()
        for number, questions in enumerate(units, start=1):
            path = folder / f"{number:06}.json"
            write_questions(path, questions)
            yield UnitTask(
                number,
                path,
                self._settings,
                base_url=remote.base_url,
                ca_bundle=remote.ca_bundle,
                env_proxy=remote.env_proxy,
                guid=self._guid,
                versions=versions,
            )


def _settings(connector: Connector, concurrency: int) -> str:
    """Return how a worker asks and logs in: as this process, without its secrets."""
    credentials = connector.remote.credentials
    workspace = {"auth": "basic", "guid": credentials.guid} if credentials.basic else {}
    told = {"workspace": workspace, "delivery": {"concurrency": concurrency}}
    return settings_to_send(Job.model_validate(told))


class _Driver:
    """One call of `ClusterAsking.ask`; *take* is told the units in their order."""

    def __init__(
        self,
        engine: Engine,
        clock: Clock,
        tasks: Iterator[UnitTask],
        take: Callable[[int, UnitReport], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._tasks = tasks
        self._take = take
        self._running: dict[asyncio.Task[Answer[UnitReport]], UnitTask] = {}
        self._answered: dict[int, tuple[UnitTask, UnitReport]] = {}
        self._has_more = True
        self._n_handed = self._n_taken = 0
        self._worked_s = clock.now()

    async def run(self) -> None:
        """Hand out until nothing is left; the first error ends it."""
        try:
            while self._has_more or self._running:
                n_places = await self._engine.n_places()
                self._check_patience(n_places)
                self._hand_out(n_places)
                await self._wait()
        finally:
            await self._let_go()

    def _check_patience(self, n_places: int) -> None:
        if n_places:
            self._worked_s = self._clock.now()
        elif self._clock.now() - self._worked_s > USUAL.seconds:
            raise PatienceEndedError("no worker of the cluster is left.")

    def _hand_out(self, n_places: int) -> None:
        """Give units to the places that are free, but not too far ahead."""
        most = self._n_taken + AHEAD_A_PLACE * n_places
        while len(self._running) < n_places and self._n_handed < most:
            task = next(self._tasks, None)
            if task is None:
                self._has_more = False
                return
            self._n_handed += 1
            at_work = self._engine.run(ask_partition, task)
            self._running[asyncio.create_task(at_work)] = task

    async def _wait(self) -> None:
        """Wait for whatever ends next, but not for long."""
        if not self._running:
            if self._has_more:
                await self._clock.sleep(LOOK_S)
            return
        done, _ = await asyncio.wait(
            self._running, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED
        )
        ended = sorted(done, key=lambda one: self._running[one].number)
        errors = [self._note(self._running.pop(one), one.result()) for one in ended]
        self._take_in_order()
        error = gravest(*errors)
        if error is not None:
            raise error

    def _note(self, task: UnitTask, answer: Answer[UnitReport]) -> PipelineError | None:
        """Keep what came of a unit, or return what the export ends with."""
        if answer.result is not None:
            self._answered[task.number] = task, answer.result
        error = answer.error
        if isinstance(error, PatienceEndedError) and not answer.host:
            words = str(error).rstrip(".")
            error = PatienceEndedError(
                f"{words}; look at the logs of the workers. The same export, started "
                "again, goes on."
            )
        return error and of_partition(task.number, error, answer.host)

    def _take_in_order(self) -> None:
        """Hand over what is next, and remove its files."""
        while self._n_taken + 1 in self._answered:
            task, report = self._answered.pop(self._n_taken + 1)
            self._take(self._n_taken, report)
            self._n_taken += 1
            for path in (task.questions, report.profiles):
                with using(path):
                    path.unlink(missing_ok=True)

    async def _let_go(self) -> None:
        """Have what is still at work stopped, and wait for it, but not for ever."""
        try:
            if self._running:
                with suppress(OSError):
                    await self._engine.stop(1)
                    await asyncio.wait(self._running, timeout=LAST_WORDS_S)
        finally:  # also when somebody asks a second time
            for task in self._running:
                task.cancel()
            await asyncio.gather(*self._running, return_exceptions=True)
