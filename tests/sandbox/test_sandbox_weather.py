from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sandbox.fates import Bucket, admit, forecast
from pipeline.sandbox.server import SandboxOptions
from pipeline.sandbox.shell import ConnectionTorn
from pipeline.sandbox.weather import PRESETS, Fate, Weather, parse_weather
from sandbox_driver import Driver, drive

BATCH = "/v4/clients/batch"
ITEM = [{"customId": "1"}]


def under(**rates: Any) -> Driver:
    return drive(weather=Weather(**rates))


@pytest.mark.parametrize("name", ["rain", "storm"])
def test_the_same_seed_gives_the_same_sequence(name: str) -> None:
    weather = PRESETS[name]
    first = [forecast(weather, number) for number in range(500)]
    again = [forecast(weather, number) for number in reversed(range(500))]
    other = [forecast(replace(weather, seed=2), number) for number in range(500)]

    assert first == again[::-1]
    assert first != other


def test_calm_weather_harms_nobody() -> None:
    assert {forecast(Weather(), number).fate for number in range(500)} == {Fate.NONE}


def test_a_storm_brings_everything_about_as_often_as_it_says() -> None:
    storm = PRESETS["storm"]
    fates = [forecast(storm, number).fate for number in range(20_000)]

    for fate in Fate:
        if fate is not Fate.NONE:
            share = fates.count(fate) / len(fates)
            assert share == pytest.approx(storm.rate(fate), rel=0.2)


def test_throttling_names_the_seconds_to_wait() -> None:
    reply = under(throttle=1, retry_after_s=7).send("POST", BATCH, ITEM)

    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "7")
    assert reply.json()["status"] == 429


def test_bare_throttling_names_nothing() -> None:
    reply = under(throttle_bare=1).send("POST", BATCH, ITEM)

    assert reply.status_code == 429
    assert "Retry-After" not in reply.headers


@pytest.mark.parametrize(
    ("rates", "status", "kind"),
    [
        ({"error": 1}, 500, "application/json"),
        ({"unavailable": 1}, 503, "text/html; charset=utf-8"),
    ],
)
def test_an_error_of_the_server_applies_nothing(
    rates: dict[str, int], status: int, kind: str
) -> None:
    driver = under(**rates)
    reply = driver.send("POST", BATCH, ITEM)
    driver.sandbox.settle()

    assert (reply.status_code, reply.headers["Content-Type"]) == (status, kind)
    assert driver.sandbox.store.count_profiles() == 0


@pytest.mark.parametrize(
    ("rate", "n_profiles", "status"), [("torn_before", 0, 0), ("torn_after", 1, 202)]
)
def test_a_torn_connection_and_the_truth_of_the_server(
    rate: str, n_profiles: int, status: int
) -> None:
    driver = under(**{rate: 1})
    with pytest.raises(ConnectionTorn) as torn:
        driver.send("POST", BATCH, ITEM)
    driver.sandbox.settle()

    (record,) = driver.sandbox.store.batches()
    assert torn.value.after is (n_profiles == 1)
    assert driver.sandbox.store.count_profiles() == n_profiles
    assert (record.status, record.answered) == (status, False)
    assert record.applied is (n_profiles == 1)
    assert record.n_bytes > 0


def test_a_slow_answer_waits_by_the_injected_sleep() -> None:
    driver = under(slow=1, slow_s=12.5)

    assert driver.send("POST", BATCH, ITEM).status_code == 202
    assert driver.time.slept == [12.5]


def test_an_expired_token_stays_expired_until_the_next_login() -> None:
    driver = under(expire=0.5, seed=3)
    statuses = [
        driver.send("GET", "/v4/clients").json()
        for _ in range(20)
        if driver.send("GET", "/uauth/business-profile/current").status_code == 401
    ]

    assert statuses
    assert all(body["error"] == "Token expired." for body in statuses)
    driver.log_in()
    replies = [driver.send("GET", "/v4/clients").status_code for _ in range(3)]
    assert 200 in replies


def test_logging_in_is_spared_unless_it_is_asked_for() -> None:
    assert under(error=1).headers["Authorization"]

    weather = Weather(error=1, on_login=True)
    stormy = Driver(SandboxOptions(weather=weather))
    reply = stormy.send("POST", "/uauth/v2/auth/login/profile", {"apiKey": "x"})
    assert reply.status_code == 500
    assert stormy.send("GET", "/openapi.json").status_code == 200


def test_a_hidden_limit_answers_429_and_recovers() -> None:
    driver = under(limit=2)
    statuses = [driver.send("GET", "/crm/v1/list").status_code for _ in range(3)]
    driver.time.now_s += 1
    later = driver.send("GET", "/crm/v1/list")
    refused = [driver.send("GET", "/crm/v1/list") for _ in range(3)][-1]

    assert statuses == [200, 429, 429]  # the login took the other one
    assert later.status_code == 200
    assert refused.headers["Retry-After"] == "1"


@given(
    limit=st.floats(0.1, 100),
    steps=st.lists(st.floats(0, 2), max_size=200),
)
def test_a_limit_never_lets_more_through_than_it_says(
    limit: float, steps: list[float]
) -> None:
    bucket, now_s, admitted = Bucket(max(1.0, limit), 0.0), 0.0, 0
    for step in steps:
        now_s += step
        bucket, wait_s = admit(bucket, limit, now_s)
        admitted += wait_s == 0

    assert admitted <= max(1.0, limit) + now_s * limit + 1e-6


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("", Weather()),
        ("calm", Weather()),
        ("storm", PRESETS["storm"]),
        (
            "rain, seed=7, throttle=0.1,torn_after=0.05",
            replace(PRESETS["rain"], seed=7, throttle=0.1, torn_after=0.05),
        ),
        ("limit=10,on_login=true", Weather(limit=10, on_login=True)),
        (
            "slow=1,slow_s=0.5,retry_after_s=3",
            Weather(slow=1, slow_s=0.5, retry_after_s=3),
        ),
    ],
)
def test_weather_is_read_from_text(spec: str, expected: Weather) -> None:
    assert parse_weather(spec) == expected


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("sunny", "storm"),
        ("rain,wind=1", "throttle"),
        ("rain,storm", "throttle"),
        ("throttle=much", "throttle"),
        ("seed=1.5", "seed"),
        ("on_login=perhaps", "on_login"),
        ("throttle=1.1", "between 0 and 1"),
        ("throttle=0.6,error=0.6", "total"),
        ("limit=-1", "limit"),
        ("slow_s=inf", "slow_s"),
        ("slow=nan", "slow"),
    ],
)
def test_weather_that_makes_no_sense_is_refused_with_help(spec: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_weather(spec)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("worst", PRESETS["worst"]),
        ("hostile,seed=9", replace(PRESETS["hostile"], seed=9)),
        ("statuses=408/504", Weather(statuses=(408, 504))),
        ("denied=API_CLIENT_READ", Weather(denied=("API_CLIENT_READ",))),
        ("denied=", Weather()),
        ("poison=p7@example.com", Weather(poison="p7@example.com")),
        (
            "refuse=x,refuse_status=422,refuse_named=false",
            Weather(refuse="x", refuse_status=422, refuse_named=False),
        ),
        ("retry_after=date,hang_s=1", Weather(retry_after="date", hang_s=1.0)),
    ],
)
def test_new_settings_are_read_from_text(spec: str, expected: Weather) -> None:
    assert parse_weather(spec) == expected


@pytest.mark.parametrize(
    ("spec", "word"),
    [
        ("statuses=", "statuses"),
        ("statuses=99", "200 to 599"),
        ("statuses=408/x", "statuses"),
        ("statuses_after=600", "statuses_after"),
        ("login_status=0", "login_status"),
        ("retry_after=later", "garbage"),
        ("refuse_status=500", "refuse_status"),
        ("denied=everything", "API_CLIENT_READ"),
        ("login_failure=2", "login_failure"),
        ("hang_s=-1", "hang_s"),
        ("lost=0.6,late=0.6", "total"),
    ],
)
def test_new_settings_that_make_no_sense_are_refused(spec: str, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        parse_weather(spec)
