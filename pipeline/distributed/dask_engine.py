"""
The one place that knows Dask: its scheduler, its workers, what is said between them.

The scheduler hosts a `hub.Hub` in a plugin, workers and driver talk to it through
handlers that carry the name of the run. A task gets its arguments and the address of
the hub, and nothing else. A cluster of our own is on the loopback alone, and uses
certificates that live as long as it does: whoever reaches a scheduler may run code.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
import time
import traceback
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import dask
from distributed import (
    Client,
    KilledWorker,
    LocalCluster,
    SchedulerPlugin,
    Security,
    WorkerPlugin,
    get_worker,
)
from distributed.client import FutureCancelledError

from pipeline.distributed.cluster import Answer
from pipeline.distributed.hub import Hub, Orders, Told, Turn
from pipeline.distributed.pace import Lot, SharedPace
from pipeline.errors import (
    InvariantError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    UnreachableError,
)
from pipeline.logs import OWN_LOGGER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping

    from pipeline.distributed.cluster import Cluster
    from pipeline.distributed.limiting import Link

_Task = TypeVar("_Task")
_Result = TypeVar("_Result")

CONNECT_S: Final = 10.0
LOOPBACK: Final = "127.0.0.1"
SAFE_TO_WATCH: Final = (3, 12)
# Each of its processes would show pages about itself to everybody on this machine.
NO_PAGES: Final[dict[str, list[str]]] = {
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


class HubPlugin(SchedulerPlugin):  # type: ignore[misc]
    """
    The hub of a run in the scheduler.

    Args:
        client_id: Of the driver: without it, the workers have to stop.
    """

    def __init__(self, run_id: str, rate: float | None, client_id: str) -> None:
        self.name = _name(run_id)
        self._hub = Hub(SharedPace(rate))
        self._client_id = client_id
        self._scheduler: Any = None

    async def start(self, scheduler: Any) -> None:  # noqa: ANN401 - Dask is not typed
        """Answer workers and the driver from now on."""
        self._scheduler = scheduler
        scheduler.handlers |= {
            f"{self.name}-begin": self._begin,
            f"{self.name}-lease": self._lease,
            f"{self.name}-tell": self._tell,
            f"{self.name}-stop": self._stop,
            f"{self.name}-look": self._look,
        }

    async def close(self) -> None:
        """Answer nobody any more."""
        for name in [each for each in self._scheduler.handlers if self.name in each]:
            del self._scheduler.handlers[name]

    def remove_client(self, scheduler: Any, client: str) -> None:  # noqa: ANN401
        """Stop the workers when the driver is gone."""
        del scheduler
        if client == self._client_id:
            self._hub.n_stops = max(1, self._hub.n_stops)

    def _begin(self, number: int) -> dict[str, Any]:
        return asdict(self._hub.begin(number))

    def _lease(self, turn: dict[str, Any], n_wanted: int) -> dict[str, Any]:
        return asdict(self._hub.lease(time.monotonic(), Turn(**turn), n_wanted))

    def _tell(self, turn: dict[str, Any], told: dict[str, Any]) -> dict[str, Any]:
        return asdict(self._hub.tell(time.monotonic(), Turn(**turn), Told(**told)))

    def _stop(self, n_stops: int) -> None:
        self._hub.n_stops = n_stops

    def _look(self) -> dict[str, Any]:
        workers = self._scheduler.workers.values()
        n_places = sum(worker.nthreads for worker in workers)
        return {"n_places": n_places, "counts": list(self._hub.counts.values())}


def _name(run_id: str) -> str:
    return f"crm-pipeline-{run_id}"


class _Link:
    """The way from a task to the hub: calls run on the event loop of the worker."""

    def __init__(self, run_id: str) -> None:
        self._name = _name(run_id)
        self._worker = get_worker()

    async def begin(self, number: int) -> Turn:
        return Turn(**await self._call("begin", number=number))

    async def lease(self, turn: Turn, n_wanted: int) -> Lot:
        return Lot(**await self._call("lease", turn=asdict(turn), n_wanted=n_wanted))

    async def tell(self, turn: Turn, told: Told) -> Orders:
        return Orders(**await self._call("tell", turn=asdict(turn), told=asdict(told)))

    async def _call(self, what: str, **told: Any) -> dict[str, Any]:  # noqa: ANN401
        call = getattr(self._worker.scheduler, f"{self._name}-{what}")(**told)
        loop = self._worker.loop.asyncio_loop
        try:
            future = asyncio.run_coroutine_threadsafe(call, loop)
            answer: dict[str, Any] = await asyncio.wrap_future(future)
        except RuntimeError as closed:  # the worker ends
            raise ConnectionError("the worker ends") from closed
        return answer


def at_work(
    work: Callable[[_Task, _Link], Coroutine[Any, Any, _Result]],
    task: _Task,
    run_id: str,
) -> Answer[_Result]:
    """
    Run in a thread of a worker.

    Nothing is raised here: a driver waits for ever for an exception that it cannot
    unpickle (seen with distributed 2026.8).
    """
    host = socket.gethostname()
    try:
        return Answer(asyncio.run(work(task, _Link(run_id))))
    except PipelineError as error:
        return Answer(error=error, host=host)
    except Exception as error:  # noqa: BLE001 - the task boundary; told by the driver
        frame = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(frame.filename).name}:{frame.lineno}"
        what = f"a defect of the tool on a worker: {type(error).__name__} at {place}"
        told = InvariantError(f"{what}; please report it with this line")
        return Answer(error=told, host=host)


class Deaf(WorkerPlugin):  # type: ignore[misc]
    """Leaves Ctrl-C to the driver: it tells the workers what to do."""

    name = "crm-pipeline-deaf"

    def setup(self, worker: Any) -> None:  # noqa: ANN401 - Dask is not typed
        """Ignore the signal; the worker is in the main thread of its process."""
        del worker
        signal.signal(signal.SIGINT, signal.SIG_IGN)


class Unwatched(WorkerPlugin):  # type: ignore[misc]
    """
    Ends Dask's profiler where it can halt a worker for ever.

    Python 3.11 may collect garbage inside of `sys._current_frames`, and then waits for
    itself (python/cpython#106883, seen here; dask/distributed#8616).
    """

    name = "crm-pipeline-unwatched"

    def setup(self, worker: Any) -> None:  # noqa: ANN401 - Dask is not typed
        """End it; what it has seen stays."""
        profiler = worker.periodic_callbacks.get("profile")
        if profiler is not None and sys.version_info < SAFE_TO_WATCH:
            profiler.stop()


class DaskEngine:
    """A `cluster.Engine`."""

    def __init__(self, client: Any, run_id: str) -> None:  # noqa: ANN401
        self._client = client
        self._run_id = run_id
        self._name = _name(run_id)

    async def n_places(self) -> int:
        """Return the threads of all workers."""
        n_places: int = (await self._look())["n_places"]
        return n_places

    async def counts(self) -> Iterable[Mapping[str, Any]]:
        """Return what each worker last told."""
        counts: list[Mapping[str, Any]] = (await self._look())["counts"]
        return counts

    async def stop(self, n_stops: int) -> None:
        """Tell the hub."""
        await self._call("stop", n_stops=n_stops)

    async def run(
        self, work: Callable[[_Task, Link], Coroutine[Any, Any, _Result]], task: _Task
    ) -> Answer[_Result]:
        """Have a task done; one that ends worker after worker is given up."""
        # No name of ours: Dask takes what still runs under a name for the answer.
        future = self._client.submit(at_work, work, task, self._run_id, pure=False)
        try:
            answer: Answer[_Result] = await future
        except KilledWorker:
            return Answer(error=PatienceEndedError("every worker that had it died."))
        except FutureCancelledError:  # by Dask alone; nobody here cancels one
            raise ConnectionError("the scheduler is gone") from None
        return answer

    async def _look(self) -> dict[str, Any]:
        answer: dict[str, Any] = await self._call("look")
        return answer

    async def _call(self, what: str, **told: Any) -> Any:  # noqa: ANN401
        return await getattr(self._client.scheduler, f"{self._name}-{what}")(**told)


@asynccontextmanager
async def opened(
    cluster: Cluster, *, run_id: str, rate: float | None
) -> AsyncIterator[DaskEngine]:
    """Reach the scheduler, or start one with workers of this machine."""
    level = _quietened()
    async with AsyncExitStack() as stack:
        address, security = cluster.scheduler, None
        if address is None:
            security = Security.temporary()
            stack.enter_context(dask.config.set(NO_PAGES))
            local = await stack.enter_async_context(
                _local_cluster(cluster.n_workers, security, level)
            )
            address = local.scheduler_address
        client = await stack.enter_async_context(_client(address, security))
        await stack.enter_async_context(_unwatched(client))
        if cluster.scheduler is None:
            await client.register_plugin(Deaf())
        await stack.enter_async_context(_hub(client, run_id, rate))
        yield DaskEngine(client, run_id)


@asynccontextmanager
async def _local_cluster(
    n_workers: int | None,
    security: Any,  # noqa: ANN401
    level: int,
) -> AsyncIterator[Any]:
    """
    Start workers of this machine, and a scheduler in this process.

    Raises:
        UnreachableError: A worker does not come up.
    """
    local = LocalCluster(
        n_workers=n_workers,
        threads_per_worker=1,
        host=LOOPBACK,
        protocol="tls://",
        security=security,
        dashboard_address=f"{LOOPBACK}:0",
        scheduler_kwargs={"dashboard": False},
        silence_logs=level,
        asynchronous=True,
    )
    try:
        await local
    except (OSError, RuntimeError, TimeoutError) as error:
        await local.close()
        raise UnreachableError(
            f"the workers do not start ({type(error).__name__}); nothing was sent. "
            "-v shows what they say"
        ) from None
    try:
        yield local
    finally:
        await local.close()


def _quietened() -> int:
    """
    Say in our words what happens; what Dask says is for `-v`.

    Returns:
        The level of its logs.
    """
    is_asked = logging.getLogger(OWN_LOGGER).isEnabledFor(logging.DEBUG)
    level = logging.INFO if is_asked else logging.CRITICAL
    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(level)
    return level


@asynccontextmanager
async def _client(address: str, security: Any) -> AsyncIterator[Any]:  # noqa: ANN401
    """
    Connect to a scheduler.

    Raises:
        UnreachableError, SettingsError: See `cluster`.
    """
    client = Client(
        address,
        security=security or Security(),
        asynchronous=True,
        timeout=CONNECT_S,
        set_as_default=False,
    )
    try:
        await client
    except (OSError, TimeoutError) as error:
        await client.close()
        raise UnreachableError(
            f"the scheduler at {address} does not answer ({type(error).__name__}); "
            "nothing was sent. Check the address and the certificates"
        ) from None
    except TypeError:  # there is no context for TLS
        await client.close()
        raise SettingsError(
            "tls:// needs certificates: name them in the configuration of Dask, as in "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE"
        ) from None
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def _unwatched(client: Any) -> AsyncIterator[None]:  # noqa: ANN401
    await client.register_plugin(Unwatched())
    try:
        yield
    finally:  # a worker of others, that comes later, may not know the tool
        if client.status == "running":
            await client.unregister_worker_plugin(Unwatched.name)


@asynccontextmanager
async def _hub(
    client: Any,  # noqa: ANN401
    run_id: str,
    rate: float | None,
) -> AsyncIterator[None]:
    plugin = HubPlugin(run_id, rate, client.id)
    await client.register_plugin(plugin, name=plugin.name)
    try:
        yield
    finally:
        if client.status == "running":
            await client.unregister_scheduler_plugin(plugin.name)
