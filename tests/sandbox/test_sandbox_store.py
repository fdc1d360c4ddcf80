from pathlib import Path

import pytest

from pipeline.sandbox.matching import Action
from pipeline.sandbox.records import Clocks
from pipeline.sandbox.store import Store
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.writes import Write, WriteKind
from sandbox_driver import FakeTime, drive


def open_store(path: Path, settle_s: float = 10) -> Store:
    time = FakeTime()
    return Store(str(path), Switches(), settle_s, Clocks(time.clock, time.wall))


def upsert(custom_id: str) -> Write:
    return Write(WriteKind.UPSERT, None, {"customId": custom_id})


def test_a_file_keeps_profiles_and_waiting_writes(tmp_path: Path) -> None:
    path = tmp_path / "workspace.db"
    first = open_store(path)
    first.enqueue(1, [upsert("applied")])
    first.settle()
    first.enqueue(2, [upsert("waiting")])
    first.close()

    second = open_store(path)

    assert [p.scalars["customId"] for p in second.profiles()] == ["applied", "waiting"]
    assert second.next_request_no() == 3
    second.close()


def test_many_waiting_writes_are_applied_in_their_order(tmp_path: Path) -> None:
    store = open_store(tmp_path / "workspace.db")
    numbers = [str(number) for number in range(1, 101)]
    for number in numbers:
        store.enqueue(int(number), [upsert(number)])

    store.settle()

    assert [p.scalars["customId"] for p in store.profiles()] == numbers
    store.close()


def test_client_ids_are_never_given_twice(tmp_path: Path) -> None:
    path = tmp_path / "workspace.db"
    store = open_store(path, settle_s=0)
    store.load([upsert("1"), upsert("2")])
    store.enqueue(1, [Write(WriteKind.DELETE, 2149203826, {})])
    assert store.count_profiles() == 1
    store.close()

    store = open_store(path)
    store.load([upsert("3")])

    assert [p.client_id for p in store.profiles()] == [2149203825, 2149203827]
    store.close()


def test_a_write_that_fails_leaves_nothing_half_done(tmp_path: Path) -> None:
    store = open_store(tmp_path / "workspace.db")
    odd = Write(WriteKind.UPSERT, None, {"customId": "2", "attributes": {"a": {1, 2}}})

    with pytest.raises(TypeError):
        store.load([upsert("1"), odd])

    assert store.count_profiles() == 0
    store.load([upsert("1")])
    assert store.count_profiles() == 1
    store.close()


def test_seed_profiles_are_the_same_in_every_sandbox_and_all_different() -> None:
    first, second = drive(seed_profiles=1200), drive(seed_profiles=1200)
    profiles = list(first.sandbox.profiles())

    assert profiles == list(second.sandbox.profiles())
    assert len(profiles) == 1200
    assert sum(profile["anonymous"] for profile in profiles) == 120
    emails = {profile["email"] for profile in profiles if profile["email"]}
    assert all(email.endswith("@example.com") for email in emails)


def test_a_kept_workspace_is_not_seeded_again(tmp_path: Path) -> None:
    path = str(tmp_path / "workspace.db")
    first = drive(seed_profiles=3, database=path)
    first.send("DELETE", "/v4/clients/2149203825")
    first.sandbox.settle()
    first.close()

    second = drive(seed_profiles=3, database=path)

    assert second.sandbox.store.count_profiles() == 2
    second.close()


def test_the_log_names_every_request_but_quotes_no_value() -> None:
    driver = drive()
    driver.send("GET", "/v4/clients/by-email/secret@example.com")
    driver.send("GET", "/nowhere")

    records = driver.sandbox.store.requests()

    assert [record.name for record in records] == [
        "login",
        "get_by_identifier",
        "unknown",
    ]
    assert [record.status for record in records] == [200, 404, 404]
    assert "secret" not in repr(records)


def test_the_effects_of_a_batch_have_the_names_of_the_actions() -> None:
    driver = drive()
    driver.put(
        {"customId": "1"},
        {"customId": "1", "city": "X"},
        {"email": "a@example.com"},
        {"email": "a@example.com", "customId": "1"},
        {"clientId": 7},
    )

    effects = driver.sandbox.store.batches()[-1].effects
    assert effects == {"created": 2, "updated": 1, "conflict": 1, "ignored": 1}
    assert set(effects) <= {action.value for action in Action}
