"""Throughput and latency are those of the attempts, whatever their number."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.journal_tables import Attempt
from pipeline.records import BatchState
from pipeline.report.document import Stroke
from pipeline.report.pace import in_seconds, pace_charts
from report_samples import attempts

OK = BatchState.ACCEPTED


def n_accepted(given_attempts: tuple[Attempt, ...]) -> int:
    return sum(a.n_rows for a in given_attempts if a.state is OK)


def test_without_an_answer_there_is_nothing_to_draw() -> None:
    assert pace_charts(()) == ()
    assert pace_charts((Attempt(1.0, None, 5, None),)) == ()


def test_few_answers_are_drawn_as_they_add_up() -> None:
    rows, times = pace_charts(
        (Attempt(100.0, 101.0, 10, OK), Attempt(100.5, 100.7, 5, BatchState.UNKNOWN))
    )

    assert rows.title == "Rows accepted so far"
    (came,) = rows.series
    assert [y for _, y in came.points] == [0, 10]
    assert [x for x, _ in came.points] == pytest.approx([0.7, 1.0])
    assert rows.words.startswith("10 rows in accepted batches in 1.0 s: 10 a second")
    dots = [point for series in times.series for point in series.points]
    assert [x for x, _ in dots] == pytest.approx([1.0, 0.7])
    assert [y for _, y in dots] == pytest.approx([1.0, 0.2])
    assert len(times.series) == 2


@given(st.integers(24, 700))
def test_the_rates_add_up_to_the_rows(n: int) -> None:
    given_attempts = attempts(n + 1)
    rows, times = pace_charts(given_attempts)
    (rates,) = rows.series
    width_s = rates.points[0][0] * 2

    assert rows.title == "Rows accepted a second"
    assert len(rates.points) <= 60
    assert sum(rate for _, rate in rates.points) * width_s == pytest.approx(
        n_accepted(given_attempts)
    )
    assert {s.stroke for s in times.series} == (
        {Stroke.DOTS} if n <= 300 else {Stroke.LINE, Stroke.DASHED}
    )


def test_a_clock_that_was_set_back_gives_no_negative_time() -> None:
    _, times = pace_charts((Attempt(100.0, 99.0, 1, OK), Attempt(100.0, 100.0, 1, OK)))

    assert all(y >= 0 for s in times.series for _, y in s.points)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (0.0421, "42 ms"),
        (1.25, "1.2 s"),
        (119.0, "119.0 s"),
        (200.0, "3 min 20 s"),
        (7300.0, "2 h 1 min"),
    ],
)
def test_a_time_has_a_unit(seconds: float, told: str) -> None:
    assert in_seconds(seconds) == told
