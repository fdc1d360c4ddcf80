"""
The outermost layer: reads bodies, carries out the weather, keeps the log.

A torn connection is an abortion of the transport on a real socket, and the exception
`ConnectionTorn` where there is none, that is under an in-process ASGI transport.
"""

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from typing import Any, Final

import anyio
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pipeline.sandbox.app import ARRIVAL, endpoint_name
from pipeline.sandbox.fates import Bucket, Forecast, admit, forecast, omen_of
from pipeline.sandbox.records import RequestRecord
from pipeline.sandbox.service import Arrival, Desk
from pipeline.sandbox.strange_answers import (
    SPOILING,
    Answer,
    Scene,
    instead_of_answer,
    odd_status,
    retry_after,
    spoilt,
    throttled,
)
from pipeline.sandbox.weather import Fate, Weather

# Names of the ASGI extensions by which a server offers to tear its connection, and
# asks to be told which connections wait for nothing that a stop should wait for.
TEAR: Final = "sandbox.tear"
PARK: Final = "sandbox.park"

_LOGINS: Final = frozenset({"login", "login_deprecated"})
_TOKENS: Final = _LOGINS | {"refresh"}
_NO_WEATHER: Final = frozenset({"describe"})
_BEFORE: Final = frozenset({Fate.TORN_BEFORE, Fate.HANG})
_AFTER: Final = frozenset({Fate.TORN_AFTER, Fate.HANG_AFTER})
_HANGS: Final = frozenset({Fate.HANG, Fate.HANG_AFTER})


class ConnectionTorn(ConnectionError):  # noqa: N818 - named as its weather
    """
    The connection ended without an answer, or in the middle of one.

    Attributes:
        after: Whether the request had been carried out.
        head: Status and headers that had arrived completely; None if they had not.
        body: The part of the body that had arrived.
    """

    def __init__(
        self,
        *,
        after: bool,
        head: tuple[int, tuple[tuple[bytes, bytes], ...]] | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__("the sandbox tore the connection")
        self.after = after
        self.head = head
        self.body = body


@dataclass(frozen=True, slots=True)
class _Visit:
    """A request from its first byte to its answer."""

    name: str
    path: str
    at_s: float
    arrival: Arrival
    sky: Forecast


class Shell:
    """
    The ASGI application of a sandbox.

    Effects: a request is in the log before its answer leaves, so whoever has the
    answer finds the record.
    """

    def __init__(
        self,
        app: Starlette,
        desk: Desk,
        weather: Weather,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._app = app
        self._desk = desk
        self._weather = weather
        self._sleep = sleep
        self._poison = weather.poison.encode()
        self._bucket = Bucket(max(1.0, weather.limit), desk.clocks.now())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; anything that is not HTTP is left to the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        name = endpoint_name(self._app, scope["method"], path)
        if name != "batch":
            await self._visit(name, {**scope, "path": path}, receive, send)
            return
        with self._desk.store.batch_in_flight():
            await self._visit(name, {**scope, "path": path}, receive, send)

    async def _visit(
        self, name: str, scope: Scope, receive: Receive, send: Send
    ) -> None:
        desk = self._desk
        request_no = desk.store.next_request_no()
        at_s = desk.clocks.now()
        sky = self._sky(name, request_no)
        arrival = await self._read(receive, request_no, sky)
        if arrival is None:  # the client left in the middle of its request
            return
        desk.store.ledger.receive(request_no, name, arrival.digest)
        visit = _Visit(name, scope["path"], at_s, arrival, sky)
        await self._sleep_through(visit)
        if sky.fate in _BEFORE:
            self._log(visit, 0, answered=False)
            await self._vanish(visit, scope, receive, after=False)
            return
        messages = await self._answer(visit, scope, receive)
        if sky.fate in _AFTER:
            self._log(visit, messages[0]["status"], answered=False)
            await self._vanish(visit, scope, receive, after=True)
            return
        date = formatdate(desk.clocks.wall(), usegmt=True).encode()
        messages[0]["headers"].append((b"date", date))
        if sky.fate in SPOILING:
            await self._send_spoilt(visit, messages, scope, receive, send)
            return
        self._log(visit, messages[0]["status"], answered=True)
        for message in messages:
            await send(message)

    def _sky(self, name: str, request_no: int) -> Forecast:
        if name in _NO_WEATHER:
            return Forecast()
        sky = forecast(self._weather, request_no)
        if name in _TOKENS and not self._weather.on_login:
            return Forecast(login_fails=sky.login_fails)
        return sky

    async def _read(
        self, receive: Receive, request_no: int, sky: Forecast
    ) -> Arrival | None:
        """Read a body to its end, keeping no more than may be used; None if torn."""
        most_bytes = self._desk.rules.max_body_bytes
        digest = hashlib.sha256()
        kept = bytearray()
        n_bytes = 0
        more = True
        while more:
            message: dict[str, Any] = dict(await receive())
            if message["type"] == "http.disconnect":
                return None
            chunk = message.get("body", b"")
            digest.update(chunk)
            n_bytes += len(chunk)
            kept += chunk[: max(0, most_bytes - len(kept))]
            more = message.get("more_body", False)
        omen = omen_of(sky, self._weather)
        return Arrival(request_no, bytes(kept), n_bytes, digest.hexdigest(), omen)

    async def _sleep_through(self, visit: _Visit) -> None:
        delay_s = visit.sky.delay_s
        if visit.name in _LOGINS:
            delay_s += self._weather.login_s
        if delay_s > 0:
            await self._sleep(delay_s)

    async def _answer(
        self, visit: _Visit, scope: Scope, receive: Receive
    ) -> list[Message]:
        """Collect the answer of the weather or of the app, without sending it."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        scope[ARRIVAL] = visit.arrival
        reply = self._refused_by_weather(visit)
        if reply is not None:
            await reply(scope, receive, keep)
        else:
            await self._app(scope, receive, keep)
        return messages

    def _refused_by_weather(self, visit: _Visit) -> Response | None:
        weather, path = self._weather, visit.path
        wall_s = self._desk.clocks.wall()
        if visit.name not in _NO_WEATHER and weather.limit > 0:
            now_s = self._desk.clocks.now()
            self._bucket, wait_s = admit(self._bucket, weather.limit, now_s)
            if wait_s > 0:
                asked_s = math.ceil(wait_s)
                text = retry_after(weather, asked_s, wall_s, visit.sky.lot)
                return throttled(path, wall_s, text)
        if visit.name in _LOGINS and visit.sky.login_fails:
            return odd_status(weather.login_status, path, wall_s)
        if visit.name == "batch" and self._poison and self._holds_poison(visit):
            return odd_status(500, path, wall_s)
        return instead_of_answer(Scene(visit.sky, weather, path, wall_s))

    def _holds_poison(self, visit: _Visit) -> bool:
        return self._poison in visit.arrival.body

    async def _send_spoilt(
        self,
        visit: _Visit,
        messages: list[Message],
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        start, *bodies = messages
        given = Answer(
            start["status"],
            tuple(start["headers"]),
            [body.get("body", b"") for body in bodies],
        )
        wall_s = self._desk.clocks.wall()
        told = spoilt(Scene(visit.sky, self._weather, visit.path, wall_s), given)
        self._log(visit, told.status, answered=True)
        if told.pause_s > 0:
            _park(scope)
        await send({**start, "status": told.status, "headers": list(told.headers)})
        sent = b""
        for part in told.parts:
            if told.pause_s > 0:
                await self._sleep_while_there(told.pause_s, receive)
            await send({"type": "http.response.body", "body": part, "more_body": True})
            sent = part
        if told.is_torn:
            torn = ConnectionTorn(
                after=True, head=(told.status, told.headers), body=sent
            )
            await _tear(scope, receive, torn)
            return
        await send({"type": "http.response.body", "body": b""})

    async def _vanish(
        self, visit: _Visit, scope: Scope, receive: Receive, *, after: bool
    ) -> None:
        """End without an answer, at once or when the client or time has run out."""
        if visit.sky.fate in _HANGS:
            _park(scope)
            await self._sleep_while_there(self._weather.hang_s, receive)
        await _tear(scope, receive, ConnectionTorn(after=after))

    async def _sleep_while_there(self, seconds: float, receive: Receive) -> None:
        """Sleep, but not longer than the client stays."""
        async with anyio.create_task_group() as group:

            async def wake() -> None:
                await _until_gone(receive)
                group.cancel_scope.cancel()

            group.start_soon(wake)
            await self._sleep(seconds)
            group.cancel_scope.cancel()

    def _log(self, visit: _Visit, status: int, *, answered: bool) -> None:
        self._desk.store.ledger.log(
            RequestRecord(
                request_no=visit.arrival.request_no,
                at_s=visit.at_s,
                name=visit.name,
                digest=visit.arrival.digest,
                n_bytes=visit.arrival.n_bytes,
                status=status,
                answered=answered,
            )
        )


def _park(scope: Scope) -> None:
    park = scope.get("extensions", {}).get(PARK)
    if park is not None:
        park()


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _tear(scope: Scope, receive: Receive, torn: ConnectionTorn) -> None:
    tear = scope.get("extensions", {}).get(TEAR)
    if tear is None:
        raise torn
    tear()
    await _until_gone(receive)
