"""
Bars as an SVG file that needs nothing else: no library, no script, no font of its own.

It is shown by `<img>`, so it carries its colours for light and dark with it, and says
all of its figures in text.
"""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

WIDE: Final = 860
LABELS_WIDE: Final = 340
FIGURES_WIDE: Final = 90
TOP: Final = 76
GROUP_HIGH: Final = 44
BAR_HIGH: Final = 14
MARGIN: Final = 16
# Each colour keeps 4.5 : 1 against its paper; ours is told by weight too.
STYLE: Final = """\
text { font: 14px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
.paper { fill: #ffffff } .ink { fill: #1c2026 } .soft { fill: #59606b }
.first { fill: #2b6a9b } .second { fill: #96610f } .ours { font-weight: 700 }
.title { font-size: 16px }
@media (prefers-color-scheme: dark) {
.paper { fill: #13161a } .ink { fill: #e7e5df } .soft { fill: #a4abb5 }
.first { fill: #78b4e3 } .second { fill: #dca74c }
}"""


@dataclass(frozen=True, slots=True)
class Bar:
    """A side, and a length for each of the two measures."""

    label: str
    figures: tuple[float, float]


def chart(title: str, measures: tuple[str, str], bars: Sequence[Bar]) -> str:
    """
    Return a picture of pairs of bars, the first pair being ours.

    Args:
        measures: What the two bars of a pair are.
    """
    high = TOP + GROUP_HIGH * len(bars) + MARGIN
    longest = max((max(bar.figures) for bar in bars), default=0.0) or 1.0
    room = WIDE - LABELS_WIDE - FIGURES_WIDE - 2 * MARGIN
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}"',
        f'width="{WIDE}" height="{high}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{WIDE}" height="{high}" rx="8"/>',
        _text(MARGIN, 30, title, "ink title ours"),
        *_key(measures),
    ]
    for number, bar in enumerate(bars):
        drawn += _pair(bar, number, room / longest)
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _key(measures: tuple[str, str]) -> Iterator[str]:
    for number, (name, role) in enumerate(
        zip(measures, ("first", "second"), strict=True)
    ):
        left = MARGIN + 90 * number
        yield f'<rect class="{role}" x="{left}" y="44" width="14" height="14" rx="2"/>'
        yield _text(left + 20, 56, name, "soft")


def _pair(bar: Bar, number: int, scale: float) -> Iterator[str]:
    top = TOP + GROUP_HIGH * number
    weight = " ours" if number == 0 else ""
    yield _text(MARGIN, top + BAR_HIGH + 5, bar.label, f"ink{weight}")
    left = MARGIN + LABELS_WIDE
    for place, (figure, role) in enumerate(
        zip(bar.figures, ("first", "second"), strict=True)
    ):
        upper = top + (BAR_HIGH + 2) * place
        wide = max(1.0, figure * scale)
        yield (
            f'<rect class="{role}" x="{left}" y="{upper}" width="{wide:.1f}" '
            f'height="{BAR_HIGH}" rx="2"/>'
        )
        told = f"{figure:.1f} s"
        yield _text(left + wide + 8, upper + BAR_HIGH - 2, told, f"soft{weight}")


def _text(x: float, y: float, words: str, role: str) -> str:
    return f'<text class="{role}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
