"""Services made of a function, and the faults of a real wire."""

import asyncio
import json
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import httpx

from pipeline.credentials import Credentials, RemoteSettings, Secret

KEY = "canary-key-0f8fad5b"
LOGIN = "/uauth/v2/auth/login/profile"
REMOTE = RemoteSettings("https://service.test", Credentials(api_key=Secret(KEY)))

Answer = tuple[int, dict[str, str], bytes] | int
Step = Answer | BaseException


class Service(httpx.AsyncBaseTransport):
    """
    Answers with what *handle* says about a request; an exception is a fault.

    Logins are answered with tokens `canary-token-1`, `-2`, unless *login* says other.
    """

    def __init__(
        self,
        handle: Callable[[httpx.Request], Step],
        login: Callable[[int], Step] | None = None,
    ) -> None:
        self._handle = handle
        self._login = login
        self.n_logins = 0
        self.requests: list[httpx.Request] = []
        self.in_flight = 0
        self.most_in_flight = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        if request.url.path == LOGIN:
            self.n_logins += 1
            await asyncio.sleep(0)
            return _response(self._login_step())
        self.requests.append(request)
        self.in_flight += 1
        self.most_in_flight = max(self.in_flight, self.most_in_flight)
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return _response(self._handle(request))
        finally:
            self.in_flight -= 1

    def _login_step(self) -> Step:
        if self._login is not None:
            return self._login(self.n_logins)
        return token(f"canary-token-{self.n_logins}")


def token(text: str) -> Answer:
    return 200, {}, json.dumps({"token": text}).encode()


def _response(step: Step) -> httpx.Response:
    if isinstance(step, BaseException):
        raise step
    status, headers, body = (step, {}, b"") if isinstance(step, int) else step
    return httpx.Response(status, headers=headers, stream=_Body(body))


class _Body(httpx.AsyncByteStream):
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._body:
            yield self._body


@contextmanager
def raw_server(reply: bytes, *, reset: bool = False) -> Iterator[str]:
    """Serve connections that get exactly these bytes for `[]`, then an end."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection = listener.accept()[0]
            except OSError:
                return
            with connection:
                data = b""
                while not data.endswith(b"\r\n\r\n" if data[:1] == b"G" else b"[]"):
                    data += connection.recv(65536)
                connection.sendall(reply)
                if reset:
                    linger = b"\x01\x00\x00\x00\x00\x00\x00\x00"
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()
