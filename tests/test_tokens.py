"""A token is renewed in time, never in a loop, and a refusal is believed once."""

import base64
import json
from typing import Any

import pytest

from pipeline.credentials import Credentials, Secret
from pipeline.errors import ContractError, SettingsError, TokenRefusedError
from pipeline.records import Fault, Reply
from pipeline.tokens import Keyring
from pipeline.verdict import NoReplyError

KEY = Secret("canary-key")
DATE = "Sun, 01 Mar 2026 12:00:00 GMT"
DATE_S = 1772366400.0


def jwt(payload: Any) -> str:
    text = base64.urlsafe_b64encode(json.dumps(payload).encode()).decode().rstrip("=")
    return f"eyJh.{text}.c2ln"


def answer(token: object, status: int = 200, **headers: str) -> Reply:
    body = json.dumps({"token": token}).encode()
    return Reply(status, {k.replace("_", "-"): v for k, v in headers.items()}, body)


def logged_in(token: str, now_s: float = 0.0) -> Keyring:
    keyring = Keyring(Credentials(api_key=KEY))
    assert keyring.usable(now_s) is None
    keyring.begin_login(now_s)
    keyring.take(answer(token, date=DATE), now_s, 0.0, None)
    return keyring


@pytest.mark.parametrize(
    ("life_s", "renew_s"),
    [(3600, 2880), (604_800, 483_840), (600, 300), (310, 155), (100, 60)],
)
def test_a_token_is_renewed_at_80_percent_or_5_minutes_left(
    life_s: int, renew_s: int
) -> None:
    keyring = logged_in(jwt({"exp": DATE_S + life_s}))

    assert keyring.usable(renew_s - 0.1) is not None
    assert keyring.usable(renew_s) is None


@pytest.mark.parametrize(
    "token",
    [
        "opaque",
        "a.b.c.d.e",
        "a.!!!.c",
        "a.e30.c",
        jwt([1]),
        jwt({"exp": "soon"}),
        jwt({"exp": True}),
        jwt({"exp": float("inf")}),
        jwt({"exp": 10**400}),
        jwt({"exp": DATE_S - 5}),
    ],
)
def test_an_unreadable_life_is_the_official_default(token: str) -> None:
    keyring = logged_in(token)

    assert keyring.usable(3550 * 0.8 - 1) is not None
    assert keyring.usable(3550 * 0.8) is None


def test_without_a_date_the_wall_clock_counts() -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    token = keyring.take(answer(jwt({"exp": 2000})), 10.0, 1000.0, None)

    assert (token.renew_at, token.expires_at) == (10.0 + 700, 10.0 + 1000)


def test_tokens_of_two_seconds_cause_no_login_loop() -> None:
    keyring = logged_in(jwt({"exp": DATE_S + 2}))
    old = keyring.usable(1.9)

    assert old is not None
    assert keyring.usable(59.0) is old
    assert keyring.usable(59.0, old) is None  # refused: a login at once
    assert keyring.usable(60.0) is None


def test_while_one_logs_in_the_old_token_serves() -> None:
    keyring = logged_in(jwt({"exp": DATE_S + 3600}))
    assert keyring.usable(3000.0) is None
    keyring.begin_login(3000.0)

    assert keyring.usable(3000.1) is not None


def test_a_failed_renewal_keeps_the_living_token() -> None:
    keyring = logged_in(jwt({"exp": DATE_S + 3600}))
    old = keyring.usable(1.0)
    keyring.begin_login(3000.0)

    assert keyring.take(answer("", 503), 3000.0, 0.0, None) is old
    assert keyring.usable(3059.0) is old
    assert keyring.usable(3060.0) is None


def test_a_failed_login_is_not_repeated_before_its_pause_is_over() -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    pauses = []
    now_s = 0.0
    for _ in range(7):
        with pytest.raises(NoReplyError) as caught:
            keyring.take(answer("", 503), now_s, 0.0, None)
        assert caught.value.code == "LOGIN_HTTP_503"
        pause_s = caught.value.retry_after_s
        assert pause_s is not None
        with pytest.raises(NoReplyError, match="LOGIN_HTTP_503"):
            keyring.usable(now_s + pause_s - 0.5)
        now_s += pause_s
        assert keyring.usable(now_s) is None
        pauses.append(pause_s)

    assert pauses == [2, 4, 8, 16, 32, 60, 60]


def test_a_login_that_asks_to_wait_is_obeyed() -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    with pytest.raises(NoReplyError) as caught:
        keyring.take(answer("", 429, retry_after="40"), 0.0, 0.0, None)

    assert (caught.value.fault, caught.value.retry_after_s) == (Fault.UNSENT, 40.0)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault.AMBIGUOUS, Fault.UNSENT),
        (Fault.UNSENT, Fault.UNSENT),
        (Fault.CERTIFICATE, Fault.CERTIFICATE),
        (Fault.PROXY, Fault.PROXY),
    ],
)
def test_a_login_without_an_answer_sent_nothing_of_the_call(
    fault: Fault, told: Fault
) -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    with pytest.raises(NoReplyError) as caught:
        keyring.login_failed(NoReplyError(fault, "READ_ERROR"), 0.0, None)

    assert caught.value.fault is told


def test_a_paused_login_leaves_a_living_token_in_use() -> None:
    keyring = logged_in(jwt({"exp": DATE_S + 3600}))
    old = keyring.usable(1.0)
    for now_s in (3000.0, 3001.0):
        keyring.login_failed(NoReplyError(Fault.UNSENT, "X", 500.0), now_s, None)

    assert keyring.usable(3100.0) is old  # due, but the pause is not over
    assert keyring.api_key is KEY


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refused_key_stops(status: int) -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    with pytest.raises(TokenRefusedError, match="SYNERISE_API_KEY"):
        keyring.take(answer("x", status), 0.0, 0.0, None)


@pytest.mark.parametrize("status", [202, 204, 302, 404, 501])
def test_what_no_login_answers_stops(status: int) -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    with pytest.raises(ContractError, match=str(status)):
        keyring.take(answer("x", status), 0.0, 0.0, None)


@pytest.mark.parametrize(
    "body", [b"<html>canary", b'{"token": "a\\nb"}', b'{"token": 3}', b"[]", b"{}"]
)
def test_a_login_without_a_token_is_not_shown(body: bytes) -> None:
    keyring = Keyring(Credentials(api_key=KEY))
    with pytest.raises(ContractError) as caught:
        keyring.take(Reply(200, {}, body), 0.0, 0.0, None)

    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("credentials", "header", "word"),
    [
        (Credentials(token=Secret("a.b.c")), "Bearer a.b.c", "SYNERISE_TOKEN"),
        (
            Credentials(api_key=KEY, guid="g", basic=True),
            "Basic " + base64.b64encode(b"g:canary-key").decode(),
            "GUID",
        ),
    ],
)
def test_a_ready_proof_is_never_replaced(
    credentials: Credentials, header: str, word: str
) -> None:
    keyring = Keyring(credentials)
    token = keyring.usable(1e9)

    assert token is not None
    assert token.header.reveal() == header
    assert not keyring.can_replace(token, 9)
    assert word in str(keyring.refusal("POST /v4/clients/batch", 401))


def test_a_token_younger_than_the_call_is_not_replaced() -> None:
    keyring = logged_in("opaque", now_s=5.0)
    token = keyring.usable(6.0)

    assert token is not None
    assert keyring.number == 1
    assert keyring.can_replace(token, 1)
    assert not keyring.can_replace(token, 0)
    assert "permission" in str(keyring.refusal("GET /x", 403))


def test_without_any_key_nothing_is_sent() -> None:
    with pytest.raises(TokenRefusedError, match="SYNERISE_API_KEY"):
        Keyring(Credentials()).usable(0.0)


@pytest.mark.parametrize("text", ["canary\n", "can ary", "zoë-canary"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_unseen(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Keyring(Credentials(api_key=Secret(text)))

    assert "can" not in str(caught.value).replace("cannot", "")
