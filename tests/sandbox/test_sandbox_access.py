import base64
import json

import pytest

from pipeline.sandbox import tokens
from pipeline.sandbox.server import (
    API_KEY,
    WORKSPACE_GUID,
    WORKSPACE_NAME,
    SandboxOptions,
)
from pipeline.sandbox.switches import Switches
from sandbox_driver import WALL_S, Driver, drive

LOGIN = "/uauth/v2/auth/login/profile"
CURRENT = "/uauth/business-profile/current"


def basic(guid: str, key: str) -> dict[str, str]:
    word = base64.b64encode(f"{guid}:{key}".encode()).decode()
    return {"Authorization": f"Basic {word}", "Api-Version": "4.4"}


@pytest.mark.parametrize("path", [LOGIN, "/v4/auth/login/profile"])
def test_login_exchanges_the_key_for_a_token(path: str) -> None:
    driver = Driver(SandboxOptions())

    reply = driver.send("POST", path, {"apiKey": API_KEY})

    assert reply.status_code == 200
    assert set(reply.json()) == {"token"}


def test_the_token_carries_its_expiry_in_whole_seconds() -> None:
    token = drive(token_lifetime_s=600.5).log_in()

    payload = token.split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))

    assert claims["exp"] == WALL_S + 601


def test_two_logins_give_two_tokens() -> None:
    driver = drive()

    assert driver.log_in() != driver.log_in()


def test_login_without_a_content_type_works_as_some_official_clients_do_it() -> None:
    body = json.dumps({"apiKey": API_KEY}).encode()

    reply = Driver(SandboxOptions()).send("POST", LOGIN, content=body, headers={})

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"apiKey": "11111111-1111-4111-8111-111111111111"}', 401),
        (b"{}", 400),
        (b"[]", 400),
        (b'{"apiKey": 7}', 400),
        (b"{", 400),
    ],
)
def test_a_refused_login_has_the_error_body_of_the_service(
    content: bytes, status: int
) -> None:
    reply = Driver(SandboxOptions()).send("POST", LOGIN, content=content)

    assert reply.status_code == status
    assert set(reply.json()) == {"timestamp", "status", "error", "message", "path"}
    assert reply.json()["status"] == status
    assert reply.json()["path"] == LOGIN


def test_a_token_dies_at_its_expiry_with_the_text_clients_look_for() -> None:
    driver = drive(token_lifetime_s=60)
    driver.time.now_s = 59
    alive = driver.send("GET", CURRENT)
    driver.time.now_s = 60

    dead = driver.send("GET", CURRENT)

    assert alive.status_code == 200
    assert (dead.status_code, dead.json()["error"]) == (401, "Token expired.")


def test_a_refresh_gives_a_token_that_lives_longer() -> None:
    driver = drive(token_lifetime_s=60)
    driver.time.now_s = 50
    token = driver.send("GET", "/v4/auth/refresh/profile").json()["token"]
    driver.headers["Authorization"] = f"Bearer {token}"
    driver.time.now_s = 100

    assert driver.send("GET", CURRENT).status_code == 200


def test_an_expired_token_cannot_be_refreshed() -> None:
    driver = drive(token_lifetime_s=60)
    driver.time.now_s = 61

    reply = driver.send("GET", "/v4/auth/refresh/profile")

    assert (reply.status_code, reply.json()["error"]) == (401, "Token expired.")


def test_expired_tokens_answer_403_by_a_switch() -> None:
    driver = drive(Switches(bad_token_status=403), token_lifetime_s=60)
    driver.time.now_s = 61

    assert driver.send("GET", CURRENT).status_code == 403


@pytest.mark.parametrize(
    "sent",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer nonsense",
        "Bearer a.b.c",
        "Bearer \N{POUND SIGN}.b.c",
        "Key x",
    ],
)
def test_anything_but_a_token_is_refused(sent: str) -> None:
    driver = drive()
    driver.headers["Authorization"] = sent

    reply = driver.send("GET", CURRENT)

    assert reply.status_code == 401
    assert reply.json()["error"] == "Unauthorized"


def test_a_changed_token_is_refused() -> None:
    driver = drive()
    head, payload, seal = driver.log_in().split(".")
    driver.headers["Authorization"] = f"Bearer {head}.{payload}A.{seal}"

    assert driver.send("GET", CURRENT).status_code == 401


def test_an_encrypted_token_has_five_segments_and_no_readable_expiry() -> None:
    driver = drive(Switches(encrypted_tokens=True), token_lifetime_s=60)
    segments = driver.log_in().split(".")
    alive = driver.send("GET", CURRENT)
    driver.time.now_s = 60
    dead = driver.send("GET", CURRENT)

    assert len(segments) == 5
    for segment in segments[1:]:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        assert b"exp" not in raw
    assert alive.status_code == 200
    assert dead.json()["error"] == "Token expired."


def test_tokens_check_without_an_app() -> None:
    token = tokens.issue(100.0, 10.0, serial=1, encrypted=False)

    tokens.check(token, 109.9)
    with pytest.raises(tokens.ExpiredTokenError):
        tokens.check(token, 110.0)
    with pytest.raises(tokens.InvalidTokenError):
        tokens.check(token[:-1], 100.0)


def test_basic_needs_no_login_and_does_not_expire() -> None:
    driver = Driver(SandboxOptions(token_lifetime_s=1))
    driver.time.now_s = 1e6

    reply = driver.send("GET", CURRENT, headers=basic(WORKSPACE_GUID, API_KEY))

    assert reply.status_code == 200


@pytest.mark.parametrize(
    ("switches", "guid", "key"),
    [
        (Switches(), "11111111-1111-4111-8111-111111111111", API_KEY),
        (Switches(), WORKSPACE_GUID, "11111111-1111-4111-8111-111111111111"),
        (Switches(basic_auth=False), WORKSPACE_GUID, API_KEY),
    ],
    ids=["wrong guid", "wrong key", "not enabled"],
)
def test_basic_is_refused(switches: Switches, guid: str, key: str) -> None:
    driver = Driver(SandboxOptions(switches=switches))

    assert driver.send("GET", CURRENT, headers=basic(guid, key)).status_code == 401


def test_basic_with_garbage_is_refused() -> None:
    driver = Driver(SandboxOptions())

    reply = driver.send("GET", CURRENT, headers={"Authorization": "Basic %%%"})

    assert reply.status_code == 401


@pytest.mark.parametrize("wrapped", [False, True])
def test_permissions_are_read_from_both_body_forms(wrapped: bool) -> None:  # noqa: FBT001
    names = ["API_CLIENT_CREATE", "API_BATCH_CLIENT_CREATE", "API_UNKNOWN"]
    denied = Switches(denied_permissions=frozenset({"API_BATCH_CLIENT_CREATE"}))

    reply = drive(denied).send(
        "POST",
        "/uauth/api-key/permission-check",
        {"permissionsToCheck": names} if wrapped else names,
    )

    assert reply.json() == {
        "businessProfileName": WORKSPACE_NAME,
        "permissions": dict(zip(names, [True, False, False], strict=True)),
    }


def test_a_permission_check_wants_an_array_of_names() -> None:
    bodies: list[object] = [{}, [1], "x"]
    for body in bodies:
        reply = drive().send("POST", "/uauth/api-key/permission-check", body)

        assert reply.status_code == 400


@pytest.mark.parametrize("status", [401, 403])
def test_a_missing_permission_is_named(status: int) -> None:
    switches = Switches(
        denied_permissions=frozenset({"API_BATCH_CLIENT_CREATE"}),
        denied_status=403 if status == 403 else 401,
    )

    reply = drive(switches).send("POST", "/v4/clients/batch", [{"customId": "1"}])

    assert reply.status_code == status
    assert "API_BATCH_CLIENT_CREATE" in reply.json()["message"]


def test_the_current_workspace_is_described() -> None:
    found = drive().get(CURRENT)

    assert found["businessProfileGuid"] == WORKSPACE_GUID
    assert found["name"] == WORKSPACE_NAME
    assert set(found) == {
        "businessProfileGuid",
        "logo",
        "name",
        "id",
        "created",
        "subdomain",
        "ipRestricted",
        "mfaRequired",
    }
