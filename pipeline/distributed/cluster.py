"""Where the workers are, and what the driver asks of whoever runs them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from pipeline.addresses import check_scheduler
from pipeline.extras import extra_module

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping
    from contextlib import AbstractAsyncContextManager

    from pipeline.distributed.limiting import Link
    from pipeline.errors import PipelineError

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")


@dataclass(frozen=True, slots=True)
class Answer(Generic[_Result]):
    """
    What came of a task.

    Attributes:
        result: None when there is an error.
        error: What it raised; `PatienceEndedError` when worker after worker died of it,
            `InvariantError` for a defect of the tool.
        host: Where it failed; empty when nobody is left to tell.
    """

    result: _Result | None = None
    error: PipelineError | None = None
    host: str = ""


def told_by(name: str, error: PipelineError, host: str) -> PipelineError:
    """Return the error of a task as a driver tells it; *host* may be empty."""
    where = f" (worker on {host})" if host else ""
    return type(error)(f"{name}{where}: {str(error).rstrip('.')}.")


class Engine(Protocol):
    """
    Hands tasks to workers.

    A scheduler that is gone is an `OSError`.
    """

    async def n_places(self) -> int:
        """Return how many tasks may be at work now; 0 while no worker is there."""

    async def run(
        self,
        work: Callable[[_Task, Link], Coroutine[Any, Any, _Result]],
        task: _Task,
    ) -> Answer[_Result]:
        """
        Have a task done, by another worker when one dies: perhaps twice.

        Args:
            work: A function of a module; what it takes and gives can be pickled.
        """

    async def counts(self) -> Iterable[Mapping[str, Any]]:
        """Return what the workers told of each of their deliveries."""

    async def stop(self, n_stops: int) -> None:
        """Tell all workers that somebody asked the run to stop, how often."""


class Opens(Protocol):
    """How an engine comes to be."""

    def __call__(
        self, cluster: Cluster, *, run_id: str, rate: float | None
    ) -> AbstractAsyncContextManager[Engine]:
        """
        Reach the scheduler, or start one.

        Raises:
            UnreachableError: Nothing answers there.
            SettingsError: It cannot be reached as this machine is set up.
        """


@dataclass(frozen=True, slots=True)
class Cluster:
    """
    Where the workers are.

    Attributes:
        scheduler: Address of one that is there already.
        n_workers: Or so many processes of this machine, for this run alone.
        opens: Instead of Dask; a test's own.
    """

    scheduler: str | None = None
    n_workers: int | None = None
    opens: Opens | None = None


async def reach(cluster: Cluster) -> None:
    """
    See that a run could have its workers, before anything is read.

    Raises:
        SettingsError, UnreachableError: It could not.
    """
    opens = engine_of(cluster)
    if cluster.scheduler is not None:
        async with opens(cluster, run_id="look", rate=None):
            pass


def engine_of(cluster: Cluster) -> Opens:
    """
    Load what runs the workers; nothing is reached yet.

    Raises:
        SettingsError: It is not installed, or the address is not safe.
    """
    if cluster.opens is not None:
        return cluster.opens
    if cluster.scheduler is not None:
        check_scheduler(cluster.scheduler)
    module = extra_module("distributed.dask_engine", "--engine dask", "dask")
    opens: Opens = module.opened
    return opens
