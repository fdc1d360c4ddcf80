"""
Pictures of a report: bars of parts, and lines over time, as SVG of our own.

They stretch with the page, so no text stands in a picture that stretches: labels are
HTML beside it. Every picture has its numbers in a table as well.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import TYPE_CHECKING, Final

from pipeline.report.document import Role, Series, Stroke
from pipeline.report.markup import Html, element, joined

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.report.document import LineChart, Part

LEAST_SHARE: Final = 0.004
LABELLED_SHARE: Final = 0.12
_WIDE: Final = 1000
_HIGH: Final = 100
_NICE: Final = (1, 2, 4, 5, 6, 8, 10)
_NICE_MINUTES: Final = 120
_NICE_HOURS: Final = 7200
_LONG_SPANS_S: Final = (120.0, 180.0, 240.0, 360.0, 480.0, 600.0, 900.0, 1200.0,
                        1800.0, 2400.0, 3600.0, 4800.0, 7200.0)  # fmt: skip
SHOWN_POINTS: Final = 60


def share_bar(parts: Sequence[Part], n_whole: int, *, is_labelled: bool) -> Html:
    """
    Return a bar of parts; a part too small to be seen is drawn wider.

    It is hidden from screen readers: the same numbers stand beside it in words.
    """
    shown = [part for part in parts if part.n]
    widths = [max(part.n / n_whole, LEAST_SHARE) for part in shown]
    excess = max(1.0, sum(widths))
    drawn: list[Html] = []
    left = 0.0
    for part, wide in zip(shown, widths, strict=True):
        width = wide / excess
        drawn.append(
            element(
                "rect", class_=f"fill-{part.role}", x=_percent(left), y=0,
                width=_percent(width), height="100%",
            )
        )  # fmt: skip
        if is_labelled and width >= LABELLED_SHARE:
            label = f"{100 * part.n / n_whole:.0f} %"
            place = {"x": _percent(left + width / 2), "y": "50%"}
            drawn.append(element("text", label, dy="0.35em", **place))
        left += width
    kind = "bar bar-tall" if is_labelled else "bar"
    return element("svg", *drawn, class_=kind, aria_hidden="true", focusable="false")


def swatch(role: Role) -> Html:
    """Return a small square in the colour of *role*."""
    square = element("rect", class_=f"fill-{role}", width="100%", height="100%", rx=2)
    return element("svg", square, class_="swatch", aria_hidden="true")


def key_of(series: Series) -> Html:
    """Return how *series* is drawn."""
    path = element(
        "path", class_=f"{_drawn_as(series)} stroke-{series.role}", d="M2 6H22"
    )
    return element("svg", path, class_="key", viewBox="0 0 24 12", aria_hidden="true")


def plot(chart: LineChart) -> Html:
    """Return lines over time with their axes."""
    highest = max((y for s in chart.series for _, y in s.points), default=0.0)
    top = nice_above(highest)
    span_s = nice_span(chart.span_s)
    lines = [
        element("line", x1=0, x2=_WIDE, y1=y, y2=y, class_="rule")
        for y in (0, _HIGH / 2, _HIGH)
    ]
    paths = [
        element(
            "path", class_=f"{_drawn_as(series)} stroke-{series.role}",
            d=_path(series, span_s, top),
        )
        for series in chart.series
    ]  # fmt: skip
    picture = element(
        "svg", *lines, *paths, class_="plot", viewBox=f"0 0 {_WIDE} {_HIGH}",
        preserveAspectRatio="none", role="img", aria_label=chart.words,
    )  # fmt: skip
    heights = (element("span", _short(top * part)) for part in (1, 0.5, 0))
    times = (element("span", in_time(span_s * part)) for part in (0, 0.5, 1))
    return joined(
        (
            element(
                "div",
                element("div", joined(heights), class_="heights", aria_hidden="true"),
                picture,
                class_="plot-box",
            ),
            element("div", joined(times), class_="times", aria_hidden="true"),
        )
    )


def nice_above(highest: float) -> float:
    """Return the next round number that is not below *highest*; 1 for 0."""
    if highest <= 0:
        return 1.0
    power = 10.0 ** floor(log10(highest))
    fitting = (step * power for step in _NICE if step * power >= highest)
    return next(fitting, 10 * power)


def nice_span(span_s: float) -> float:
    """Return a length of time that is not below *span_s* and reads well."""
    if span_s <= _NICE_MINUTES:
        return nice_above(span_s)
    return next((s for s in _LONG_SPANS_S if s >= span_s), ceil(span_s / 7200) * 7200.0)


def in_time(seconds: float) -> str:
    """Return a length of time as people say it."""
    if seconds < _NICE_MINUTES:
        return f"{seconds:g} s"
    if seconds < _NICE_HOURS:
        return f"{seconds / 60:g} min"
    return f"{seconds / 3600:g} h"


def _drawn_as(series: Series) -> str:
    return f"series series-{series.stroke}"


def _path(series: Series, span_s: float, top: float) -> Html:
    """Return the steps of a pen: numbers alone, so they are markup of any length."""
    places = [
        (_WIDE * x / span_s, _HIGH * (1 - min(y / top, 1.0))) for x, y in series.points
    ]
    if series.stroke is Stroke.DOTS:
        # A line of no length with a round end is a dot that no stretching distorts.
        return Html(" ".join(f"M{x:.1f} {y:.2f}h0.01" for x, y in places))
    if series.stroke is Stroke.STEPS:
        steps = " ".join(f"H{x:.1f}V{y:.2f}" for x, y in places)
        return Html(f"M0 {_HIGH} {steps} H{_WIDE}")
    line = " L".join(f"{x:.1f} {y:.2f}" for x, y in places)
    return Html(f"M{line or '0 0'}")


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:g}"  # noqa: PLR2004 - beyond it, fractions say nothing


def _percent(part: float) -> str:
    return f"{100 * part:.3f}%"
