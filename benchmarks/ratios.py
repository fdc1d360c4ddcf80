"""
Ratios of today against those of the baseline.

A ratio is what the tool costs over what a yardstick costs, both measured within the
same second: it is about the tool, and hardly about the machine. More is worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from benchmarks.report import table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# Three quick checks of an unchanged tree, on two cores with loads from 5 to 20, ended
# at most 13 % above a baseline made at a load of 7, one of them after its second look.
# One more pass over the text of every row in the encoder was 20 % above, and failed.
TOLERANCE: Final = 0.15
# Quick checks run where nobody keeps a machine quiet, and perhaps on another processor
# than the one of the baseline: they are to see what became a third slower.
QUICK_TOLERANCE: Final = 0.3


@dataclass(frozen=True, slots=True)
class Drift:
    """
    One ratio, then and now.

    Attributes:
        was: Of the baseline; None for a ratio it does not have.
        now: The middle of several; None for one that is not measured any more.
        tolerance: How much slower is no matter, as a share.
    """

    name: str
    was: float | None
    now: float | None
    tolerance: float = TOLERANCE

    @property
    def change(self) -> float:
        """By how much more it costs, as a share; 0 with nothing to compare."""
        if self.was is None or self.now is None:
            return 0.0
        return self.now / self.was - 1

    @property
    def verdict(self) -> str:
        """What it means: `ok`, `slower`, `faster`, `new` or `gone`."""
        if self.was is None:
            return "new"
        if self.now is None:
            return "gone"
        if self.change > self.tolerance:
            return "slower"
        return "faster" if self.change < -self.tolerance else "ok"


def middles(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the median of each ratio over all rounds; a round may lack some."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return {
        name: median(each[name] for each in rounds if name in each) for name in names
    }


def drifts(
    was: Mapping[str, float],
    now: Mapping[str, float],
    tolerance: float = TOLERANCE,
) -> list[Drift]:
    """Return every ratio of either side, in the order of the baseline."""
    names = dict.fromkeys((*was, *now))
    return [Drift(name, was.get(name), now.get(name), tolerance) for name in names]


def failing(found: Sequence[Drift]) -> list[Drift]:
    """Return what ends a check: slower ones, and those that one side lacks."""
    return [drift for drift in found if drift.verdict in ("slower", "new", "gone")]


def told(found: Sequence[Drift]) -> str:
    """Return a table for people."""
    rows = [
        (
            drift.name,
            "–" if drift.was is None else f"{drift.was:.3f}",
            "–" if drift.now is None else f"{drift.now:.3f}",
            f"{drift.change:+.1%}",
            drift.verdict,
        )
        for drift in found
    ]
    return table(("ratio", "baseline", "now", "change", "verdict"), rows)
