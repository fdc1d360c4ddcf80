"""
What sending costs over another transport of httpx, and what that one says of a fault.

    .venv/bin/python benchmarks/transports.py [FILE OF data.py]

Needs what `make bench-full` installs. Bodies of the file go over real sockets to the
null sink, with the transport of httpx and with `httpx-aiohttp`, three times each, in
turns. Then a server takes a whole body and closes the connection: a transport is fit
for this tool when it does not call that a connection that never was, since such a body
is taken to be surely not sent.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import httpx
from httpx_aiohttp import AiohttpTransport

from benchmarks.measure import data, expect
from benchmarks.stages import IN_FLIGHT, Bench, Clock, anybody, send
from pipeline.client import KEEPALIVE_S, Client
from pipeline.verdict import NoReplyError, of_fault

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS: Final = 200_000
N_TIMES: Final = 3

Made = httpx.AsyncBaseTransport | None


def of_httpx() -> Made:
    """Let the client make its own, of httpcore, one for each connection."""
    return None


def of_aiohttp() -> Made:
    """Make one for all connections; its pool is fast."""
    limits = httpx.Limits(max_connections=IN_FLIGHT, keepalive_expiry=KEEPALIVE_S)
    transport: httpx.AsyncBaseTransport = AiohttpTransport(limits=limits)
    return transport


TRANSPORTS: Final[dict[str, Callable[[], Made]]] = {
    "httpcore": of_httpx,
    "httpx-aiohttp": of_aiohttp,
}


async def told_of_a_loss(make: Callable[[], Made]) -> str:
    """Return what is made of a connection that ends when the body was taken."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    remote = anybody(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server, Client(remote, transport=make()) as client:
        try:
            await client.send_batch(b"[]")
        except NoReplyError as error:
            return f"{error.code}, so the batch is {of_fault(error).state}"
    return "an answer"


def main() -> int:
    """Measure each in turns, and print."""
    path = Path(sys.argv[1]) if sys.argv[1:] else data(ROWS, "csv")
    bench = Bench(path)
    cpu_s: dict[str, list[float]] = {}
    for _ in range(N_TIMES):
        for name, make in TRANSPORTS.items():
            bench.clock = Clock()
            expect("rows at the sink", send(bench, make()), bench.n_rows)
            cpu_s.setdefault(name, []).append(bench.clock.cpu_s)
    for name, make in TRANSPORTS.items():
        per_batch_ms = median(cpu_s[name]) / len(bench.batches) * 1000
        told = asyncio.run(told_of_a_loss(make))
        print(f"{name}: {per_batch_ms:.2f} CPU ms a batch; a lost answer: {told}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
