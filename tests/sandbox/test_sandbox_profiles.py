import re
import uuid
from typing import Any

import pytest

from pipeline.sandbox.facts import WORKSPACE_GUID
from pipeline.sandbox.profiles import generated_uuid
from pipeline.sandbox.switches import Switches
from sandbox_driver import UUID_A, drive

EMAIL = "sampleclient@example.com"
AGREEMENTS = ["email", "sms", "push", "webPush", "bluetooth", "rfid", "wifi"]
NULL_FIELDS = [
    "phone",
    "customId",
    "lastName",
    "displayName",
    "company",
    "address",
    "city",
    "province",
    "zipCode",
    "countryCode",
    "birthDate",
]


def test_a_generated_uuid_is_one_of_version_5() -> None:
    for number in range(1, 200):
        same = uuid.uuid5(uuid.UUID(WORKSPACE_GUID), f"profile {number}")

        assert generated_uuid(number) == str(same)


def test_a_create_is_accepted_first_and_seen_when_it_has_settled() -> None:
    driver = drive(settle_s=0.3)
    path = f"/v4/clients/by-email/{EMAIL}"
    accepted = driver.send("POST", "/v4/clients", {"email": EMAIL})
    driver.time.now_s = 0.299
    before = driver.send("GET", path)
    driver.time.now_s = 0.3
    after = driver.send("GET", path)

    assert (accepted.status_code, accepted.content) == (202, b"")
    assert (before.status_code, after.status_code) == (404, 200)


def test_a_create_with_nothing_but_an_email_reads_as_in_the_guide() -> None:
    driver = drive()
    driver.send("POST", "/v4/clients", {"email": EMAIL})
    driver.sandbox.settle()

    found = driver.by_email(EMAIL)

    assert found["clientId"] == 2149203825
    assert found["email"] == EMAIL
    assert found["firstName"] == "Sampleclient"
    assert all(found[name] is None for name in NULL_FIELDS)
    assert found["sex"] == "NOT_SPECIFIED"
    assert re.fullmatch(
        r"https://www\.gravatar\.com/avatar/[0-9a-f]{32}", found["avatarUrl"]
    )
    assert found["agreements"] == dict.fromkeys(AGREEMENTS, False)
    assert set(found["attributes"]) == {"eventCreateTime", "correlationId"}
    assert found["attributes"]["eventCreateTime"] == "2027-01-15T08:00:00.000Z"
    assert (found["tags"], found["previousClients"]) == ([], [])
    assert found["anonymous"] is False
    assert found["lastActivityDate"].endswith("Z")
    assert re.fullmatch(r"[0-9a-f-]{36}", found["uuid"])
    assert len(found) == 23


def test_the_first_name_is_not_made_up_for_more_than_an_email() -> None:
    driver = drive()
    driver.put({"email": EMAIL, "lastName": "Sent"})

    assert driver.by_email(EMAIL)["firstName"] is None


def test_making_up_first_names_is_a_switch() -> None:
    always = drive(Switches(generated_first_name="when_missing"))
    never = drive(Switches(generated_first_name="never"))
    for driver in (always, never):
        driver.put({"email": EMAIL, "lastName": "Sent"})

    assert always.by_email(EMAIL)["firstName"] == "Sampleclient"
    assert never.by_email(EMAIL)["firstName"] is None


@pytest.mark.parametrize(
    ("body", "shape"),
    [("client_id", r'"2149203825"'), ("uuid", f'"{UUID_A}"'), ("empty", '""')],
)
def test_an_instant_create_is_there_at_once_and_answers_a_string(
    body: Any,
    shape: str,
) -> None:
    driver = drive(Switches(instant_body=body))
    sent = {"email": EMAIL, "uuid": UUID_A}
    reply = driver.send("POST", "/v4/clients/instant", sent)

    assert (reply.status_code, reply.text) == (200, shape)
    assert driver.by_email(EMAIL)["uuid"] == UUID_A


def test_an_instant_create_that_conflicts_answers_an_empty_string() -> None:
    driver = drive()
    driver.put({"email": EMAIL}, {"customId": "1"})

    sent = {"email": EMAIL, "customId": "1"}
    reply = driver.send("POST", "/v4/clients/instant", sent)

    assert (reply.status_code, reply.text) == (200, '""')


@pytest.mark.parametrize("path", ["/v4/clients", "/v4/clients/instant"])
def test_a_create_needs_an_identifier(path: str) -> None:
    reply = drive().send("POST", path, {"firstName": "Nobody", "clientId": 5})

    assert reply.status_code == 400
    assert reply.json()["errors"][0]["field"] == "identifier"


def test_a_create_of_a_known_profile_updates_it_or_not_by_a_switch() -> None:
    for upserts, city in ((True, "Two"), (False, "One")):
        driver = drive(Switches(create_upserts=upserts))
        for sent in ("One", "Two"):
            driver.send("POST", "/v4/clients", {"email": EMAIL, "city": sent})
        driver.sandbox.settle()

        assert [p["city"] for p in driver.sandbox.profiles()] == [city]


def test_a_refused_create_has_the_error_body_of_the_profile_service() -> None:
    reply = drive().send("POST", "/v4/clients", {"email": "no", "city": ""})

    body = reply.json()
    assert reply.status_code == 400
    assert (body["error"], body["status"], body["path"]) == (
        "Bad Request",
        400,
        "/v4/clients",
    )
    assert [error["field"] for error in body["errors"]] == ["email", "city"]
    assert set(body["errors"][0]) == {"code", "field", "message", "rejectedValue"}
    assert body["errors"][0]["rejectedValue"] == "no"


# --- missing, null, empty (3.9) ------------------------------------------------------


def test_a_missing_key_changes_nothing() -> None:
    driver = drive()
    driver.put({"email": EMAIL, "city": "Here", "tags": ["a"], "sex": "MALE"})
    before = driver.by_email(EMAIL)
    driver.put({"email": EMAIL, "company": "New"})
    after = driver.by_email(EMAIL)

    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"company", "attributes"}


@pytest.mark.parametrize(
    ("field", "value", "left"),
    [
        ("firstName", "Ann", None),
        ("birthDate", "1980-02-29", None),
        ("sex", "MALE", "NOT_SPECIFIED"),
        ("avatarUrl", "https://example.com/a.png", None),
        ("phone", "123456", None),
    ],
)
def test_null_sets_a_native_field_to_its_default(
    field: str, value: str, left: str | None
) -> None:
    driver = drive()
    driver.put({"email": EMAIL, field: value})
    assert driver.by_email(EMAIL)[field] == value
    driver.put({"email": EMAIL, field: None})

    assert driver.by_email(EMAIL)[field] == left


def test_null_deletes_an_attribute() -> None:
    driver = drive()
    driver.put({"email": EMAIL, "attributes": {"keep": 1, "drop": 2}})
    driver.put({"email": EMAIL, "attributes": {"drop": None}})

    attributes = driver.by_email(EMAIL)["attributes"]
    assert attributes["keep"] == 1
    assert "drop" not in attributes


@pytest.mark.parametrize(
    ("rule", "left"), [("clear", None), ("ignore", "1"), ("refuse", "1")]
)
def test_null_on_an_identifier_is_a_switch(
    rule: Any,
    left: str | None,
) -> None:
    driver = drive(Switches(identifier_null=rule))
    driver.put({"email": EMAIL, "customId": "1"})
    driver.put({"email": EMAIL, "customId": None})

    assert driver.by_email(EMAIL)["customId"] == left
    status = driver.send("GET", "/v4/clients/by-customid/1").status_code
    assert status == (404 if left is None else 200)


def test_null_on_the_email_makes_a_profile_anonymous_and_keeps_its_uuid() -> None:
    driver = drive()
    driver.put({"email": EMAIL, "uuid": UUID_A, "customId": "1"})
    driver.put({"customId": "1", "email": None, "uuid": None})

    found = driver.get("/v4/clients/by-customid/1")
    assert (found["email"], found["anonymous"], found["uuid"]) == (None, True, UUID_A)


@pytest.mark.parametrize("field", ["agreements", "attributes"])
def test_null_on_a_whole_object_is_a_switch(field: str) -> None:
    sent = {"email": EMAIL, "agreements": {"sms": True}, "attributes": {"a": 1}}
    cleared, ignored = drive(), drive(Switches(null_container="ignore"))
    for driver in (cleared, ignored):
        driver.put(sent)
        driver.put({"email": EMAIL, field: None})

    for driver, kept in ((cleared, False), (ignored, True)):
        found = driver.by_email(EMAIL)
        inside = found["agreements"]["sms"], "a" in found["attributes"]
        assert inside == ((kept, True) if field == "agreements" else (True, kept))


@pytest.mark.parametrize("empty", [None, []])
def test_empty_tags_clear_or_not_by_a_switch(empty: object) -> None:
    cleared, ignored = drive(), drive(Switches(tags_empty="ignore"))
    for driver in (cleared, ignored):
        driver.put({"email": EMAIL, "tags": ["a"]})
        driver.put({"email": EMAIL, "tags": empty})

    assert cleared.by_email(EMAIL)["tags"] == []
    assert ignored.by_email(EMAIL)["tags"] == ["a"]


def test_tags_replace_or_join_by_a_switch() -> None:
    replaced, joined = drive(), drive(Switches(tags_update="add"))
    for driver in (replaced, joined):
        driver.put({"email": EMAIL, "tags": ["a", "b", "a"]})
        driver.put({"email": EMAIL, "tags": ["b", "c"]})

    assert replaced.by_email(EMAIL)["tags"] == ["b", "c"]
    assert joined.by_email(EMAIL)["tags"] == ["a", "b", "c"]


def test_attributes_are_kept_as_sent_whatever_their_type() -> None:
    sent: dict[str, Any] = {
        "text": "zażółć 😀",
        "int": 2**53 + 1,
        "float": 0.1,
        "bool": True,
        "list": [1, "x", None],
        "object": {"deep": {"er": 1}, "null": None},
    }
    driver = drive()
    driver.put({"email": EMAIL, "attributes": sent})

    found = driver.by_email(EMAIL)["attributes"]
    assert {name: found[name] for name in sent} == sent


def test_object_attributes_are_replaced_or_merged_by_a_switch() -> None:
    shallow, deep = drive(), drive(Switches(attribute_merge="deep"))
    for driver in (shallow, deep):
        driver.put({"email": EMAIL, "attributes": {"o": {"a": 1, "b": 1}}})
        driver.put({"email": EMAIL, "attributes": {"o": {"b": None, "c": 2}}})

    assert shallow.by_email(EMAIL)["attributes"]["o"] == {"b": None, "c": 2}
    assert deep.by_email(EMAIL)["attributes"]["o"] == {"a": 1, "c": 2}


def test_object_attributes_become_text_by_a_switch() -> None:
    driver = drive(Switches(attribute_values="text"))
    driver.put({"email": EMAIL, "attributes": {"o": {"a": [1]}}})

    assert driver.by_email(EMAIL)["attributes"]["o"] == '{"a": [1]}'


def test_reserved_attributes_and_unknown_keys_disappear_without_a_word() -> None:
    driver = drive()
    driver.put(
        {
            "email": EMAIL,
            "firstname": "x",
            "custom_id": "x",
            "gender": "F",
            "attributes": {"status": "x", "firstname": "x", "": "x", "own": "y"},
        }
    )

    found = driver.by_email(EMAIL)
    assert set(found["attributes"]) == {"own", "eventCreateTime", "correlationId"}
    assert (found["customId"], len(found)) == (None, 23)


def test_read_only_fields_are_ignored_when_sent_back() -> None:
    driver = drive(Switches(unknown_keys="error"))
    driver.put({"email": EMAIL})
    driver.put({**driver.by_email(EMAIL), "anonymous": True, "city": "Sent"})

    found = driver.by_email(EMAIL)
    assert (found["anonymous"], found["city"]) == (False, "Sent")


def test_unknown_keys_become_attributes_or_errors_by_a_switch() -> None:
    stored, refused = (drive(Switches(unknown_keys=how)) for how in _UNKNOWN)
    stored.put({"email": EMAIL, "gender": "F", "status": "x"})
    reply = refused.send("POST", "/v4/clients", {"email": EMAIL, "gender": "F"})

    assert stored.by_email(EMAIL)["attributes"]["gender"] == "F"
    assert "status" not in stored.by_email(EMAIL)["attributes"]
    assert reply.status_code == 400


_UNKNOWN: tuple[Any, Any] = ("attribute", "error")


def test_the_older_spelling_of_an_agreement_is_understood() -> None:
    driver = drive()
    driver.put({"email": EMAIL, "agreements": {"webpush": True, "sms": True}})
    driver.put({"email": EMAIL, "agreements": {"sms": None, "other": True}})

    agreed = driver.by_email(EMAIL)["agreements"]
    assert agreed == {**dict.fromkeys(AGREEMENTS, False), "webPush": True}


@pytest.mark.parametrize("body", [[], "x", 7])
def test_one_profile_is_a_json_object(body: object) -> None:
    assert drive().send("POST", "/v4/clients", body).status_code == 400
