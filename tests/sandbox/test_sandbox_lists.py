from typing import Any
from urllib.parse import quote

import pytest

from pipeline.sandbox.listing import BadQueryError, read_crm_query
from pipeline.sandbox.server import SandboxOptions, build_sandbox
from pipeline.sandbox.switches import Switches
from sandbox_driver import UUID_A, Driver, drive

LIST, CLIENTS = "/crm/v1/list", "/v4/clients"


def five(switches: Switches | None = None) -> Driver:
    driver = drive(switches)
    driver.put(
        {"email": "ann@example.com", "firstName": "Ann", "city": "Łódź"},
        {"email": "Bob@example.com", "firstName": "Bob", "city": "Łódź"},
        {"email": "ann.two@example.com", "lastName": "Annison", "tags": ["vip"]},
        {"customId": "C4", "firstName": "Cid", "attributes": {"hobby": "Annals"}},
        {"phone": "123456", "sex": "OTHER"},
    )
    return driver


def ids(driver: Driver, query: str) -> list[int]:
    """Number the profiles of a page of the documented list from 1."""
    page = driver.get(f"{LIST}?{query}")
    return [customer["id"] - 2149203824 for customer in page["customers"]]


def ids_v4(driver: Driver, query: str) -> list[int]:
    page = driver.get(f"{CLIENTS}?{query}")
    return [profile["clientId"] - 2149203824 for profile in page]


# --- GET /crm/v1/list ----------------------------------------------------------------


def test_the_wrapper_counts_all_and_the_matching_ones() -> None:
    page = five().get(f"{LIST}?limit=1&offset=1&recognized=RECOGNIZED")

    assert (page["all"], page["matching"]) == (5, 3)
    assert (page["limit"], page["offset"], len(page["customers"])) == (1, 1, 1)


def test_a_list_item_has_its_own_names_and_types() -> None:
    driver = drive()
    driver.put(
        {
            "email": "a@example.com",
            "customId": "1",
            "uuid": UUID_A,
            "firstName": "F",
            "lastName": "L",
            "birthDate": "1980-01-02",
            "sex": "OTHER",
            "tags": ["t"],
            "attributes": {"a": 1},
        }
    )

    (item,) = driver.get(LIST)["customers"]

    assert item["id"] == 2149203825
    assert (item["firstname"], item["lastName"]) == ("F", "L")
    assert (item["custom_identify"], item["birthdate"]) == ("1", "1980-01-02")
    assert (item["sex"], item["tags"], item["uuid"]) == ("UNDEFINED", ["t"], UUID_A)
    assert item["anonymous_type"] is None
    assert set(item) == {
        "id",
        "uuid",
        "anonymous_type",
        "email",
        "firstname",
        "lastName",
        "custom_identify",
        "company",
        "phone",
        "address",
        "city",
        "zipCode",
        "province",
        "countryCode",
        "country_id",
        "avatarUrl",
        "birthdate",
        "sex",
        "last_activity_date",
        "created",
        "updated",
        "deletedAt",
        "tags",
    }


def test_created_stays_and_updated_moves() -> None:
    driver = drive()
    driver.put({"customId": "1"})
    driver.time.now_s = 60
    driver.log_in()
    driver.put({"customId": "1", "city": "X"})

    (item,) = driver.get(LIST)["customers"]

    assert item["created"] == "2027-01-15T08:00:00.000Z"
    assert item["updated"] == "2027-01-15T08:01:00.000Z"
    assert item["last_activity_date"] == item["created"]


def test_an_anonymous_item_says_how_it_is_identified() -> None:
    driver = five()
    driver.put({"uuid": UUID_A})

    kinds = [item["anonymous_type"] for item in driver.get(LIST)["customers"]]

    assert kinds == [None, None, None, "CUSTOM_IDENTIFY", "PHONE", "UUID"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", [1, 2, 3, 4, 5]),
        ("recognized=NONE", [1, 2, 3, 4, 5]),
        ("recognized=RECOGNIZED", [1, 2, 3]),
        ("recognized=true", [1, 2, 3]),
        ("recognized=ANONYMOUS", [4, 5]),
        ("recognized=false", [4, 5]),
        ("search=ann", [1, 3, 4]),
        ("search=ANNI", [3]),
        ("search=nobody", []),
        ("search=firstName:Ann", [1]),
        ("search=firstname:Ann", [1]),
        ("search=firstName:ann", []),
        ("search=email:bob@example.com", [2]),
        ("search=city:%C5%81%C3%B3d%C5%BA", [1, 2]),
        ("search=custom_identify:C4", [4]),
        ("search=id:2149203826", [2]),
        ("search=tags:vip", [3]),
        ("search=sex:UNDEFINED", [1, 2, 3, 4, 5]),
        ("search=nofield:Ann", []),
        ("search=city:%C5%81%C3%B3d%C5%BA&recognized=ANONYMOUS", []),
        ("sortBy=id:DESC", [5, 4, 3, 2, 1]),
        (
            "sortBy=firstname:ASC&recognized=true&search=city:%C5%81%C3%B3d%C5%BA",
            [1, 2],
        ),
        ("sortBy=email:DESC&limit=2", [1, 3]),
        ("sortBy=id&offset=3", [4, 5]),
        ("limit=2&offset=4", [5]),
        ("limit=2&offset=5", []),
    ],
)
def test_the_list_filters_sorts_and_pages(query: str, expected: list[int]) -> None:
    assert ids(five(), query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=x",
        "limit=",
        "limit=1.0",
        "offset=-1",
        "offset=99999999999",
        "recognized=maybe",
        "sortBy=shoe:ASC",
        "sortBy=email:UP",
    ],
)
def test_a_bad_parameter_is_named(query: str) -> None:
    reply = drive().send("GET", f"{LIST}?{query}")

    assert reply.status_code == 400
    assert query.partition("=")[0] in reply.json()["message"]


@pytest.mark.parametrize(
    ("mode", "how", "expected"),
    [
        ("search_plain", "contains", [1, 3]),
        ("search_plain", "prefix", [1, 3]),
        ("search_plain", "exact", [1]),
    ],
)
def test_how_a_plain_search_compares_is_a_switch(
    mode: str, how: str, expected: list[int]
) -> None:
    chosen: dict[str, Any] = {mode: how}
    driver = drive(Switches(**chosen))
    driver.put(
        {"email": "x1@example.com", "firstName": "Jo"},
        {"email": "x2@example.com", "firstName": "Al"},
        {"email": "x3@example.com", "firstName": "Jon"},
    )

    assert ids(driver, "search=jo") == expected


@pytest.mark.parametrize(
    ("how", "expected"), [("exact", [1]), ("prefix", [1, 3]), ("contains", [1, 2, 3])]
)
def test_how_a_search_by_field_compares_is_a_switch(
    how: Any,
    expected: list[int],
) -> None:
    driver = drive(Switches(search_field=how))
    driver.put(
        {"customId": "1", "city": "York"},
        {"customId": "2", "city": "New York"},
        {"customId": "3", "city": "Yorkville"},
    )

    assert ids(driver, "search=city:York") == expected


def test_the_literal_of_the_order_is_a_switch() -> None:
    assert ids(five(Switches(sort_separator=",")), "sortBy=id,DESC")[0] == 5


def test_without_a_stable_order_pages_repeat_and_skip() -> None:
    driver = drive(Switches(default_order="unstable"), seed_profiles=200)
    pages = [ids(driver, f"limit=50&offset={offset}") for offset in range(0, 200, 50)]

    seen = [number for page in pages for number in page]
    assert len(seen) == 200
    assert len(set(seen)) < 200


def test_a_bare_array_and_attributes_are_switches() -> None:
    driver = five(Switches(list_shape="bare_array", list_attributes=True))

    page = driver.get(f"{LIST}?search=custom_identify:C4")

    assert [item["attributes"]["hobby"] for item in page] == ["Annals"]


# --- the cap of 10,000 ---------------------------------------------------------------


def read(switches: Switches, offset: int, limit: int) -> tuple[int, bool]:
    params = {"limit": str(limit), "offset": str(offset)}
    query = read_crm_query(params, switches, turn=1)
    return query.limit, query.is_empty


@pytest.mark.parametrize("cap", ["error", "empty_page", "clamp"])
@pytest.mark.parametrize("offset", [0, 9_998, 9_999])
def test_up_to_the_cap_all_meanings_agree(cap: Any, offset: int) -> None:
    assert read(Switches(list_cap=cap), offset, 1) == (1, False)


def test_one_beyond_the_cap_is_an_error_by_default() -> None:
    for offset, limit in ((10_000, 1), (9_999, 2), (9_500, 501)):
        with pytest.raises(BadQueryError, match="10000"):
            read(Switches(), offset, limit)


def test_one_beyond_the_cap_is_an_empty_page_by_a_switch() -> None:
    switches = Switches(list_cap="empty_page")

    assert read(switches, 9_999, 2) == (2, True)
    assert read(switches, 10_000, 1) == (1, True)


def test_one_beyond_the_cap_is_a_shorter_page_by_a_switch() -> None:
    switches = Switches(list_cap="clamp")

    assert read(switches, 9_999, 2) == (1, False)
    assert read(switches, 10_000, 1) == (0, True)


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Seed a workspace of two more than the cap, once for all who read it."""
    path = str(tmp_path_factory.mktemp("crowded") / "workspace.db")
    build_sandbox(SandboxOptions(seed_profiles=10_002, database=path)).close()
    return path


@pytest.mark.parametrize(
    ("cap", "outcome"), [("error", 400), ("empty_page", 0), ("clamp", 500)]
)
def test_the_cap_in_a_workspace_that_holds_more(
    crowded: str,
    cap: Any,
    outcome: int,
) -> None:
    driver = drive(Switches(list_cap=cap), database=crowded)
    full = driver.get(f"{LIST}?limit=1000&offset=9000")
    reply = driver.send("GET", f"{LIST}?limit=1000&offset=9500")

    assert (len(full["customers"]), full["all"], full["matching"]) == (
        1000,
        10_002,
        10_002,
    )
    if outcome == 400:
        assert reply.status_code == 400
    else:
        assert len(reply.json()["customers"]) == outcome
    driver.close()


# --- GET /v4/clients -----------------------------------------------------------------


def test_the_older_list_is_a_bare_array_of_full_profiles() -> None:
    driver = five()

    page = driver.get(CLIENTS)

    assert page == list(driver.sandbox.profiles())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("pageSize=2", [1, 2]),
        ("pageSize=2&pageIndex=2", [3, 4]),
        ("pageSize=2&pageIndex=3", [5]),
        ("pageIndex=2", []),
        ("sortOrder=DESC", [5, 4, 3, 2, 1]),
        ("sortBy=firstName&sortOrder=DESC&pageSize=3", [4, 2, 1]),
        ("filters[anonymous]=true", [4, 5]),
        ("filters[anonymous]=false", [1, 2, 3]),
        ("filters%5Bemail%5D=ANN", [1, 3]),
        ("filters[firstName]=b", [2]),
        ("filters[lastName]=ann", [3]),
        ("filters[phone]=345", [5]),
        ("filters[email]=ann&filters[firstName]=Ann", [1]),
        ("filters[city]=nowhere", [1, 2, 3, 4, 5]),
    ],
)
def test_the_older_list_filters_sorts_and_pages(
    query: str, expected: list[int]
) -> None:
    assert ids_v4(five(), query) == expected


@pytest.mark.parametrize(
    "query",
    [
        "pageIndex=0",
        "pageSize=0",
        "pageSize=1001",
        "pageIndex=x",
        "sortBy=customId",
        "sortOrder=UP",
        "filters[anonymous]=maybe",
    ],
)
def test_the_older_list_refuses_bad_parameters(query: str) -> None:
    assert drive().send("GET", f"{CLIENTS}?{query}").status_code == 400


def test_filters_are_exact_and_anonymous_false_is_ignored_by_switches() -> None:
    driver = five(Switches(filter_match="exact", anonymous_false="ignored"))

    assert ids_v4(driver, "filters[firstName]=ann") == [1]
    assert ids_v4(driver, "filters[firstName]=an") == []
    assert ids_v4(driver, "filters[anonymous]=false") == [1, 2, 3, 4, 5]


def test_the_default_page_size_is_a_switch() -> None:
    assert ids_v4(five(Switches(default_page_size=2)), "") == [1, 2]


# --- GET /crm/v1/autocomplete --------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("field=firstname&prefix=", ["Ann", "Bob", "Cid"]),
        ("field=firstName&prefix=b", ["Bob"]),
        ("field=city&prefix=%C5%82", ["Łódź"]),
        ("field=firstname&limit=2", ["Ann", "Bob"]),
        ("field=shoe&prefix=x", []),
        ("field=created&prefix=1", []),
    ],
)
def test_autocompletion_gives_distinct_values(query: str, expected: list[str]) -> None:
    assert five().get(f"/crm/v1/autocomplete?{query}") == {"entries": expected}


@pytest.mark.parametrize("query", ["", "prefix=x", "field=city&limit=0"])
def test_autocompletion_refuses_bad_parameters(query: str) -> None:
    assert drive().send("GET", f"/crm/v1/autocomplete?{query}").status_code == 400


def test_the_autocompletion_may_know_nothing() -> None:
    driver = drive(Switches(autocomplete_works=False), seed_profiles=3)

    assert driver.get("/crm/v1/autocomplete?field=city") == {"entries": []}


# --- a list that lies, and a workspace that moves -------------------------------------


def crowd(**switches: Any) -> Driver:
    return drive(Switches(**{"list_cap_rows": 10} | switches), seed_profiles=30)


def ids_of(page: Any) -> list[int]:
    return [one["id"] for one in page["customers"]]


def test_a_result_may_end_at_the_cap_and_its_count_with_it() -> None:
    page = crowd(list_cap="result").get("/crm/v1/list?limit=8&offset=5")

    assert (len(page["customers"]), page["matching"], page["all"]) == (5, 10, 30)


@pytest.mark.parametrize(
    ("all_is", "total"), [("true", 30), ("halved", 15), ("doubled", 60), ("capped", 10)]
)
def test_the_total_may_be_a_lie(all_is: str, total: int) -> None:
    page = crowd(all_is=all_is).get("/crm/v1/list?limit=1")

    assert (page["all"], page["matching"]) == (total, 30)


def test_an_order_may_be_refused() -> None:
    driver = crowd(sort_works=False)

    assert driver.send("GET", "/crm/v1/list?sortBy=id:ASC").status_code == 400
    assert len(ids_of(driver.get("/crm/v1/list?limit=3"))) == 3


def test_pages_may_be_troubled() -> None:
    honest = ids_of(crowd().get("/crm/v1/list?limit=4&offset=4"))
    first = ids_of(crowd().get("/crm/v1/list?limit=4"))
    asked = "/crm/v1/list?limit=4&offset=4"

    assert ids_of(crowd(list_trouble="repeats").get(asked)) == first
    assert ids_of(crowd(list_trouble="short_pages").get(asked)) == honest[:2]
    twice = [number for number in honest for _ in range(2)]
    assert ids_of(crowd(list_trouble="twice").get(asked)) == twice
    page = crowd(list_trouble="text_ids").get(asked)
    assert [one["id"] for one in page["customers"]] == [*map(str, honest)]
    reply = crowd(list_trouble="html").send("GET", asked)
    assert (reply.status_code, reply.text[:6]) == (200, "<html>")


def test_a_workspace_changes_while_it_is_read_and_always_in_the_same_way() -> None:
    def read() -> tuple[list[list[int]], int]:
        driver = crowd(churn_per_page=1.5)
        pages = [ids_of(driver.get("/crm/v1/list?limit=10")) for _ in range(12)]
        return pages, driver.sandbox.store.count_profiles()

    pages, n_profiles = read()

    assert len({tuple(page) for page in pages}) > 1
    assert n_profiles != 30
    assert read() == (pages, n_profiles)
    still = crowd()
    assert [ids_of(still.get("/crm/v1/list?limit=10")) for _ in range(2)] == [
        ids_of(still.get("/crm/v1/list?limit=10"))
    ] * 2


@pytest.mark.parametrize(
    ("plain", "text", "is_found"),
    [
        ("contains", "OLD", True),
        ("contains", "5", True),
        ("contains", '{"a":[7]}', True),
        ("prefix", "go", True),
        ("prefix", "old", False),
        ("exact", "Gold", True),
        ("exact", "gol", False),
        ("exact", "1", True),
    ],
)
def test_a_plain_search_looks_into_attributes(
    plain: Any, text: str, *, is_found: bool
) -> None:
    driver = drive(Switches(search_plain=plain))
    attributes = {"tier": "gold", "points": 5, "deep": {"a": [7]}, "is_new": True}
    driver.put({"customId": "A", "attributes": attributes})

    found = driver.get(f"/crm/v1/list?search={quote(text, '')}")["matching"]

    assert found == is_found
