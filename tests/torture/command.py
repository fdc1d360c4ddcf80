"""A command in this process, with its own folder, environment and service."""

import asyncio
import io
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from pipeline import Connector, RemoteSettings
from pipeline.cli.commands import export, import_, profile
from pipeline.cli.main import main
from pipeline.contract import BATCH_PATH, WORKSPACE_PATH
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, Sandbox, SandboxOptions, build_sandbox
from sandbox_driver import FakeTime, Wire

KEY = {"SYNERISE_API_KEY": API_KEY, "SYNERISE_BASE_URL": "http://127.0.0.1:1"}
# Loaded here, so that the first command is not measured loading them.
LOADED = (export.command, import_.command, profile.command)
Handle = Callable[[httpx.Request], None]


@dataclass(frozen=True, slots=True)
class Ended:
    """
    How a command ended.

    Attributes:
        seconds: Of the processor: those of the wall count the neighbours as well.
    """

    code: int
    out: str
    err: str
    seconds: float

    @property
    def last_words(self) -> str:
        """The last line of stderr: where a run that stops says why."""
        return self.err.rstrip("\n").rpartition("\n")[2]


@contextmanager
def _environment(told: Mapping[str, str]) -> Iterator[None]:
    kept = dict(os.environ)
    for name in [name for name in os.environ if name.startswith("SYNERISE_")]:
        del os.environ[name]
    os.environ.update(told)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(kept)


def run(
    folder: Path,
    *arguments: object,
    environment: Mapping[str, str] = KEY,
    connect: Callable[[RemoteSettings], Connector] | None = None,
) -> Ended:
    """Run `crm-pipeline` with these arguments in *folder*."""
    out, err = io.StringIO(), io.StringIO()
    began_s = time.process_time()
    code = 0
    with (
        chdir(folder),
        _environment(environment),
        redirect_stdout(out),
        redirect_stderr(err),
    ):
        try:
            main([str(argument) for argument in arguments], connect=connect)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 0
    seconds = time.process_time() - began_s
    return Ended(code, out.getvalue(), err.getvalue(), seconds)


@dataclass
class Service(httpx.AsyncBaseTransport):
    """
    A sandbox without a socket, whose waits cost nothing.

    Attributes:
        n_requests: That reached it.
        before: Called with a request before it is answered; may raise what the HTTP
            library would, or change the world.
    """

    options: SandboxOptions = field(
        default_factory=lambda: SandboxOptions(settle_s=0.0)
    )
    before: Handle = lambda _request: None
    n_requests: int = 0
    n_batches: int = 0

    def __post_init__(self) -> None:
        self.time = FakeTime()
        self.sandbox: Sandbox = build_sandbox(
            self.options,
            clock=self.time.clock,
            wall_clock=self.time.wall,
            sleep=self.sleep,
        )
        self._wire = Wire(self.sandbox)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.n_requests += 1
        self.n_batches += request.url.path == BATCH_PATH
        self.before(request)
        return await self._wire.handle_async_request(request)

    async def sleep(self, seconds: float) -> None:
        self.time.now_s += seconds
        await asyncio.sleep(0)

    def connect(self, remote: RemoteSettings) -> Connector:
        clock = Clock(self.time.clock, self.sleep, lambda: 0.5)
        return Connector(remote, self, clock)

    def close(self) -> None:
        self.sandbox.close()


def when_asked_for(path: str, act: Callable[[], object]) -> Handle:
    """Return a handle that acts once, before the first request to *path*."""
    todo = [act]

    def handle(request: httpx.Request) -> None:
        if request.url.path == path and todo:
            todo.pop()()

    return handle


def between_the_passes(act: Callable[[], object]) -> Handle:
    """Return a handle that acts when all has been read and nothing was sent."""
    return when_asked_for(WORKSPACE_PATH, act)


def in_pass_2(act: Callable[[], object]) -> Handle:
    """Return a handle that acts when the first batch is on its way."""
    return when_asked_for(BATCH_PATH, act)
