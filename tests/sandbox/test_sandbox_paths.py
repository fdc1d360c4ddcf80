import pytest

from pipeline.sandbox.switches import Switches
from sandbox_driver import UUID_A, UUID_B, drive

EMAIL = "sampleclient@example.com"


# --- by identifier -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("by-email", "odd%2Bname%25%23%3F@example.com"),
        ("by-email", "odd+name%25%23%3F@example.com"),
        ("by-email", "odd%2bname%25%23%3F%40example.com"),
        ("by-customid", "a%2Fb%20%C5%BC%3F%23%25%2B"),
        ("by-phone", "%2B44%207700%20900123"),
        ("by-phone", "+44%207700%20900123"),
        ("by-uuid", UUID_A),
    ],
)
def test_a_profile_is_found_by_each_identifier_percent_encoded(
    kind: str, value: str
) -> None:
    driver = drive()
    driver.put(
        {
            "email": "odd+name%#?@example.com",
            "customId": "a/b ż?#%+",
            "phone": "+44 7700 900123",
            "uuid": UUID_A,
        }
    )

    assert driver.get(f"/v4/clients/{kind}/{value}")["uuid"] == UUID_A


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v4/clients/by-email/none@example.com", 404),
        ("/v4/clients/by-customid/a/b", 404),
        ("/v4/clients/by-customid/a%2Fb", 404),
        ("/v4/clients/by-customid/%FF", 400),
        ("/v4/clients/by-name/x", 400),
        ("/v4/clients/1", 404),
        ("/v4/clients/abc", 404),
        ("/v4/clients/" + "9" * 30, 404),
        ("/v4/clients/by-email/", 404),
        ("/v4/nothing", 404),
    ],
)
def test_what_is_not_found_has_an_error_body(path: str, status: int) -> None:
    reply = drive().send("GET", path)

    assert reply.status_code == status
    assert reply.json()["status"] == status
    assert reply.json()["path"] == path


def test_accepted_identifier_types_are_a_switch() -> None:
    driver = drive(Switches(identifier_types=("by-email",)))

    assert driver.send("GET", "/v4/clients/by-uuid/x").status_code == 400


def test_a_read_by_a_shared_phone_finds_one_of_them_by_a_switch() -> None:
    items = [{"customId": "1", "phone": "123456"}, {"customId": "2", "phone": "123456"}]
    newest, oldest = drive(), drive(Switches(phone_match="oldest"))
    for driver in (newest, oldest):
        driver.put(*items)

    assert newest.get("/v4/clients/by-phone/123456")["customId"] == "2"
    assert oldest.get("/v4/clients/by-phone/123456")["customId"] == "1"


# --- update and delete by path -------------------------------------------------------


@pytest.mark.parametrize("kind", ["id", "by-email", "by-customid"])
def test_an_update_by_path_changes_only_what_is_sent(kind: str) -> None:
    driver = drive()
    driver.put({"email": EMAIL, "customId": "a/1", "city": "Old", "company": "Kept"})
    client_id = driver.by_email(EMAIL)["clientId"]
    path = {
        "id": str(client_id),
        "by-email": "by-email/sampleclient%40example.com",
        "by-customid": "by-customid/a%2F1",
    }[kind]
    reply = driver.send("POST", f"/v4/clients/{path}", {"city": "New"})
    driver.sandbox.settle()

    assert (reply.status_code, reply.content) == (202, b"")
    found = driver.by_email(EMAIL)
    assert (found["city"], found["company"]) == ("New", "Kept")


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v4/clients/1", 404),
        ("/v4/clients/by-email/none@example.com", 404),
        ("/v4/clients/by-customid/none", 404),
        ("/v4/clients/abc", 400),
        ("/v4/clients/by-uuid/x", 405),
        ("/v4/clients/by-phone/123456", 405),
    ],
)
def test_an_update_of_nobody_creates_nobody(path: str, status: int) -> None:
    driver = drive()
    reply = driver.send("POST", path, {"city": "X"})
    driver.sandbox.settle()

    assert (reply.status_code, reply.json()["status"]) == (status, status)
    assert driver.sandbox.store.count_profiles() == 0


def test_an_update_can_change_an_identifier() -> None:
    driver = drive()
    driver.put({"email": EMAIL})
    driver.send("POST", f"/v4/clients/by-email/{EMAIL}", {"email": "b@example.com"})
    driver.sandbox.settle()

    assert driver.by_email("b@example.com")["clientId"] == 2149203825
    assert driver.send("GET", f"/v4/clients/by-email/{EMAIL}").status_code == 404


def test_an_update_that_waits_while_its_profile_is_deleted_is_lost() -> None:
    driver = drive()
    driver.put({"email": EMAIL})
    driver.send("DELETE", "/v4/clients/2149203825")
    reply = driver.send("POST", f"/v4/clients/by-email/{EMAIL}", {"city": "X"})
    driver.sandbox.settle()

    assert reply.status_code == 202
    assert driver.sandbox.store.count_profiles() == 0


@pytest.mark.parametrize(
    "path", ["2149203825", "by-customid/a%2F1", "by-custom-id/a%2F1"]
)
def test_a_delete_is_queued_and_its_identifiers_are_free_afterwards(path: str) -> None:
    driver = drive()
    driver.put({"customId": "a/1", "uuid": UUID_A})
    reply = driver.send("DELETE", f"/v4/clients/{path}")
    still = driver.send("GET", "/v4/clients/2149203825")
    driver.sandbox.settle()
    gone = driver.send("GET", "/v4/clients/2149203825")
    driver.put({"customId": "a/1", "uuid": UUID_A})

    assert (reply.status_code, reply.content) == (202, b"")
    assert (still.status_code, gone.status_code) == (200, 404)
    assert driver.get("/v4/clients/by-customid/a%2F1")["clientId"] == 2149203826


@pytest.mark.parametrize("path", ["1", "abc", "by-customid/x", "by-custom-id/x"])
def test_a_delete_of_nobody_is_not_found(path: str) -> None:
    assert drive().send("DELETE", f"/v4/clients/{path}").status_code == 404


def test_a_delete_may_be_immediate_by_a_switch() -> None:
    driver = drive(Switches(delete_timing="immediate"))
    driver.put({"email": EMAIL, "uuid": UUID_B})
    driver.send("DELETE", "/v4/clients/2149203825")

    assert driver.send("GET", "/v4/clients/2149203825").status_code == 404


# --- headers (1.3, 1.4) --------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/v4/clients", 415),
        ("POST", "/v4/clients/instant", 415),
        ("POST", "/v4/clients/batch", 415),
        ("POST", "/v4/clients/2149203825", 415),
        ("GET", "/v4/clients", 415),
        ("GET", f"/v4/clients/by-email/{EMAIL}", 415),
        ("GET", "/v4/clients/2149203825", 200),
        ("GET", "/crm/v1/list", 200),
        ("DELETE", "/v4/clients/2149203825", 202),
    ],
)
@pytest.mark.parametrize("sent", [None, "text/plain"])
def test_the_content_type_is_checked_where_the_reference_says_so(
    method: str, path: str, status: int, sent: str | None
) -> None:
    driver = drive()
    driver.put({"email": EMAIL})
    del driver.headers["Content-Type"]
    if sent:
        driver.headers["Content-Type"] = sent

    assert driver.send(method, path, content=b"").status_code == status


def test_a_content_type_may_name_its_charset() -> None:
    driver = drive()
    driver.headers["Content-Type"] = "application/json;charset=UTF-8"

    assert driver.send("GET", "/v4/clients").status_code == 200


@pytest.mark.parametrize(
    ("version", "status"), [(None, 400), ("5.0", 400), ("4.4", 200), ("4.10", 200)]
)
def test_the_version_header_is_required_on_v4(version: str | None, status: int) -> None:
    driver = drive()
    del driver.headers["Api-Version"]
    if version:
        driver.headers["Api-Version"] = version

    assert driver.send("GET", "/v4/clients").status_code == status
    assert driver.send("GET", "/crm/v1/list").status_code == 200


def test_strictness_about_headers_is_a_switch() -> None:
    driver = drive(Switches(strict_api_version=False, strict_content_type=False))
    del driver.headers["Api-Version"], driver.headers["Content-Type"]

    assert driver.send("GET", "/v4/clients").status_code == 200


def test_a_method_nobody_documented_is_refused_with_a_body() -> None:
    reply = drive().send("PUT", "/v4/clients", {})

    assert (reply.status_code, reply.json()["error"]) == (405, "Method Not Allowed")
