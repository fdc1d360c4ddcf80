"""The facts of the API that the core leans on: consistent, and as documented."""

import re

import polars as pl
import pytest

from pipeline import contract
from pipeline.contract import (
    AGREEMENT_WORDS,
    FIELD_BY_NAME,
    FORBIDDEN_IN_ATTRIBUTE_NAMES,
    FORBIDDEN_IN_IDENTIFIERS,
    FORBIDDEN_TEXT,
    IDENTIFIERS,
    NATIVE_FIELDS,
    PHONE_PATTERN,
    READ_ONLY_NAMES,
    RESERVED_ATTRIBUTES,
    UUID_PATTERN,
    FieldKind,
    fold_header,
)
from pipeline.sandbox import facts
from pipeline.settings import MappingSettings

SELECTORS = [chr(code) for code in range(0xFE00, 0xFE10)]


def matches(pattern: str, text: str) -> bool:
    """Ask the engine that the tool itself asks."""
    return bool(pl.Series([text]).str.contains(pattern).item())


@pytest.mark.parametrize(
    ("header", "folded"),
    [
        ("E-Mail", "email"),
        ("e_mail", "email"),
        (" First\u00a0Name\t", "firstname"),
        ("customId", "customid"),
        ("e.mail", "e.mail"),
        ("Straße", "straße"),
        ("_-", ""),
    ],
)
def test_headers_are_folded(header: str, folded: str) -> None:
    assert fold_header(header) == folded
    assert fold_header(folded) == folded


def test_no_two_fields_share_a_header() -> None:
    known = [
        header
        for field in NATIVE_FIELDS
        for header in (fold_header(field.name), *field.aliases)
    ]

    assert len(known) == len(set(known))
    assert [fold_header(header) for header in known] == known
    assert not {"id", "name", "status"} & set(known)


def test_fields_can_be_mapped_and_found_by_name() -> None:
    assert {*FIELD_BY_NAME, "agreements", "attributes"} == set(
        MappingSettings.model_fields
    )
    assert [f.name for f in NATIVE_FIELDS][: len(IDENTIFIERS)] == list(IDENTIFIERS)
    assert {f.kind for f in NATIVE_FIELDS} == set(FieldKind) - {
        FieldKind.AGREEMENT,
        FieldKind.ATTRIBUTE,
    }


def test_no_native_field_but_the_client_id_is_read_only() -> None:
    assert set(FIELD_BY_NAME) & READ_ONLY_NAMES == {"clientId"}


def test_native_names_cannot_be_attributes() -> None:
    assert set(FIELD_BY_NAME) <= RESERVED_ATTRIBUTES
    # 63 of the reference, and one that an official client adds.
    assert len(RESERVED_ATTRIBUTES) == 64
    assert all(name == name.strip() for name in RESERVED_ATTRIBUTES)


@pytest.mark.parametrize(
    "odd", [*SELECTORS, *"\r\n\u2028\u2029\u00ad\0", "😀", "\U00010000", "\U0010ffff"]
)
def test_characters_that_no_identifier_may_hold(odd: str) -> None:
    assert matches(FORBIDDEN_IN_IDENTIFIERS, f"a{odd}b")
    assert (odd in FORBIDDEN_IN_ATTRIBUTE_NAMES) == (ord(odd) < 0x10000)


@pytest.mark.parametrize("fine", ["a", "é", "\t", " ", "\uffff", "\ufe10", "€", "\x7f"])
def test_characters_that_an_identifier_may_hold(fine: str) -> None:
    assert not matches(FORBIDDEN_IN_IDENTIFIERS, f"a{fine}b")
    assert fine not in FORBIDDEN_IN_ATTRIBUTE_NAMES


def test_text_rule_t() -> None:
    assert matches(FORBIDDEN_TEXT, "a\0")
    assert all(matches(FORBIDDEN_TEXT, odd * n) for odd in SELECTORS for n in (1, 3))
    assert not any(matches(FORBIDDEN_TEXT, f"❤{odd}") for odd in SELECTORS)
    assert not any(matches(FORBIDDEN_TEXT, f"{odd}\n") for odd in SELECTORS)


@pytest.mark.parametrize(
    ("phone", "fits"),
    [
        ("+48600", False),
        ("+486001", True),
        ("+" + "1" * 19, True),
        ("+" + "1" * 20, False),
        ("1" * 20, True),
        ("1" * 21, False),
        ("12345", False),
        ("(12) 34-56/78", True),
        ("12.34.56", False),
        ("++123456", False),
        ("123456\n", False),
    ],
)
def test_the_phone_pattern_counts_characters(phone: str, *, fits: bool) -> None:
    assert matches(PHONE_PATTERN, phone) is fits


def test_the_uuid_pattern_is_lower_case() -> None:
    uuid = "8d8a0f4e-5b1f-4f7e-9d43-0e5a4b1b2c3d"

    assert matches(UUID_PATTERN, uuid)
    assert not matches(UUID_PATTERN, uuid.upper())
    assert not matches(UUID_PATTERN, uuid.replace("-", ""))
    assert not matches(UUID_PATTERN, f"{uuid}\n")


def test_words_of_agreements_are_pairs() -> None:
    assert sorted(AGREEMENT_WORDS.values()) == [False] * 3 + [True] * 3
    assert all(word == word.lower() for word in AGREEMENT_WORDS)


# -- the sandbox has read the same document on its own ---------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("API_VERSION", "API_VERSION"),
        ("API_VERSION_HEADER", "API_VERSION_HEADER"),
        ("CONTENT_TYPE", "JSON_CONTENT_TYPE"),
        ("LOGIN_PATH", "LOGIN_PATH"),
        ("REFRESH_PATH", "REFRESH_PATH"),
        ("WORKSPACE_PATH", "CURRENT_WORKSPACE_PATH"),
        ("PERMISSIONS_PATH", "PERMISSION_CHECK_PATH"),
        ("CLIENTS_PATH", "CLIENTS_PATH"),
        ("BATCH_PATH", "BATCH_PATH"),
        ("LIST_PATH", "LIST_PATH"),
        ("AUTOCOMPLETE_PATH", "AUTOCOMPLETE_PATH"),
        ("MAX_BATCH_ROWS", "MAX_BATCH_ITEMS"),
        ("MAX_BATCH_BYTES", "MAX_BATCH_BYTES"),
        ("LIST_CAP", "LIST_CAP"),
        ("SEXES", "SEX_VALUES"),
        ("AGREEMENTS", "AGREEMENT_KEYS"),
        ("BATCH_PERMISSION", "BATCH_PERMISSION"),
        ("CREATE_PERMISSION", "CREATE_PERMISSION"),
    ],
)
def test_both_readings_of_the_api_agree(ours: str, theirs: str) -> None:
    assert getattr(contract, ours) == getattr(facts, theirs)


@pytest.mark.parametrize("name", ["PHONE_PATTERN", "UUID_PATTERN", "EMAIL_PATTERN"])
@pytest.mark.parametrize(
    "text",
    [
        *("+486001", "(12) 34-56/78", "12345", "+" + "1" * 19, "1" * 20, "1" * 21),
        *("8d8a0f4e-5b1f-4f7e-9d43-0e5a4b1b2c3d", "8D8A0F4E", ""),
        *("a@example.com", "żółć@example.com", "a@b", "a..b@example.com", "a@ex_a.com"),
        *('"a b"@example.com', "a@[127.0.0.1]", "a@xn--p1ai.example", "a@example.c0m"),
    ],
)
def test_both_readings_of_a_pattern_agree(name: str, text: str) -> None:
    theirs = re.fullmatch(getattr(facts, name), text) is not None

    assert matches(getattr(contract, name), text) is theirs


def test_both_readings_of_forbidden_characters_agree() -> None:
    points = [*range(0xD800), *range(0xE000, 0x10800), 0x10FFFF]
    cells = pl.Series(map(chr, points))

    ours = cells.filter(cells.str.contains(FORBIDDEN_IN_IDENTIFIERS)).to_list()

    forbidden = re.compile(facts.IDENTIFIER_FORBIDDEN)
    assert ours == [char for char in map(chr, points) if forbidden.search(char)]
    in_names = re.compile(facts.ATTRIBUTE_NAME_FORBIDDEN)
    assert set(FORBIDDEN_IN_ATTRIBUTE_NAMES) == {
        char for char in map(chr, points) if in_names.search(char)
    }


def test_both_readings_of_names_agree() -> None:
    clients = facts.CLIENT_RESERVED_ATTRIBUTES - {""}

    assert facts.RESERVED_ATTRIBUTES | clients == RESERVED_ATTRIBUTES
    assert set(facts.IDENTIFIER_FIELDS) == set(IDENTIFIERS) - {"clientId"}
    assert {*facts.SCALAR_FIELDS, "clientId", "tags"} == set(FIELD_BY_NAME)
    assert set(facts.READ_ONLY_FIELDS) <= READ_ONLY_NAMES
    assert {f"attributes.{n}" for n in facts.SYSTEM_ATTRIBUTES} <= READ_ONLY_NAMES
    assert facts.BIRTH_DATE_FLOOR < contract.FIRST_BIRTH_DATE
    words = {str(word).lower(): bool(v) for word, v in facts.AGREEMENT_WORDS.items()}
    assert words.items() <= {**AGREEMENT_WORDS}.items()
