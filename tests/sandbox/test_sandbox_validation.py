import json
from typing import Any

import pytest

from pipeline.sandbox import facts
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.validation import (
    MalformedBodyError,
    clean_item,
    missing_identifier,
    read_json,
)


def problems(item: dict[str, Any], rules: Switches | None = None) -> list[str]:
    cleaned = clean_item(item, rules or Switches(), in_batch=True)
    return [problem.field for problem in cleaned.problems]


@pytest.mark.parametrize(
    "email",
    [
        "a@example.com",
        "a.b+c@sub.example.com",
        "zażółć@example.com",
        '"quoted name"@example.com',
        "a@[999.1.1.1]",
        "a@-label.example.com",
        "a@xn--bcher-kva.example",
    ],
)
def test_emails_the_pattern_lets_through(email: str) -> None:
    assert not problems({"email": email})


@pytest.mark.parametrize(
    "email",
    [
        "",
        "plain",
        "a@b",
        "a@bücher.example",
        "a@example.xn--p1ai",
        "a@under_score.com",
        " a@example.com",
        "a@example.com ",
        "a@example.com\n",
        "a..b@example.com",
        ".a@example.com",
        "a.@example.com",
        "a@@example.com",
        "😀@example.com",
        "a\u00ad@example.com",
        "a\ufe0f@example.com",
    ],
)
def test_emails_the_pattern_or_the_characters_refuse(email: str) -> None:
    assert problems({"email": email}) == ["email"]


@pytest.mark.parametrize(
    "phone",
    [
        "123456",
        "1" * 20,
        "+123456",
        "+" + "1" * 19,
        "+48 (22) 1/2-3",
        " " * 6,
        "()----",
    ],
)
def test_phones_the_pattern_lets_through(phone: str) -> None:
    assert not problems({"phone": phone})


@pytest.mark.parametrize(
    "phone",
    [
        "12345",
        "1" * 21,
        "+12345",
        "+" + "1" * 20,
        "12.34.56",
        "4.8E+10",
        "123456x7",
        "123_456",
        "1+23456",
        "123456\n",
        "١٢٣٤٥٦",
    ],
)
def test_phones_the_pattern_refuses(phone: str) -> None:
    assert problems({"phone": phone}) == ["phone"]


@pytest.mark.parametrize("field", ["customId", "uuid"])
@pytest.mark.parametrize(
    "bad", ["😀", "\r", "\n", "\u2028", "\u2029", "\u00ad", "\ufe00", "\ufe0f", "\0"]
)
def test_characters_no_identifier_may_hold(field: str, bad: str) -> None:
    assert problems({field: f"a{bad}b"}) == [field]


def test_a_blank_custom_id_is_refused_unless_nothing_is_trimmed() -> None:
    assert problems({"customId": "  "}) == ["customId"]
    assert not problems({"customId": "  "}, Switches(trim_identifiers=False))


def test_the_shape_of_a_uuid_is_a_switch() -> None:
    rules = Switches(uuid_shape="canonical")

    assert not problems({"uuid": "anything"})
    assert problems({"uuid": "anything"}, rules) == ["uuid"]
    assert not problems({"uuid": "11111111-1111-4111-8111-111111111111"}, rules)


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        ("1900-01-02", True),
        ("1900-01-01", False),
        ("1899-12-31", False),
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("2023-2-1", False),
        ("20230201", False),
        ("2023-02-01T00:00:00", False),
        ("01.02.2023", False),
        ("2999-01-01", True),
        ("", False),
        (19900101, False),
    ],
)
def test_birth_dates(value: object, is_good: bool) -> None:  # noqa: FBT001
    assert problems({"birthDate": value}) == ([] if is_good else ["birthDate"])


def test_the_first_day_of_1900_is_a_switch() -> None:
    rules = Switches(birth_date_floor="inclusive")

    assert not problems({"birthDate": "1900-01-01"}, rules)


@pytest.mark.parametrize("value", ["FEMALE", "MALE", "NOT_SPECIFIED", "OTHER", None])
def test_each_sex_of_the_enumeration(value: str | None) -> None:
    assert not problems({"sex": value})


@pytest.mark.parametrize("value", ["male", "UNDEFINED", "", 1, ["MALE"]])
def test_no_other_sex(value: object) -> None:
    assert problems({"sex": value}) == ["sex"]


@pytest.mark.parametrize("field", facts.TEXT_FIELDS)
@pytest.mark.parametrize("bad", ["", "\0", "a\0", "\ufe00\ufe0f", 7, True, [], {}])
def test_text_rule_t_and_the_empty_string(field: str, bad: object) -> None:
    assert problems({field: bad}) == [field]


@pytest.mark.parametrize("good", [" ", "❤\ufe0f", "😀", "line\nfeed", "\u00ad"])
def test_what_a_text_may_hold(good: str) -> None:
    assert not problems({"city": good, "tags": [good], "attributes": {"a": good}})


@pytest.mark.parametrize(
    ("value", "is_good"),
    [
        (True, True),
        (False, True),
        (None, True),
        ("true", True),
        ("True", True),
        ("false", True),
        ("False", True),
        (1, True),
        (0, True),
        ("TRUE", False),
        ("yes", False),
        ("t", False),
        ("1", False),
        ("", False),
        (2, False),
        (1.0, False),
        ([], False),
    ],
)
def test_agreement_values(value: object, is_good: bool) -> None:  # noqa: FBT001
    found = problems({"agreements": {"sms": value}})

    assert found == ([] if is_good else ["agreements.sms"])


def test_upper_case_agreements_are_a_switch() -> None:
    rules = Switches(upper_case_agreements=True)
    item = {"agreements": {"sms": "TRUE", "push": "FALSE"}}

    cleaned = clean_item(item, rules, in_batch=True)

    assert cleaned.item == {"agreements": {"sms": True, "push": False}}


def test_the_newer_spelling_of_an_agreement_wins_over_the_older() -> None:
    item = {"agreements": {"webpush": True, "webPush": False}}

    cleaned = clean_item(item, Switches(), in_batch=True)

    assert cleaned.item == {"agreements": {"webPush": False}}


@pytest.mark.parametrize(
    ("item", "field"),
    [
        ({"agreements": []}, "agreements"),
        ({"attributes": "x"}, "attributes"),
        ({"attributes": {"a": ""}}, "attributes.a"),
        ({"attributes": {"a": "\0"}}, "attributes.a"),
        ({"attributes": {"a\nb": 1}}, "attributes"),
        ({"attributes": {"a\u00ad": 1}}, "attributes"),
        ({"tags": "x"}, "tags"),
        ({"tags": ["ok", ""]}, "tags[1]"),
        ({"tags": [None]}, "tags[0]"),
        ({"clientId": "1"}, "clientId"),
        ({"clientId": 1.0}, "clientId"),
        ({"clientId": True}, "clientId"),
        ({"clientId": 2**63}, "clientId"),
        ({"email": 7}, "email"),
    ],
)
def test_a_problem_names_its_place(item: dict[str, Any], field: str) -> None:
    assert problems(item) == [field]


def test_an_attribute_name_may_leave_the_basic_plane() -> None:
    assert not problems({"attributes": {"😀": 1}})


@pytest.mark.parametrize(
    ("rules", "item"),
    [
        (Switches(max_text_chars=3), {"city": "abcd"}),
        (Switches(max_text_chars=3), {"attributes": {"a": "abcd"}}),
        (Switches(max_tag_chars=3), {"tags": ["abcd"]}),
        (Switches(max_attributes=1), {"attributes": {"a": 1, "b": 1}}),
    ],
)
def test_limits_nobody_documented_are_switches(
    rules: Switches, item: dict[str, Any]
) -> None:
    assert problems(item, rules)
    assert not problems(item)


@pytest.mark.parametrize("name", sorted(facts.RESERVED_ATTRIBUTES))
def test_each_reserved_attribute_is_ignored(name: str) -> None:
    cleaned = clean_item({"attributes": {name: ""}}, Switches(), in_batch=True)

    assert (cleaned.item, cleaned.problems) == ({"attributes": {}}, ())


def test_there_are_63_reserved_attributes() -> None:
    assert len(facts.RESERVED_ATTRIBUTES) == 63


@pytest.mark.parametrize("name", facts.IDENTIFIER_FIELDS)
def test_one_identifier_is_enough(name: str) -> None:
    assert missing_identifier({name: "x"}, in_batch=False) is None
    assert missing_identifier({name: None}, in_batch=True) is not None


def test_a_client_id_identifies_in_a_batch_only() -> None:
    assert missing_identifier({"clientId": 1}, in_batch=True) is None
    assert missing_identifier({"clientId": 1}, in_batch=False) is not None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a": 1, "a": 1}',
        b'[{"x": {"a": 1, "a": 2}}]',
        b'{"a": NaN}',
        b'{"a": -Infinity}',
        b'{"a": 1e999}',
        b'{"a": "\\ud800"}',
        b'{"a": 01}',
        b"{'a': 1}",
        b"[" * 100_000,
        b'{"a": ' + b"1" * 5000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_bodies_that_are_no_json(body: bytes) -> None:
    with pytest.raises(MalformedBodyError):
        read_json(body)


def test_escaped_characters_outside_the_basic_plane_are_json() -> None:
    assert read_json(json.dumps({"a": "😀"}).encode()) == {"a": "😀"}
