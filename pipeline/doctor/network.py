"""Can the service be reached: its name, a connection, an encryption one can trust."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from pipeline.addresses import check_base_url
from pipeline.authorities import tls_context
from pipeline.doctor.diagnosis import certificate, failure, fine
from pipeline.errors import ContractError, SettingsError, UnreachableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from pipeline.doctor.diagnosis import Checked

TIMEOUT_S: Final = 10.0
_PORTS: Final = {"http": 80, "https": 443}


async def look_at_network(
    base_url: str,
    ca_bundle: str | None,
    *,
    timeout_s: float = TIMEOUT_S,
    now: Callable[[], float] = time.time,
) -> AsyncIterator[Checked]:
    """
    Look up the name, connect, agree on encryption; the first that fails is the last.

    Nothing is sent but what opens a connection.
    """
    try:
        parts = urlsplit(check_base_url(base_url))
        port = parts.port or _PORTS[parts.scheme.lower()]
    except (SettingsError, ValueError) as error:
        yield failure("address", SettingsError(f"the base URL: {error}"))
        return
    host = parts.hostname or ""
    found = await _name(host, port)
    yield found
    if found.error is None:
        found = await _connection(host, port, timeout_s)
        yield found
    if found.error is not None:
        return
    if parts.scheme.lower() == "http":
        yield fine("encryption", "none, because the service is on this machine")
        return
    yield await _encryption(host, port, ca_bundle, timeout_s, now)


async def _name(host: str, port: int) -> Checked:
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return failure(
            "name",
            UnreachableError(
                f"{host} has no address (DNS); check the base URL, the network and "
                "the resolver of this machine"
            ),
        )
    n = len({entry[4] for entry in found})
    return fine("name", f"{host} has {n} address{'es' if n > 1 else ''}")


async def _connection(host: str, port: int, timeout_s: float) -> Checked:
    began_s = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                host, port, happy_eyeballs_delay=0.25
            )
    except TimeoutError:
        said = f"no connection within {timeout_s:g} s; a firewall may drop it"
    except OSError:
        said = "nothing listens there, or a firewall refuses it"
    else:
        await _closed(writer)
        took_ms = (time.monotonic() - began_s) * 1000
        return fine("connection", f"port {port} answers in {took_ms:.0f} ms")
    error = UnreachableError(f"{host}, port {port}: {said}; check the base URL")
    return failure("connection", error)


async def _encryption(
    host: str,
    port: int,
    ca_bundle: str | None,
    timeout_s: float,
    now: Callable[[], float],
) -> Checked:
    try:
        context = tls_context(ca_bundle)
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                host, port, ssl=context, server_hostname=host
            )
    except SettingsError as error:
        return failure("encryption", error)
    except ssl.SSLCertVerificationError as error:
        return failure(
            "encryption",
            ContractError(
                f"the certificate of {host} cannot be trusted "
                f"({error.verify_message.rstrip('.')}); name the right authority with "
                "--ca-bundle, or find out who answers there"
            ),
        )
    except (OSError, TimeoutError):
        return failure(
            "encryption",
            UnreachableError(
                f"{host} agrees on no encrypted connection (TLS 1.2 or newer); check "
                "the base URL and proxies on the way"
            ),
        )
    told = writer.get_extra_info("ssl_object")
    ends_s = ssl.cert_time_to_seconds(told.getpeercert()["notAfter"])
    version = told.version()
    await _closed(writer)
    return certificate(host, version, ends_s - now())


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    try:
        await writer.wait_closed()
    except OSError:
        return  # the other side was quicker
