"""
Which rows to look at when not all can be, and what the look says about all of them.

Strata are the shapes of identifiers: a row with two of them can meet two profiles, so
such rows get at least half of a sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, exp, lgamma, log, log1p
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The identifiers that a row has, in a fixed order.
Shape = tuple[str, ...]

CONFIDENCE: Final = 0.95
_STEPS: Final = 100  # of a bisection: more than a double can tell apart


@dataclass(frozen=True, slots=True)
class Stratum:
    """
    What is known of one shape.

    Attributes:
        n_rows: Of this shape in all.
        n_asked: Rows looked at, with an answer that will not change.
        n_wrong: Of these.
    """

    n_rows: int
    n_asked: int
    n_wrong: int


def allocate(sizes: Mapping[Shape, int], n_rows: int) -> dict[Shape, int]:
    """
    Share out a sample; every shape gets a row, as far as they reach.

    Args:
        sizes: Shape → rows there are.
        n_rows: Of the sample; all rows when there are fewer.
    """
    linked = {shape: n for shape, n in sizes.items() if len(shape) > 1}
    single = {shape: n for shape, n in sizes.items() if len(shape) <= 1}
    n_all, n_linked = sum(sizes.values()), sum(linked.values())
    if n_all <= n_rows:
        return dict(sizes)
    fair = min(ceil(n_rows * n_linked / n_all), n_rows - len(single))
    n_first = min(n_linked, max(fair, ceil(n_rows / 2)))
    n_first = max(n_first, n_rows - (n_all - n_linked))
    return {**_shared(linked, n_first), **_shared(single, n_rows - n_first)}


def _shared(sizes: Mapping[Shape, int], n_rows: int) -> dict[Shape, int]:
    """Share out: one each, the largest first, then by size and largest remainder."""
    shapes = sorted(sizes, key=lambda shape: (-sizes[shape], shape))
    given = {shape: int(n < n_rows) for n, shape in enumerate(shapes)}
    n_left = n_rows - sum(given.values())
    n_others = sum(sizes.values()) - len(shapes)
    if n_left <= 0 or n_others <= 0:
        return given
    shares = {shape: n_left * (sizes[shape] - 1) / n_others for shape in shapes}
    for shape in shapes:
        given[shape] += int(shares[shape])
    by_need = sorted(shapes, key=lambda shape: int(shares[shape]) - shares[shape])
    for shape in by_need[: n_rows - sum(given.values())]:
        given[shape] += 1
    return given


def wrong_share_at_most(strata: Sequence[Stratum]) -> float:
    """
    Return an upper bound of the share of wrong rows, at 95 % confidence; 1 of nothing.

    Exact when all rows were asked. With nothing wrong it is the largest share that
    would still show itself nowhere in one sample of 20 (0.99 % for 300 rows); else the
    bounds of Clopper and Pearson (1934), each at its part of the 5 %.
    """
    known = [stratum for stratum in strata if stratum.n_rows]
    n_all = sum(stratum.n_rows for stratum in known)
    if not n_all:
        return 1.0
    if all(stratum.n_asked == stratum.n_rows for stratum in known):
        return sum(stratum.n_wrong for stratum in known) / n_all
    weights = [stratum.n_rows / n_all for stratum in known]
    if not any(stratum.n_wrong for stratum in known):
        return _unseen([stratum.n_asked for stratum in known], weights)
    alpha = (1 - CONFIDENCE) / len(known)
    return sum(
        weight * _binomial_bound(stratum.n_wrong, stratum.n_asked, alpha)
        for weight, stratum in zip(weights, known, strict=True)
    )


def _unseen(asked: Sequence[int], weights: Sequence[float]) -> float:
    """
    Return the largest weighted share with a chance of 5 % to be found nowhere.

    At the maximum, 1 - p of a stratum is proportional to asked / weight (Lagrange); the
    factor is found by bisection.
    """
    wanted = log(1 - CONFIDENCE)
    ratios = [n / weight for n, weight in zip(asked, weights, strict=True)]
    low, high = 0.0, 1.0 / max(min(ratios), 1e-9)
    for _ in range(_STEPS):
        factor = (low + high) / 2
        rest = [min(1.0, factor * ratio) for ratio in ratios]
        chance = sum(
            n * log(max(left, 1e-300)) for n, left in zip(asked, rest, strict=True) if n
        )
        low, high = (low, factor) if chance > wanted else (factor, high)
    rest = [min(1.0, high * ratio) if ratio else 0.0 for ratio in ratios]
    return sum(weight * (1 - left) for weight, left in zip(weights, rest, strict=True))


def _binomial_bound(n_wrong: int, n_asked: int, alpha: float) -> float:
    if n_wrong >= n_asked:
        return 1.0
    low, high = n_wrong / n_asked, 1.0
    for _ in range(_STEPS):
        share = (low + high) / 2
        low, high = (
            (share, high) if _at_most(n_wrong, n_asked, share) > alpha else (low, share)
        )
    return high


def _at_most(k: int, n: int, share: float) -> float:
    """Return the chance of *k* or fewer wrong rows among *n*."""
    return sum(
        exp(
            lgamma(n + 1)
            - lgamma(i + 1)
            - lgamma(n - i + 1)
            + (i * log(share) if i else 0.0)
            + (n - i) * log1p(-share)
        )
        for i in range(k + 1)
    )
