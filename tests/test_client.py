"""The client sends what the contract says and repeats nothing but a refused token."""

import asyncio
import base64
import gzip
import json
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from pipeline.client import (
    PAGE_BODY_BYTES,
    SHORT_KEEPALIVE_S,
    SMALL_BODY_BYTES,
    Client,
)
from pipeline.credentials import Credentials, RemoteSettings, Secret
from pipeline.errors import (
    ContractError,
    InvariantError,
    SettingsError,
    TokenRefusedError,
)
from pipeline.records import Fault, Reply
from pipeline.sandbox.server import SandboxOptions, build_sandbox, running_sandbox
from pipeline.verdict import NoReplyError, classify
from wire import KEY, REMOTE, Service, Step, raw_server, token

READY = RemoteSettings(
    "https://service.test", Credentials(token=Secret("canary-token-0"))
)
# Self-signed for 127.0.0.1; good for nothing else.
SERVER_PEM = """\
-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgjFMffskTY1AUWobO
eQqiN1Uc26iNV5mnpELSvx1YiLKhRANCAASWY1VM6fy99DJWKuyk4C0wtizWSox/
JdSQwFIVuWX4dj6o+ZVzSTFUej1WgEddfx5he9hk2eLAiDjcVxafUTnZ
-----END PRIVATE KEY-----
-----BEGIN CERTIFICATE-----
MIIBkDCCATagAwIBAgIUZK83835KcL9zkYBv6qriz+NuYpwwCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMzIxNTI1M1oYDzIxMjYxMDMw
MjE1MjUzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASWY1VM6fy99DJWKuyk4C0wtizWSox/JdSQwFIVuWX4dj6o+ZVzSTFU
ej1WgEddfx5he9hk2eLAiDjcVxafUTnZo2QwYjAdBgNVHQ4EFgQUPN5C3vD2wK3Y
/r5M5NKg7WU4o+owHwYDVR0jBBgwFoAUPN5C3vD2wK3Y/r5M5NKg7WU4o+owDwYD
VR0RBAgwBocEfwAAATAPBgNVHRMBAf8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUC
IB5rqIHlarkddTEXkE8ycwoMqiZrdKppSsre/2G5gG6SAiEA+xklKxno8rYAPNro
icgpon3c6nAyDGXZncGyfYI/vqQ=
-----END CERTIFICATE-----
"""

EXPIRED = b'{"status": 401, "error": "Token expired.", "message": "", "path": "/"}'

Use = Callable[[Client], Awaitable[Reply]]


def ask(
    use: Use,
    transport: httpx.AsyncBaseTransport | None = None,
    remote: RemoteSettings = REMOTE,
) -> Reply:
    async def main() -> Reply:
        async with Client(remote, transport=transport) as client:
            return await use(client)

    return asyncio.run(main())


def always(step: Step) -> Service:
    return Service(lambda _: step)


CALLS: dict[str, tuple[Use, str, str]] = {
    "refresh": (Client.refresh, "GET", "/v4/auth/refresh/profile"),
    "workspace": (Client.workspace, "GET", "/uauth/business-profile/current"),
    "permissions": (
        lambda c: c.permission_check(["A"]),
        "POST",
        "/uauth/api-key/permission-check",
    ),
    "batch": (lambda c: c.send_batch(b"[{}]"), "POST", "/v4/clients/batch"),
    "create": (lambda c: c.create_profile(b"{}"), "POST", "/v4/clients"),
    "get": (lambda c: c.get_profile("clientId", "7"), "GET", "/v4/clients/7"),
    "get_email": (
        lambda c: c.get_profile("email", "a+b/c@d.pl"),
        "GET",
        "/v4/clients/by-email/a%2Bb%2Fc%40d.pl",
    ),
    "update": (
        lambda c: c.update_profile("customId", "ł", b"{}"),
        "POST",
        "/v4/clients/by-customid/%C5%82",
    ),
    "delete": (
        lambda c: c.delete_profile("customId", "x"),
        "DELETE",
        "/v4/clients/by-customid/x",
    ),
}


@pytest.mark.parametrize("name", CALLS)
def test_each_call_has_the_path_and_headers_of_the_contract(name: str) -> None:
    use, method, path = CALLS[name]
    service = always((200, {"X-Some": "Thing"}, b"body"))
    reply = ask(use, service)
    (request,) = service.requests

    assert (request.method, request.url.raw_path.decode()) == (method, path)
    assert request.headers["api-version"] == "4.4"
    assert request.headers["content-type"] == "application/json"
    assert request.headers["accept"] == "application/json"
    assert request.headers["user-agent"] == "crm-pipeline"
    assert request.headers["host"] == "service.test"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["authorization"] == "Bearer canary-token-1"
    assert (reply.status, reply.body, reply.is_complete) == (200, b"body", True)
    assert reply.headers["x-some"] == "Thing"


def test_the_list_is_asked_without_a_version_and_may_be_packed() -> None:
    page = json.dumps({"customers": []}).encode()
    service = always((200, {"Content-Encoding": "gzip"}, gzip.compress(page)))
    reply = ask(lambda c: c.list_profiles(limit=5, offset=10, search="a:ł&b"), service)
    (request,) = service.requests

    assert (
        request.url.raw_path == b"/crm/v1/list?limit=5&offset=10&search=a%3A%C5%82%26b"
    )
    assert "api-version" not in request.headers
    assert request.headers["accept-encoding"] == "gzip"
    assert reply.body == page


def test_the_body_is_sent_byte_for_byte() -> None:
    service = always(202)
    body = '[{"a":1.0e5,"b":"ł"}]'.encode()
    ask(lambda c: c.send_batch(body), service)

    assert service.requests[0].content == body
    assert service.requests[0].headers["content-length"] == str(len(body))


@pytest.mark.parametrize("field", ["phone", "uuid", "email"])
def test_a_call_that_does_not_exist_is_not_sent(field: str) -> None:
    service = always(202)
    with pytest.raises(SettingsError, match="cannot delete"):
        ask(lambda c: c.delete_profile(field, "x"), service)

    assert service.requests == []


def test_a_redirect_is_an_answer_not_an_order() -> None:
    service = always((302, {"Location": "https://evil.test/"}, b""))

    assert ask(lambda c: c.send_batch(b"[]"), service).status == 302
    assert len(service.requests) == 1


# -- identity ------------------------------------------------------------------------


def test_one_login_serves_all_workers() -> None:
    service = always(202)

    async def main() -> None:
        async with Client(REMOTE, transport=service) as client:
            await asyncio.gather(*(client.send_batch(b"[]") for _ in range(16)))

    asyncio.run(main())
    assert (service.n_logins, len(service.requests)) == (1, 16)


@pytest.mark.parametrize("status", [401, 403])
def test_an_expired_token_costs_one_login_and_the_same_bytes(status: int) -> None:
    valid = "Bearer canary-token-1"

    def handle(request: httpx.Request) -> Step:
        return 202 if request.headers["authorization"] == valid else status

    service = Service(handle)

    async def main() -> list[int]:
        nonlocal valid
        async with Client(REMOTE, transport=service) as client:
            await client.send_batch(b"[0]")
            valid = "Bearer canary-token-2"
            bodies = [f"[{n}]".encode() for n in range(1, 9)]
            replies = await asyncio.gather(*map(client.send_batch, bodies))
            return [reply.status for reply in replies]

    assert asyncio.run(main()) == [202] * 8
    assert service.n_logins == 2
    again = [r.content for r in service.requests if r.headers["authorization"] == valid]
    assert sorted(again) == [f"[{n}]".encode() for n in range(1, 9)]


@pytest.mark.parametrize("status", [401, 403])
def test_a_fresh_token_that_is_refused_ends_it(status: int) -> None:
    service = always(status)

    async def main() -> None:
        async with Client(REMOTE, transport=service) as client:
            for _ in range(2):
                with pytest.raises(TokenRefusedError, match=f"{status}"):
                    await client.send_batch(b"[]")

    asyncio.run(main())
    # The first call logged in itself; the second logs in once more and sends twice.
    assert (service.n_logins, len(service.requests)) == (2, 3)


@pytest.mark.parametrize("status", [401, 403])
def test_a_fresh_token_that_expired_meanwhile_lacks_no_permission(status: int) -> None:
    service = always((status, {}, EXPIRED))

    reply = ask(lambda c: c.send_batch(b"[]"), service)

    assert (reply.status, classify(reply).code) == (status, "TOKEN_EXPIRED")
    assert (service.n_logins, len(service.requests)) == (1, 1)


def test_a_ready_token_that_expired_ends_it() -> None:
    service = always((401, {}, EXPIRED))

    with pytest.raises(TokenRefusedError, match="SYNERISE_TOKEN is expired"):
        ask(Client.workspace, service, READY)


def test_a_ready_token_is_never_exchanged() -> None:
    service = always(401)
    with pytest.raises(TokenRefusedError, match="SYNERISE_TOKEN"):
        ask(Client.workspace, service, READY)

    assert (service.n_logins, len(service.requests)) == (0, 1)


def test_basic_authentication_needs_no_login() -> None:
    credentials = Credentials(api_key=Secret(KEY), guid="guid", basic=True)
    service = always(200)
    ask(Client.workspace, service, RemoteSettings("https://service.test", credentials))
    expected = base64.b64encode(f"guid:{KEY}".encode()).decode()

    assert service.requests[0].headers["authorization"] == f"Basic {expected}"
    assert service.n_logins == 0


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (503, "LOGIN_HTTP_503"),
        ((429, {"Retry-After": "9"}, b""), "LOGIN_HTTP_429"),
        (httpx.ReadError("canary"), "LOGIN_READ_ERROR"),
    ],
)
def test_a_login_that_fails_for_now_sends_nothing(step: Step, code: str) -> None:
    service = Service(lambda _: 202, login=lambda _: step)

    async def main() -> None:
        async with Client(REMOTE, transport=service) as client:
            found = await asyncio.gather(
                *(client.send_batch(b"[]") for _ in range(8)), return_exceptions=True
            )
        errors = [error for error in found if isinstance(error, NoReplyError)]
        assert len(errors) == 8
        assert {error.fault for error in errors} == {Fault.UNSENT}
        assert {error.code for error in errors} == {code}

    asyncio.run(main())
    assert (service.n_logins, service.requests) == (1, [])


def test_tokens_of_two_seconds_are_renewed_when_the_service_says_so() -> None:
    now_s = 0.0
    issued_s = -9.0

    def login(n: int) -> Step:
        nonlocal issued_s
        issued_s = now_s
        payload = base64.urlsafe_b64encode(json.dumps({"exp": now_s + 2}).encode())
        return token(f"a.{payload.decode().rstrip('=')}.{n}")

    service = Service(lambda _: 202 if now_s - issued_s < 2 else 401, login=login)

    async def main() -> set[int]:
        nonlocal now_s
        clock = lambda: now_s  # noqa: E731
        client = Client(REMOTE, transport=service, now=clock, monotonic=clock)
        async with client:
            statuses = set()
            for _ in range(100):
                statuses.add((await client.send_batch(b"[]")).status)
                now_s += 0.5
            return statuses

    assert asyncio.run(main()) == {202}
    assert service.n_logins == 25


# -- faults --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "fault", "code"),
    [
        (httpx.ConnectError("canary"), Fault.UNSENT, "CONNECT_ERROR"),
        (httpx.ConnectTimeout("canary"), Fault.UNSENT, "CONNECT_TIMEOUT"),
        (httpx.PoolTimeout("canary"), Fault.UNSENT, "POOL_TIMEOUT"),
        (httpx.ProxyError("canary"), Fault.PROXY, "PROXY_ERROR"),
        (httpx.ReadError("canary"), Fault.AMBIGUOUS, "READ_ERROR"),
        (httpx.WriteError("canary"), Fault.AMBIGUOUS, "WRITE_ERROR"),
        (httpx.CloseError("canary"), Fault.AMBIGUOUS, "CLOSE_ERROR"),
        (httpx.ReadTimeout("canary"), Fault.AMBIGUOUS, "READ_TIMEOUT"),
        (httpx.WriteTimeout("canary"), Fault.AMBIGUOUS, "WRITE_TIMEOUT"),
        (httpx.RemoteProtocolError("canary"), Fault.AMBIGUOUS, "DISCONNECTED"),
        (TimeoutError("canary"), Fault.AMBIGUOUS, "DEADLINE"),
    ],
)
def test_a_fault_is_told_without_its_text(
    error: Exception, fault: Fault, code: str
) -> None:
    with pytest.raises(NoReplyError) as caught:
        ask(lambda c: c.send_batch(b"[]"), always(error), READY)

    assert (caught.value.fault, caught.value.code) == (fault, code)
    assert "canary" not in repr(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", [httpx.LocalProtocolError, httpx.UnsupportedProtocol])
def test_any_other_error_of_the_library_is_a_defect(
    error: type[httpx.HTTPError],
) -> None:
    with pytest.raises(InvariantError) as caught:
        ask(lambda c: c.send_batch(b"[]"), always(error("canary")), READY)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("error", [asyncio.CancelledError, KeyError])
def test_what_is_not_a_fault_passes_through(error: type[Exception]) -> None:
    with pytest.raises(error):
        ask(lambda c: c.send_batch(b"[]"), always(error()), READY)


def loopback(url: str) -> RemoteSettings:
    return RemoteSettings(url, READY.credentials)


def test_nothing_listens() -> None:
    with raw_server(b"") as url:
        pass
    with pytest.raises(NoReplyError) as caught:
        ask(Client.workspace, remote=loopback(url))

    assert caught.value.fault is Fault.UNSENT


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"", "DISCONNECTED"),
        (b"HTTP/1.1 20", "DISCONNECTED"),
        (b"HTTP/1.1 202 Accepted\r\nX: y", "DISCONNECTED"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "NOT_HTTP"),
        (b"HTTP/1.1 202 OK\r\nX: " + b"y" * 300_000, "NOT_HTTP"),
    ],
)
def test_a_torn_head_is_no_answer(reply: bytes, code: str) -> None:
    with raw_server(reply) as url, pytest.raises(NoReplyError) as caught:
        ask(lambda c: c.send_batch(b"[]"), remote=loopback(url))

    assert (caught.value.fault, caught.value.code) == (Fault.AMBIGUOUS, code)


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize(
    "body",
    [
        b"Content-Length: 100\r\n\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\n5\r\nshort",
        b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
def test_a_torn_body_hides_no_202(body: bytes, *, reset: bool) -> None:
    head = b"HTTP/1.1 202 Accepted\r\n"
    with raw_server(head + body, reset=reset) as url:
        reply = ask(lambda c: c.send_batch(b"[]"), remote=loopback(url))

    assert (reply.status, reply.is_complete) == (202, False)


def broken_handshake() -> httpx.ConnectError:
    error = httpx.ConnectError("canary")
    error.__cause__ = ssl.SSLError("canary")
    return error


def test_a_handshake_that_fails_is_not_a_certificate() -> None:
    with pytest.raises(NoReplyError) as caught:
        ask(lambda c: c.send_batch(b"[]"), always(broken_handshake()), READY)

    assert (caught.value.fault, caught.value.code) == (Fault.UNSENT, "TLS_ERROR")


def test_connections_found_dead_twice_are_kept_shorter() -> None:
    served: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(asyncio.current_task())
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(2)
        writer.write(b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n")
        assert head.startswith(b"POST")
        # One more request on this connection, and it hangs up instead of an answer.
        await reader.read(1)
        writer.close()
        await writer.wait_closed()

    async def main() -> list[str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        remote = loopback(f"http://127.0.0.1:{port}")
        found = []
        async with Client(remote) as client:
            for n in range(6):
                if n == 5:
                    await asyncio.sleep(SHORT_KEEPALIVE_S + 0.1)
                try:
                    found.append(str((await client.send_batch(b"[]")).status))
                except NoReplyError as error:
                    found.append(error.code)
        server.close()
        await asyncio.gather(*filter(None, served), return_exceptions=True)
        return found

    found = asyncio.run(main())
    assert found == ["202", "DISCONNECTED", "202", "DISCONNECTED", "202", "202"]
    assert len(served) == 4


def test_a_client_works_on_after_a_fault() -> None:
    with running_sandbox() as sandbox:
        remote = RemoteSettings(
            sandbox.base_url, Credentials(api_key=Secret(sandbox.api_key))
        )

        async def main() -> list[int]:
            async with Client(remote) as client:
                await client.workspace()
                bodies = [b'[{"customId":"a"}]', b"not json", b'[{"customId":"b"}]']
                statuses = [(await client.send_batch(body)).status for body in bodies]
                assert client.n_requests == 5
                assert sum(client.statuses.values()) == 5
                assert client.was_heard
                return statuses

        assert asyncio.run(main()) == [202, 400, 202]


def test_the_body_of_an_answer_is_capped() -> None:
    huge = b"x" * (SMALL_BODY_BYTES * 3)
    reply = ask(lambda c: c.send_batch(b"[]"), always((500, {}, huge)))

    assert (len(reply.body), reply.is_complete) == (SMALL_BODY_BYTES, False)


def test_a_page_that_unpacks_without_end_is_refused() -> None:
    bomb = gzip.compress(b"\0" * (PAGE_BODY_BYTES + 1))
    service = always((200, {"Content-Encoding": "gzip"}, bomb))
    with pytest.raises(ContractError, match="smaller pages"):
        ask(lambda c: c.list_profiles(limit=1, offset=0), service)


def test_a_202_with_a_body_that_unpacks_without_end_is_still_a_202() -> None:
    bomb = gzip.compress(b"\0" * (SMALL_BODY_BYTES + 1))
    reply = ask(
        lambda c: c.send_batch(b"[]"), always((202, {"Content-Encoding": "gzip"}, bomb))
    )

    assert (reply.status, reply.is_complete) == (202, False)
    assert len(reply.body) == SMALL_BODY_BYTES


def test_a_body_that_is_not_packed_as_it_says_stays_as_it_is() -> None:
    service = always((200, {"Content-Encoding": "gzip"}, b"plain"))

    assert ask(lambda c: c.list_profiles(limit=1, offset=0), service).body == b"plain"


def test_the_sandbox_understands_the_client() -> None:
    sandbox = build_sandbox(SandboxOptions(seed_profiles=3))
    transport = httpx.ASGITransport(sandbox.app)
    remote = RemoteSettings(
        "https://service.test",
        Credentials(api_key=Secret("5a6d0c1e-0000-4000-8000-5a4db0c5a4db")),
    )
    custom = json.dumps([{"customId": "a/b ł", "email": "x@example.com"}]).encode()

    async def main() -> list[int]:
        async with Client(remote, transport=transport) as client:
            statuses = [
                (await client.workspace()).status,
                (await client.send_batch(custom)).status,
            ]
            sandbox.settle()
            for reply in (
                await client.get_profile("customId", "a/b ł"),
                await client.get_profile("email", "x@example.com"),
                await client.list_profiles(limit=10, offset=0),
                await client.update_profile("customId", "a/b ł", b'{"city":"Y"}'),
                await client.delete_profile("customId", "a/b ł"),
                await client.get_profile("clientId", "999999"),
                await client.refresh(),
                await client.permission_check(["API_BATCH_CLIENT_CREATE"]),
            ):
                statuses.append(reply.status)  # noqa: PERF401 - awaited one by one
            return statuses

    assert asyncio.run(main()) == [200, 202, 200, 200, 200, 202, 202, 404, 200, 200]
    sandbox.close()


# -- TLS -----------------------------------------------------------------------------


async def over_tls(pem: Path, ca_bundle: str | None) -> Reply:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    remote = RemoteSettings(
        f"https://127.0.0.1:{port}", READY.credentials, ca_bundle=ca_bundle
    )
    async with server, Client(remote) as client:
        return await client.workspace()


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    pem = tmp_path / "server.pem"
    pem.write_text(SERVER_PEM)
    with pytest.raises(NoReplyError) as caught:
        asyncio.run(over_tls(pem, None))
    assert caught.value.fault is Fault.CERTIFICATE
    certificate = tmp_path / "ca.pem"
    certificate.write_text("-----BEGIN CERT" + SERVER_PEM.split("-----BEGIN CERT")[1])

    assert asyncio.run(over_tls(pem, str(certificate))).status == 200


@pytest.mark.parametrize("content", [None, "", "not a certificate"])
def test_an_unusable_ca_bundle_is_a_setting(
    tmp_path: Path, content: str | None
) -> None:
    bundle = tmp_path / "ca.pem"
    if content is not None:
        bundle.write_text(content)
    remote = RemoteSettings("https://service.test", Credentials(), str(bundle))
    with pytest.raises(SettingsError, match="--ca-bundle"):
        Client(remote)


def test_the_environment_reroutes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    with raw_server(head) as url:
        reply = ask(Client.workspace, remote=loopback(url))

    assert reply.status == 200
