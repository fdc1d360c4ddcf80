"""Two workspaces are the same whatever the order, and every difference is found."""

from contextlib import closing
from typing import Any

from pipeline.sandbox.comparing import Differences, Name, differences
from pipeline.sandbox.server import SandboxOptions
from sandbox_driver import UUID_A, Driver, drive

ANN = {"email": "ann@example.com", "attributes": {"tier": "gold"}}
BOB = {"customId": "bob", "tags": ["a", "b"]}
CAT = {"phone": "+48600100200", "firstName": "Cat"}
DAN = {"uuid": UUID_A, "agreements": {"sms": True}}
ALL = (ANN, BOB, CAT, DAN)


def with_profiles(*items: dict[str, Any]) -> Driver:
    driver = drive(settle_s=3600.0)
    for item in items:
        driver.put(item)
        driver.time.now_s += 60.0
    return driver


def compared(
    first: tuple[dict[str, Any], ...],
    second: tuple[dict[str, Any], ...],
    phones: tuple[str, ...] = (),
) -> Differences:
    with closing(with_profiles(*first)) as one, closing(with_profiles(*second)) as two:
        return differences(
            one.sandbox.store, two.sandbox.store, ambiguous_phones=phones
        )


def test_order_time_and_repetition_make_no_difference() -> None:
    found = compared(ALL, (*reversed(ALL), ANN))
    assert found == Differences(4, (), (), 0, 0)
    assert found.lost == ()


def test_each_difference_is_named_once() -> None:
    changed = {**ANN, "attributes": {"tier": "silver"}}
    eve = {"email": "eve@example.com"}
    found = compared(ALL, (changed, CAT, DAN, eve))
    assert found.n_equal == 2
    assert found.missing == (Name("customId", "bob"),)
    assert found.altered == (Name("email", "ann@example.com"),)
    assert found.n_added == 1
    assert found.lost == (Name("customId", "bob"), Name("email", "ann@example.com"))


def test_every_kind_of_content_counts() -> None:
    for change in (
        {"firstName": "Other"},
        {"tags": ["a"]},
        {"agreements": {"email": True}},
        {"uuid": UUID_A},
        {"phone": "+48600100299"},
    ):
        found = compared((BOB,), ({**BOB, **change},))
        assert found.altered == (Name("customId", "bob"),), change


def test_profiles_with_an_ambiguous_phone_are_left_out_on_both_sides() -> None:
    other = {**CAT, "firstName": "Other"}
    found = compared((ANN, CAT), (ANN, other), (CAT["phone"],))
    assert found == Differences(1, (), (), 0, 1)


def test_what_waits_counts_as_applied() -> None:
    with closing(with_profiles(ANN)) as one, closing(drive(settle_s=3600.0)) as two:
        two.send("POST", "/v4/clients/batch", [ANN])
        assert differences(one.sandbox.store, two.sandbox.store).n_equal == 1


def test_all_profiles_are_seen_beyond_one_page() -> None:
    options = SandboxOptions(seed_profiles=1_001)
    with closing(Driver(options)) as one, closing(Driver(options)) as two:
        found = differences(one.sandbox.store, two.sandbox.store)
        assert found == Differences(1_001, (), (), 0, 0)


def test_what_was_taken_is_counted_once_and_again() -> None:
    with closing(drive()) as driver:
        taken = driver.sandbox.store.ledger.taken
        assert (taken().n_batches, taken().n_items, taken().n_items_again) == (0, 0, 0)
        driver.put(ANN, BOB)
        driver.put(CAT)
        driver.put(ANN, BOB)
        found = taken()
        assert (found.n_batches, found.n_items, found.n_items_again) == (2, 3, 2)
