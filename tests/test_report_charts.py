"""Bars and lines: what is drawn is in proportion, and nothing is lost from sight."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.report.charts import in_time, nice_above, nice_span, plot, share_bar
from pipeline.report.document import LineChart, Part, Role, Series, Stroke

PARTS = st.lists(st.integers(0, 10**7), min_size=1, max_size=8).filter(any)


def widths(markup: str) -> list[float]:
    return [float(n) for n in re.findall(r'width="([\d.]+)%" height="100%"', markup)]


@given(PARTS)
def test_a_bar_is_as_long_as_its_parts(numbers: list[int]) -> None:
    parts = [Part("x", n, Role.GOOD) for n in numbers]
    drawn = widths(share_bar(parts, sum(numbers), is_labelled=False))

    assert len(drawn) == sum(n > 0 for n in numbers)
    assert sum(drawn) == pytest.approx(100, abs=3.5)
    assert min(drawn) > 0.38


def test_a_bar_may_leave_a_rest_and_names_large_parts() -> None:
    bar = share_bar([Part("x", 48, Role.GOOD)], 100, is_labelled=True)

    assert widths(bar) == [48.0]
    assert ">48 %</text>" in bar
    assert "text" not in share_bar([Part("x", 5, Role.BAD)], 100, is_labelled=True)


@given(st.floats(1e-6, 1e12))
def test_an_axis_ends_at_a_round_number(highest: float) -> None:
    top = nice_above(highest)

    assert highest <= top <= highest * 2.5 * 1.0001


def test_an_axis_without_a_value_has_a_length_too() -> None:
    assert nice_above(0) == 1


@pytest.mark.parametrize(
    ("span_s", "length_s", "told"),
    [
        (0.17, 0.2, "0.2 s"),
        (90, 100, "100 s"),
        (150, 180, "3 min"),
        (3500, 3600, "60 min"),
        (7000, 7200, "2 h"),
        (8000, 14400, "4 h"),
    ],
)
def test_time_is_told_in_its_unit(span_s: float, length_s: float, told: str) -> None:
    assert nice_span(span_s) == pytest.approx(length_s)
    assert in_time(nice_span(span_s)) == told


@pytest.mark.parametrize(
    ("stroke", "path"),
    [
        (Stroke.LINE, "M0.0 100.00 L500.0 0.00"),
        (Stroke.DASHED, "M0.0 100.00 L500.0 0.00"),
        (Stroke.DOTS, "M0.0 100.00h0.01 M500.0 0.00h0.01"),
        (Stroke.STEPS, "M0 100 H0.0V100.00 H500.0V0.00 H1000"),
    ],
)
def test_a_series_is_drawn_to_scale(stroke: Stroke, path: str) -> None:
    series = Series("x", ((0.0, 0.0), (5.0, 5.0)), stroke, Role.GOOD)
    drawn = plot(LineChart("t", "words for who listens", (series,), 10.0))

    assert f'd="{path}"' in drawn
    assert 'aria-label="words for who listens"' in drawn


def test_a_chart_without_a_point_is_an_empty_frame() -> None:
    drawn = plot(LineChart("t", "w", (Series("x", (), Stroke.LINE, Role.GOOD),), 0.5))

    assert 'd="M0 0"' in drawn


@pytest.mark.parametrize("stroke", list(Stroke))
def test_a_series_of_many_points_is_drawn_to_its_end(stroke: Stroke) -> None:
    points = tuple((float(n), float(n)) for n in range(1, 301))
    series = Series("a", points, stroke, Role.GOOD)
    (path,) = re.findall(r' d="([^"]*)"', plot(LineChart("T", "w", (series,), 300)))

    assert not re.search(r"[^MLHVh\d. ]", path)
    assert len(re.findall(r"(?:M|L|H)\d", path)) >= 300
