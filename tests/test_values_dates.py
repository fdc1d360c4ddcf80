"""Dates and moments in text; `!CODE` stands for a cell that blocks its row."""

import datetime as dt
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import SettingsError
from test_values import read_cells


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("1990-05-01", "1990-05-01"),
        ("1900-01-01", "!DATE"),
        ("1900-01-02", "1900-01-02"),
        ("1899-12-31", "!DATE"),
        ("9999-12-31", "9999-12-31"),
        ("10000-01-01", "!DATE"),
        ("+10000-01-01", "!DATE"),
        ("-1990-01-01", "!DATE"),
        ("2024-02-29", "2024-02-29"),
        ("2023-02-29", "!DATE"),
        ("1990-05-01T00:00:00", "!DATE"),
        ("90-05-01", "!DATE"),
        ("01.05.1990", "!DATE"),
        ("0000-00-00", "!DATE"),
        ("never", "!DATE"),
        (" 1990-05-01 ", "1990-05-01"),
        ("", None),
    ],
)
def test_a_birth_date_is_iso_and_within_the_bounds_of_the_api(
    text: str, read: str | None
) -> None:
    assert read_cells("birthDate", [text]) == [read]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("31.01.2024", "2024-01-31"),
        ("31.02.2024", "!DATE"),
        ("29.02.1900", "!DATE"),
        ("01.01.1900", "!DATE"),
        ("02.01.1900", "1900-01-02"),
        ("01.01.24", "!DATE"),
        ("01.01.20240", "!DATE"),
        ("2024-01-31", "!DATE"),
    ],
)
def test_a_declared_format_is_the_only_one(text: str, read: str) -> None:
    assert read_cells("birthDate", [text], format="%d.%m.%Y") == [read]


@pytest.mark.parametrize(
    ("text", "pattern", "read"),
    [
        ("1500-01-01", None, "1500-01-01"),
        ("1900-01-01", None, "1900-01-01"),
        ("24-01-05", None, "!DATE"),
        ("0024-01-05", None, "!DATE"),
        ("24-01-05", "%y-%m-%d", "2024-01-05"),
        ("5.1.2024", "%d.%m.%Y", "2024-01-05"),
        ("5.1.24", "%d.%m.%Y", "!DATE"),
        ("31.04.2024", "%d.%m.%Y", "!DATE"),
        ("2024-01-05", "%Q", "!DATE"),
    ],
)
def test_an_attribute_date_has_no_bounds_but_a_year_in_full(
    text: str, pattern: str | None, read: str
) -> None:
    assert read_cells("attributes.d", [text], type="date", format=pattern) == [read]


@given(st.dates())
def test_every_date_reads_back(date: dt.date) -> None:
    text = f"{date:%d}.{date:%m}.{date.year:04}"
    expected = date.isoformat() if date.year >= 1000 else "!DATE"

    assert read_cells("attributes.d", [text], type="date", format="%d.%m.%Y") == [
        expected
    ]


ZONE = "Europe/Warsaw"


@pytest.mark.parametrize(
    ("text", "zone", "read"),
    [
        ("2024-07-01T12:00:00Z", None, "2024-07-01T12:00:00+00:00"),
        ("2024-07-01T12:00:00+02:00", None, "2024-07-01T10:00:00+00:00"),
        ("2024-07-01T12:00:00-0530", ZONE, "2024-07-01T17:30:00+00:00"),
        ("2024-07-01 12:00:00.25Z", None, "2024-07-01T12:00:00.250+00:00"),
        ("2024-07-01T12:00:00", ZONE, "2024-07-01T12:00:00+02:00"),
        ("2024-01-01 12:00:00.5", ZONE, "2024-01-01T12:00:00.500+01:00"),
        ("2024-07-01T12:00:00", None, "!DATE"),
        # The hour that spring left out, and the one that autumn had twice.
        ("2024-03-31T02:30:00", ZONE, "!DATE"),
        ("2024-10-27T02:30:00", ZONE, "!DATE"),
        ("2024-10-27T03:00:00", ZONE, "2024-10-27T03:00:00+01:00"),
        # A column keeps microseconds, so what is finer would be cut.
        ("2024-07-01T12:00:00.123456Z", None, "2024-07-01T12:00:00.123456+00:00"),
        ("2024-07-01T12:00:00.123456000Z", None, "2024-07-01T12:00:00.123456+00:00"),
        ("2024-07-01T12:00:00.1234567Z", None, "!DATE"),
        ("2024-07-01T12:00:00.1234567", ZONE, "!DATE"),
        ("2024-07-01T12:00:60Z", None, "!DATE"),
        ("2024-07-01T24:00:00Z", None, "!DATE"),
        ("2024-02-30T12:00:00Z", None, "!DATE"),
        ("2024-07-01T12:00:00 Z", None, "!DATE"),
        ("24-07-01T12:00:00Z", None, "!DATE"),
        ("0000-07-01T12:00:00Z", None, "!DATE"),
        # Warsaw kept its own mean time until 1915, an offset in whole minutes.
        ("1890-01-01T00:00:00", ZONE, "1890-01-01T00:00:00+01:24"),
        ("2024-07-01", ZONE, "!DATE"),
        ("", ZONE, None),
    ],
)
def test_a_moment_has_an_offset_or_a_declared_zone(
    text: str, zone: str | None, read: str | None
) -> None:
    assert read_cells("attributes.d", [text], zone, type="datetime") == [read]
    assert read_cells("attributes.d", [text], type="datetime", zone=zone) == [read]


def test_an_offset_with_seconds_is_written_in_utc() -> None:
    read = read_cells(
        "attributes.d", ["1890-01-01T00:00:00"], "Africa/Monrovia", type="datetime"
    )

    assert read == ["1890-01-01T00:43:08+00:00"]


@pytest.mark.parametrize(
    ("text", "pattern", "read"),
    [
        ("31.01.2024 10:00", "%d.%m.%Y %H:%M", "2024-01-31T10:00:00+01:00"),
        ("31.01.2024", "%d.%m.%Y", "2024-01-31T00:00:00+01:00"),
        ("31.01.24 10:00", "%d.%m.%Y %H:%M", "!DATE"),
        ("31.03.2024 02:30", "%d.%m.%Y %H:%M", "!DATE"),
        ("31.01.2024 10:00 +0200", "%d.%m.%Y %H:%M %z", "2024-01-31T08:00:00+00:00"),
        ("31.01.24 10:00 +0200", "%d.%m.%Y %H:%M %z", "!DATE"),
    ],
)
def test_a_moment_may_have_a_format(text: str, pattern: str, read: str) -> None:
    found = read_cells("attributes.d", [text], ZONE, type="datetime", format=pattern)

    assert found == [read]


def test_a_format_without_offset_needs_a_zone_and_a_zone_has_to_exist() -> None:
    with pytest.raises(SettingsError, match=re.escape("mapping.attributes.d.zone")):
        read_cells("attributes.d", [], type="datetime", format="%d.%m.%Y")
    with pytest.raises(SettingsError, match=r"'Europe/Nowhere' of attributes\.d"):
        read_cells("attributes.d", [], "Europe/Nowhere", type="datetime")
