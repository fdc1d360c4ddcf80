"""How a delivery is to be done: pace, bounds, what to continue, how to stop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from pipeline.contract import DEFAULT_BATCH_BYTES
from pipeline.retrying import SYSTEM_CLOCK
from pipeline.settings import DEFAULT_MAX_WAIT_S
from pipeline.splitting import ByteTarget
from pipeline.stopping import StopSignal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.resuming import ResumePlan
    from pipeline.retrying import Clock
    from pipeline.settings import DeliverySettings
    from pipeline.turnstile import SharedLimiter

LEAST_MAX_REJECTS: Final = 100
MAX_REJECTED_SHARE: Final = 100  # one row of so many


@dataclass(frozen=True, slots=True)
class Terms:
    """
    How a delivery is to be done.

    Attributes:
        concurrency: Requests in flight, fixed; None lets it find its own number.
        rate: Requests a second at most.
        max_wait_s: How long the service may be down, or ask to wait, before the run
            ends with its rows pending.
        max_duration_s: How long the delivery may take in all.
        max_rejects: Rows the service may refuse before the run stops.
        target: How large a body may be; lowered here, read where batches are made.
        stop: Asks the run to stop.
        clock: Time, sleep and chance.
        attempts: Batch number → attempts made before an interruption.
        suspects: Batches to be sent in halves at once.
        next_child_no: Number of the first part; the journal's next one if None.
        shared: A limiter that other processes obey, in place of *rate*.
    """

    concurrency: int | None = None
    rate: float | None = None
    max_wait_s: float = DEFAULT_MAX_WAIT_S
    max_duration_s: float | None = None
    max_rejects: int | None = None
    target: ByteTarget = field(default_factory=lambda: ByteTarget(DEFAULT_BATCH_BYTES))
    stop: StopSignal = field(default_factory=StopSignal)
    clock: Clock = SYSTEM_CLOCK
    attempts: Mapping[int, int] = field(default_factory=dict)
    suspects: frozenset[int] = frozenset()
    next_child_no: int | None = None
    shared: SharedLimiter | None = None


def most_rejects(told: int | None, n_rows: int) -> int:
    """
    Return how many rows the service may refuse before the run stops.

    Args:
        told: By the operator.
        n_rows: That are to be sent; a hundredth of them is borne, and 100 always.
    """
    if told is not None:
        return told
    return max(LEAST_MAX_REJECTS, n_rows // MAX_REJECTED_SHARE)


def terms_of(
    delivery: DeliverySettings,
    n_rows: int,
    *,
    resumed: ResumePlan | None,
    stop: StopSignal,
    clock: Clock,
) -> Terms:
    """
    Return how a run is to be delivered, or what is left of it.

    Args:
        n_rows: All rows of the run that can be sent.
        resumed: What of it was recorded before; rows that were refused then count
            against the bound of refusals.
    """
    most = most_rejects(delivery.max_rejects, n_rows)
    terms = Terms(
        delivery.concurrency,
        delivery.rate,
        delivery.max_wait,
        delivery.max_duration,
        most,
        target=ByteTarget(delivery.max_bytes),
        stop=stop,
        clock=clock,
    )
    if resumed is None:
        return terms
    return replace(
        terms,
        max_rejects=max(0, most - resumed.n_rejected),
        attempts=resumed.attempts,
        suspects=resumed.suspects,
        next_child_no=resumed.next_child_no,
    )
