"""
Send one small JSON document to the address for alerts; nothing else.

The address is a secret: whoever has it can write there, so it stands in no message and
no log. Redirects are not followed, the answer is not read, the environment is not
looked at unless told so.
"""

from __future__ import annotations

import asyncio
import json
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import httpx

from pipeline.authorities import tls_context
from pipeline.errors import SettingsError
from pipeline.logs import quiet_libraries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pipeline.credentials import Secret

WAITS_S: Final = (1.0, 3.0)  # between tries: three in all
TIMEOUT_S: Final = 5.0  # of a try as a whole
_PASSING: Final = frozenset((408, 425, 429, 500, 502, 503, 504))


@dataclass(frozen=True, slots=True)
class Postbox:
    """
    Where alerts go, and how.

    Attributes:
        ca_bundle: PEM file of trusted authorities instead of the default ones.
        env_proxy: Whether the proxy variables of the environment are obeyed.
        timeout_s: Of one try, from the connection to the status.
        sleep: Bridges the time between tries.
    """

    address: Secret
    ca_bundle: str | None = None
    env_proxy: bool = False
    timeout_s: float = TIMEOUT_S
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


async def post(content: dict[str, Any], box: Postbox) -> str | None:
    """
    Send *content*, with a few tries.

    Returns:
        None when it was taken (2xx), else why not, in words. Where no answer came, it
        may have arrived all the same.
    """
    quiet_libraries()
    body = json.dumps(content, ensure_ascii=False).encode()
    trouble, may_pass = await _try(body, box)
    for wait_s in WAITS_S:
        if trouble is None or not may_pass:
            return trouble
        await box.sleep(wait_s)
        trouble, may_pass = await _try(body, box)
    return trouble


async def _try(body: bytes, box: Postbox) -> tuple[str | None, bool]:
    """Send once; return what is wrong, and whether another try may help."""
    try:
        async with (
            asyncio.timeout(box.timeout_s),
            httpx.AsyncClient(
                verify=tls_context(box.ca_bundle),
                trust_env=box.env_proxy,
                follow_redirects=False,
            ) as http,
            http.stream(
                "POST",
                box.address.reveal(),
                content=body,
                headers={"Content-Type": "application/json"},
            ) as reply,
        ):
            return _meaning(reply.status_code)
    except TimeoutError:
        return f"no answer came within {box.timeout_s:g} s", True
    except httpx.ConnectError as error:
        if isinstance(error.__cause__, ssl.SSLCertVerificationError) or (
            "CERTIFICATE_VERIFY_FAILED" in str(error)
        ):
            return "its certificate cannot be trusted", False
        return "no connection can be made", True
    except httpx.TransportError:
        return "the connection broke off", True
    except (SettingsError, OSError, ValueError, httpx.InvalidURL):
        return "the address or the CA bundle cannot be used", False


def _meaning(status: int) -> tuple[str | None, bool]:
    if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
        return None, False
    if HTTPStatus.MULTIPLE_CHOICES <= status < HTTPStatus.BAD_REQUEST:
        return f"it redirects (status {status}), which is not followed", False
    return f"it answered with status {status}", status in _PASSING
