"""Bad weather that needs a connection to be seen."""

import asyncio
import gzip
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest

from pipeline.sandbox.server import (
    RunningSandbox,
    SandboxOptions,
    running_sandbox,
)
from pipeline.sandbox.weather import Weather
from sandbox_driver import Driver, Wire, drive

BATCH = "/v4/clients/batch"
LIST = "/crm/v1/list"
ITEMS = [{"customId": f"C{n}", "email": f"p{n}@example.com"} for n in range(10)]


@contextmanager
def sending(weather: Weather) -> Iterator[tuple[RunningSandbox, httpx.Client]]:
    with (
        running_sandbox(SandboxOptions(weather=weather)) as running,
        httpx.Client(base_url=running.base_url, trust_env=False, timeout=5) as client,
    ):
        key = {"apiKey": running.api_key}
        token = client.post("/uauth/v2/auth/login/profile", json=key).json()["token"]
        client.headers["Authorization"] = f"Bearer {token}"
        client.headers["Api-Version"] = "4.4"
        client.headers["Content-Type"] = "application/json"
        yield running, client


def test_a_hang_on_a_real_socket_ends_when_the_client_leaves_or_the_server_stops(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with socket.socket() as waiting:
        with sending(Weather(hang_after=1)) as (running, client):
            with pytest.raises(httpx.ReadTimeout):
                client.post(BATCH, json=ITEMS, timeout=0.05)
            host, port = running.base_url.removeprefix("http://").split(":")
            waiting.connect((host, int(port)))
            waiting.settimeout(0.05)
            waiting.sendall(raw_batch(client))
            with pytest.raises(TimeoutError):
                waiting.recv(1)
            began_s = time.monotonic()

        assert time.monotonic() - began_s < 0.9  # a stop waits a second for its tasks
        with suppress(ConnectionResetError):
            assert waiting.recv(1) == b""
    assert capfd.readouterr() == ("", "")


def raw_batch(client: httpx.Client) -> bytes:
    request = client.build_request("POST", BATCH, json=ITEMS)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    return f"POST {BATCH} HTTP/1.1\r\n{head}\r\n".encode() + request.content


@pytest.mark.parametrize("rate", ["cut_after_head", "cut_in_body"])
def test_a_cut_answer_on_a_real_socket(rate: str) -> None:
    with sending(Weather(**{rate: 1})) as (running, client):  # type: ignore[arg-type]
        with client.stream("POST", BATCH, json=ITEMS) as reply:
            status = reply.status_code
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                reply.read()
        running.sandbox.settle()

        assert status == 202
        assert running.sandbox.store.count_profiles() == 10


def test_a_drip_on_a_real_socket_does_not_delay_a_stop(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with sending(Weather(drip=1, drip_s=60)) as (_, client):
        with client.stream("POST", BATCH, json=ITEMS) as reply:
            assert reply.status_code == 202
            began_s = time.monotonic()
        with client.stream("POST", BATCH, json=ITEMS):
            pass

    assert time.monotonic() - began_s < 0.9
    assert capfd.readouterr() == ("", "")


def test_a_date_stands_on_every_answer_once() -> None:
    with sending(Weather(status=0.5, statuses=(503,), packed=0.5)) as (_, client):
        replies = [client.get(LIST) for _ in range(10)]

    assert all(reply.headers.get_list("date") for reply in replies)
    assert {len(reply.headers.get_list("date")) for reply in replies} == {1}


def test_the_wire_without_a_socket_tells_a_cut_answer_as_a_socket_does() -> None:
    cut = drive(weather=Weather(cut_in_body=1))
    torn = drive(weather=Weather(torn_after=1))

    async def send(driver: Driver) -> int:
        transport = Wire(driver.sandbox)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://x") as client,
            client.stream("POST", BATCH, json=ITEMS, headers=driver.headers) as reply,
        ):
            with pytest.raises(httpx.ReadError):
                await reply.aread()
            return reply.status_code

    assert asyncio.run(send(cut)) == 202
    with pytest.raises(httpx.ReadError):
        asyncio.run(send(torn))


def test_a_bomb_is_small_until_it_is_unpacked() -> None:
    weather = Weather(bomb=1, huge_bytes=3_000_000)
    with sending(weather) as (running, client):
        with client.stream("GET", LIST) as reply:
            raw = b"".join(reply.iter_raw())
        answer = client.post(BATCH, json=ITEMS)

        assert len(raw) < 10_000
        assert len(gzip.decompress(raw)) == 3_000_000
        assert answer.status_code == 202
        assert running.sandbox.store.batches()[-1].n_items == 10
