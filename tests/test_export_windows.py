"""Windows are small enough, cover what they split, and a certificate counts."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.certificate import Certificate, WindowRead
from pipeline.export.windows import (
    HEX,
    Meaning,
    Window,
    digits_of,
    first_digits,
    orders,
    searches,
)

WHOLE = Window()
UUIDS = st.uuids().map(str)


@given(st.lists(UUIDS, min_size=1, max_size=50), st.integers(1, 10**6))
def test_the_first_searches_find_every_uuid(uuids: list[str], n_rows: int) -> None:
    for meaning in (Meaning.CONTAINS, Meaning.PREFIX):
        if first_digits(meaning, n_rows, 10_000) > 3:
            continue
        texts = [w.search for w in searches(WHOLE, meaning, n_rows, 10_000)]
        assert len(set(texts)) == len(texts)
        for uuid in uuids:
            if meaning is Meaning.PREFIX:
                assert sum(uuid.startswith(text) for text in texts) == 1
            else:
                assert any(text in uuid for text in texts)


@pytest.mark.parametrize(
    ("meaning", "n_rows", "n_digits"),
    [
        (Meaning.PREFIX, 10_000, 1),
        (Meaning.PREFIX, 100_000, 1),
        (Meaning.PREFIX, 10**6, 2),
        (Meaning.CONTAINS, 25_000, 2),
        (Meaning.CONTAINS, 100_000, 3),
        (Meaning.CONTAINS, 10**12, 8),
    ],
)
def test_a_first_search_is_as_long_as_it_needs_to_be(
    meaning: Meaning, n_rows: int, n_digits: int
) -> None:
    assert first_digits(meaning, n_rows, 10_000) == n_digits


def test_a_full_search_is_split_by_its_next_digit_until_a_hyphen() -> None:
    window = Window(recognized="ANONYMOUS", search="ab")
    parts = list(searches(window, Meaning.PREFIX, 99, 10))

    assert [part.search for part in parts] == [f"ab{digit}" for digit in HEX]
    assert {part.recognized for part in parts} == {"ANONYMOUS"}
    longest = Window(search="12345678")
    assert list(searches(longest, Meaning.PREFIX, 99, 10)) == []
    assert list(searches(WHOLE, Meaning.NOTHING, 99, 10)) == []


def test_every_order_is_read_from_both_ends() -> None:
    first, second = islice(orders(WHOLE), 2)

    assert first.turned() == second
    assert second.turned() == first
    assert first.sort_field != "id"


@pytest.mark.parametrize(
    ("uuid", "digits"),
    [
        ("0DDBA11E-0000-4000-8000-c0ffee000001", "0ddba11e"),
        ("0ddba11", None),
        ("customer-1", None),
        ("", None),
    ],
)
def test_only_usual_uuids_are_taken_apart(uuid: str, digits: str | None) -> None:
    assert digits_of(uuid) == digits


def read(matching: int | None, n_rows: int, n_new: int) -> WindowRead:
    return WindowRead(WHOLE, matching, n_rows, n_new, is_saturated=False, n_drifts=1)


@pytest.mark.parametrize(
    ("certificate", "reasons"),
    [
        (Certificate(5, 5, 5, 10), ()),
        (Certificate(0, 0, 0, 10), ()),
        (Certificate(5, 5, 5, 10, windows=[read(5, 5, 5), read(None, 9, 0)]), ()),
        (Certificate(5, None, 5, 10), ("does not say",)),
        (Certificate(5, 5, None, 10), ("does not say",)),
        (Certificate(10, 10, 10, 10), ("also the most",)),
        (Certificate(5, 5, 6, 10), ("5 profiles before and 6",)),
        (Certificate(4, 5, 5, 10), ("4 profiles of 5",)),
        (Certificate(6, 5, 5, 10), ("6 profiles of 5",)),
        (Certificate(5, 5, 5, 10, windows=[read(6, 5, 5)]), ("6 in a part",)),
    ],
)
def test_a_certificate_says_what_is_missing(
    certificate: Certificate, reasons: tuple[str, ...]
) -> None:
    told = certificate.reasons()

    assert certificate.is_complete == (not reasons)
    assert len(told) == len(reasons)
    assert all(word in text for word, text in zip(reasons, told, strict=True))


def test_repetitions_and_drifts_are_added_up() -> None:
    done = Certificate(5, 5, 5, 10, windows=[read(5, 5, 5), read(5, 9, 0)])

    assert (done.n_duplicates, done.n_drifts, done.n_saturated) == (9, 2, 0)
