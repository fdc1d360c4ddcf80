"""One import against an in-process sandbox, on a clock that moves when told."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from pipeline import (
    Connector,
    Credentials,
    ImportRequest,
    Job,
    RemoteSettings,
    RunReport,
    Secret,
    StopSignal,
    run_import,
)
from pipeline.cli.exit_codes import exit_code_of_run
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, Sandbox, SandboxOptions, build_sandbox
from pipeline.sandbox.weather import parse_weather
from sandbox_driver import WALL_S, Wire

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path


class SharedTime:
    """
    A clock that the service alone moves, by how long it takes to answer.

    Whoever else waits is woken when his time has come. Where nothing of the service is
    slow, `jumps` lets the waits of the client move the clock themselves.
    """

    def __init__(self, *, jumps: bool) -> None:
        self.now_s = 0.0
        self._jumps = jumps
        self._waiting: list[tuple[float, asyncio.Future[None]]] = []

    def clock(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return WALL_S + self.now_s

    async def pass_by(self, seconds: float) -> None:
        self.now_s += seconds
        for due_s, waiter in self._waiting:
            if due_s <= self.now_s and not waiter.done():
                waiter.set_result(None)
        await asyncio.sleep(0)

    async def wait(self, seconds: float) -> None:
        if self._jumps:
            await self.pass_by(seconds)
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiting.append((self.now_s + seconds, waiter))
        await waiter


@asynccontextmanager
async def under(
    weather: str, *, jumps: bool = True
) -> AsyncIterator[tuple[Sandbox, Connector, SharedTime]]:
    """Give a sandbox in this weather, the way to it, and the time of both."""
    time = SharedTime(jumps=jumps)
    sandbox = build_sandbox(
        SandboxOptions(weather=parse_weather(weather), settle_s=0.0),
        clock=time.clock,
        wall_clock=time.wall,
        sleep=time.pass_by,
    )
    remote = RemoteSettings("http://127.0.0.1:1", Credentials(api_key=Secret(API_KEY)))
    chance = random.Random(7)  # noqa: S311 - a test's dice
    clock = Clock(now=time.clock, sleep=time.wait, chance=chance.random)
    yield sandbox, Connector(remote, Wire(sandbox), clock), time
    sandbox.close()


def people(path: Path, n_rows: int) -> Path:
    """Write a source of rows with the e-mails p0001@example.com and so on."""
    rows = (f"p{n:04}@example.com,C{n}\n" for n in range(1, n_rows + 1))
    path.write_text("email,customId\n" + "".join(rows))
    return path


async def imported(
    source: Path,
    connector: Connector | None,
    *,
    stop: StopSignal | None = None,
    on_workspace: Callable[..., None] = lambda _: None,
    **delivery: Any,
) -> RunReport:
    """Import a source as the shell would, batches of ten, one at a time."""
    told = {"max_rows": 10, "concurrency": 1, **delivery}
    job = Job.model_validate(
        {"source": {"path": str(source)}, "delivery": told, "verify": "none"}
    )
    request = ImportRequest(
        job,
        source.parent / "work",
        on_workspace=on_workspace,
        exit_code=exit_code_of_run,
        stop=stop or StopSignal(),
    )
    return await run_import(request, connector)
