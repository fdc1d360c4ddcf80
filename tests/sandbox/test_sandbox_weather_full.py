"""Each kind of bad weather, as a client sees it and as the server remembers it."""

from email.utils import parsedate_to_datetime
from typing import Any

import httpx
import pytest

from pipeline.sandbox.fates import forecast
from pipeline.sandbox.shell import ConnectionTorn
from pipeline.sandbox.strange_answers import retry_after
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import Fate, Weather
from sandbox_driver import WALL_S, Driver, drive

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


def known_of(driver: Driver) -> list[tuple[str, int]]:
    """What the truth log tells of the last request."""
    events = driver.sandbox.truth()
    last_no = events[-1].request_no
    return [(e.kind.value, e.status) for e in events if e.request_no == last_no]


EVERYONE = {item["customId"] for item in ITEMS}


# --- instead of an answer ------------------------------------------------------------


@pytest.mark.parametrize(
    "status", [401, 403, 404, 408, 409, 413, 423, 425, 429, 500, 501, 507]
)
def test_a_status_of_the_service_comes_with_its_error_body(status: int) -> None:
    driver = under(status=1, statuses=(status,))
    reply = post(driver)

    assert reply.status_code == status
    if status < 502:
        body = reply.json()
        assert set(body) == {"timestamp", "status", "error", "message", "path"}
        assert (body["status"], body["path"]) == (status, BATCH)
    assert ("Retry-After" in reply.headers) is (status in {413, 429, 503})
    assert stored(driver) == set()
    assert known_of(driver) == [("received", 0), ("answered", status)]


@pytest.mark.parametrize("status", [502, 503, 504, 520, 522, 524])
def test_a_status_of_a_gateway_comes_with_a_page(status: int) -> None:
    reply = post(under(status=1, statuses=(status,)))

    assert reply.status_code == status
    assert reply.headers["Content-Type"].startswith("text/html")
    assert str(status) in reply.text


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_status_without_effect_may_look_like_success(status: int) -> None:
    driver = under(status=1, statuses=(status,))
    reply = post(driver)

    assert (reply.status_code, reply.content) == (status, b"")
    assert stored(driver) == set()


def test_every_status_of_the_list_has_its_turn() -> None:
    driver = under(status=1)
    seen = {post(driver).status_code for _ in range(150)}

    assert seen == set(Weather().statuses)


def test_a_400_may_name_nobody() -> None:
    driver = under(bad_request=1)
    reply = post(driver)

    assert reply.status_code == 400
    assert "errors" not in reply.json()
    assert stored(driver) == set()


@pytest.mark.parametrize(
    ("rate", "status"), [("bad_rows", 400), ("unprocessable", 422)]
)
def test_a_refusal_may_name_rows(rate: str, status: int) -> None:
    driver = under(**{rate: 1})
    reply = post(driver)
    entries = reply.json()["errors"]

    assert reply.status_code == status
    assert 1 <= len(entries) <= 3
    for entry in entries:
        position = int(entry["field"].removeprefix("list[").partition("]")[0])
        assert entry["field"] == f"list[{position}].customId"
        assert entry["rejectedValue"] == ITEMS[position]["customId"]
    assert stored(driver) == set()


def test_a_refusal_of_rows_leaves_requests_without_rows_alone() -> None:
    driver = under(bad_rows=1)

    assert driver.send("GET", LIST).status_code == 200
    assert driver.send("POST", "/v4/clients", ITEMS[0]).status_code == 202


@pytest.mark.parametrize("rate", ["redirect", "redirect_foreign"])
def test_a_redirect_carries_nothing_out(rate: str) -> None:
    driver = under(**{rate: 1})
    replies = [post(driver) for _ in range(60)]

    assert {reply.status_code for reply in replies} == {301, 302, 303, 307, 308}
    hosts = {httpx.URL(reply.headers["Location"]).host for reply in replies}
    assert hosts == ({""} if rate == "redirect" else {"elsewhere.invalid"})
    assert all(reply.headers["Location"].endswith(BATCH) for reply in replies)
    assert stored(driver) == set()


def test_a_portal_says_200_and_means_nothing() -> None:
    driver = under(portal=1)
    reply = post(driver)

    assert (reply.status_code, reply.text[:15]) == (200, "<!DOCTYPE html>")
    assert reply.headers["Content-Type"].startswith("text/html")
    assert stored(driver) == set()


# --- Retry-After ---------------------------------------------------------------------


def test_the_ways_to_write_retry_after() -> None:
    written = {
        way: post(under(throttle=1, retry_after_s=7, retry_after=way))
        for way in ("seconds", "date", "garbage", "negative", "huge")
    }
    headers = {way: reply.headers["Retry-After"] for way, reply in written.items()}
    until = parsedate_to_datetime(headers["date"])
    now = parsedate_to_datetime(written["date"].headers["Date"])

    assert (until - now).total_seconds() == 7
    assert now.timestamp() == WALL_S
    assert headers["seconds"] == "7"
    assert headers["negative"] == "-7"
    assert int(headers["huge"]) > 30 * 24 * 3600
    assert not any(sign.isdigit() for sign in headers["garbage"])


def test_mixed_is_every_way_but_the_huge_one() -> None:
    weather = Weather(retry_after="mixed")
    lots = [number / 100 for number in range(100)]
    texts = {retry_after(weather, 3, WALL_S, lot) for lot in lots}

    assert len(texts) == 4
    assert {"3", "-3", "soon"} < texts


def test_the_hidden_limit_writes_it_the_same_way() -> None:
    driver = under(limit=1, retry_after="garbage")
    replies = [driver.send("GET", LIST) for _ in range(3)]

    assert replies[-1].status_code == 429
    assert replies[-1].headers["Retry-After"] == "soon"


# --- 202 and 207 that mean something else --------------------------------------------


@pytest.mark.parametrize("shape", ["field", "error_code"])
def test_a_207_names_rows_in_both_shapes_and_takes_the_others(shape: Any) -> None:
    driver = drive(Switches(detail_shape=shape), weather=Weather(partial=1))
    reply = post(driver)
    key = "field" if shape == "field" else "path"
    named = {int(e[key][5:].partition("]")[0]) for e in reply.json()}

    assert reply.status_code == 207
    assert 1 <= len(named) <= 3
    assert stored(driver) == EVERYONE - {ITEMS[n]["customId"] for n in named}


def test_an_entry_may_point_by_its_value_alone() -> None:
    driver = drive(Switches(detail_pointer="value"), weather=Weather(partial=1))
    entries = post(driver).json()
    named = {entry["rejectedValue"] for entry in entries}

    assert {entry["field"] for entry in entries} == {"customId"}
    assert stored(driver) == EVERYONE - named


def test_a_207_may_point_at_nobody() -> None:
    weather = Weather(refuse="p3@", refuse_status=207, refuse_named=False)
    driver = drive(weather=weather)
    reply = post(driver)

    (entry,) = reply.json()
    assert (reply.status_code, entry["field"]) == (207, "customId")
    assert entry["rejectedValue"] is None
    assert stored(driver) == EVERYONE - {"C3"}


def test_a_suspect_202_carries_the_list_of_a_207() -> None:
    driver = under(suspect=1)
    reply = post(driver)
    named = {entry["rejectedValue"] for entry in reply.json()}

    assert (reply.status_code, bool(named)) == (202, True)
    assert stored(driver) == EVERYONE - named


def test_a_remark_is_a_202_with_harmless_json() -> None:
    driver = under(remark=1)
    reply = post(driver)

    assert (reply.status_code, reply.json()) == (202, {"status": "queued"})
    assert stored(driver) == EVERYONE
    assert driver.get("/uauth/business-profile/current")["id"] == 1


def test_a_lost_202_is_never_applied() -> None:
    driver = under(lost=1)
    reply = post(driver)
    driver.time.now_s += 10**9

    assert (reply.status_code, reply.content) == (202, b"")
    assert stored(driver) == set()
    assert known_of(driver) == [("received", 0), ("lost", 0), ("answered", 202)]
    (record,) = driver.sandbox.store.batches()
    assert (record.n_items, record.applied, record.effects) == (10, False, {})


def test_a_late_202_is_applied_when_it_says(tmp_path: Any) -> None:
    database = str(tmp_path / "workspace.db")
    driver = drive(weather=Weather(late=1, late_s=100), settle_s=1.0, database=database)
    post(driver)
    driver.time.now_s = 100.9
    early = driver.sandbox.store.count_profiles()
    driver.time.now_s = 101.1
    late = driver.sandbox.store.count_profiles()

    assert (early, late) == (0, 10)
    events = driver.sandbox.truth()
    assert [(e.kind.value, e.at_s) for e in events[-3:]] == [
        ("queued", 0.0),
        ("answered", 0.0),
        ("applied", 101.1),
    ]


def test_a_late_write_overtakes_a_younger_one() -> None:
    """Why one run may hold only one row a profile."""
    weather = Weather(late=0.5, late_s=100, seed=_seed_where_only_the_first_is_late())
    driver = drive(weather=weather, settle_s=1.0)
    post(driver, [{"customId": "1", "city": "old"}])
    post(driver, [{"customId": "1", "city": "young"}])
    driver.sandbox.settle()

    (profile,) = driver.sandbox.profiles()
    assert profile["city"] == "old"


def _seed_where_only_the_first_is_late() -> int:
    def fates(seed: int) -> list[Fate]:
        weather = Weather(late=0.5, seed=seed)
        return [forecast(weather, number).fate for number in (2, 3)]

    return next(n for n in range(100) if fates(n) == [Fate.LATE, Fate.NONE])


@pytest.mark.parametrize("status", [200, 201, 204, 500, 502, 504])
def test_another_status_may_hide_that_all_was_carried_out(status: int) -> None:
    driver = under(status_after=1, statuses_after=(status,))
    reply = post(driver)

    assert reply.status_code == status
    assert stored(driver) == EVERYONE
    no = driver.sandbox.store.batches()[-1].request_no
    kinds = [e.kind.value for e in driver.sandbox.truth() if e.request_no == no]
    assert kinds == ["received", "queued", "answered", "applied"]


def test_a_refusal_stays_what_it_was_when_statuses_change() -> None:
    driver = under(status_after=1, statuses_after=(200,))

    assert driver.send("GET", "/v4/clients/1").status_code == 404


# --- torn, slow, endless -------------------------------------------------------------


@pytest.mark.parametrize(("rate", "after"), [("hang", False), ("hang_after", True)])
def test_a_hang_ends_with_the_connection(rate: str, *, after: bool) -> None:
    driver = under(**{rate: 1}, hang_s=600)
    with pytest.raises(ConnectionTorn) as torn:
        post(driver)

    assert (torn.value.after, torn.value.head) == (after, None)
    assert driver.time.slept == [600]
    assert stored(driver) == (EVERYONE if after else set())
    assert not driver.sandbox.store.batches()[-1].answered


@pytest.mark.parametrize("rate", ["cut_after_head", "cut_in_body"])
@pytest.mark.parametrize(("path", "whole"), [(BATCH, 19), (LIST, None)])
def test_a_cut_answer_has_a_head_and_not_its_body(
    rate: str, path: str, whole: int | None
) -> None:
    driver = under(**{rate: 1})
    with pytest.raises(ConnectionTorn) as torn:
        driver.send("POST" if path == BATCH else "GET", path, ITEMS)

    assert torn.value.head is not None
    status, headers = torn.value.head
    announced = int(dict(headers)[b"content-length"])
    assert status == (202 if path == BATCH else 200)
    assert whole in {None, announced}
    assert len(torn.value.body) == (0 if rate == "cut_after_head" else announced // 2)
    assert driver.sandbox.store.requests()[-1].answered
    assert stored(driver) == (EVERYONE if path == BATCH else set())


def test_a_drip_takes_its_time() -> None:
    driver = under(drip=1, drip_s=3.0)
    reply = post(driver)

    assert (reply.status_code, reply.content) == (202, b" " * 20)
    assert driver.time.slept == [3.0] * 20
    assert driver.send("GET", LIST).json()["all"] == 10


def test_a_huge_answer_is_still_json() -> None:
    driver = under(huge=1, huge_bytes=200_000)
    listed = driver.send("GET", LIST)

    assert (len(listed.content), listed.json()["all"]) == (200_000, 0)
    assert post(driver).content == b" " * 200_000
    assert stored(driver) == EVERYONE


def test_a_packed_answer_comes_unasked() -> None:
    driver = under(packed=1)
    driver.headers["Accept-Encoding"] = "identity"
    reply = driver.send("GET", LIST)

    assert reply.headers["Content-Encoding"] == "gzip"
    assert reply.json()["all"] == 0
    assert post(driver).status_code == 202
