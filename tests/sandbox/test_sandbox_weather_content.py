"""Weather that looks at what is sent, and at who sends it."""

from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sandbox.fates import Forecast, forecast, omen_of
from pipeline.sandbox.server import (
    WORKSPACE_GUID,
    SandboxOptions,
    running_sandbox,
)
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import Weather
from sandbox_driver import Driver, drive

BATCH = "/v4/clients/batch"
LIST = "/crm/v1/list"
ITEMS = [{"customId": f"C{n}", "email": f"p{n}@example.com"} for n in range(10)]


def under(**rates: Any) -> Driver:
    return drive(weather=Weather(**rates))


def post(driver: Driver, items: list[dict[str, str]] | None = None) -> httpx.Response:
    return driver.send("POST", BATCH, ITEMS if items is None else items)


def stored(driver: Driver) -> set[str]:
    driver.sandbox.settle()
    return {profile["customId"] for profile in driver.sandbox.profiles()}


EVERYONE = {item["customId"] for item in ITEMS}


# --- by content ----------------------------------------------------------------------


def test_a_poisoned_batch_fails_for_ever_and_others_pass() -> None:
    driver = under(poison="p7@")
    statuses = [
        post(driver).status_code,
        post(driver, ITEMS[:7]).status_code,
        post(driver, ITEMS[7:8]).status_code,
        post(driver, ITEMS[8:]).status_code,
        post(driver).status_code,
    ]

    assert statuses == [500, 202, 500, 202, 500]
    assert stored(driver) == EVERYONE - {"C7"}
    assert driver.send("GET", "/v4/clients/by-email/p7@example.com").status_code == 404


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("status", [202, 207, 400, 422])
def test_rows_are_refused_by_what_they_hold(status: int, *, named: bool) -> None:
    weather = Weather(refuse="p3@", refuse_status=status, refuse_named=named)
    driver = drive(weather=weather)
    reply = post(driver)
    others = post(driver, [item for item in ITEMS if item["customId"] != "C3"])

    assert (reply.status_code, others.status_code) == (status, 202)
    assert ("list[3].customId" in reply.text) is named
    assert stored(driver) == EVERYONE - {"C3"}


@given(
    number=st.integers(1, 10**6),
    n_items=st.integers(1, 1000),
    seed=st.integers(0, 10**6),
)
def test_named_rows_are_rows_of_the_batch(number: int, n_items: int, seed: int) -> None:
    weather = Weather(seed=seed, partial=1)
    sky = forecast(weather, number)
    refused = _refused(sky, weather)
    positions = refused.positions([{}] * n_items)

    assert 1 <= len(positions) <= 3
    assert positions <= set(range(n_items))
    assert positions == refused.positions([{}] * n_items)


def _refused(sky: Forecast, weather: Weather) -> Any:
    from_omen = omen_of(sky, weather).refused
    assert from_omen is not None
    return from_omen


@pytest.mark.parametrize(
    ("item", "holds"),
    [
        ({"email": "x-bad-x"}, True),
        ({"attributes": {"deep": ["a", {"k": "bad"}]}}, True),
        ({"attributes": {"bad": 1}}, True),
        ({"attributes": {"n": 17}}, False),
        ("bad", True),
        (None, False),
    ],
)
def test_a_text_is_looked_for_in_keys_and_values(item: object, *, holds: bool) -> None:
    refused = _refused(Forecast(), Weather(refuse="bad"))

    assert refused.positions([{}, item]) == (frozenset({1}) if holds else frozenset())


def test_an_item_that_is_none_stays_a_malformed_batch() -> None:
    driver = under(bad_rows=1)

    assert driver.send("POST", BATCH, [1, 2]).json()["message"].startswith("Every item")


# --- invalid rows by switches --------------------------------------------------------


@pytest.mark.parametrize("status", [400, 422])
@pytest.mark.parametrize("named", [True, False])
def test_an_invalid_row_refuses_its_batch_in_four_ways(
    status: Any, *, named: bool
) -> None:
    switches = Switches(
        invalid_item="reject_batch", invalid_status=status, invalid_named=named
    )
    driver = drive(switches)
    reply = post(driver, [*ITEMS, {"email": "bad", "customId": "B"}])

    assert reply.status_code == status
    assert ("errors" in reply.json()) is named
    assert stored(driver) == set()


# --- who is asked --------------------------------------------------------------------


def test_permissions_may_be_missing_for_some_endpoints() -> None:
    denied = ("API_BATCH_CLIENT_CREATE", "API_CLIENT_LIST_READ")
    driver = under(denied=denied)
    asked = [*denied, "API_CLIENT_READ"]
    told = driver.send("POST", "/uauth/api-key/permission-check", asked).json()

    assert post(driver).status_code == 403
    assert driver.send("GET", LIST).status_code == 403
    assert driver.send("GET", "/v4/clients/1").status_code == 404
    assert told["permissions"] == dict(zip(asked, (False, False, True), strict=True))


def test_the_key_may_open_another_workspace() -> None:
    guid = "99999999-0000-4000-8000-999999999999"
    driver = under(workspace=guid)
    told = driver.get("/uauth/business-profile/current")
    checked = driver.send("POST", "/uauth/api-key/permission-check", []).json()
    usual = drive().get("/uauth/business-profile/current")

    assert told["businessProfileGuid"] == guid != WORKSPACE_GUID
    assert usual["businessProfileGuid"] == WORKSPACE_GUID
    assert told["name"] == checked["businessProfileName"] != usual["name"]
    with running_sandbox(SandboxOptions(weather=Weather(workspace=guid))) as running:
        assert running.workspace_guid == guid


@pytest.mark.parametrize("status", [401, 429, 503])
def test_logging_in_may_fail_and_take_long(status: int) -> None:
    weather = Weather(login_failure=1, login_status=status, login_s=40)
    driver = Driver(SandboxOptions(weather=weather))
    login = driver.send("POST", "/uauth/v2/auth/login/profile", {"apiKey": "x"})
    opened = driver.send("GET", "/openapi.json")

    assert login.status_code == status
    assert driver.time.slept == [40]
    assert opened.status_code == 200


def test_some_logins_fail_and_nothing_else_does() -> None:
    driver = Driver(SandboxOptions(weather=Weather(login_failure=0.5)))
    logins = []
    for _ in range(40):
        reply = driver.send("POST", "/uauth/v2/auth/login/profile", {"apiKey": "x"})
        logins.append(reply.status_code)
    lists = [driver.send("GET", LIST).status_code for _ in range(20)]

    assert set(logins) == {401, 503}
    assert 10 < logins.count(503) < 30
    assert set(lists) == {401}
