"""
The outermost layer: reads bodies, carries out the weather, keeps the log.

A torn connection is an abortion of the transport on a real socket, and the exception
`ConnectionTorn` where there is none, that is under an in-process ASGI transport.
"""

import hashlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

from starlette.applications import Starlette
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from pipeline.sandbox.app import ARRIVAL, endpoint_name
from pipeline.sandbox.records import RequestRecord
from pipeline.sandbox.replies import Refusal, error_reply
from pipeline.sandbox.service import Arrival, Desk
from pipeline.sandbox.weather import Bucket, Fate, Forecast, Weather, admit, forecast

# Name of the ASGI extension by which a server offers to tear its connection.
TEAR: Final = "sandbox.tear"

_LOGINS: Final = frozenset({"login", "login_deprecated", "refresh"})
_NO_WEATHER: Final = frozenset({"describe"})
_GATEWAY_PAGE: Final = "<html><body><h1>503 Service Unavailable</h1></body></html>"


class ConnectionTorn(ConnectionError):  # noqa: N818 - named as its weather
    """
    The connection ended without an answer.

    Attributes:
        after: Whether the request had been carried out.
    """

    def __init__(self, *, after: bool) -> None:
        super().__init__("the sandbox tore the connection")
        self.after = after


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
        expire = sky.fate is Fate.EXPIRE
        most_bytes = desk.rules.max_body_bytes
        arrival = await _read(receive, request_no, most_bytes, expire=expire)
        if arrival is None:  # the client left in the middle of its request
            return
        visit = _Visit(name, scope["path"], at_s, arrival, sky)
        await self._sleep_through(sky)
        if sky.fate is Fate.TORN_BEFORE:
            self._log(visit, 0, answered=False)
            await _tear(scope, receive, after=False)
            return
        messages = await self._answer(visit, scope, receive)
        status = messages[0]["status"]
        if sky.fate is Fate.TORN_AFTER:
            self._log(visit, status, answered=False)
            await _tear(scope, receive, after=True)
            return
        self._log(visit, status, answered=True)
        for message in messages:
            await send(message)

    def _sky(self, name: str, request_no: int) -> Forecast:
        if name in _NO_WEATHER or (name in _LOGINS and not self._weather.on_login):
            return Forecast()
        return forecast(self._weather, request_no)

    async def _sleep_through(self, sky: Forecast) -> None:
        if sky.delay_s > 0:
            await self._sleep(sky.delay_s)

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
        weather = self._weather
        if visit.name not in _NO_WEATHER and weather.limit > 0:
            now_s = self._desk.clocks.now()
            self._bucket, wait_s = admit(self._bucket, weather.limit, now_s)
            if wait_s > 0:
                return self._throttled(visit, math.ceil(wait_s))
        fate = visit.sky.fate
        if fate is Fate.THROTTLE:
            return self._throttled(visit, weather.retry_after_s)
        if fate is Fate.THROTTLE_BARE:
            return self._throttled(visit, None)
        if fate is Fate.ERROR:
            return self._error(visit, 500, "Unexpected error")
        if fate is Fate.UNAVAILABLE:
            return Response(_GATEWAY_PAGE, 503, media_type="text/html")
        return None

    def _throttled(self, visit: _Visit, wait_s: int | None) -> Response:
        reply = self._error(visit, 429, "Too many requests")
        if wait_s is not None:
            reply.headers["Retry-After"] = str(wait_s)
        return reply

    def _error(self, visit: _Visit, status: int, message: str) -> Response:
        wall_s = self._desk.clocks.wall()
        return error_reply(Refusal(status, message), visit.path, wall_s)

    def _log(self, visit: _Visit, status: int, *, answered: bool) -> None:
        self._desk.store.log(
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


async def _read(
    receive: Receive, request_no: int, most_bytes: int, *, expire: bool
) -> Arrival | None:
    """Read a body to its end, keeping no more of it than may be used; None if torn."""
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
    return Arrival(request_no, bytes(kept), n_bytes, digest.hexdigest(), expire)


async def _tear(scope: Scope, receive: Receive, *, after: bool) -> None:
    tear = scope.get("extensions", {}).get(TEAR)
    if tear is None:
        raise ConnectionTorn(after=after)
    tear()
    while (await receive())["type"] != "http.disconnect":
        pass
