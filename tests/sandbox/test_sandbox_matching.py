"""Both descriptions of matching, cell by cell (API contract, section 5.5)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.sandbox.records import Clocks
from pipeline.sandbox.store import Store
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.writes import Write, WriteKind, profile_keys
from sandbox_driver import UUID_A, UUID_B, Driver, FakeTime, drive

EMAIL_A, EMAIL_B, NEW_EMAIL = "a@example.com", "b@example.com", "new@example.com"

# Rows of the table: how profile A came to be, and the identifier that names it.
ROWS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "uuid of anon": ({"uuid": UUID_A}, {"uuid": UUID_A}),
    "uuid of rec": ({"uuid": UUID_A, "email": EMAIL_A}, {"uuid": UUID_A}),
    "new e-mail": (None, {"email": NEW_EMAIL}),
    "known e-mail": ({"email": EMAIL_A}, {"email": EMAIL_A}),
}
# Columns: the same for profile B.
COLUMNS: dict[str, tuple[dict[str, Any] | None, dict[str, Any]]] = {
    "new e-mail": (None, {"email": NEW_EMAIL}),
    "known e-mail": ({"email": EMAIL_B}, {"email": EMAIL_B}),
    "new customId": (None, {"customId": "NEW"}),
    "customId on anon": ({"customId": "B"}, {"customId": "B"}),
    "customId on rec": ({"customId": "B", "email": EMAIL_B}, {"customId": "B"}),
}
CELLS = [
    ("uuid of anon", "new e-mail", "update A", True),
    ("uuid of anon", "known e-mail", "merge", True),
    ("uuid of anon", "new customId", "update A", False),
    ("uuid of anon", "customId on anon", "merge", False),
    ("uuid of anon", "customId on rec", "merge", True),
    ("uuid of rec", "new e-mail", "update A", True),
    ("uuid of rec", "known e-mail", "conflict", True),
    ("uuid of rec", "new customId", "update A", True),
    ("uuid of rec", "customId on anon", "conflict", True),
    ("uuid of rec", "customId on rec", "conflict", True),
    ("new e-mail", "new customId", "create", True),
    ("new e-mail", "customId on anon", "update B", True),
    ("new e-mail", "customId on rec", "update B", True),
    ("known e-mail", "new customId", "update A", True),
    ("known e-mail", "customId on anon", "conflict", True),
    ("known e-mail", "customId on rec", "conflict", True),
]


def play(driver: Driver, row: str, column: str) -> list[dict[str, Any]]:
    """Make A and B, send the item of the cell, and return what is left."""
    made_a, key_a = ROWS[row]
    made_b, key_b = COLUMNS[column]
    if made_a:
        driver.put({**made_a, "company": "A", "attributes": {"a": 1, "both": "A"}})
    if made_b:
        driver.put({**made_b, "company": "B", "attributes": {"b": 1, "both": "B"}})
    driver.put({**key_a, **key_b, "city": "Sent"})
    return list(driver.sandbox.profiles())


@pytest.mark.parametrize(("row", "column", "what", "recognised"), CELLS)
def test_each_cell_of_the_older_table(
    row: str,
    column: str,
    what: str,
    recognised: bool,  # noqa: FBT001
) -> None:
    driver = drive(Switches(merge_policy="legacy_conflict"))
    left = play(driver, row, column)
    identifiers = {**ROWS[row][1], **COLUMNS[column][1]}
    touched = [profile for profile in left if profile["city"] == "Sent"]

    if what == "conflict":
        assert not touched
        assert len(left) == 2
        assert driver.sandbox.store.batches()[-1].effects == {"conflict": 1}
        return
    (profile,) = touched
    assert len(left) == 1
    assert profile["anonymous"] is not recognised
    assert profile["company"] == {"update A": "A", "update B": "B"}.get(
        what, None if what == "create" else "B"
    )
    for field, value in identifiers.items():
        if field != "uuid":
            assert profile[field] == value
        else:
            found = driver.get(f"/v4/clients/by-uuid/{value}")
            assert found["clientId"] == profile["clientId"]
    if what == "merge":
        assert profile["attributes"]["both"] == "B"
        assert (profile["attributes"]["a"], profile["attributes"]["b"]) == (1, 1)


@pytest.mark.parametrize(("row", "column", "what", "recognised"), CELLS)
def test_each_cell_of_the_newer_description(
    row: str,
    column: str,
    what: str,
    recognised: bool,  # noqa: FBT001
) -> None:
    driver = drive(Switches(merge_policy="auto_merge"))
    left = play(driver, row, column)

    (profile,) = left
    assert profile["city"] == "Sent"
    assert profile["anonymous"] is not recognised
    if what == "conflict":
        assert driver.sandbox.store.batches()[-1].effects == {"merged": 1}
    for field, value in {**ROWS[row][1], **COLUMNS[column][1]}.items():
        kind = {"customId": "by-customid", "email": "by-email", "uuid": "by-uuid"}
        found = driver.get(f"/v4/clients/{kind[field]}/{value}")
        assert found["clientId"] == profile["clientId"]


def test_the_older_merge_keeps_the_data_of_the_recognised_profile() -> None:
    driver = drive(Switches(merge_policy="legacy_conflict"))
    driver.put(
        {"uuid": UUID_A, "city": "Anon", "company": "Anon", "tags": ["anon"]},
        {"email": EMAIL_B, "uuid": UUID_B, "city": "Rec", "tags": ["rec"]},
        {"uuid": UUID_A, "email": EMAIL_B},
    )

    (profile,) = driver.sandbox.profiles()
    assert (profile["city"], profile["company"]) == ("Rec", "Anon")
    assert profile["tags"] == ["rec", "anon"]
    assert profile["uuid"] == UUID_B
    assert driver.get(f"/v4/clients/by-uuid/{UUID_A}") == profile


def test_an_automatic_merge_destroys_properties_and_tags_of_the_sources() -> None:
    driver = drive(Switches(merge_policy="auto_merge"))
    driver.put(
        {"email": EMAIL_A, "attributes": {"x": "target"}, "tags": ["target"]},
        {
            "customId": "B",
            "company": "Gone",
            "phone": "123456",
            "attributes": {"x": "source", "y": "source"},
            "tags": ["gone"],
        },
        {"email": EMAIL_A, "customId": "B"},
    )

    (profile,) = driver.sandbox.profiles()
    assert (profile["company"], profile["phone"]) == (None, None)
    assert profile["tags"] == ["target"]
    assert profile["attributes"]["x"] == "target"
    assert profile["attributes"]["y"] == "source"
    assert profile["customId"] == "B"


@pytest.mark.parametrize(
    ("target", "survivor"),
    [("recognised_first", "b"), ("oldest", "a"), ("newest", "c")],
)
def test_the_survivor_of_an_automatic_merge_is_a_switch(
    target: Any,
    survivor: str,
) -> None:
    driver = drive(Switches(merge_policy="auto_merge", merge_target=target))
    driver.put(
        {"customId": "1", "company": "a"},
        {"email": EMAIL_B, "company": "b"},
        {"uuid": UUID_A, "company": "c"},
        {"customId": "1", "email": EMAIL_B, "uuid": UUID_A},
    )

    (profile,) = driver.sandbox.profiles()
    assert profile["company"] == survivor


def test_two_items_merge_two_uuids_into_one_profile() -> None:
    for policy in (Switches(), Switches(merge_policy="auto_merge")):
        driver = drive(policy)
        driver.put(
            {"email": EMAIL_A, "uuid": UUID_A}, {"email": EMAIL_A, "uuid": UUID_B}
        )

        (profile,) = driver.sandbox.profiles()
        assert profile["uuid"] == UUID_B
        assert driver.get(f"/v4/clients/by-uuid/{UUID_A}") == profile


def test_the_shown_uuid_may_be_the_first_by_a_switch() -> None:
    driver = drive(Switches(shown_uuid="first"))
    driver.put({"email": EMAIL_A, "uuid": UUID_A}, {"email": EMAIL_A, "uuid": UUID_B})

    assert driver.by_email(EMAIL_A)["uuid"] == UUID_A
    assert driver.get(f"/v4/clients/by-uuid/{UUID_B}")["uuid"] == UUID_A


def test_a_conflict_loses_the_harmless_fields_too() -> None:
    driver = drive()
    driver.put({"email": EMAIL_A}, {"customId": "B"})
    driver.put({"email": EMAIL_A, "customId": "B", "firstName": "Lost"})

    assert all(p["firstName"] != "Lost" for p in driver.sandbox.profiles())


# --- phones (3.2, 5.8) ---------------------------------------------------------------


def test_a_sole_phone_creates_an_anonymous_profile_and_then_finds_it() -> None:
    driver = drive()
    driver.put({"phone": "+44 7700 900123", "city": "One"})
    driver.put({"phone": "+44 7700 900123", "city": "Two"})

    (profile,) = driver.sandbox.profiles()
    assert (profile["anonymous"], profile["city"]) == (True, "Two")


def test_a_phone_beside_another_identifier_finds_nobody() -> None:
    driver = drive()
    driver.put({"phone": "123456"})
    driver.put({"phone": "123456", "email": EMAIL_A})

    assert driver.sandbox.store.count_profiles() == 2


@pytest.mark.parametrize(
    ("match", "changed"), [("newest", "second"), ("oldest", "first"), ("none", None)]
)
def test_a_shared_phone_hits_one_profile_by_a_switch(
    match: Any,
    changed: str | None,
) -> None:
    driver = drive(Switches(phone_match=match))
    driver.put(
        {"customId": "1", "phone": "123456", "company": "first"},
        {"customId": "2", "phone": "123456", "company": "second"},
    )
    driver.put({"phone": "123456", "city": "Hit"})

    hit = [p["company"] for p in driver.sandbox.profiles() if p["city"] == "Hit"]
    assert hit == [changed]


# --- clientId in a batch item (5.6) --------------------------------------------------


def test_a_client_id_addresses_an_existing_profile() -> None:
    driver = drive()
    driver.put({"customId": "1"})
    client_id = driver.get("/v4/clients/by-customid/1")["clientId"]
    driver.put({"clientId": client_id, "city": "Hit"})

    assert driver.get(f"/v4/clients/{client_id}")["city"] == "Hit"


def test_an_unknown_client_id_alone_creates_nobody() -> None:
    driver = drive()
    driver.put({"clientId": 42, "city": "Lost"})

    assert driver.sandbox.store.count_profiles() == 0
    assert driver.sandbox.store.batches()[-1].effects == {"ignored": 1}


@pytest.mark.parametrize("other", [{"email": NEW_EMAIL}, {"phone": "123456"}])
def test_an_unknown_client_id_with_another_identifier_gets_a_new_id(
    other: dict[str, str],
) -> None:
    driver = drive()
    driver.put({"clientId": 42, **other})

    (profile,) = driver.sandbox.profiles()
    assert profile["clientId"] == 2149203825


@pytest.mark.parametrize("policy", ["legacy_conflict", "auto_merge"])
def test_an_address_and_the_email_of_somebody_else(
    policy: Any,
) -> None:
    driver = drive(Switches(merge_policy=policy))
    driver.put({"customId": "1"}, {"email": EMAIL_B})
    client_id = driver.get("/v4/clients/by-customid/1")["clientId"]
    driver.put({"clientId": client_id, "email": EMAIL_B})

    left = list(driver.sandbox.profiles())
    if policy == "auto_merge":
        assert [(p["clientId"], p["email"]) for p in left] == [(client_id, EMAIL_B)]
    else:
        assert [p["email"] for p in left] == [None, EMAIL_B]


def test_an_address_takes_over_an_anonymous_uuid() -> None:
    driver = drive()
    driver.put({"customId": "1"}, {"uuid": UUID_A})
    client_id = driver.get("/v4/clients/by-customid/1")["clientId"]
    driver.put({"clientId": client_id, "uuid": UUID_A})

    (profile,) = driver.sandbox.profiles()
    assert profile["clientId"] == client_id


# --- the other workspace mode (5.9), and case ----------------------------------------


def test_where_emails_are_not_unique_the_custom_id_recognises() -> None:
    driver = drive(Switches(non_unique_emails=True))
    driver.put(
        {"customId": "1", "email": EMAIL_A, "agreements": {"email": True}},
        {"customId": "2", "email": EMAIL_A},
        {"email": EMAIL_A},
        {"email": EMAIL_A},
        {"phone": "123456"},
    )

    left = list(driver.sandbox.profiles())
    assert [p["anonymous"] for p in left] == [False, False, True, True]
    assert left[0]["agreements"]["email"] is False
    assert driver.send("GET", f"/v4/clients/by-email/{EMAIL_A}").status_code == 404


def test_emails_match_without_regard_to_case_and_are_kept_as_sent() -> None:
    driver = drive()
    driver.put({"email": "Ann@Example.com"}, {"email": "ann@example.com", "city": "X"})

    (profile,) = driver.sandbox.profiles()
    assert (profile["email"], profile["city"]) == ("ann@example.com", "X")


def test_case_is_a_switch() -> None:
    driver = drive(Switches(email_case="exact", custom_id_case="insensitive"))
    driver.put({"email": "Ann@example.com"}, {"email": "ann@example.com"})
    driver.put({"customId": "x"}, {"customId": "X"})

    assert driver.sandbox.store.count_profiles() == 3


def test_custom_ids_match_exactly_accents_included() -> None:
    driver = drive()
    driver.put({"customId": "jose"}, {"customId": "josé"}, {"customId": "JOSE"})

    assert driver.sandbox.store.count_profiles() == 3


def test_outer_white_space_of_a_custom_id_is_trimmed() -> None:
    driver = drive()
    driver.put({"customId": " 7 "}, {"customId": "7"})

    assert [p["customId"] for p in driver.sandbox.profiles()] == ["7"]


# --- whatever is sent ----------------------------------------------------------------

FEW: dict[str, st.SearchStrategy[object]] = {
    "email": st.sampled_from(["a@example.com", "A@example.com", "b@example.com", None]),
    "customId": st.sampled_from(["1", "2", "3", None]),
    "uuid": st.sampled_from([UUID_A, UUID_B, "3", None]),
    "phone": st.sampled_from(["123456", "654321", None]),
    "clientId": st.sampled_from([2149203825, 2149203826, 2149203827]),
    "city": st.sampled_from(["X", "Y"]),
}
BATCHES = st.lists(
    st.lists(st.fixed_dictionaries({}, optional=FEW), min_size=1, max_size=8),
    min_size=1,
    max_size=4,
)
POLICIES = [
    Switches(merge_policy=policy, non_unique_emails=mode, identifier_null=rule)
    for policy in ("legacy_conflict", "auto_merge")
    for mode in (False, True)
    for rule in ("clear", "ignore")
]


@given(batches=BATCHES, rules=st.sampled_from(POLICIES))
def test_no_two_profiles_ever_share_an_identifier(
    batches: list[list[dict[str, Any]]], rules: Switches
) -> None:
    time = FakeTime()
    store = Store(":memory:", rules, 0, Clocks(time.clock, time.wall))
    for number, batch in enumerate(batches, 1):
        store.enqueue(number, [Write(WriteKind.UPSERT, None, item) for item in batch])
    profiles = list(store.profiles())
    keys = [key for profile in profiles for key in profile_keys(profile, rules)]

    assert len(set(keys)) == len(keys)
    for profile in profiles:
        assert profile.scalars["uuid"] in profile.uuids
        for kind, key in profile_keys(profile, rules):
            assert store.find(kind, key) == profile
    store.close()
