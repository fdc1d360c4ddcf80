"""
Whether a plan looks like a night as others were; pure arithmetic.

A guard that trips stops `sync` before anything is sent. It looks at the source as a
whole: how many rows, how many of them changed, which fields were lost. What is usual is
the middle of the last nights; the first night has nothing to be compared with.
"""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pipeline.delta.plan import Figures, Night
    from pipeline.settings_sync import GuardSettings

# A share of fewer rows is chance.
LEAST_ROWS: Final = 20
USUAL_NIGHTS: Final = 7


def judge(
    figures: Figures,
    nights: Sequence[Night],
    guards: GuardSettings,
    *,
    is_full: bool = False,
    is_whole: bool = True,
) -> tuple[str, ...]:
    """
    Return what is wrong with a plan, in words with the key that decides it.

    Args:
        nights: That were applied before, the oldest first.
        is_full: Every row was asked for, so their number says nothing.
        is_whole: Whether the whole source was read; of a part, most of which changed,
            only what differs from all that is known can be unusual.
    """
    usual = nights[-USUAL_NIGHTS:]
    trips = list(_odd_values(figures))
    if usual:
        if is_whole:
            trips += _row_count(figures, usual, guards)
            trips += _unsendable(figures, usual, guards)
            trips += _blank(figures, usual, guards)
        trips += _lost(figures, usual, guards)
        if figures.n_known and not is_full:
            n_persons = figures.n_persons
            trips += _changed(
                figures,
                n_persons if is_whole else max(n_persons, figures.n_known),
                guards,
            )
    return tuple(trips)


def too_many_deletes(n_deletes: int, max_deletes: int) -> str:
    """Say that a plan deletes more profiles than it may."""
    are_deleted = counted(n_deletes, "profile")
    return f"{are_deleted} would be deleted: more than {max_deletes:,} (max_deletes)"


def _row_count(
    figures: Figures, usual: Sequence[Night], guards: GuardSettings
) -> Iterator[str]:
    before = median(night.n_read for night in usual)
    told = f"the source has {figures.n_read:,} rows, and {before:,.0f} are usual"
    if figures.n_read < guards.least_rows * before:
        yield f"{told}: less than {guards.least_rows:g} of them (least_rows)"
    if figures.n_read > guards.most_rows * before + LEAST_ROWS:
        yield f"{told}: more than {guards.most_rows:g} times as many (most_rows)"


def _unsendable(
    figures: Figures, usual: Sequence[Night], guards: GuardSettings
) -> Iterator[str]:
    """Rows that are blocked, or folded into others: bad values, and duplicates."""
    before = median(1 - _share(night.n_persons, night.n_read) for night in usual)
    n_left = figures.n_read - figures.n_persons
    share = _share(n_left, figures.n_read)
    if n_left >= LEAST_ROWS and share > before + guards.max_unsendable:
        yield (
            f"{share:.0%} of the rows are blocked or folded, and {before:.0%} are "
            f"usual: more than {guards.max_unsendable:g} above it (max_unsendable)"
        )


def _changed(figures: Figures, n_persons: int, guards: GuardSettings) -> Iterator[str]:
    share = _share(figures.n_planned, n_persons)
    if figures.n_planned >= LEAST_ROWS and share > guards.max_changed:
        yield (
            f"{share:.0%} of the persons are new or changed: more than "
            f"{guards.max_changed:g} (max_changed)"
        )


def _lost(
    figures: Figures, usual: Sequence[Night], guards: GuardSettings
) -> Iterator[str]:
    for name in sorted({*figures.given_fields, *usual[-1].given_fields}):
        n_had = usual[-1].given_fields.get(name, 0)
        n_lost = figures.lost_fields.get(name, 0)
        if n_lost >= LEAST_ROWS and n_lost > guards.max_lost * n_had:
            yield (
                f"{n_lost:,} of the {n_had:,} persons with {name} lost it: more than "
                f"{guards.max_lost:g} (max_lost)"
            )


def _blank(
    figures: Figures, usual: Sequence[Night], guards: GuardSettings
) -> Iterator[str]:
    for name in sorted({*figures.given_fields, *usual[-1].given_fields}):
        before = median(
            1 - _share(night.given_fields.get(name, 0), night.n_persons)
            for night in usual
        )
        n_null = figures.n_persons - figures.given_fields.get(name, 0)
        share = _share(n_null, figures.n_persons)
        if n_null >= LEAST_ROWS and share > before + guards.max_null_rise:
            yield (
                f"{name} is blank in {share:.0%} of the rows, and in {before:.0%} "
                f"usually: more than {guards.max_null_rise:g} above it (max_null_rise)"
            )


def _odd_values(figures: Figures) -> Iterator[str]:
    for name, n_rows in figures.odd_values.items():
        yield (
            f"{n_rows:,} rows have a value of {name} that is not among those that are "
            "accepted (accepted_values)"
        )


def _share(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
