"""
What may befall a connection between a client and a server, as small scripts.

They speak as much HTTP/1.1 as they need to: whole requests and whole answers with
`Content-Length` or in chunks. `fault_proxy` puts them on real sockets.
"""

import asyncio
import socket
import ssl
import struct
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

_END_OF_HEAD: Final = b"\r\n\r\n"
MOST_BYTES: Final = 2**24
_CHUNK_BYTES: Final = 2**16
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)
_TICK_S: Final = 0.01
_FAREWELL_S: Final = 0.5  # TLS says goodbye, and may get no reply
# How a connection may end while a fault is at work; all of them are meant.
ENDS: Final = (OSError, EOFError, ssl.SSLError)


class Line:
    """One connection from a client, and the way to the real server."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: tuple[str, int],
    ) -> None:
        self.reader = reader
        self.writer = writer
        self._upstream = upstream
        self._opened = [writer]

    async def request(self) -> bytes:
        """Read one whole request, body included."""
        return await _message(self.reader)

    async def open_upstream(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection(
            *self._upstream, limit=MOST_BYTES
        )
        self._opened.append(writer)
        return reader, writer

    async def ask(self, request: bytes) -> bytes:
        """Hand a request to the server and return its whole answer."""
        reader, writer = await self.open_upstream()
        writer.write(request)
        return await _message(reader)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def wait_for_the_end(self) -> None:
        """Read and forget, until the client leaves."""
        while await self.reader.read(_CHUNK_BYTES):
            pass

    def reset(self) -> None:
        """End all connections with a reset instead of a polite end."""
        for writer in self._opened:
            raw = writer.get_extra_info("socket")
            if raw is not None and not writer.is_closing():
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            writer.transport.abort()

    async def close(self) -> None:
        for writer in self._opened:
            writer.close()
        for writer in self._opened:
            with suppress(*ENDS):  # a time-out is one of them
                async with asyncio.timeout(_FAREWELL_S):
                    await writer.wait_closed()
            writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(_END_OF_HEAD)
    lines = head.lower().split(b"\r\n")
    headers = dict(line.split(b":", 1) for line in lines[1:] if b":" in line)
    if headers.get(b"transfer-encoding", b"").strip() == b"chunked":
        return head + await reader.readuntil(b"\r\n0\r\n\r\n")
    return head + await reader.readexactly(int(headers.get(b"content-length", b"0")))


def head_of(reply: bytes) -> bytes:
    return reply.partition(_END_OF_HEAD)[0] + _END_OF_HEAD


async def _copy(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    n_bytes: int = _CHUNK_BYTES,
    pause_s: float = 0.0,
) -> None:
    while data := await reader.read(n_bytes):
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(pause_s)


# --- the faults ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Fault:
    """What one connection meets; this one meets nothing, all goes through."""

    async def meet(self, line: Line) -> None:
        await self.pipe(line)

    @staticmethod
    async def pipe(
        line: Line, n_bytes: int = _CHUNK_BYTES, pause_s: float = 0.0
    ) -> None:
        reader, writer = await line.open_upstream()
        both = [
            asyncio.ensure_future(_copy(line.reader, writer, n_bytes, pause_s)),
            asyncio.ensure_future(_copy(reader, line.writer, n_bytes, pause_s)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)


class Clear(Fault):
    """No fault."""


@dataclass(frozen=True, slots=True)
class ResetOnAccept(Fault):
    async def meet(self, line: Line) -> None:
        line.reset()


@dataclass(frozen=True, slots=True)
class ResetInUpload(Fault):
    """The server gets the first bytes of the request, then both sides a reset."""

    after_bytes: int

    async def meet(self, line: Line) -> None:
        data = await line.reader.readexactly(self.after_bytes)
        _, writer = await line.open_upstream()
        writer.write(data)
        await writer.drain()
        line.reset()


@dataclass(frozen=True, slots=True)
class Unanswered(Fault):
    """
    The whole request is read, then the connection ends.

    Attributes:
        forward: Whether the server gets the request, and answers for nothing.
        reset: Rather than a polite end.
    """

    forward: bool = False
    reset: bool = False

    async def meet(self, line: Line) -> None:
        request = await line.request()
        if self.forward:
            await line.ask(request)
        if self.reset:
            line.reset()


@dataclass(frozen=True, slots=True)
class Raw(Fault):
    """The whole request is read, then exactly these bytes come back and an end."""

    reply: bytes
    forward: bool = False
    reset: bool = False

    async def meet(self, line: Line) -> None:
        request = await line.request()
        if self.forward:
            await line.ask(request)
        await line.send(self.reply)
        if self.reset:
            line.reset()


@dataclass(frozen=True, slots=True)
class CutReply(Fault):
    """A reset after so many bytes of the real reply; None: after its head."""

    after_bytes: int | None = None

    async def meet(self, line: Line) -> None:
        reply = await line.ask(await line.request())
        n_bytes = len(head_of(reply)) if self.after_bytes is None else self.after_bytes
        await line.send(reply[:n_bytes])
        line.reset()


@dataclass(frozen=True, slots=True)
class Drip(Fault):
    """
    The reply comes byte by byte, from its first or from its body on.

    Attributes:
        instead: What comes in place of the real reply; None: the real one.
    """

    pause_s: float
    body_only: bool = False
    instead: bytes | None = None

    async def meet(self, line: Line) -> None:
        reply = await line.ask(await line.request())
        reply = reply if self.instead is None else self.instead
        at_once = len(head_of(reply)) if self.body_only else 0
        await line.send(reply[:at_once])
        for at in range(at_once, len(reply)):
            await asyncio.sleep(self.pause_s)
            await line.send(reply[at : at + 1])


@dataclass(frozen=True, slots=True)
class EndlessInterim(Fault):
    """Interim answers without end: something always comes, and never an answer."""

    pause_s: float

    async def meet(self, line: Line) -> None:
        await line.request()
        while True:
            await line.send(b"HTTP/1.1 102 Processing\r\n\r\n")
            await asyncio.sleep(self.pause_s)


@dataclass(frozen=True, slots=True)
class Latency(Fault):
    seconds: float

    async def meet(self, line: Line) -> None:
        reply = await line.ask(await line.request())
        await asyncio.sleep(self.seconds)
        await line.send(reply)


@dataclass(frozen=True, slots=True)
class Bandwidth(Fault):
    """So many bytes a second, both ways."""

    bytes_per_s: float

    async def meet(self, line: Line) -> None:
        n_bytes = max(1, int(self.bytes_per_s * _TICK_S))
        await self.pipe(line, n_bytes, _TICK_S)


@dataclass(frozen=True, slots=True)
class Sliced(Fault):
    """Nothing is lost, but everything comes in slices."""

    n_bytes: int

    async def meet(self, line: Line) -> None:
        await self.pipe(line, self.n_bytes)


@dataclass(frozen=True, slots=True)
class SlowClose(Fault):
    """A reply that ends with its connection, and the connection ends late."""

    seconds: float

    async def meet(self, line: Line) -> None:
        reply = await line.ask(await line.request())
        head, _, body = reply.partition(_END_OF_HEAD)
        kept = [
            text
            for text in head.split(b"\r\n")
            if not text.lower().startswith(b"content-length:")
        ]
        await line.send(b"\r\n".join([*kept, b"connection: close", b"", body]))
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Blackhole(Fault):
    """Accepts and never answers; the server may have got the request all the same."""

    forward: bool = False

    async def meet(self, line: Line) -> None:
        if self.forward:
            await line.ask(await line.request())
        await line.wait_for_the_end()


@dataclass(frozen=True, slots=True)
class ClosedOnReuse(Fault):
    """The first request is answered, the second one meets the end of keep-alive."""

    forward: bool = False

    async def meet(self, line: Line) -> None:
        await line.send(await line.ask(await line.request()))
        request = await line.request()
        if self.forward:
            await line.ask(request)


@dataclass(frozen=True, slots=True)
class Held(Fault):
    """
    The reply stops one byte before the end of its head, until the test says so.

    Attributes:
        reached: Set when everything but that byte has been sent.
        release: Set by the test; the rest follows.
    """

    reached: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    async def meet(self, line: Line) -> None:
        reply = await line.ask(await line.request())
        n_bytes = len(head_of(reply)) - 1
        await line.send(reply[:n_bytes])
        self.reached.set()
        await asyncio.to_thread(self.release.wait, 30)
        await line.send(reply[n_bytes:])


@dataclass(frozen=True, slots=True)
class Tls(Fault):
    """TLS in front of another fault; *pem* holds the key and the certificate."""

    pem: str
    inner: Fault = Clear()  # noqa: RUF009 - frozen

    async def meet(self, line: Line) -> None:
        await self.inner.meet(line)

    def context(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with TemporaryDirectory() as folder:  # the library reads files only
            path = Path(folder) / "server.pem"
            path.write_text(self.pem)
            context.load_cert_chain(path)
        return context


@dataclass(frozen=True, slots=True)
class TlsReset(Fault):
    """A reset in the middle of the handshake: the client has said hello."""

    async def meet(self, line: Line) -> None:
        await line.reader.read(1)
        line.reset()
