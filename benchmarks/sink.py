"""
A service that takes everything: answers the login, the question for the workspace, and
202 to every batch as soon as its last byte is here. It never parses a body meanwhile.

`GET /stats` answers what came; only then are kept bodies counted and digested. A
process of its own, without any library: it shall cost the measured side little.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import time
from pathlib import Path
from typing import Final

# Between rows, as compact JSON or as json.dumps writes it; inside a string its quote
# would be escaped.
ROW_SEAMS: Final = (b'},{"', b'}, {"')
ANSWERS: Final = {
    b"/uauth/v2/auth/login/profile": b'{"token":"benchmark"}',
    b"/uauth/business-profile/current": (
        b'{"businessProfileGuid":"00000000-0000-4000-8000-000000000000",'
        b'"name":"null sink"}'
    ),
}
BATCH_PATH: Final = b"/v4/clients/batch"
STATS_PATH: Final = b"/stats"


class Counters:
    """What came, and how."""

    def __init__(self, delay_s: float, dump: Path | None, *, is_keeping: bool) -> None:
        self.delay_s = delay_s
        self.n_batches = 0
        self.n_bytes = 0
        self.n_rows = 0
        self.n_open = 0
        self.most_open = 0
        self.first_s = 0.0
        self.last_s = 0.0
        self._dump = dump
        self._bodies: list[bytes] | None = [] if is_keeping else None

    def take(self, body: bytes) -> None:
        """Count a batch, or keep it to be counted when nobody waits."""
        self.n_batches += 1
        self.n_bytes += len(body)
        if self._bodies is None:
            self.n_rows += rows_of(body)
        else:
            self._bodies.append(body)

    def stats(self) -> bytes:
        """Answer with the counts, and a digest of all bodies in any order."""
        digest = None
        if self._bodies is not None:
            self.n_rows = sum(map(rows_of, self._bodies))
            digests = sorted(hashlib.sha256(body).digest() for body in self._bodies)
            digest = hashlib.sha256(b"".join(digests)).hexdigest()
            if self._dump is not None:
                self._dump.write_bytes(b"\n".join(self._bodies))
        told = {
            "batches": self.n_batches,
            "bytes": self.n_bytes,
            "rows": self.n_rows,
            "most_open": self.most_open,
            "span_s": self.last_s - self.first_s,
            "digest": digest,
        }
        return json.dumps(told).encode()


def rows_of(body: bytes) -> int:
    """Count the objects of a JSON array."""
    return sum(map(body.count, ROW_SEAMS)) + 1


class Connection(asyncio.Protocol):
    """One client, one request at a time."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._path = b""
        self._parts: list[bytes] = []
        self._n_missing = -1  # of the body; -1 while the head is not complete

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember whom to answer."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Gather a request by its Content-Length, and answer when it is whole."""
        if self._n_missing < 0:
            data = b"".join((*self._parts, data))
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._parts = [head]
                return
            self._parts = []
            self._begin(head)
        self._parts.append(data)
        self._n_missing -= len(data)
        if self._n_missing == 0:
            body = b"".join(self._parts)
            self._parts, self._n_missing = [], -1
            self._end(body)

    def _begin(self, head: bytes) -> None:
        first, *lines = head.split(b"\r\n")
        self._path = first.split(b" ", 2)[1]
        headers = dict(line.lower().split(b": ", 1) for line in lines)
        self._n_missing = int(headers.get(b"content-length", b"0"))
        if self._path == BATCH_PATH:
            counters = self._counters
            counters.n_open += 1
            counters.most_open = max(counters.most_open, counters.n_open)
            counters.first_s = counters.first_s or time.monotonic()

    def _end(self, body: bytes) -> None:
        if self._path == BATCH_PATH:
            self._counters.take(body)
            if self._counters.delay_s:
                self._loop.call_later(self._counters.delay_s, self._accept)
            else:
                self._accept()
        elif self._path == STATS_PATH:
            self._answer(b"200 OK", self._counters.stats())
        else:
            known = self._path in ANSWERS
            status = b"200 OK" if known else b"404 Not Found"
            self._answer(status, ANSWERS.get(self._path, b"{}"))

    def _accept(self) -> None:
        self._counters.n_open -= 1
        self._counters.last_s = time.monotonic()
        self._answer(b"202 Accepted", b"")

    def _answer(self, status: bytes, body: bytes) -> None:
        if self._transport is not None:
            self._transport.write(
                b"HTTP/1.1 %b\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (status, len(body), body)
            )


async def serve(counters: Counters) -> None:
    """Serve on a free port, told on stdout, until somebody ends the process."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(counters), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the options and serve."""
    parser = argparse.ArgumentParser(description="A null sink for measurements.")
    parser.add_argument("--delay-ms", type=float, default=0.0)
    parser.add_argument("--keep", action="store_true", help="keep bodies for a digest")
    parser.add_argument("--dump", type=Path, help="write the kept bodies, one a line")
    told = parser.parse_args()
    counters = Counters(told.delay_ms / 1000, told.dump, is_keeping=told.keep)
    asyncio.run(serve(counters))


if __name__ == "__main__":
    main()
