"""A plan in numbers."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

from pipeline.delta.comparing import NEW, UNCHANGED
from pipeline.delta.plan import Figures

if TYPE_CHECKING:
    from pipeline.chunker import BatchLimits
    from pipeline.delta.knowing import Known
    from pipeline.delta.mirroring import Mirrored
    from pipeline.delta.modes import HeldBack
    from pipeline.delta.selecting import Counts


def figures_of(
    limits: BatchLimits,
    known: Known,
    held: HeldBack,
    counts: Counts,
    mirror: Mirrored,
) -> Figures:
    """
    Return what a plan would do, in numbers.

    Args:
        counts: Of the rows that were selected.
    """
    compared = held.compared
    n_requests = sum(
        max(ceil(n / limits.max_rows), ceil(counts.n_bytes[lane] / limits.max_bytes))
        for lane, n in counts.n_rows.items()
    )
    n_new, n_unchanged = compared.n_rows[NEW], compared.n_rows[UNCHANGED]
    return Figures(
        n_read=sum(map(len, compared.codes)),
        n_new=n_new,
        n_changed=compared.n_rows.total() - n_new - n_unchanged,
        n_unchanged=n_unchanged,
        n_vanished=compared.vanished.height,
        n_known=known.n_known,
        changed_fields=dict(compared.changed_fields),
        lost_fields=dict(compared.lost),
        given_fields=dict(compared.given),
        erased_fields=dict(+counts.erased),
        withdrawn=dict(+counts.withdrawn),
        granted=dict(+counts.granted),
        odd_values=dict(compared.odd),
        n_bytes=counts.n_bytes.total(),
        n_requests=n_requests,
        n_adopted=known.n_adopted,
        n_looked_up=held.n_looked_up,
        held_back=held.counts,
        n_deletes=mirror.deletes.height,
        n_kept=mirror.n_kept,
    )
