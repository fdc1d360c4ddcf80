"""
A TCP proxy on real sockets that harms its connections as a script says.

One fault a connection, taken from the script in the order of arrival; behind the end
of the script every connection meets the same one, `then`. The proxy lives in a thread
with a loop of its own, so it neither shares the time of the client under test nor
waits for it.
"""

import asyncio
import socket
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

from network_faults import ENDS, MOST_BYTES, Clear, Fault, Line, Tls

T = TypeVar("T")


class FaultProxy:
    """
    A running proxy.

    Attributes:
        met: The faults of the connections so far, in the order of arrival.
    """

    def __init__(
        self, upstream: tuple[str, int], script: list[Fault], then: Fault
    ) -> None:
        self.met: list[Fault] = []
        self._upstream = upstream
        self._script = script
        self._then = then
        self._loop = asyncio.new_event_loop()
        self._listener: socket.socket | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")
        self._thread.start()
        self.port = 0
        self.listen()

    def url(self, scheme: str = "http") -> str:
        return f"{scheme}://127.0.0.1:{self.port}"

    def refuse(self) -> None:
        """Refuse connections from now on, until `listen`."""
        self._call(self._deafen())

    def listen(self) -> None:
        """Accept connections again, on the same port."""
        if self._listener is None:
            self.port = self._call(self._listen())

    def close(self) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, work: Coroutine[object, object, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _listen(self) -> int:
        listener = socket.create_server(("127.0.0.1", self.port), backlog=100)
        listener.setblocking(False)
        self._listener = listener
        self._begin(self._accept(listener))
        number: int = listener.getsockname()[1]
        return number

    async def _deafen(self) -> None:
        if self._listener is not None:
            self._loop.remove_reader(self._listener)
            self._listener.close()
            self._listener = None

    def _begin(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _accept(self, listener: socket.socket) -> None:
        # Not a server of the library: that one reads before TLS can be put in front.
        while listener is self._listener:
            raw, _ = await self._loop.sock_accept(listener)
            fault = self._script.pop(0) if self._script else self._then
            self.met.append(fault)
            self._begin(self._meet(fault, raw))

    async def _end(self) -> None:
        await self._deafen()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    async def _meet(self, fault: Fault, raw: socket.socket) -> None:
        reader = asyncio.StreamReader(limit=MOST_BYTES)
        protocol = asyncio.StreamReaderProtocol(reader)
        context = fault.context() if isinstance(fault, Tls) else None
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                lambda: protocol, raw, ssl=context
            )
        except ENDS:
            raw.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        line = Line(reader, writer, self._upstream)
        try:
            await fault.meet(line)
        except ENDS:
            pass  # the client, the server or the fault has ended the connection
        finally:
            await line.close()


@contextmanager
def fault_proxy(
    upstream: str, *script: Fault, then: Fault | None = None
) -> Iterator[FaultProxy]:
    """
    Run a proxy in front of *upstream*, a URL with a port, on a free port.

    Args:
        script: The fault of each connection, in the order of arrival.
        then: Of those behind the script; None: they go through.
    """
    address = urlsplit(upstream)
    if address.hostname is None or address.port is None:
        raise ValueError(f"{upstream} has no host or no port")
    proxy = FaultProxy((address.hostname, address.port), list(script), then or Clear())
    try:
        yield proxy
    finally:
        proxy.close()
