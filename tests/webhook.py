"""A real server in a thread that takes alerts, or behaves badly, as it is told."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import BufferedIOBase

HANG_S = 2.0
HANGS_UP, SILENT, DRIPPING = ODD = (0, 1, 2)
SECRET = "T0PSECRETPATH"


@dataclass(slots=True)
class Webhook:
    """
    Attributes:
        answers: Statuses for one request after the other, the last one for all others;
            or one of `ODD`.
    """

    port: int
    answers: list[int]
    got: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/{SECRET}"

    def next_answer(self) -> int:
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


def behave_oddly(how: int, stream: BufferedIOBase, ended: threading.Event) -> None:
    if how == SILENT:
        ended.wait(HANG_S)
    if how == DRIPPING:
        for byte in b"HTTP/1.1 200 OK\r\n" * 1000:
            if ended.wait(0.05):
                return
            stream.write(bytes([byte]))


@contextmanager
def webhook(*answers: int) -> Iterator[Webhook]:
    ended = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["Content-Length"])
            hook.got.append(json.loads(self.rfile.read(length)))
            hook.paths.append(self.path)
            assert self.headers["Content-Type"] == "application/json"
            status = hook.next_answer()
            if status in ODD:
                self.close_connection = True
                behave_oddly(status, self.wfile, ended)
                return
            self.send_response(status)
            if 300 <= status < 400:
                self.send_header("Location", f"{hook.url}-elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            del format, args

        def handle(self) -> None:
            try:
                super().handle()
            except (BrokenPipeError, ConnectionResetError):
                return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    hook = Webhook(server.server_address[1], list(answers or (200,)))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield hook
    finally:
        ended.set()
        server.shutdown()
        thread.join()
        server.server_close()
