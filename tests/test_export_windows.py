"""Windows are small enough, cover what they split, and a certificate counts."""

import json
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.export.certificate import (
    Certificate,
    Evidence,
    PagesRead,
    Road,
    WindowRead,
)
from pipeline.export.windows import (
    HEX,
    PROBED,
    Meaning,
    Searching,
    Window,
    digits_of,
    first_digits,
    first_texts,
    orders,
    parts_of,
)

WHOLE = Window()
UUIDS = st.uuids().map(str)
MEANINGS = (Meaning.CONTAINS, Meaning.PREFIX)


def finds(meaning: Meaning, text: str, uuid: str) -> bool:
    return uuid.startswith(text) if meaning is Meaning.PREFIX else text in uuid


@given(st.lists(UUIDS, min_size=1, max_size=50), st.integers(1, 10**6))
def test_the_first_texts_find_every_uuid(uuids: list[str], n_rows: int) -> None:
    for meaning in MEANINGS:
        if first_digits(meaning, n_rows, 10_000) > 3:
            continue
        texts = list(first_texts(meaning, n_rows, 10_000))
        assert len(set(texts)) == len(texts)
        for uuid in uuids:
            n_found = sum(finds(meaning, text, uuid) for text in texts)
            assert n_found >= 1
            assert meaning is Meaning.CONTAINS or n_found == 1


@given(UUIDS, st.sampled_from(MEANINGS), st.integers(1, 7), st.integers(0, 3))
def test_the_parts_of_a_text_find_what_it_finds(
    uuid: str, meaning: Meaning, n_digits: int, run: int
) -> None:
    text = uuid[:n_digits]
    if meaning is Meaning.CONTAINS:
        text = uuid.split("-")[run][-n_digits:] + "-"
    parts = list(parts_of(meaning, text))

    assert len(parts) in (16, 17)
    assert any(finds(meaning, part, uuid) for part in parts)
    assert all(finds(meaning, text, part) for part in parts)


@pytest.mark.parametrize("text", ["01234567", "01234567-", "-0123-"])
def test_a_text_that_is_whole_has_no_parts(text: str) -> None:
    for meaning in MEANINGS:
        assert list(parts_of(meaning, text)) == []


@pytest.mark.parametrize(
    ("meaning", "n_rows", "n_digits"),
    [
        (Meaning.PREFIX, 10_000, 1),
        (Meaning.PREFIX, 100_000, 1),
        (Meaning.PREFIX, 10**6, 2),
        (Meaning.CONTAINS, 25_000, 1),
        (Meaning.CONTAINS, 100_000, 2),
        (Meaning.CONTAINS, 10**15, 8),
    ],
)
def test_a_first_text_is_as_long_as_it_needs_to_be(
    meaning: Meaning, n_rows: int, n_digits: int
) -> None:
    assert first_digits(meaning, n_rows, 10_000) == n_digits


def test_a_search_is_asked_for_in_the_form_that_was_found() -> None:
    run = "01234567"
    probes = [way.window(WHOLE, way.probes(run)).search for way in PROBED]

    assert probes == ["234567-", "012345", "uuid:234567-", "uuid:012345"]
    assert [way.is_of_use for way in (*PROBED, Searching())] == [True] * 4 + [False]
    assert len(HEX) == 16


def test_windows_have_names_of_their_own() -> None:
    windows = [WHOLE, WHOLE.turned(), Window("ANONYMOUS"), Window(search="a")]

    assert len({window.name for window in windows}) == len(windows)


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
        ("0ddba11e-", None),
        ("customer-1", None),
        ("", None),
    ],
)
def test_only_usual_uuids_are_taken_apart(uuid: str, digits: str | None) -> None:
    assert digits_of(uuid) == digits


def read(matching: int | None, n_rows: int, n_new: int) -> WindowRead:
    return WindowRead(WHOLE, matching, n_rows, n_new, is_saturated=False, n_drifts=1)


def told(
    n_seen: int, before: int | None, after: int | None, **more: Any
) -> Certificate:
    return Certificate(n_seen, n_seen, before, after, 10, **more)


@pytest.mark.parametrize(
    ("certificate", "reasons"),
    [
        (told(5, 5, 5), ()),
        (told(0, 0, 0), ()),
        (told(5, 5, 5, windows=[read(5, 5, 5), read(None, 9, 0)]), ()),
        (told(5, None, 5), ("does not say",)),
        (told(5, 5, None), ("does not say",)),
        (told(10, 10, 10), ("also the most",)),
        (told(5, 5, 6), ("5 profiles before and 6",)),
        (told(4, 5, 5), ("4 profiles of 5",)),
        (told(6, 5, 5), ("6 profiles of 5",)),
        (told(5, 5, 5, contradictions=["it lies"]), ("it lies",)),
        (told(4, 5, 5, contradictions=["it lies"]), ("it lies", "4 profiles of 5")),
        (told(4, 5, 5, is_cut_short=True), ("4 profiles of 5", "given up")),
        (told(6, 5, 6, partition=3), ()),
        (told(6, None, None, partition=3), ()),
        (told(6, 10, 10, partition=3), ()),
        (told(6, 5, 5, partition=3, variation=2), ()),
        (told(6, 5, 5, partition=3), ("6 profiles of 5",)),
        (told(6, 5, 6, partition=3, contradictions=["it lies"]), ("it", "5 profiles")),
        (told(1, None, None, named={}), ()),
        (told(1, None, None, named={7: "x"}, n_named=2), ("1 of 2 rows",)),
    ],
)
def test_a_certificate_says_what_is_missing(
    certificate: Certificate, reasons: tuple[str, ...]
) -> None:
    found = certificate.reasons()

    assert certificate.is_complete == (not reasons)
    assert len(found) == len(reasons)
    assert all(word in text for word, text in zip(reasons, found, strict=True))


def test_repetitions_and_drifts_are_added_up() -> None:
    pages = [PagesRead(2, 7, 1)]
    done = told(5, 5, 5, windows=[read(5, 5, 5), read(5, 9, 0)], pages=pages)

    assert (done.n_duplicates, done.n_drifts, done.n_saturated) == (15, 2, 0)


def test_a_certificate_speaks_in_words() -> None:
    counted = told(5, 5, 5)
    assert counted.words() == (
        "Complete: as many profiles as the service says there are, before and after.",
        "5 profiles are in the file; the service said 5 before and 5 after.",
    )
    shared = told(6, 5, None, partition=3, n_gone=1, windows=[read(5, 5, 5)] * 2)
    assert shared.evidence is Evidence.PARTITION
    assert [text.split()[0] for text in shared.words()] == [
        "Complete:", "6", "Every", "2", "1",
    ]  # fmt: skip
    left = PagesRead(1, 0, 0, "the key may not read it")
    unsure = told(4, 5, 5, pages=[left], estimate=7, roads=[Road.LIST, Road.PAGES])
    assert unsure.words()[0] == ("NOT shown to be complete: 4 profiles of 5 were seen.")
    assert "Road 1 was left at page 1: the key may not read it." in unsure.words()
    assert unsure.words()[-1].endswith("no evidence: 7 profiles.")


def test_a_certificate_is_json() -> None:
    full = told(5, 5, 5, windows=[read(5, 5, 5)], searching=PROBED[2], named={2: "x"})
    plain = json.loads(json.dumps(full.as_dict()))

    assert (plain["search_means"], plain["search_field"]) == ("contains", "uuid")
    assert plain["not_asked"] == {"2": "x"}
    assert plain["windows"][0]["sort_field"] == "id"
    assert json.loads(json.dumps(told(5, 5, 5).as_dict()))["evidence"] == "count"
