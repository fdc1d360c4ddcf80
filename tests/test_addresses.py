"""No key travels in the clear, and no identifier leaves its place in a path."""

from urllib.parse import unquote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.addresses import (
    check_base_url,
    check_field,
    check_scheduler,
    check_webhook,
    profile_path,
)
from pipeline.errors import SettingsError


@pytest.mark.parametrize(
    ("given_url", "root"),
    [
        ("https://api.synerise.com", "https://api.synerise.com"),
        ("https://api.synerise.com/", "https://api.synerise.com"),
        ("https://host:8443", "https://host:8443"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://localhost:1", "http://localhost:1"),
        ("http://[::1]:80", "http://[::1]:80"),
    ],
)
def test_a_bare_address_is_taken(given_url: str, root: str) -> None:
    assert check_base_url(given_url) == root


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.synerise.com",
        "http://api.synerise.com",
        "http://127.0.0.1.example.com",
        "http://localhost.example.com",
        "http://10.0.0.1",
        "https://user:secret@api.synerise.com",
        "https://api.synerise.com/v4",
        "https://api.synerise.com?x=1",
        "https://api.synerise.com#x",
        "ftp://api.synerise.com",
        "https:///x",
        "https://host\nname",
        "https://api.synerise.com\n",
    ],
)
def test_any_other_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(SettingsError) as caught:
        check_base_url(url)

    assert "secret" not in str(caught.value)


@given(value=st.text(min_size=1), field=st.sampled_from(["email", "customId"]))
@example(value="../a/b?c#d", field="customId")
@example(value="%2F %", field="email")
def test_an_identifier_stays_in_its_segment(value: str, field: str) -> None:
    try:
        path = profile_path(field, value)
    except SettingsError:
        assert value in (".", "..")
        return
    raw = httpx.URL(f"https://host{path}").raw_path.decode()

    assert raw == path
    assert raw.count("/") == 4
    assert unquote(raw.rpartition("/")[2]) == value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("customId", ""),
        ("customId", "."),
        ("customId", ".."),
        ("customId", "\ud800"),
        ("clientId", "../1"),
        ("clientId", ""),
        ("clientId", "-1"),
        ("clientId", "٣"),
    ],
)
def test_what_would_reach_another_resource_is_refused(field: str, value: str) -> None:
    with pytest.raises(SettingsError, match="nothing was sent"):
        profile_path(field, value)


def test_each_identifier_has_its_address() -> None:
    fields = ("clientId", "email", "phone", "uuid", "customId")

    assert [profile_path(field, "7") for field in fields] == [
        "/v4/clients/7",
        "/v4/clients/by-email/7",
        "/v4/clients/by-phone/7",
        "/v4/clients/by-uuid/7",
        "/v4/clients/by-customid/7",
    ]


def test_a_call_without_an_address_names_those_that_exist() -> None:
    check_field("email", "update", ("clientId", "email"))
    with pytest.raises(SettingsError, match="only by clientId, customId"):
        check_field("email", "delete", ("clientId", "customId"))


@pytest.mark.parametrize(
    "address",
    [
        "https://hooks.example.com/services/T0/B0/x?y=1",
        "http://127.0.0.1:9000/hook",
        "http://localhost/hook",
    ],
)
def test_an_address_for_alerts_is_taken(address: str) -> None:
    check_webhook(address, "ALERTS")


@pytest.mark.parametrize(
    "address",
    [
        "",
        "hooks.example.com",
        "https:///x",
        "https://[x",
        "https://h:port/",
        "ftp://hooks.example.com/x",
        "http://hooks.example.com/x",
        "https://hooks.example.com/a b",
        "https://hooks.example.com/ł",
    ],
)
def test_an_address_for_alerts_is_refused_unseen(address: str) -> None:
    with pytest.raises(SettingsError, match="ALERTS has to hold") as caught:
        check_webhook(address, "ALERTS")

    assert not address or address not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    ["tls://10.0.0.7:8786", "tls://[::1]:1", "tcp://127.0.0.1:8786", "tcp://[::1]:1"],
)
def test_a_scheduler_is_reached_by_tls_or_on_this_machine(address: str) -> None:
    check_scheduler(address)


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("tcp://10.0.0.7:8786", "tcp:// is for this machine only"),
        ("10.0.0.7:8786", "tls://HOST:PORT"),
        ("tls://10.0.0.7", "tls://HOST:PORT"),
        ("tls://:8786", "tls://HOST:PORT"),
        ("tls://[x:8786", "tls://HOST:PORT"),
        ("ws://10.0.0.7:8786", "tls://HOST:PORT"),
    ],
)
def test_a_scheduler_that_talks_in_the_open_is_refused(address: str, why: str) -> None:
    with pytest.raises(SettingsError, match=why):
        check_scheduler(address)
