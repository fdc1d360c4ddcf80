"""Numbers with nouns, and text of unknown origin made fit to be shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.plain_text import counted, forecast, masked, printable, size


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        ("Ewa.Żak+1@example.com", "Aaa.Aaa+9@aaaaaaa.aaa"),
        ("+48 600-100-200", "+99 999-999-999"),
        ("two  blanks", "aaa  aaaaaa"),
        ("Ewa\u0301", "Aaaa"),
        ("٣½", "99"),
        ("a\u200bb", "a\\u200ba"),
        ("🦉 €5", "· ·9"),
        ("@@", "@@"),
        ("", ""),
    ],
)
def test_a_mask_keeps_the_shape(value: str, shape: str) -> None:
    assert masked(value) == shape


@given(st.text())
def test_a_mask_holds_no_letter_and_no_digit_of_the_value(value: str) -> None:
    kept = {char for char in value if char.isalnum()} - set("aA9")

    # An escape names a character that nobody sees by its number.
    plain = "".join(char for char in value if char.isprintable())
    assert not kept & set(masked(plain))


@given(st.text())
def test_a_mask_is_one_short_line(value: str) -> None:
    assert len(masked(value)) <= 60
    assert masked(value).isprintable()


def test_a_long_text_is_cut() -> None:
    assert printable("x" * 501) == "x" * 499 + "…"


def test_a_number_agrees_with_its_noun() -> None:
    assert [counted(n, "row") for n in (0, 1, 2000)] == [
        "0 rows",
        "1 row",
        "2,000 rows",
    ]
    assert counted(2000, "batch", "batches") == "2,000 batches"


@pytest.mark.parametrize(
    ("n_bytes", "told"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1500, "1.5 kB"),
        (2e6, "2.0 MB"),
        (3e12, "3000.0 GB"),
    ],
)
def test_bytes_have_a_unit(n_bytes: float, told: str) -> None:
    assert size(n_bytes) == told


@pytest.mark.parametrize(
    ("n_requests", "told"),
    [
        (1, "1 request, 10 bytes, under a minute at 5 requests/s"),
        (299, "299 requests, 10 bytes, under a minute at 5 requests/s"),
        (1_500, "1,500 requests, 10 bytes, 5 minutes at 5 requests/s"),
    ],
)
def test_a_forecast_names_the_rate_it_assumes(n_requests: int, told: str) -> None:
    assert forecast(n_requests, 10) == told
