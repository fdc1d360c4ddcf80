"""Watermarks: which rows are read again, and when one moves."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.delta.watermark import (
    MomentKind,
    Since,
    Watermark,
    highest,
    kept,
    kind_of,
    moments,
    since,
    watermark_of,
)

NOON = datetime(2026, 3, 1, 12)  # noqa: DTZ001 - moments of a source have no zone
HOUR_S = 3600.0
BEFORE = Watermark("at", "local", "2026-03-01T12:00:00.000000", "s")
AFTER = Watermark("at", "local", "2026-03-02T12:00:00.000000", "s")
CET = timezone(timedelta(hours=1))


def frame(*cells: Any, dtype: Any = None) -> pl.DataFrame:
    return pl.DataFrame({"at": pl.Series(cells, dtype=dtype)})


def read(found: pl.DataFrame, which: Since) -> list[Any]:
    return found.filter(which.rows(found.schema))["at"].to_list()


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        (pl.Datetime("us", "UTC"), MomentKind.INSTANT),
        (pl.Datetime("ms"), MomentKind.LOCAL),
        (pl.Date(), MomentKind.DAY),
        (pl.String(), MomentKind.TEXT),
        (pl.Int64(), None),
        (pl.Boolean(), None),
    ],
)
def test_what_tells_a_moment(dtype: pl.DataType, kind: MomentKind | None) -> None:
    assert kind_of(dtype) is kind


def test_moments_of_every_kind_are_one_scale() -> None:
    found = [
        frame(NOON.replace(tzinfo=UTC).astimezone(CET), dtype=pl.Datetime("us", "UTC")),
        frame(NOON, dtype=pl.Datetime("ms")),
        frame("2026-03-01 12:00:00"),
        frame("2026-03-01T12:00:00.000000"),
    ]

    for one in found:
        assert one.select(moments("at", one.schema["at"])).item() == NOON
    day = frame(date(2026, 3, 1))
    midnight = NOON.replace(hour=0)
    assert day.select(moments("at", day.schema["at"])).item() == midnight
    text = frame("2026-03-01")
    assert text.select(moments("at", text.schema["at"])).item() == midnight


def test_rows_from_the_bound_on_are_read_and_those_without_a_moment() -> None:
    which = since(BEFORE, HOUR_S)
    late, at, early = NOON, NOON - timedelta(hours=1), NOON - timedelta(hours=2)

    assert which.bound == at
    assert read(frame(late, at, early, None), which) == [late, at, None]
    texts = ("2026-03-01 11:00:00", "2026-03-01 10:59:59", "yesterday", "", None)
    assert read(frame(*texts), which) == [texts[0], "yesterday", "", None]


@pytest.mark.parametrize("kind", ["day", "text"])
def test_a_moment_that_may_be_a_day_is_read_from_its_midnight_on(kind: str) -> None:
    which = since(replace(BEFORE, kind=kind), HOUR_S)
    days = (date(2026, 3, 1), date(2026, 2, 28))

    assert which.bound == NOON.replace(hour=0)
    assert read(frame(*days), which) == [days[0]]
    assert read(frame(*map(str, days)), which) == [str(days[0])]


def test_a_column_that_tells_nothing_leaves_nothing_out() -> None:
    assert read(frame(1, 2), since(BEFORE, 0.0)) == [1, 2]
    other = pl.DataFrame({"x": [1]})
    assert other.filter(since(BEFORE, 0.0).rows(other.schema)).height == 1


def test_a_lag_beyond_all_times_reads_everything() -> None:
    mark = Watermark("at", "local", "0001-01-02T00:00:00", "s")

    assert since(mark, 10.0 * HOUR_S * 24).bound.year == 1


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (MomentKind.INSTANT, "\"a\" >= TIMESTAMPTZ '2026-03-01 12:00:00.000000+00'"),
        (MomentKind.LOCAL, "\"a\" >= TIMESTAMP '2026-03-01 12:00:00.000000'"),
        (MomentKind.DAY, "\"a\" >= DATE '2026-03-01'"),
    ],
)
def test_the_condition_of_a_query(kind: MomentKind, words: str) -> None:
    assert Since("a", kind, NOON).condition('"a"') == f'{words} OR "a" IS NULL'


def test_texts_are_compared_by_us_alone() -> None:
    assert Since("a", MomentKind.TEXT, NOON).condition('"a"') is None


def test_the_highest_moment_is_one_that_is_over() -> None:
    now_s = NOON.replace(tzinfo=UTC).timestamp()
    found = frame(NOON - timedelta(days=1), NOON, NOON + timedelta(days=1), None)

    assert found.select(highest("at", found.schema["at"], now_s)).item() == NOON
    none = frame(None, dtype=pl.Date())
    assert none.select(highest("at", none.schema["at"], now_s)).item() is None


@pytest.mark.parametrize(
    ("is_whole", "is_confirmed", "then"),
    [
        (True, True, AFTER),
        (False, True, AFTER),
        (False, False, BEFORE),
        (True, False, None),
    ],
)
def test_a_watermark_moves_with_what_is_confirmed(
    *, is_whole: bool, is_confirmed: bool, then: Watermark | None
) -> None:
    assert kept(BEFORE, AFTER, is_whole=is_whole, is_confirmed=is_confirmed) == then


@given(
    rows=st.lists(st.integers(0, 500), max_size=30),
    touched=st.lists(st.integers(0, 29), max_size=10),
    lag_s=st.integers(0, 100),
    late_s=st.integers(0, 150),
)
def test_what_is_touched_within_the_lag_is_never_left_out(
    rows: list[int], touched: list[int], lag_s: int, late_s: int
) -> None:
    """A row becomes visible at most so much later than its moment says."""
    at = [NOON + timedelta(seconds=second) for second in rows]
    confirmed = frame(*at, dtype=pl.Datetime("us"))
    top = confirmed.select(highest("at", pl.Datetime("us"), 4e9)).item()
    if top is None:
        return
    mark = Watermark("at", "local", top.isoformat(), "s")
    now = top + timedelta(seconds=1)
    news = [now - timedelta(seconds=late_s) for _ in touched]
    found = frame(*news, dtype=pl.Datetime("us"))
    n_read = found.filter(since(mark, float(lag_s)).rows(found.schema)).height

    assert n_read == (len(news) if late_s <= lag_s + 1 else 0)


def test_a_watermark_comes_back_as_it_was_written() -> None:
    told = {"column": "at", "kind": "local", "value": BEFORE.value, "shape": "s"}

    assert watermark_of(told) == BEFORE
    assert watermark_of(None) is None
    with pytest.raises(TypeError):
        watermark_of({"x": ""})
