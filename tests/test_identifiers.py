"""Identifiers: what is repaired, what is refused, and that both halves agree."""

import random
import sys
import unicodedata
from collections.abc import Callable

import phonenumbers
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from phonenumbers import PhoneMetadata

from pipeline.contract import (
    EMAIL_PATTERN,
    FORBIDDEN_IN_IDENTIFIERS,
    PHONE_PATTERN,
    ROW_CODES,
)
from pipeline.errors import SettingsError
from pipeline.identifiers.email import claim_emails, judge_email
from pipeline.identifiers.patterns import CLAIMED_REGIONS, number_lengths
from pipeline.identifiers.phone import PhoneClaims, judge_phone
from pipeline.identifiers.proofs import Checked, IdentifierChecks
from pipeline.identifiers.repair import WHITE_SPACE, ZERO_WIDTH, unpad, unpad_cells

EVERY_CHAR = [chr(n) for n in range(sys.maxunicode + 1) if not 0xD800 <= n <= 0xDFFF]
CHECKS = IdentifierChecks()


def cells_of(*cells: str | None) -> pl.Series:
    return pl.Series("cells", cells, dtype=pl.String)


def pairs(checked: Checked) -> list[tuple[str | None, str | None]]:
    return list(zip(checked.values.to_list(), checked.codes.to_list(), strict=True))


# -- e-mail ------------------------------------------------------------------------

REPAIRED_EMAILS = {
    "anna@example.com": "anna@example.com",
    "Anna.Nowak@Example.COM": "anna.nowak@example.com",
    " anna@example.com\u00a0": "anna@example.com",
    "anna@example.com\r\n": "anna@example.com",
    "\ufeffan\u200bna\u2060@exam\u200dple.com": "anna@example.com",
    "\u3000ANNA@example.com": "anna@example.com",
    "a+b/c=d!#$%&'*-?^_`{|}~@example.com": "a+b/c=d!#$%&'*-?^_`{|}~@example.com",
    "anna@b\u00fccher.example": "anna@xn--bcher-kva.example",
    "anna@B\u00dcCHER.example": "anna@xn--bcher-kva.example",
    "anna@stra\u00dfe.example": "anna@xn--strae-oqa.example",
    "anna@\uff45xample\uff0ecom": "anna@example.com",
    "anna@XN--BCHER-KVA.example": "anna@xn--bcher-kva.example",
    "za\u017c\u00f3\u0142\u0107@example.com": "za\u017c\u00f3\u0142\u0107@example.com",
    "jose\u0301@example.com": "jos\u00e9@example.com",
    "\u0130@example.com": "i\u0307@example.com",
    "\u0131@example.com": "\u0131@example.com",
    "\u212a@example.com": "k@example.com",
    "\u0391\u03a3@example.com": "\u03b1\u03c2@example.com",
    "Postmaster@example.com": "postmaster@example.com",
    "a" * 65 + "@example.com": "a" * 65 + "@example.com",
    "a" * 242 + "@example.com": "a" * 242 + "@example.com",
    "a@" + "b" * 63 + ".com": "a@" + "b" * 63 + ".com",
    "anna@a--b.example": "anna@a--b.example",
    # Odd, but within the API's pattern, so it is not for us to refuse them.
    "anna@printer.local": "anna@printer.local",
    "anna@PRINTER.LOCAL": "anna@printer.local",
    "anna@example.test": "anna@example.test",
    "anna@example.invalid": "anna@example.invalid",
    "anna@[192.0.2.1]": "anna@[192.0.2.1]",
    '"anna nowak"@example.com': '"anna nowak"@example.com',
    '"anna"@example.com': '"anna"@example.com',
    "anna@-a.example": "anna@-a.example",
    "anna@a-.example": "anna@a-.example",
    "anna@ab--c.example": "anna@ab--c.example",
    "anna@xn--.example": "anna@xn--.example",
    "anna@xn--zzzzzzzz.example": "anna@xn--zzzzzzzz.example",
    "a" * 243 + "@example.com": "a" * 243 + "@example.com",
    "a@" + "b" * 64 + ".com": "a@" + "b" * 64 + ".com",
}
REFUSED_EMAILS = [
    "n/a",
    "@",
    "anna@",
    "@example.com",
    "anna@example.com.",
    "anna@example..com",
    "anna@localhost",
    "anna@example.c",
    "anna@1.2",
    "Anna Nowak <anna@example.com>",
    "mailto:anna@example.com",
    "anna@example.com;ewa@example.com",
    "anna@example.com\newa@example.com",
    "an na@example.com",
    "anna..nowak@example.com",
    ".anna@example.com",
    "anna.@example.com",
    "anna@a_b.example",
    "anna@example.xn--p1ai",
    "anna@\u043f\u043e\u0447\u0442\u0430.\u0440\u0444",
    "anna\uff20example.com",
    "an\u00adna@example.com",
    "anna@exam\u00adple.com",
    "an\ufe0fna@example.com",
    "\U0001f600@example.com",
    "\U0001d482@example.com",
    "an\x1cna@example.com",
    "\x1canna@example.com",
    "anna@" + "\u00fc" * 254 + ".example",
]


def test_emails_are_repaired_and_nothing_else_changes() -> None:
    checked = CHECKS.emails(cells_of(*REPAIRED_EMAILS))

    assert checked.values.to_list() == list(REPAIRED_EMAILS.values())
    assert checked.codes.null_count() == len(REPAIRED_EMAILS)


@pytest.mark.parametrize("keep_case", [False, True])
def test_emails_that_the_api_does_not_take_are_refused(keep_case: bool) -> None:  # noqa: FBT001
    checked = CHECKS.emails(cells_of(*REFUSED_EMAILS), keep_case=keep_case)

    assert pairs(checked) == [(None, "EMAIL")] * len(REFUSED_EMAILS)


def test_case_is_kept_on_request_except_in_an_idn_domain() -> None:
    cells = cells_of(
        " Anna@Example.COM", "Postmaster@example.com", "Anna@B\u00dccher.Example"
    )

    assert CHECKS.emails(cells, keep_case=True).values.to_list() == [
        "Anna@Example.COM",
        "Postmaster@example.com",
        "Anna@xn--bcher-kva.example",
    ]


EMAIL_PIECES = st.sampled_from(
    [
        *"aZ09._%+-'@.",
        *"\u0131\u212a\u0130\u00df\u00e9\u0301 \u200b\u00a0\n\u00ad\U0001f600",
        *'<>"[](),\\',
        *("example", "com", "co.uk", "LOCALHOST", "onion", "arpa", "xn--", "--"),
        *("b\u00fccher", "a" * 63, "postmaster"),
    ]
)
EMAIL_DOMAINS = st.sampled_from(
    [
        *("example.com", "a-b.Example.org", "x.local", "test", "example.c"),
        *("b\u00fccher.example", "xn--bcher-kva.example", "ab--c.example", "1.2"),
        *("example.com.", "example.xn--p1ai", "[192.0.2.1]", "Example.ORG\n"),
    ]
)
EMAIL_LIKE = st.lists(EMAIL_PIECES, max_size=8).map("".join)
ANY_EMAIL = (
    st.tuples(EMAIL_LIKE, EMAIL_DOMAINS).map("@".join)
    | EMAIL_LIKE
    | st.text()
    | st.emails()
)


@given(st.lists(ANY_EMAIL, max_size=12), st.booleans())
def test_what_is_claimed_of_an_email_is_what_the_rule_says(
    cells: list[str],
    keep_case: bool,  # noqa: FBT001
) -> None:
    claimed = claim_emails(cells_of(*cells), keep_case=keep_case).to_list()

    for cell, value in zip(cells, claimed, strict=True):
        answer = judge_email(cell, keep_case=keep_case)
        assert value is None or answer == (value, None)


@given(ANY_EMAIL, st.booleans())
def test_an_accepted_email_is_stable_and_pleases_the_api(
    cell: str,
    keep_case: bool,  # noqa: FBT001
) -> None:
    value, code = judge_email(cell, keep_case=keep_case)

    assert code in {None, "EMAIL"}
    assert value is None or code is None
    if value is not None:
        accepted = cells_of(value)
        assert judge_email(value, keep_case=keep_case) == (value, None)
        assert accepted.str.contains(EMAIL_PATTERN).all()
        assert not accepted.str.contains(FORBIDDEN_IN_IDENTIFIERS).any()


# -- phone -------------------------------------------------------------------------

E164 = "+48512345678"
READ_PHONES = [
    (E164, None, E164),
    (E164, "DE", E164),
    ("+48 512 345 678\n", None, E164),
    ("0048 512-345-678", None, E164),
    ("0 0 48 512345678", None, E164),
    ("(+48) 512 345 678", None, E164),
    ("\u200b512345678\ufeff ", "PL", E164),
    ("512 345 678", "PL", E164),
    ("512.345.678", "PL", E164),
    ("512\u00a0345\u00a0678", "PL", E164),
    ("48512345678", "PL", E164),
    ("22/1234567", "PL", "+48221234567"),
    ("(22) 123 45 67", "PL", "+48221234567"),
    ("48 123 45 67", "PL", "+48481234567"),
    ("\u0665\u0661\u0662\u0663\u0664\u0665\u0666\u0667\u0668", "PL", E164),
    ("+\u06f4\u06f8\u06f5\u06f1\u06f2\u06f3\u06f4\u06f5\u06f6\u06f7\u06f8", None, E164),
    ("\uff15\uff11\uff12\uff0d\uff13\uff14\uff15\u2013\uff16\uff17\uff18", "PL", E164),
    ("030/1234567", "DE", "+49301234567"),
    ("0171/1234567", "DE", "+491711234567"),
    ("+49 (0) 30 1234567", "DE", "+49301234567"),
    # A German direct-dial number: the last two digits are part of it (DIN 5008).
    ("030 1234567-12", "DE", "+4930123456712"),
    ("06 1234 5678", "IT", "+390612345678"),
    ("+39 06 1234 5678", None, "+390612345678"),
    ("1 (202) 555-0123", "US", "+12025550123"),
    ("+1 (202) 555-0123", None, "+12025550123"),
    ("011 48 512345678", "US", E164),
    ("204 234 5678", "CA", "+12042345678"),
    ("8 912 345 67 89", "RU", "+79123456789"),
    ("8 701 234 56 78", "KZ", "+77012345678"),
    ("090-1234-5678", "JP", "+819012345678"),
    ("0412 345 678", "AU", "+61412345678"),
    ("011 15 2345-6789", "AR", "+5491123456789"),
    ("+800 1234 5678", None, "+80012345678"),
]
REFUSED_PHONES = [
    ("n/a", None),
    ("-", None),
    ("5", None),
    ("12", "PL"),
    ("000000000", "PL"),
    ("0512345678", "PL"),
    ("512345678\u00ad", "PL"),
    ("512\t345678", "PL"),
    ("512345_678", "PL"),
    ("*512345678", "PL"),
    ("tel:+48512345678", None),
    ("1-800-FLOWERS", "US"),
    ("22 123 45 67 ext. 5", "PL"),
    ("22 123 45 67 w. 5", "PL"),
    ("22 1234567 x5", "PL"),
    ("512345678#5", "PL"),
    ("512345678;ext=5", "PL"),
    ("512345678/512345679", "PL"),
    ("512345678, 512345679", "PL"),
    ("512345678 512345679", "PL"),
    ("2345678/8765432", "DE"),
    ("030 1234567/8", "DE"),
    ("030 1234567 (12)", "DE"),
    ("\u096b\u0967\u0968\u0969\u096a\u096b\u096c\u096d\u096e", "PL"),
    ("++48512345678", None),
    ("+0048512345678", "PL"),
    ("+0512345678", "PL"),
    ("+999123456789", "PL"),
    ("+44 7700 900123", None),
    (" " * 300 + "5 " + "1" * 300, "PL"),
    ("512345678" + " " * 300 + "\u200b.", "PL"),
]


@pytest.mark.parametrize(("cell", "region", "expected"), READ_PHONES)
def test_a_phone_becomes_e164(cell: str, region: str | None, expected: str) -> None:
    assert judge_phone(cell, region=region) == (expected, None)
    assert pairs(CHECKS.phones(cells_of(cell), region=region)) == [(expected, None)]


@pytest.mark.parametrize(("cell", "region"), REFUSED_PHONES)
def test_a_phone_is_refused_rather_than_guessed(cell: str, region: str | None) -> None:
    assert pairs(CHECKS.phones(cells_of(cell), region=region)) == [(None, "PHONE")]


def test_a_national_phone_needs_a_region() -> None:
    checked = CHECKS.phones(cells_of("512 345 678", "(22) 123/45/67", E164))

    assert pairs(checked) == [
        (None, "PHONE_REGION"),
        (None, "PHONE_REGION"),
        (E164, None),
    ]


def test_a_region_without_numbering_plan_stops_the_run() -> None:
    with pytest.raises(SettingsError, match="'XX'"):
        CHECKS.phones(cells_of(E164), region="XX")


REGIONS = ["PL", "US", "CA", "DE", "GB", "IT", "JP", "AU", "BR", "RU", "KZ", "NO", "AR"]
ALL_CLAIMS = {region: PhoneClaims(region) for region in [None, *REGIONS]}


def written_numbers() -> list[str]:
    kinds = ("fixed_line", "mobile", "toll_free", "premium_rate", "voip")
    plans = map(
        PhoneMetadata.metadata_for_region, sorted(phonenumbers.SUPPORTED_REGIONS)
    )
    numbers = []
    for plan in plans:
        assert plan is not None
        for kind in kinds:
            digits = getattr(getattr(plan, kind), "example_number", None)
            if digits:
                prefix = plan.national_prefix or ""
                numbers += [
                    f"+{plan.country_code}{digits}",
                    f"+{plan.country_code}{prefix}{digits}",
                    f"{plan.country_code}{digits}",
                    f"{prefix}{digits}",
                ]
    return numbers


@st.composite
def phones(draw: st.DrawFn) -> str:
    digits = list(draw(st.sampled_from(WRITTEN_NUMBERS)))
    for _ in range(draw(st.integers(0, 5))):
        place = draw(st.integers(1, len(digits) - 1))
        digits[place] = draw(st.sampled_from("0123456789"))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(digits)))
        digits.insert(
            place, draw(st.sampled_from([*" -.()/\u00a0\u200b5", " (", ") "]))
        )
    return "".join(digits)


WRITTEN_NUMBERS = written_numbers()
ANY_PHONE = (
    phones() | st.text("+0123456789 -.()/\u00a0", max_size=20) | st.text(max_size=20)
)


@given(st.lists(ANY_PHONE, max_size=12), st.sampled_from([None, *REGIONS]))
def test_what_is_claimed_of_a_phone_is_what_the_library_says(
    cells: list[str], region: str | None
) -> None:
    claimed = ALL_CLAIMS[region].claim(cells_of(*cells)).to_list()

    for cell, value in zip(cells, claimed, strict=True):
        answer = judge_phone(cell, region=region)
        assert value is None or answer == (value, None)


@pytest.mark.parametrize("region", [None, *REGIONS])
def test_claims_hold_near_the_numbers_of_all_regions(region: str | None) -> None:
    changed = [
        number[:place] + digit + number[place + 1 :]
        for number in WRITTEN_NUMBERS[:: 7 if region else 3]
        for place, digit in ((2, "0"), (4, "9"), (len(number) - 1, ""))
    ]
    claimed = ALL_CLAIMS[region].claim(cells_of(*changed)).to_list()

    wrong = [
        cell
        for cell, value in zip(changed, claimed, strict=True)
        if value is not None and judge_phone(cell, region=region) != (value, None)
    ]
    assert wrong == []


@given(ANY_PHONE, st.sampled_from([None, *REGIONS]))
def test_an_accepted_phone_is_stable_and_pleases_the_api(
    cell: str, region: str | None
) -> None:
    value, code = judge_phone(cell, region=region)

    assert code in {None, "PHONE", "PHONE_REGION"}
    assert value is None or code is None
    if value is not None:
        assert judge_phone(value, region=region) == (value, None)
        assert cells_of(value).str.contains(PHONE_PATTERN).all()


@pytest.mark.parametrize("region", CLAIMED_REGIONS)
def test_the_mobile_numbers_of_big_countries_never_reach_the_library(
    region: str,
) -> None:
    plan = PhoneMetadata.metadata_for_region(region)
    assert plan is not None
    assert plan.mobile is not None
    number = f"+{plan.country_code}{plan.mobile.example_number}"

    assert ALL_CLAIMS[None].claim(cells_of(number)).to_list() == [number]


@pytest.mark.parametrize(
    ("cell", "region"),
    [
        ("512 345 678", "PL"),
        ("22/1234567", "PL"),
        ("48512345678", "PL"),
        ("0171 1234567", "DE"),
        ("(202) 555-0123", "US"),
        ("1 202 555 0123", "US"),
        ("204 234 5678", "CA"),
        ("07400 123456", "GB"),
        ("0412 345 678", "AU"),
        ("090-1234-5678", "JP"),
        ("8 912 345 67 89", "RU"),
    ],
)
def test_common_national_forms_never_reach_the_library(cell: str, region: str) -> None:
    assert ALL_CLAIMS[region].claim(cells_of(cell)).null_count() == 0


def test_no_numbering_plan_has_a_number_of_three_digits() -> None:
    """What may stand before a slash in a column's fast path rests on this."""
    shortest = [
        min(plan.general_desc.possible_length)
        for region in phonenumbers.SUPPORTED_REGIONS
        if (plan := PhoneMetadata.metadata_for_region(region)) and plan.general_desc
    ]

    assert min(shortest) > 3


@pytest.mark.parametrize(
    ("pattern", "lengths"),
    [
        (r"[1-9]\d{6}(?:\d{2})?", {7, 9}),
        (r"(?:6|8\d\d)\d{7}|11", {2, 8, 10}),
        (r"1\d{2,4}", {3, 4, 5}),
        (r"(?:12|3){2}", {2, 3, 4}),
        ("", set()),
        (r"1\d+", set()),
        (r"(?!0)\d", set()),
    ],
)
def test_the_lengths_of_a_numbering_plan_pattern(
    pattern: str, lengths: set[int]
) -> None:
    assert number_lengths(pattern) == lengths


# -- customId, uuid, clientId ------------------------------------------------------

UUID = "0a1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9"
BIGGEST = str(2**63 - 1)


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        (" C-1\u00a0", ("C-1", None)),
        ("c-1", ("c-1", None)),
        ("C 1\u200b", ("C 1\u200b", None)),
        ("jose\u0301", ("jose\u0301", None)),
        ("\x1cC-1", ("\x1cC-1", None)),
        ("C-1\n", ("C-1", None)),
        ("C\n1", (None, "CUSTOM_ID")),
        ("C\u00ad1", (None, "CUSTOM_ID")),
        ("\U0001f600", (None, "CUSTOM_ID")),
        ("C\x00", (None, "CUSTOM_ID")),
        (" 4.86E+10", (None, "E_NOTATION")),
        ("4,8e+010 ", (None, "E_NOTATION")),
        ("1e5", ("1e5", None)),
        ("4.86E+10B", ("4.86E+10B", None)),
        (" #N/A", (None, "NULL_WORD")),
        ("NULL", (None, "NULL_WORD")),
        ("Null", ("Null", None)),
    ],
)
def test_a_custom_id_loses_outer_white_space_only(
    cell: str, answer: tuple[str | None, str | None]
) -> None:
    assert pairs(CHECKS.custom_ids(cells_of(cell))) == [answer]


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        (UUID, (UUID, None)),
        (f" {UUID.upper()}\u200b\n", (UUID, None)),
        (f"{{{UUID}}}", (None, "UUID")),
        (UUID.replace("-", ""), (None, "UUID")),
        (f"urn:uuid:{UUID}", (None, "UUID")),
        (f"{UUID}\n{UUID}", (None, "UUID")),
        (UUID[:-1] + "g", (None, "UUID")),
        (UUID[:-1] + "\uff11", (None, "UUID")),
    ],
)
def test_a_uuid_is_lower_cased_and_otherwise_exact(
    cell: str, answer: tuple[str | None, str | None]
) -> None:
    assert pairs(CHECKS.uuids(cells_of(cell))) == [answer]


@pytest.mark.parametrize(
    ("cell", "answer"),
    [
        ("1", ("1", None)),
        (" 434428563 ", ("434428563", None)),
        (BIGGEST, (BIGGEST, None)),
        (str(2**63), (None, "CLIENT_ID")),
        ("0", (None, "CLIENT_ID")),
        ("007", (None, "CLIENT_ID")),
        ("-5", (None, "CLIENT_ID")),
        ("+5", (None, "CLIENT_ID")),
        ("5.0", (None, "CLIENT_ID")),
        ("1e3", (None, "CLIENT_ID")),
        ("\u0665", (None, "CLIENT_ID")),
    ],
)
def test_a_client_id_is_a_positive_whole_number(
    cell: str, answer: tuple[str | None, str | None]
) -> None:
    assert pairs(CHECKS.client_ids(cells_of(cell))) == [answer]


# -- all of them -------------------------------------------------------------------

Check = Callable[[pl.Series], Checked]
ALL_CHECKS: list[Check] = [
    CHECKS.emails,
    CHECKS.phones,
    CHECKS.custom_ids,
    CHECKS.uuids,
    CHECKS.client_ids,
]


@pytest.mark.parametrize("check", ALL_CHECKS)
def test_nothing_given_is_neither_a_value_nor_a_fault(
    check: Check,
) -> None:
    assert pairs(check(cells_of(None, "", " ", "\u00a0\t"))) == [(None, None)] * 4
    assert pairs(check(cells_of())) == []


@pytest.mark.parametrize("check", ALL_CHECKS)
@given(cells=st.lists(st.none() | st.text(max_size=8) | ANY_EMAIL, max_size=8))
def test_every_row_has_a_value_or_a_known_code_or_was_not_given(
    check: Check, cells: list[str | None]
) -> None:
    column = cells_of(*cells)
    checked = check(column)

    assert column.to_list() == cells
    for cell, (value, code) in zip(cells, pairs(checked), strict=True):
        assert value is None or code is None
        assert code is None or code in ROW_CODES
        assert value is not None or code is not None or not unpad(cell or "")
        assert value != ""


def test_padding_alone_is_nothing_even_if_it_has_zero_width() -> None:
    cell = cells_of("\u200b \ufeff")

    assert pairs(CHECKS.emails(cell)) == [(None, None)]
    assert pairs(CHECKS.phones(cell)) == [(None, None)]
    assert pairs(CHECKS.uuids(cell)) == [(None, None)]
    # A customId keeps what is not white space; the linter reports it.
    assert pairs(CHECKS.custom_ids(cell)) == [("\u200b \ufeff", None)]


def test_padding_is_the_same_in_both_halves() -> None:
    padded = [f"{char}a{char}b{char}" for char in EVERY_CHAR]

    assert unpad_cells(cells_of(*padded)).to_list() == [unpad(cell) for cell in padded]


def test_white_space_is_the_property_of_unicode() -> None:
    stripped = cells_of(*EVERY_CHAR).str.strip_chars()
    white = {char for char, rest in zip(EVERY_CHAR, stripped, strict=True) if not rest}

    assert white == set(WHITE_SPACE)
    assert all(unicodedata.category(char) == "Cf" for char in ZERO_WIDTH)


def test_a_trailing_line_feed_never_slips_through_a_pattern() -> None:
    """`$` of the regex engine means the very end, unlike Python's."""
    cells = cells_of(f"{UUID}\n", "anna@example.com\n", f"{E164}\n", "7\n")

    assert claim_emails(cells, keep_case=False)[1] == "anna@example.com"
    assert CHECKS.uuids(cells).values[0] == UUID
    assert ALL_CLAIMS[None].claim(cells)[2] == E164
    assert CHECKS.client_ids(cells).values[3] == "7"


@pytest.mark.parametrize("cache_entries", [0, 1, 1000])
def test_the_memory_changes_no_answer(cache_entries: int) -> None:
    checks = IdentifierChecks(cache_entries=cache_entries)
    cells = cells_of(*REPAIRED_EMAILS, *REFUSED_EMAILS, None, *REFUSED_EMAILS)
    numbers = cells_of("22 123 45 67 w. 5", E164, "8001", "22 123 45 67 w. 5")
    expected = [
        *((value, None) for value in REPAIRED_EMAILS.values()),
        *([(None, "EMAIL")] * len(REFUSED_EMAILS)),
        (None, None),
        *([(None, "EMAIL")] * len(REFUSED_EMAILS)),
    ]

    for _ in range(2):
        assert pairs(checks.emails(cells)) == expected
        assert pairs(checks.phones(numbers, region="PL"))[1] == (E164, None)


def test_rules_do_not_share_their_memory() -> None:
    checks = IdentifierChecks()
    name, number = cells_of("Zo\u00eb@example.com"), cells_of("030 1234567-12")

    assert checks.emails(name).values.to_list() == ["zo\u00eb@example.com"]
    assert checks.emails(name, keep_case=True).values.to_list() == name.to_list()
    assert checks.phones(number, region="DE").values.to_list() == ["+4930123456712"]
    assert checks.phones(number, region="PL").codes.to_list() == ["PHONE"]
    assert checks.phones(number).codes.to_list() == ["PHONE_REGION"]


def realistic_email(rng: random.Random) -> tuple[str, str | None, str | None]:
    """Return a cell, and what must become of it, by construction."""
    address = f"anna.{rng.choice('abc')}{rng.randrange(50_000)}@example.com"
    idn = f"anna{rng.randrange(50)}@b\u00fccher.example"
    return rng.choices(
        [
            (address, address, None),
            (f" {address.title()}\u00a0", address, None),
            (address.replace("@", "\u200b@"), address, None),
            (idn, idn.replace("b\u00fccher", "xn--bcher-kva"), None),
            (f"anna{rng.randrange(50)}@@example.com", None, "EMAIL"),
            ("", None, None),
        ],
        weights=[70, 15, 5, 2, 3, 5],
    )[0]


def realistic_phone(rng: random.Random) -> tuple[str, str | None, str | None]:
    digits = f"60{rng.randrange(10_000_000):07}"
    number, few = f"+48{digits}", f"22{rng.randrange(100):02}"
    return rng.choices(
        [
            (number, number, None),
            (f"{digits[:3]} {digits[3:6]} {digits[6:]}", number, None),
            (f"0048 {digits[:3]}-{digits[3:]}", number, None),
            (f"+48 ({digits[:2]}) {digits[2:]}", number, None),
            (few, None, "PHONE"),
            (f"{few} 12345 w. 7", None, "PHONE"),
            ("", None, None),
        ],
        weights=[40, 35, 8, 5, 2, 2, 8],
    )[0]


def test_200_000_realistic_cells_are_read_as_they_were_written() -> None:
    """Construction, column and single judgement agree; slices and the whole as well."""
    rng = random.Random(20261123)  # noqa: S311 - test data
    emails = [realistic_email(rng) for _ in range(100_000)]
    numbers = [realistic_phone(rng) for _ in range(100_000)]
    checks = IdentifierChecks()

    for start in range(0, 100_000, 40_000):
        part = emails[start : start + 40_000]
        checked = checks.emails(cells_of(*(cell for cell, _, _ in part)))
        assert pairs(checked) == [(value, code) for _, value, code in part]
    checked = checks.phones(cells_of(*(cell for cell, _, _ in numbers)), region="PL")
    assert pairs(checked) == [(value, code) for _, value, code in numbers]
    for cell, value, code in emails[:10_000]:
        assert judge_email(cell, keep_case=False) == (value, code)
    for cell, value, code in numbers[:10_000]:
        assert judge_phone(cell, region="PL") == (value, code)
