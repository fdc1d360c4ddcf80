"""An engine whose workers are tasks of this process, instead of Dask."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx

from pipeline.distributed.cluster import Answer
from pipeline.distributed.hub import Hub, Orders, Told, Turn
from pipeline.distributed.pace import Lot, SharedPace
from pipeline.errors import PatienceEndedError, PipelineError
from pipeline.reconcile.bucket_work import BucketTask
from sandbox_driver import Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from pipeline import Cluster, Connector
    from pipeline.sandbox.server import Sandbox


class Gone(Exception):  # noqa: N818 - what a kill looks like from outside
    """A worker died."""


@dataclass
class Here:
    """
    An engine whose workers are tasks, and the link of each to the hub.

    Attributes:
        deaths: Partition → how often its worker dies when it begins to send; of any
            other task, when it is done and has not said so.
        is_silent: Whether the scheduler is gone.
        tasks: What was handed out, in order.
    """

    connector: Connector
    now: Callable[[], float]
    n_workers: int = 2
    deaths: dict[int, int] = field(default_factory=dict)
    on_tell: Callable[[Here], None] = lambda _: None
    is_silent: bool = False
    tasks: list[Any] = field(default_factory=list)
    most_at_once: int = 0
    hub: Hub = field(default_factory=lambda: Hub(SharedPace()))
    n_at_work: int = 0
    asked: defaultdict[int, asyncio.Event] = field(
        default_factory=lambda: defaultdict(asyncio.Event)
    )

    @asynccontextmanager
    async def opens(
        self, cluster: Cluster, *, run_id: str, rate: float | None
    ) -> AsyncIterator[Here]:
        del cluster, run_id
        self.hub = Hub(SharedPace(rate))
        yield self

    # -- as the driver sees it ---------------------------------------------------------

    async def n_places(self) -> int:
        self._check()
        return self.n_workers

    async def counts(self) -> Iterable[Mapping[str, Any]]:
        self._check()
        return self.hub.counts.values()

    async def stop(self, n_stops: int) -> None:
        self.hub.n_stops = n_stops

    async def run(self, work: Any, task: Any) -> Answer[Any]:
        self.tasks.append(task)
        self.n_at_work += 1
        self.most_at_once = max(self.most_at_once, self.n_at_work)
        try:
            for _ in range(3):
                try:
                    return Answer(await self._once(work, task))
                except Gone:
                    continue
                except PipelineError as error:
                    return Answer(error=error, host="here")
        finally:
            self.n_at_work -= 1
        return Answer(error=PatienceEndedError("it dies"))

    async def _once(self, work: Any, task: Any) -> Any:
        if isinstance(task, BucketTask):
            return await self._at_once(work, task)
        number = getattr(task, "partition", task).number
        at_work = asyncio.create_task(work(task, self, self.connector))
        if self.deaths.get(number, 0):
            self.deaths[number] -= 1
            asked = asyncio.create_task(self.asked[number].wait())
            await asyncio.wait((at_work, asked), return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            at_work.cancel()
            await asyncio.gather(at_work, return_exceptions=True)
            raise Gone
        return await at_work

    async def _at_once(self, work: Any, task: Any) -> Any:
        await asyncio.sleep(0)  # others begin meanwhile
        answer = await work(task, self)
        if self.deaths.get(task.number, 0):
            self.deaths[task.number] -= 1
            raise Gone
        return answer

    # -- as a worker sees it -----------------------------------------------------------

    async def begin(self, number: int) -> Turn:
        self._check()
        return self.hub.begin(number)

    async def lease(self, turn: Turn, n_wanted: int) -> Lot:
        self._check()
        self.asked[turn.number].set()
        return self.hub.lease(self.now(), turn, n_wanted)

    async def tell(self, turn: Turn, told: Told) -> Orders:
        self._check()
        orders = self.hub.tell(self.now(), turn, told)
        self.on_tell(self)
        return orders

    def _check(self) -> None:
        if self.is_silent:
            raise ConnectionError


class Falling(Wire):
    """Is gone for a while when the third login comes, that of the second task."""

    def __init__(self, sandbox: Sandbox, now: Callable[[], float]) -> None:
        super().__init__(sandbox)
        self._now = now
        self._n_logins = 0
        self._back_s = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if "/login" in request.url.path:
            self._n_logins += 1
            if self._n_logins == 3:
                self._back_s = self._now() + 10
        if self._now() < self._back_s:
            raise httpx.ConnectError("")
        return await super().handle_async_request(request)
