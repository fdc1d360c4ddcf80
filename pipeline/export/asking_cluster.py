"""
Questions for single profiles by the workers of a cluster: who gets which unit, when.

Units are handed out in their order and come back in any; they are handed over in their
order again, so the file of the export is that of one process, and whoever goes on with
it finds what one process would have left.
"""

from __future__ import annotations

import secrets
import shutil
from itertools import chain
from typing import TYPE_CHECKING, Final

from pipeline.connection import USUAL
from pipeline.continuing import versions_at_work
from pipeline.distributed.cluster import engine_of
from pipeline.distributed.driving import GONE, LAST_WORDS_S
from pipeline.distributed.in_order import InOrder, Terms
from pipeline.distributed.work import settings_to_send
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
    from pipeline.distributed.cluster import Cluster
    from pipeline.export.asking import Answers, Question

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

        shutil.rmtree(self._folder, ignore_errors=True)  # of a driver that died
        # A worker of that one may still write, to a folder that nobody reads.
        run_id = f"export-{secrets.token_hex(8)}"
        folder = make_private_dir(self._folder / run_id)
        tasks = self._tasks(chain([first], left), folder)
        opens = engine_of(self._cluster)
        try:
            async with opens(self._cluster, run_id=run_id, rate=self._rate) as engine:
                parts = InOrder(engine, ask_partition, tasks, self._terms())
                try:
                    await self._take(parts, keep)
                finally:
                    await parts.let_go(last_words_s=LAST_WORDS_S)
        except OSError:
            raise PatienceEndedError(GONE) from None
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    async def _take(
        self,
        parts: InOrder[UnitTask, UnitReport],
        keep: Callable[[int, Answers], None],
    ) -> None:
        """Hand over one unit after the other, and remove its files."""
        while (found := await parts.next()) is not None:
            task, report = found
            self.n_requests += report.n_requests
            keep(task.number - 1, read_answers(report))
            for path in (task.questions, report.profiles):
                with using(path):
                    path.unlink(missing_ok=True)

    def _terms(self) -> Terms[UnitTask]:
        return Terms(
            self._connector.clock,
            USUAL.seconds,
            name_of=lambda task: f"partition {task.number}",
            advice="The same export, started again, goes on.",
            most_ahead=AHEAD_A_PLACE,
        )

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
