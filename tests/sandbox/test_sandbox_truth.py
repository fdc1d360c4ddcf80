"""Bad weather is repeatable, and the server forgets nothing of it."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from pipeline.sandbox.fates import forecast
from pipeline.sandbox.server import (
    SandboxOptions,
)
from pipeline.sandbox.shell import ConnectionTorn
from pipeline.sandbox.weather import PRESETS, RATED, Fate, Weather
from sandbox_driver import Driver, drive

BATCH = "/v4/clients/batch"
LIST = "/crm/v1/list"
ITEMS = [{"customId": f"C{n}", "email": f"p{n}@example.com"} for n in range(10)]


def post(driver: Driver, items: list[dict[str, str]] | None = None) -> httpx.Response:
    return driver.send("POST", BATCH, ITEMS if items is None else items)


RAIN = [(6, "unavailable"), (7, "unavailable"), (10, "error"), (52, "torn_after")]

# --- repeatable, and the truth -------------------------------------------------------


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "calm"])
def test_the_same_seed_gives_the_same_answers(preset: str) -> None:
    def day(seed: int) -> list[tuple[int, bytes]]:
        weather = replace(PRESETS[preset], seed=seed, huge_bytes=1000)
        weather = replace(weather, expire=0.0)
        driver = Driver(SandboxOptions(weather=weather))
        return send_numbers(driver, 60)

    assert day(1) == day(1) != day(2)


def send_numbers(driver: Driver, n: int) -> list[tuple[int, bytes]]:
    """Send batches with one token; a torn answer has a negative status, or none."""
    driver.headers["Authorization"] = _token_of(driver)

    def send(number: int) -> tuple[int, bytes]:
        try:
            reply = post(driver, [{"customId": str(number)}])
        except ConnectionTorn as torn:
            return (0 if torn.head is None else -torn.head[0]), torn.body
        return reply.status_code, reply.content

    return [send(number) for number in range(n)]


def _token_of(driver: Driver) -> str:
    for _ in range(100):
        body = {"apiKey": "5a6d0c1e-0000-4000-8000-5a4db0c5a4db"}
        reply = driver.send("POST", "/uauth/v2/auth/login/profile", body)
        if reply.status_code == 200:
            return f"Bearer {reply.json()['token']}"
    raise AssertionError("no login came through")


def test_a_fate_does_not_depend_on_what_ran_before() -> None:
    weather = PRESETS["worst"]
    forwards = [forecast(weather, number) for number in range(300)]

    assert forwards == [forecast(weather, n) for n in reversed(range(300))][::-1]
    assert len({sky.fate for sky in forwards}) > 12


def test_new_kinds_of_weather_moved_no_old_day() -> None:
    """A recorded morning of rain; the tutorial tells of such days."""
    fates = [forecast(PRESETS["rain"], number).fate.value for number in range(1, 60)]

    assert [(n, fate) for n, fate in enumerate(fates, 1) if fate != "none"] == RAIN


def test_worst_weather_passes_and_hostile_weather_does_not() -> None:
    definite = {
        Fate.BAD_REQUEST,
        Fate.BAD_ROWS,
        Fate.UNPROCESSABLE,
        Fate.PARTIAL,
        Fate.SUSPECT,
        Fate.LOST,
        Fate.REDIRECT,
        Fate.REDIRECT_FOREIGN,
        Fate.PORTAL,
        Fate.HUGE,
        Fate.BOMB,
    }
    worst, hostile = PRESETS["worst"], PRESETS["hostile"]

    assert {fate for fate in definite if worst.rate(fate)} == set()
    assert {fate for fate in definite if not hostile.rate(fate)} == set()
    assert {fate for fate in RATED if worst.rate(fate)} == set(RATED) - definite
    assert not {200, 201, 204, 404, 413} & {*worst.statuses, *worst.statuses_after}


def test_what_was_accepted_is_applied_unless_the_log_calls_it_lost() -> None:
    weather = replace(PRESETS["worst"], lost=0.1, expire=0.0)
    driver = Driver(SandboxOptions(weather=weather, settle_s=5.0))
    answers = send_numbers(driver, 300)
    driver.sandbox.settle()
    events = driver.sandbox.truth()
    told: dict[int, list[str]] = {}
    for event in events:
        told.setdefault(event.request_no, []).append(event.kind.value)
    batches = driver.sandbox.store.batches()
    accepted = [b for b in batches if b.status == 202 and b.answered]

    assert len([a for a in answers if abs(a[0]) == 202]) == len(accepted) > 100
    for record in accepted:
        kinds = told[record.request_no]
        assert ("applied" in kinds) is ("lost" not in kinds) is record.applied
        assert kinds.index("received") < kinds.index("answered")
    digests = {e.digest for e in events if e.kind.value == "received"}
    assert {record.digest for record in batches} <= digests
    assert [e.at_s for e in events] == sorted(e.at_s for e in events)
    assert any("lost" in kinds for kinds in told.values())


def test_the_truth_outlives_the_process(tmp_path: Any) -> None:
    database = str(tmp_path / "workspace.db")
    first = drive(database=database, weather=Weather(torn_after=1))
    with pytest.raises(ConnectionTorn):
        post(first)
    first.sandbox.settle()
    before = first.sandbox.truth()
    first.close()
    second = drive(database=database)

    assert second.sandbox.truth()[: len(before)] == before
    assert [e.kind.value for e in before[-3:]] == ["received", "queued", "applied"]
    numbers = [e.request_no for e in second.sandbox.truth()]
    assert numbers == sorted(numbers)
    assert numbers[-1] == before[-1].request_no + 1
    second.close()


def test_the_truth_is_not_served() -> None:
    driver = drive()
    post(driver)
    paths = driver.get("/openapi.json")["paths"]

    assert [path for path in paths if "truth" in path] == []
    assert driver.send("GET", "/truth").status_code == 404
