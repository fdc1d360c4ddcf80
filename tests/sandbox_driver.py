"""A caller of a sandbox without a socket, and a time that moves when told."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import anyio
import httpx

from pipeline import Connector, Credentials, RemoteSettings, Secret
from pipeline.retrying import Clock
from pipeline.sandbox.server import API_KEY, Sandbox, SandboxOptions, build_sandbox
from pipeline.sandbox.shell import ConnectionTorn
from pipeline.sandbox.switches import Switches

WALL_S = 1_800_000_000.0
UUID_A = "11111111-1111-4111-8111-111111111111"
UUID_B = "22222222-2222-4222-8222-222222222222"


class FakeTime:
    """Both clocks and the sleep of a sandbox under test."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.slept: list[float] = []

    def clock(self) -> float:
        return self.now_s

    def wall(self) -> float:
        return WALL_S + self.now_s

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


@contextmanager
def served(
    options: SandboxOptions,
) -> Iterator[tuple[Sandbox, Connector, FakeTime]]:
    """Give a sandbox, the way to it, and the one clock of both; waits only move it."""
    time = FakeTime()
    chance = random.Random(7)  # noqa: S311 - a test's dice

    async def sleep(seconds: float) -> None:
        time.now_s += seconds
        await asyncio.sleep(0)

    sandbox = build_sandbox(
        options, clock=time.clock, wall_clock=time.wall, sleep=sleep
    )
    key = Credentials(api_key=Secret(API_KEY))
    remote = RemoteSettings("http://127.0.0.1:1", key)
    clock = Clock(time.clock, sleep, chance.random)
    with closing(sandbox):
        yield sandbox, Connector(remote, Wire(sandbox), clock), time


class Wire(httpx.AsyncBaseTransport):
    """A sandbox without a socket; a torn connection as httpx would tell it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._inner = httpx.ASGITransport(sandbox.app)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(request)
        except ConnectionTorn as torn:
            if torn.head is None:
                raise httpx.ReadError("") from None
            status, headers = torn.head
            return httpx.Response(
                status, headers=list(headers), stream=_Torn(torn.body)
            )


class _Torn(httpx.AsyncByteStream):
    """A body that ends with its connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body
        raise httpx.ReadError("")


class Driver:
    """Calls an in-process sandbox as a client with a token would."""

    def __init__(self, options: SandboxOptions) -> None:
        self.time = FakeTime()
        self.sandbox: Sandbox = build_sandbox(
            options,
            clock=self.time.clock,
            wall_clock=self.time.wall,
            sleep=self.time.sleep,
        )
        self.headers = {"Api-Version": "4.4", "Content-Type": "application/json"}

    def log_in(self) -> str:
        reply = self.send("POST", "/uauth/v2/auth/login/profile", {"apiKey": API_KEY})
        token: str = reply.json()["token"]
        self.headers["Authorization"] = f"Bearer {token}"
        return token

    def send(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        async def call() -> httpx.Response:
            transport = httpx.ASGITransport(self.sandbox.app)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://sandbox"
            ) as client:
                return await client.request(
                    method,
                    path,
                    json=body if content is None else None,
                    content=content,
                    headers=[
                        (name.encode(), value.encode("latin-1"))
                        for name, value in (
                            self.headers if headers is None else headers
                        ).items()
                    ],
                )

        return anyio.run(call)

    def get(self, path: str) -> Any:
        reply = self.send("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def put(self, *items: dict[str, Any]) -> None:
        """Send one batch and let it settle."""
        reply = self.send("POST", "/v4/clients/batch", list(items))
        assert (reply.status_code, reply.content) == (202, b"")
        self.sandbox.settle()

    def by_email(self, email: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v4/clients/by-email/{email}")
        return found

    def close(self) -> None:
        self.sandbox.close()


def drive(switches: Switches | None = None, **options: Any) -> Driver:
    """Build a sandbox, log in, and hand over the driver."""
    chosen = SandboxOptions(switches=switches or Switches(), **options)
    driver = Driver(chosen)
    driver.log_in()
    return driver
