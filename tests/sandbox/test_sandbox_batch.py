import gzip
import hashlib
import json
from typing import Any

import anyio
import httpx
import pytest

from pipeline.sandbox.switches import Switches
from sandbox_driver import Driver, drive

BATCH = "/v4/clients/batch"
GOOD, BAD = {"email": "good@example.com"}, {"email": "bad", "customId": "B"}


def items(n_items: int) -> list[dict[str, str]]:
    return [{"customId": f"{number:05d}"} for number in range(n_items)]


def body_of(n_bytes: int) -> bytes:
    """Make a batch of one item that is exactly so long."""
    start, end = b'[{"customId":"1","city":"', b'"}]'
    return start + b"x" * (n_bytes - len(start) - len(end)) + end


def send_bytes(driver: Driver, content: bytes) -> int:
    return driver.send("POST", BATCH, content=content).status_code


@pytest.mark.parametrize(
    ("n_items", "status"), [(0, 400), (1, 202), (999, 202), (1000, 202), (1001, 400)]
)
def test_the_number_of_items(n_items: int, status: int) -> None:
    driver = drive()
    reply = driver.send("POST", BATCH, items(n_items))
    driver.sandbox.settle()

    assert reply.status_code == status
    expected = n_items if status == 202 else 0
    assert driver.sandbox.store.count_profiles() == expected


def test_the_status_for_too_many_items_is_a_switch() -> None:
    driver = drive(Switches(oversize_items_status=413))

    reply = driver.send("POST", BATCH, items(1001))

    assert reply.status_code == 413
    assert "maximum size" in reply.json()["message"]


@pytest.mark.parametrize("status", [400, 413])
@pytest.mark.parametrize("limit", [10**6, 2**20])
def test_the_size_of_the_body(limit: int, status: Any) -> None:
    driver = drive(Switches(max_body_bytes=limit, oversize_bytes_status=status))

    assert send_bytes(driver, body_of(limit - 1)) == 202
    assert send_bytes(driver, body_of(limit)) == 202
    assert send_bytes(driver, body_of(limit + 1)) == status


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not json",
        b"{}",
        b'"text"',
        b"[1]",
        b"[null]",
        b"[[]]",
        b'[{"customId": "1", "customId": "2"}]',
        b'[{"email": "a@example.com", "email": "b@example.com"}]',
    ],
)
def test_a_malformed_batch_is_refused_as_a_whole(content: bytes) -> None:
    driver = drive()
    reply = driver.send("POST", BATCH, content=content)

    assert reply.status_code == 400
    assert "errors" not in reply.json()
    assert driver.sandbox.store.batches()[-1].n_items == 0


def test_an_invalid_item_is_dropped_in_silence_by_default() -> None:
    driver = drive()
    driver.put(GOOD, BAD, {"firstName": "Nobody"})

    assert [p["email"] for p in driver.sandbox.profiles()] == ["good@example.com"]


def test_an_invalid_item_refuses_the_batch_by_a_switch() -> None:
    driver = drive(Switches(invalid_item="reject_batch"))
    reply = driver.send("POST", BATCH, [GOOD, BAD, {"city": ""}])
    driver.sandbox.settle()

    assert reply.status_code == 400
    fields = [error["field"] for error in reply.json()["errors"]]
    assert fields == ["list[1].email", "list[2].city"]
    assert driver.sandbox.store.count_profiles() == 0


def test_an_invalid_item_is_named_in_a_207_by_a_switch() -> None:
    driver = drive(Switches(invalid_item="partial_207"))
    reply = driver.send("POST", BATCH, [GOOD, BAD])
    driver.sandbox.settle()

    assert reply.status_code == 207
    (entry,) = reply.json()
    assert set(entry) == {"code", "field", "message", "rejectedValue"}
    assert (entry["field"], entry["rejectedValue"]) == ("list[1].email", "bad")
    assert driver.sandbox.store.count_profiles() == 1


def test_the_other_shape_of_a_207_is_a_switch() -> None:
    driver = drive(Switches(invalid_item="partial_207", detail_shape="error_code"))

    (entry,) = driver.send("POST", BATCH, [GOOD, BAD]).json()

    assert set(entry) == {
        "path",
        "timestamp",
        "errorCode",
        "status",
        "message",
        "traceId",
    }
    assert entry["path"] == "list[1].email"


def test_a_rejected_value_that_is_no_text_is_quoted_as_json() -> None:
    driver = drive(Switches(invalid_item="partial_207"))

    sent = [{"customId": "1", "phone": 7}, {"city": "X"}]
    entries = driver.send("POST", BATCH, sent).json()

    assert [entry["rejectedValue"] for entry in entries] == ["7", None]
    assert entries[1]["field"] == "list[1].identifier"


def test_items_are_applied_one_after_another() -> None:
    driver = drive()
    driver.put(*({"customId": "1", "city": f"{n}"} for n in range(20)))

    (profile,) = driver.sandbox.profiles()
    assert profile["city"] == "19"
    effects = driver.sandbox.store.batches()[-1].effects
    assert effects == {"created": 1, "updated": 19}


def test_another_order_inside_a_batch_is_a_switch() -> None:
    batch = [{"customId": "1", "city": f"{n}"} for n in range(20)]
    cities = []
    for _ in range(2):
        driver = drive(Switches(batch_order="shuffled"))
        driver.put(*batch)
        cities += [profile["city"] for profile in driver.sandbox.profiles()]

    assert cities[0] == cities[1] != "19"


def test_batches_are_applied_in_the_order_of_arrival_when_they_are_due() -> None:
    driver = drive(settle_s=1)
    driver.send("POST", BATCH, [{"customId": "1", "city": "first"}])
    driver.time.now_s = 0.5
    driver.send("POST", BATCH, [{"customId": "1", "city": "second"}])
    driver.time.now_s = 1.2
    early = driver.get("/v4/clients/by-customid/1")
    driver.time.now_s = 1.5
    late = driver.get("/v4/clients/by-customid/1")

    assert (early["city"], late["city"]) == ("first", "second")


def test_packed_bodies_are_a_switch() -> None:
    content = gzip.compress(json.dumps([GOOD]).encode())
    for switches, status in ((Switches(), 415), (Switches(gzip_bodies=True), 202)):
        driver = drive(switches)
        driver.headers["Content-Encoding"] = "gzip"

        assert send_bytes(driver, content) == status


def test_a_packed_body_is_measured_unpacked() -> None:
    driver = drive(Switches(gzip_bodies=True))
    driver.headers["Content-Encoding"] = "gzip"

    assert send_bytes(driver, gzip.compress(body_of(10**6))) == 202
    assert send_bytes(driver, gzip.compress(body_of(10**6 + 1))) == 413
    assert send_bytes(driver, b"not gzip") == 400


def test_the_log_tells_what_came_and_what_became_of_it() -> None:
    driver = drive()
    content = json.dumps([GOOD, BAD]).encode()
    send_bytes(driver, content)
    waiting = driver.sandbox.store.batches()[-1]
    driver.sandbox.settle()
    record = driver.sandbox.store.batches()[-1]

    assert record.digest == hashlib.sha256(content).hexdigest()
    assert record.n_bytes == len(content)
    assert (record.n_items, record.status, record.answered) == (1, 202, True)
    assert (waiting.applied, waiting.effects) == (False, {})
    assert (record.applied, record.effects) == (True, {"created": 1})


def test_batches_handled_at_the_same_time_are_counted() -> None:
    driver = drive()

    async def several() -> None:
        arrived = anyio.Event()
        n_begun = 0

        async def body(number: int) -> Any:
            nonlocal n_begun
            n_begun += 1
            if n_begun == 3:
                arrived.set()
            await arrived.wait()
            yield json.dumps([{"customId": str(number)}]).encode()

        transport = httpx.ASGITransport(driver.sandbox.app)
        async with (
            httpx.AsyncClient(transport=transport, base_url="http://sandbox") as client,
            anyio.create_task_group() as group,
        ):

            async def send(number: int) -> None:
                reply = await client.post(
                    BATCH, content=body(number), headers=driver.headers
                )
                assert reply.status_code == 202

            for number in range(3):
                group.start_soon(send, number)

    assert driver.sandbox.store.max_concurrent_batches == 0
    anyio.run(several)
    assert driver.sandbox.store.max_concurrent_batches == 3
