"""
One method per endpoint; each returns what came back, uninterpreted.

This file knows how to reach the service and how to prove who we are, never what a
reply means for a row. It repeats nothing but a call whose token was refused, once,
with the same bytes. Facts: `contract.py`, API 1, 2, 4 and 6.

A call without a trustworthy answer raises `NoReplyError`; neither an error of the HTTP
library nor a URL nor a text of the service leaves this file in an exception.
"""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

import httpx

from pipeline import contract
from pipeline.addresses import (
    DELETABLE_BY,
    UPDATABLE_BY,
    check_base_url,
    check_field,
    profile_path,
)
from pipeline.authorities import tls_context
from pipeline.errors import ContractError, InvariantError, SettingsError
from pipeline.faults import DISCONNECTED, TRANSPORT_FAULTS, no_reply
from pipeline.pacing import SILENCE_S, deadline_s
from pipeline.records import Reply
from pipeline.tokens import Keyring
from pipeline.verdict import UNAUTHORISED, NoReplyError, says_expired

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Self

    from pipeline.credentials import RemoteSettings, Secret
    from pipeline.tokens import Token

SMALL_BODY_BYTES: Final = 64 * 1024
PAGE_BODY_BYTES: Final = 32 * 1024 * 1024
KEEPALIVE_S: Final = 4.0  # below the idle limits of common servers
SHORT_KEEPALIVE_S: Final = 0.5  # once connections were found dead so often:
DEAD_CONNECTIONS: Final = 2
CONNECT_S: Final = 10.0
_V4_HEADERS: Final = (
    (contract.API_VERSION_HEADER, contract.API_VERSION),
    ("Content-Type", contract.CONTENT_TYPE),
    ("Accept-Encoding", "identity"),
)
_COMMON_HEADERS: Final = (
    ("User-Agent", "crm-pipeline"),
    ("Accept", contract.CONTENT_TYPE),
)
_TIMEOUTS: Final = {
    "timeout": httpx.Timeout(SILENCE_S, connect=CONNECT_S).as_dict(),
}
# The list is of another service, which is sent no version (API 1.3).
_LIST_HEADERS: Final = (("Accept-Encoding", "gzip"),)


@dataclass(frozen=True, slots=True)
class _Call:
    """One request; `place` stands for a path that holds a value."""

    method: str
    path: str
    body: bytes = b""
    query: str = ""
    place: str = ""
    max_bytes: int = SMALL_BODY_BYTES
    headers: tuple[tuple[str, str], ...] = _V4_HEADERS

    @property
    def name(self) -> str:
        return f"{self.method} {self.place or self.path}"


class Client:
    """
    The service as a set of calls; a context manager.

    Every call in flight has a small HTTP client of its own with one connection (one
    shared pool is four times slower, measured), all with one TLS context; they are
    kept and used again. Redirects are never followed, HTTP/2 is off, the environment
    is not read unless `env_proxy` says so.

    Attributes:
        statuses: How often each status came back, logins included.
        n_requests: Requests begun, logins and repetitions included.
        n_bytes: Of their bodies.

    Raises:
        SettingsError: From the constructor, for a base URL, a key or a CA file that
            cannot be used.
    """

    def __init__(
        self,
        remote: RemoteSettings,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._root = check_base_url(remote.base_url)
        self._keyring = Keyring(remote.credentials)
        self._login_lock = asyncio.Lock()
        self._transport = transport
        self._env_proxy = remote.env_proxy
        self._now = now
        self._monotonic = monotonic
        self._tls = tls_context(remote.ca_bundle)
        self._idle: list[httpx.AsyncClient] = []
        self._all: list[httpx.AsyncClient] = []
        self._batch_url = httpx.URL(self._root + contract.BATCH_PATH)
        self._host = self._batch_url.netloc.decode("ascii")
        self.statuses: Counter[int] = Counter()
        self.n_requests = 0
        self.n_bytes = 0
        self._n_disconnected = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; safe to call twice."""
        clients, self._all, self._idle = self._all, [], []
        for http in clients:
            await http.aclose()

    @property
    def was_heard(self) -> bool:
        """Whether the service ever answered anything."""
        return bool(self.statuses)

    # -- the endpoints ---------------------------------------------------------------

    async def login(self, api_key: Secret) -> Reply:
        """Exchange the key for a token (API 2.1); other calls do this by themselves."""
        body = json.dumps({"apiKey": api_key.reveal()}).encode()
        return await self._exchange(_Call("POST", contract.LOGIN_PATH, body))

    async def refresh(self) -> Reply:
        """Exchange the token for a younger one (API 2.2)."""
        return await self._call(_Call("GET", contract.REFRESH_PATH))

    async def workspace(self) -> Reply:
        """Read which workspace the key belongs to (API 2.7)."""
        return await self._call(_Call("GET", contract.WORKSPACE_PATH))

    async def permission_check(self, names: Sequence[str]) -> Reply:
        """Ask which of the named permissions the key has (API 2.7)."""
        body = json.dumps(list(names)).encode()
        return await self._call(_Call("POST", contract.PERMISSIONS_PATH, body))

    async def send_batch(self, body: bytes) -> Reply:
        """Create or update up to 1000 profiles (API 4.3); 202 means accepted."""
        return await self._call(_Call("POST", contract.BATCH_PATH, body))

    async def create_profile(self, body: bytes) -> Reply:
        """Create or update one profile (API 4.1); 202 means accepted."""
        return await self._call(_Call("POST", contract.CLIENTS_PATH, body))

    async def get_profile(self, field: str, value: str) -> Reply:
        """Read one profile by clientId, email, phone, uuid or customId (API 4.5)."""
        call = replace(_one("GET", field, value), max_bytes=PAGE_BODY_BYTES)
        return await self._call(call)

    async def update_profile(self, field: str, value: str, body: bytes) -> Reply:
        """Change one profile by clientId, email or customId (API 4.7)."""
        check_field(field, "update", UPDATABLE_BY)
        return await self._call(_one("POST", field, value, body))

    async def delete_profile(self, field: str, value: str) -> Reply:
        """Delete one profile by clientId or customId (API 4.8); irreversible."""
        check_field(field, "delete", DELETABLE_BY)
        return await self._call(_one("DELETE", field, value))

    async def list_profiles(
        self,
        *,
        limit: int,
        offset: int,
        recognized: str | None = None,
        search: str | None = None,
        sort_by: str | None = None,
    ) -> Reply:
        """
        Read one page (API 6.1); the service shows 10,000 entries at most.

        Args:
            recognized: `RECOGNIZED` or `ANONYMOUS`.
            search: `field:value`.
            sort_by: `field:ASC` or `field:DESC`.
        """
        query = {
            "limit": limit,
            "offset": offset,
            "recognized": recognized,
            "search": search,
            "sortBy": sort_by,
        }
        text = urlencode({k: v for k, v in query.items() if v is not None})
        call = _Call("GET", contract.LIST_PATH, query=text, headers=_LIST_HEADERS)
        return await self._call(replace(call, max_bytes=PAGE_BODY_BYTES))

    async def list_full_profiles(self, *, page_no: int, page_rows: int) -> Reply:
        """Read a page, counted from 1, of profiles with all they have (API 6.2)."""
        query = urlencode({"pageIndex": page_no, "pageSize": page_rows})
        call = _Call("GET", contract.CLIENTS_PATH, query=query)
        return await self._call(replace(call, max_bytes=PAGE_BODY_BYTES))

    async def autocomplete(self, *, field: str, prefix: str, limit: int) -> Reply:
        """Read values of a field, in the names of the list (API 4.13)."""
        query = urlencode({"field": field, "prefix": prefix, "limit": limit})
        call = _Call("GET", contract.AUTOCOMPLETE_PATH, query=query)
        call = replace(call, headers=_LIST_HEADERS, max_bytes=PAGE_BODY_BYTES)
        return await self._call(call)

    # -- one call --------------------------------------------------------------------

    async def _call(self, call: _Call) -> Reply:
        """Send; once more, the same bytes, when a token of before this call failed."""
        before = self._keyring.number
        token = await self._token()
        reply = await self._exchange(call, token)
        if reply.status in UNAUTHORISED and self._keyring.can_replace(token, before):
            token = await self._token(refused=token)
            reply = await self._exchange(call, token)
        may_renew = self._keyring.can_log_in and says_expired(reply)
        if reply.status in UNAUTHORISED and not may_renew:
            raise self._keyring.refusal(call.name, reply.status)
        return reply

    async def _token(self, refused: Token | None = None) -> Token:
        """Return a token; one login serves all who wait for it."""
        token = self._keyring.usable(self._monotonic(), refused)
        if token is not None:
            return token
        async with self._login_lock:
            token = self._keyring.usable(self._monotonic(), refused)
            if token is not None:
                return token
            self._keyring.begin_login(self._monotonic())
            try:
                reply = await self.login(self._keyring.api_key)
            except NoReplyError as error:
                now_s = self._monotonic()
                return self._keyring.login_failed(error, now_s, refused)
            return self._keyring.take(reply, self._monotonic(), self._now(), refused)

    async def _exchange(self, call: _Call, token: Token | None = None) -> Reply:
        """
        Send once. Status and headers are read before the body: a torn body, or a
        deadline that passes while it comes, hides no status.
        """
        request = self._request(call, token)
        idle = self._idle
        http = idle.pop() if idle else self._new_http()
        began_s = self._monotonic()
        head: httpx.Response | None = None
        body = bytearray()
        is_complete = False
        self.n_requests += 1
        self.n_bytes += len(call.body)
        try:
            async with asyncio.timeout(deadline_s(len(call.body))):
                head = await http.send(request, stream=True)
                try:
                    is_complete = await _read(head, body, call.max_bytes)
                finally:
                    await head.aclose()
        except TRANSPORT_FAULTS as error:
            if head is None:
                raise self._told(error) from None
        except httpx.HTTPError as error:
            raise InvariantError(
                f"{type(error).__name__} of the HTTP library at "
                f"{call.name}; please report this"
            ) from None
        finally:
            idle.append(http)
        self.statuses[head.status_code] += 1
        whole = bytes(body)
        if is_complete:
            whole, is_complete = _unpacked(whole, head, call)
        return Reply(
            status=head.status_code,
            headers=dict(head.headers.items()),
            body=whole,
            elapsed_s=self._monotonic() - began_s,
            is_complete=is_complete,
        )

    def _request(self, call: _Call, token: Token | None) -> httpx.Request:
        """
        Build the request and prove that nothing in its address moved.

        Built here, not by `AsyncClient.build_request`: that costs a seventh of the
        processor time of a whole call (measured with 280 kB bodies).
        """
        raw = f"{call.path}?{call.query}" if call.query else call.path
        url = self._batch_url
        if raw != contract.BATCH_PATH:
            url = httpx.URL(self._root + raw)
            if url.raw_path != raw.encode():
                raise SettingsError("an identifier changed its address; nothing sent")
        headers = [("Host", self._host), *_COMMON_HEADERS, *call.headers]
        if token is not None:
            headers.append(("Authorization", token.header.reveal()))
        content = call.body if call.method == "POST" else None
        return httpx.Request(
            call.method, url, headers=headers, content=content, extensions=_TIMEOUTS
        )

    def _told(self, error: Exception) -> NoReplyError:
        """
        Return what a fault proves.

        A server that closes idle connections too early is met by keeping them shorter;
        the clients of before are not used any more.
        """
        told = no_reply(error)
        if told.code == DISCONNECTED:
            self._n_disconnected += 1
            if self._n_disconnected == DEAD_CONNECTIONS:
                self._idle = []
        return told

    def _new_http(self) -> httpx.AsyncClient:
        is_short = self._n_disconnected >= DEAD_CONNECTIONS
        keepalive_s = SHORT_KEEPALIVE_S if is_short else KEEPALIVE_S
        http = httpx.AsyncClient(
            transport=self._transport,
            verify=self._tls,
            http2=False,
            trust_env=self._env_proxy,
            follow_redirects=False,
            limits=httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1,
                keepalive_expiry=keepalive_s,
            ),
        )
        self._all.append(http)
        return http


def _one(method: str, field: str, value: str, body: bytes = b"") -> _Call:
    place = f"{contract.CLIENTS_PATH}, one profile by {field}"
    return _Call(method, profile_path(field, value), body, place=place)


async def _read(response: httpx.Response, body: bytearray, max_bytes: int) -> bool:
    """Read into *body* up to the cap; return whether that was all of it."""
    async for part in response.aiter_raw():
        body += part[: max_bytes - len(body)]
        if len(body) >= max_bytes:
            return False
    return True


def _unpacked(body: bytes, head: httpx.Response, call: _Call) -> tuple[bytes, bool]:
    """
    Take off the compression, the cap of the call still in force.

    Returns:
        The body, and whether that is all of it.

    Raises:
        ContractError: A page is larger than its cap; elsewhere the status is enough.
    """
    if head.headers.get("content-encoding", "").lower() not in ("gzip", "x-gzip"):
        return body, True
    unpacker = zlib.decompressobj(wbits=31)
    try:
        plain = unpacker.decompress(body, call.max_bytes)
    except zlib.error:
        return body, True
    if not unpacker.eof and call.headers is _LIST_HEADERS:
        raise ContractError(
            f"the answer to {call.name} unpacks to more than "
            f"{call.max_bytes} bytes; ask for smaller pages"
        )
    return plain, unpacker.eof
