"""
A sandbox in this process, or behind a socket of this machine.

`build_sandbox` is for tests without a socket, `running_sandbox` for tests and demos
with one, `serve` for the command line. The same key works in every sandbox.
"""

import asyncio
import signal
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from types import FrameType
from typing import Any, Final, cast

import anyio
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from pipeline.sandbox.app import build_app
from pipeline.sandbox.facts import (
    API_KEY,
    MAX_BATCH_ITEMS,
    WORKSPACE_GUID,
    WORKSPACE_NAME,
)
from pipeline.sandbox.profiles import show
from pipeline.sandbox.records import Clocks, TruthEvent
from pipeline.sandbox.seeding import seed_writes
from pipeline.sandbox.service import Desk, Wallet
from pipeline.sandbox.shell import PARK, TEAR, ConnectionTorn, Shell
from pipeline.sandbox.store import Store
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import Weather

__all__ = [
    "API_KEY",
    "WORKSPACE_GUID",
    "WORKSPACE_NAME",
    "ConnectionTorn",
    "RunningSandbox",
    "Sandbox",
    "SandboxOptions",
    "build_sandbox",
    "running_sandbox",
    "serve",
]

_STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
_LOOPBACK: Final = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """
    What a sandbox is like.

    Attributes:
        seed_profiles: How many made-up profiles an empty store starts with.
        database: ":memory:", or a path that keeps the workspace between runs.
        settle_s: Seconds between an accepted write and its effect.
        token_lifetime_s: Seconds a token lives, by the wall clock.
    """

    switches: Switches = Switches()  # noqa: RUF009 - frozen
    weather: Weather = Weather()  # noqa: RUF009 - frozen
    seed_profiles: int = 0
    database: str = ":memory:"
    settle_s: float = 0.3
    token_lifetime_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """
    A simulated workspace.

    Attributes:
        app: The ASGI application, weather included. Without a socket a torn
            connection is the exception `ConnectionTorn`.
        store: The server's truth: profiles, requests, batches.
    """

    app: ASGIApp
    store: Store
    switches: Switches

    def settle(self) -> None:
        """Apply everything that has been accepted, without waiting."""
        self.store.settle()

    def truth(self) -> list[TruthEvent]:
        """Return what happened to every request, in the order it happened."""
        return self.store.truth()

    def profiles(self) -> Iterator[dict[str, Any]]:
        """Iterate over all profiles by id, as `/v4` shows them."""
        return (show(found, self.switches) for found in self.store.profiles())

    def close(self) -> None:
        """Close the store."""
        self.store.close()


def build_sandbox(
    options: SandboxOptions,
    *,
    clock: Callable[[], float] = time.monotonic,
    wall_clock: Callable[[], float] = time.time,
    sleep: Callable[[float], Awaitable[None]] = anyio.sleep,
) -> Sandbox:
    """
    Build a sandbox without a socket.

    Args:
        clock: Decides when accepted writes have settled, and the request limit.
        wall_clock: Seconds since 1970 for tokens and dates.
        sleep: How slow answers wait, and those that never come.
    """
    clocks = Clocks(now=clock, wall=wall_clock)
    weather = options.weather
    denied = options.switches.denied_permissions.union(weather.denied)
    rules = replace(options.switches, denied_permissions=denied)
    store = Store(options.database, rules, options.settle_s, clocks)
    if store.count_profiles() == 0:
        writes = seed_writes(options.seed_profiles)
        n_loaded = 0
        while some := list(islice(writes, MAX_BATCH_ITEMS)):
            store.load(some, first_no=-n_loaded)
            n_loaded += len(some)
    desk = Desk(
        store,
        rules,
        clocks,
        options.token_lifetime_s,
        Wallet(),
        weather.workspace or WORKSPACE_GUID,
    )
    shell = Shell(build_app(desk), desk, weather, sleep)
    return Sandbox(shell, store, rules)


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that listens; `base_url` has no slash at its end."""

    base_url: str
    api_key: str
    workspace_guid: str
    sandbox: Sandbox


class _TearableProtocol(H11Protocol):
    """
    HTTP/1.1 that lets the app end the connection without an answer.

    A parked connection is one whose answer nobody expects any more: it does not
    delay a stop.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - passed on to uvicorn
        super().__init__(*args, **kwargs)
        self._is_parked = False
        self._is_stopping = False
        inner = cast("ASGIApp", self.app)

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            own = {TEAR: self._tear, PARK: self._park}
            extensions = {**scope.get("extensions", {}), **own}
            await inner({**scope, "extensions": extensions}, receive, send)

        self.app = cast("Any", app)

    def shutdown(self) -> None:
        super().shutdown()
        self._is_stopping = True
        if self._is_parked:
            self._tear()

    def _tear(self) -> None:
        self.transport.abort()

    def _park(self) -> None:
        self._is_parked = True
        if self._is_stopping:
            self._tear()


class _Server(uvicorn.Server):
    """A server that tells another thread when it has begun to listen."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(
            uvicorn.Config(
                cast("Any", app),
                loop="asyncio",
                http=_TearableProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                log_level="error",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                timeout_keep_alive=30,
                timeout_graceful_shutdown=1,
            )
        )
        self.ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    def run_until_told(self, listener: socket.socket) -> None:
        """Serve in this thread until `should_exit` is set."""
        try:
            asyncio.run(self.serve([listener]))
        finally:
            self.ready.set()  # nobody may wait for a server that could not start


def _listen(host: str, port: int) -> socket.socket:
    """Bind and listen at once, so that a taken port is an OSError here."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
    except OSError:
        listener.close()
        raise
    return listener


@contextmanager
def _running(options: SandboxOptions, host: str, port: int) -> Iterator[RunningSandbox]:
    listener = _listen(host, port)
    sandbox = build_sandbox(options)
    server = _Server(sandbox.app)
    thread = threading.Thread(
        target=server.run_until_told, args=(listener,), name="sandbox", daemon=True
    )
    thread.start()
    server.ready.wait()
    bound = f"[{host}]" if ":" in host else host
    try:
        yield RunningSandbox(
            base_url=f"http://{bound}:{listener.getsockname()[1]}",
            api_key=API_KEY,
            workspace_guid=options.weather.workspace or WORKSPACE_GUID,
            sandbox=sandbox,
        )
    finally:
        server.should_exit = True
        thread.join()
        listener.close()
        sandbox.close()


@contextmanager
def running_sandbox(
    options: SandboxOptions = SandboxOptions(),
    *,
    port: int = 0,
) -> Iterator[RunningSandbox]:
    """
    Serve a sandbox on the loopback address from a thread of this process.

    Args:
        port: 0 for any free one.

    Raises:
        OSError: If the port is in use.
    """
    with _running(options, _LOOPBACK, port) as running:
        yield running


def serve(
    options: SandboxOptions,
    *,
    host: str = _LOOPBACK,
    port: int,
    on_ready: Callable[[RunningSandbox], None],
) -> None:
    """
    Serve a sandbox until SIGINT or SIGTERM, then return.

    Must be called in the main thread: only there can signals be caught.

    Args:
        on_ready: Called once, when requests are answered.

    Raises:
        OSError: If the port is in use.
    """
    stop = threading.Event()

    def note(_signum: int, _frame: FrameType | None) -> None:
        stop.set()

    before = {signum: signal.signal(signum, note) for signum in _STOP_SIGNALS}
    try:
        with _running(options, host, port) as running:
            on_ready(running)
            stop.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
