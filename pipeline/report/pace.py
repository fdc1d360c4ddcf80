"""Throughput and latency over time, from what the journal holds of every attempt."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Final, TypeAlias

from pipeline.plain_text import counted
from pipeline.records import BatchState
from pipeline.report.document import LineChart, Role, Series, Stroke

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.journal_tables import Attempt

# Below it a rate says nothing: what has come so far is drawn instead.
LEAST_FOR_RATES: Final = 24
MOST_DOTS: Final = 300
MOST_BUCKETS: Final = 60
_ANSWERS_A_BUCKET: Final = 4
_LATE: Final = 0.95
# Seconds since the beginning, seconds it took, and what was sent.
_Answers: TypeAlias = "list[tuple[float, float, Attempt]]"


def pace_charts(attempts: Sequence[Attempt]) -> tuple[LineChart, ...]:
    """Return how fast rows were accepted and requests answered; none without any."""
    answered = [(a.answered_at, a) for a in attempts if a.answered_at is not None]
    if not answered:
        return ()
    began = min(attempt.sent_at for attempt in attempts)
    answers = sorted(
        (
            (at - began, max(at - attempt.sent_at, 0.0), attempt)
            for at, attempt in answered
        ),
        key=lambda answer: answer[0],
    )
    span_s = max(answers[-1][0], 0.001)
    return _throughput(answers, span_s), _latency(answers, span_s)


def _throughput(answers: _Answers, span_s: float) -> LineChart:
    came = [(at_s, _accepted_rows(attempt)) for at_s, _, attempt in answers]
    n_rows = sum(n for _, n in came)
    words = (
        f"{counted(n_rows, 'row')} in accepted batches in {in_seconds(span_s)}: "
        f"{n_rows / span_s:,.0f} a second on average"
    )
    if len(answers) < LEAST_FOR_RATES:
        total, points = 0, []
        for at_s, n in came:
            total += n
            points.append((at_s, float(total)))
        series = Series("rows", tuple(points), Stroke.STEPS, Role.GOOD)
        return LineChart("Rows accepted so far", f"{words}.", (series,), span_s)
    n_buckets = min(MOST_BUCKETS, ceil(len(answers) / _ANSWERS_A_BUCKET))
    width_s = span_s / n_buckets
    sums = [0] * n_buckets
    for at_s, n in came:
        sums[min(int(at_s / width_s), n_buckets - 1)] += n
    rates = tuple(
        ((number + 0.5) * width_s, n / width_s) for number, n in enumerate(sums)
    )
    words += (
        f", {max(rate for _, rate in rates):,.0f} in the best "
        f"{in_seconds(width_s)}, {min(rate for _, rate in rates):,.0f} in the worst."
    )
    series = Series("rows/s", rates, Stroke.LINE, Role.GOOD)
    return LineChart("Rows accepted a second", words, (series,), span_s)


def _latency(answers: _Answers, span_s: float) -> LineChart:
    times = sorted(took_s for _, took_s, _ in answers)
    words = (
        f"{counted(len(times), 'answer')}: half of them within "
        f"{in_seconds(_at(times, 0.5))}, 95 of 100 within "
        f"{in_seconds(_at(times, _LATE))}, the slowest after {in_seconds(times[-1])}."
    )
    series = (
        _dots(answers) if len(answers) <= MOST_DOTS else _quantiles(answers, span_s)
    )
    return LineChart("Seconds to an answer", words, series, span_s, decimals=3)


def _dots(answers: _Answers) -> tuple[Series, ...]:
    kinds: tuple[tuple[str, Role, bool], ...] = (
        ("accepted", Role.GOOD, True),
        ("another answer, or none to trust", Role.BAD, False),
    )
    drawn = []
    for label, role, is_accepted in kinds:
        points = tuple(
            (at_s, took_s)
            for at_s, took_s, attempt in answers
            if (attempt.state is BatchState.ACCEPTED) is is_accepted
        )
        if points:
            drawn.append(Series(label, points, Stroke.DOTS, role))
    return tuple(drawn)


def _quantiles(answers: _Answers, span_s: float) -> tuple[Series, ...]:
    buckets: dict[int, list[float]] = {}
    width_s = span_s / MOST_BUCKETS
    for at_s, took_s, _ in answers:
        number = min(int(at_s / width_s), MOST_BUCKETS - 1)
        buckets.setdefault(number, []).append(took_s)
    ordered = [(number, sorted(took)) for number, took in sorted(buckets.items())]
    return tuple(
        Series(
            label,
            tuple(((n + 0.5) * width_s, _at(took, part)) for n, took in ordered),
            stroke,
            Role.PLANNED,
        )
        for label, part, stroke in (
            ("half within", 0.5, Stroke.LINE),
            ("95 of 100 within", _LATE, Stroke.DASHED),
        )
    )


def _accepted_rows(attempt: Attempt) -> int:
    return attempt.n_rows if attempt.state is BatchState.ACCEPTED else 0


def _at(ordered: Sequence[float], part: float) -> float:
    """Return the smallest value that *part* of them do not exceed."""
    return ordered[max(ceil(part * len(ordered)) - 1, 0)]


def in_seconds(seconds: float) -> str:
    """Return a length of time with two or three digits that mean something."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:  # noqa: PLR2004 - two minutes
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
