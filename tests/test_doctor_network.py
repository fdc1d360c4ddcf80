"""The way to the service in words: name, connection, encryption; on real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from certificates import EXPIRED, OF_ANOTHER_HOST, RIGHT, authority
from pipeline.doctor.diagnosis import Level
from pipeline.doctor.network import look_at_network
from pipeline.errors import (
    ContractError,
    PipelineError,
    SettingsError,
    UnreachableError,
)

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.doctor.diagnosis import Checked


async def looked(base_url: str, ca_bundle: str | None = None) -> list[Checked]:
    found = look_at_network(base_url, ca_bundle, timeout_s=2.0)
    return [check async for check in found]


def at_once(base_url: str) -> list[Checked]:
    return asyncio.run(looked(base_url))


async def over_tls(folder: Path, pem: str, *, trusted: bool = True) -> list[Checked]:
    (folder / "server.pem").write_text(pem)
    (folder / "ca.pem").write_text(authority(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    async with server:
        bundle = str(folder / "ca.pem") if trusted else None
        return await looked(f"https://127.0.0.1:{port}", bundle)


def test_a_trusted_server_is_fine(tmp_path: Path) -> None:
    found = asyncio.run(over_tls(tmp_path, RIGHT))

    assert [(c.name, c.level) for c in found] == [
        ("name", Level.OK),
        ("connection", Level.OK),
        ("encryption", Level.OK),
    ]
    assert "certificate of 127.0.0.1 trusted" in found[-1].told


@pytest.mark.parametrize(
    ("pem", "trusted", "words"),
    [
        (RIGHT, False, "self-signed certificate"),
        (EXPIRED, True, "certificate has expired"),
        (OF_ANOTHER_HOST, True, "IP address mismatch"),
    ],
)
def test_a_certificate_that_does_not_hold(
    tmp_path: Path, pem: str, *, trusted: bool, words: str
) -> None:
    last = asyncio.run(over_tls(tmp_path, pem, trusted=trusted))[-1]

    assert last.name == "encryption"
    assert isinstance(last.error, ContractError)
    assert words in last.told
    assert "--ca-bundle" in last.told


async def beside_tls(answer: bytes) -> Checked:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        return (await looked(f"https://127.0.0.1:{port}"))[-1]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_a_server_without_encryption(answer: bytes) -> None:
    last = asyncio.run(beside_tls(answer))

    assert last.name == "encryption"
    assert isinstance(last.error, UnreachableError)


def test_plain_http_stays_on_this_machine() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        found = at_once(f"http://127.0.0.1:{server.getsockname()[1]}")

    assert [check.level for check in found] == [Level.OK] * 3
    assert "on this machine" in found[-1].told


def test_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    last = at_once(url)[-1]

    assert (last.name, type(last.error)) == ("connection", UnreachableError)


def test_a_name_that_nobody_has() -> None:
    (only,) = at_once("https://crm.invalid")

    assert (only.name, type(only.error)) == ("name", UnreachableError)
    assert "DNS" in only.told


@pytest.mark.parametrize(
    "url",
    ["http://crm.example.com", "https://u:p@crm.example.com", "crm", "https://a:0:1"],
)
def test_an_address_that_is_none(url: str) -> None:
    (only,) = at_once(url)

    assert (only.name, type(only.error)) == ("address", SettingsError)


def test_a_bundle_that_is_none() -> None:
    async def look() -> PipelineError | None:
        async def serve(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            await reader.read()
            writer.close()

        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            return (await looked(f"https://127.0.0.1:{port}", "/nowhere"))[-1].error

    assert isinstance(asyncio.run(look()), SettingsError)
