import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import anyio
import httpx
import pytest
from starlette.types import Message

from pipeline.sandbox.server import (
    RunningSandbox,
    SandboxOptions,
    build_sandbox,
    running_sandbox,
)
from pipeline.sandbox.weather import Weather

ROOT = Path(__file__).parents[2]
SERVE = """
import json
from pipeline.sandbox.server import SandboxOptions, serve
serve(
    SandboxOptions(),
    port=0,
    on_ready=lambda r: print(json.dumps([r.base_url, r.api_key]), flush=True),
)
print("returned", flush=True)
"""


@contextmanager
def client_of(running: RunningSandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=running.base_url, trust_env=False) as client:
        reply = client.post(
            "/uauth/v2/auth/login/profile", json={"apiKey": running.api_key}
        )
        client.headers["Authorization"] = f"Bearer {reply.json()['token']}"
        client.headers["Api-Version"] = "4.4"
        client.headers["Content-Type"] = "application/json"
        yield client


def test_a_real_socket_serves_the_same_api() -> None:
    with (
        running_sandbox(SandboxOptions(seed_profiles=2, settle_s=0)) as running,
        client_of(running) as client,
    ):
        accepted = client.post("/v4/clients/batch", json=[{"customId": "a/b+c"}])
        found = client.get("/v4/clients/by-customid/a%2Fb%2Bc")

        assert (accepted.status_code, accepted.content) == (202, b"")
        assert found.json()["clientId"] == 2149203827
        assert running.sandbox.store.count_profiles() == 3


def test_a_body_at_and_above_the_limit_on_a_real_socket() -> None:
    with running_sandbox() as running, client_of(running) as client:
        start, end = b'[{"customId":"1","city":"', b'"}]'
        fill = 10**6 - len(start) - len(end)
        for n_bytes, status in ((fill, 202), (fill + 1, 413), (5 * fill, 413)):
            content = start + b"x" * n_bytes + end
            reply = client.post("/v4/clients/batch", content=content)

            assert reply.status_code == status


@pytest.mark.parametrize(
    ("rate", "n_profiles"), [("torn_before", 0), ("torn_after", 1)]
)
def test_a_torn_connection_on_a_real_socket(rate: str, n_profiles: int) -> None:
    weather = Weather(**{rate: 1})  # type: ignore[arg-type]
    with (
        running_sandbox(SandboxOptions(weather=weather)) as running,
        client_of(running) as client,
    ):
        with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
            client.post("/v4/clients/batch", json=[{"customId": "1"}])
        running.sandbox.settle()

        assert running.sandbox.store.count_profiles() == n_profiles


def test_a_torn_connection_writes_nothing_on_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    options = SandboxOptions(weather=Weather(torn_before=1))
    with running_sandbox(options) as running, client_of(running) as client:
        for _ in range(3):
            with pytest.raises(httpx.TransportError):
                client.get("/crm/v1/list")

    assert capfd.readouterr() == ("", "")


def test_a_client_that_leaves_in_the_middle_of_a_body_changes_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with running_sandbox() as running, client_of(running) as client:
        token = client.headers["Authorization"]
        host, port = running.base_url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(
                b"POST /v4/clients/batch HTTP/1.1\r\nHost: x\r\nApi-Version: 4.4\r\n"
                b"Content-Type: application/json\r\nContent-Length: 1000\r\n"
                b"Authorization: " + token.encode() + b'\r\n\r\n[{"customId":"1"}]'
            )
        client.get("/crm/v1/list")

        assert running.sandbox.store.count_profiles() == 0
    assert capfd.readouterr() == ("", "")


def test_two_sandboxes_run_side_by_side() -> None:
    with running_sandbox() as one, running_sandbox() as two:
        assert one.base_url != two.base_url
        with client_of(one) as client:
            client.post("/v4/clients/instant", json={"customId": "1"})

        assert one.sandbox.store.count_profiles() == 1
        assert two.sandbox.store.count_profiles() == 0


def test_a_port_in_use_is_an_os_error() -> None:
    with running_sandbox() as running:
        port = int(running.base_url.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), running_sandbox(port=port):
            pass


def test_a_port_is_free_again_afterwards() -> None:
    with running_sandbox() as running:
        port = int(running.base_url.rpartition(":")[2])
        with client_of(running) as client:
            client.get("/crm/v1/list")
    with running_sandbox(port=port) as again:
        assert again.base_url == running.base_url


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_serve_returns_on_a_signal(signum: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        base_url, api_key = json.loads(process.stdout.readline())
        with httpx.Client(base_url=base_url, trust_env=False) as client:
            login = client.post(
                "/uauth/v2/auth/login/profile", json={"apiKey": api_key}
            )
            begun = time.monotonic()
            process.send_signal(signum)
            out, err = process.communicate(timeout=10)

    assert login.status_code == 200
    assert (process.returncode, out, err) == (0, "returned\n", "")
    assert time.monotonic() - begun < 5


def test_another_server_may_announce_its_life() -> None:
    sandbox = build_sandbox(SandboxOptions())
    told = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    said: list[str] = []

    async def receive() -> Message:
        return next(told)

    async def send(message: Message) -> None:
        said.append(message["type"])

    anyio.run(sandbox.app, {"type": "lifespan", "state": {}}, receive, send)

    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
