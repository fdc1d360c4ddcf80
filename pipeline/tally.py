"""The counts of a delivery: while they change, and as a report."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.records import BatchState
from pipeline.verdict import ANOMALIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pipeline.client import Client
    from pipeline.records import Verdict


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """
    Counts of a delivery, so far or at its end.

    `rows_accepted + rows_rejected + rows_pending` are the rows of the batches that
    were taken and are through; rows that were never taken are pending as well and are
    known to the journal's reader alone.

    Attributes:
        n_batches: Planned ones, their parts not counted.
        n_requests: Requests begun, logins and repetitions included.
        n_retried: Attempts after the first of a batch.
        n_anomalies: Accepted batches whose 202 had a body that speaks of errors, or
            one that broke off.
        statuses: Status → how often it came back, logins included.
        bytes_sent: Bodies, repetitions included.
    """

    n_batches: int = 0
    rows_accepted: int = 0
    rows_rejected: int = 0
    rows_pending: int = 0
    n_requests: int = 0
    n_retried: int = 0
    n_anomalies: int = 0
    statuses: Mapping[int, int] | None = None
    bytes_sent: int = 0
    seconds: float = 0.0


class Tally:
    """
    The counts, while they change.

    Attributes:
        rows: By the state their batches ended in.
        left: Why rows of batches were left pending → rows; of the running delivery.
    """

    def __init__(self, client: Client, now: Callable[[], float]) -> None:
        self._client = client
        self._now = now
        self._began_s = now()
        self._before = (client.n_requests, client.n_bytes, client.statuses.copy())
        self.n_batches = 0
        self.n_retried = 0
        self.n_anomalies = 0
        self.rows: Counter[BatchState] = Counter()
        self.left: Counter[str] = Counter()

    def note(self, verdict: Verdict) -> None:
        """Count what is odd about an answer."""
        self.n_anomalies += verdict.code in ANOMALIES

    def report(self) -> DeliveryReport:
        """Return the counts as they are now."""
        n_requests, n_bytes, statuses = self._before
        return DeliveryReport(
            n_batches=self.n_batches,
            rows_accepted=self.rows[BatchState.ACCEPTED],
            rows_rejected=self.rows[BatchState.REJECTED],
            rows_pending=self.rows[BatchState.PENDING],
            n_requests=self._client.n_requests - n_requests,
            n_retried=self.n_retried,
            n_anomalies=self.n_anomalies,
            statuses=dict(sorted((self._client.statuses - statuses).items())),
            bytes_sent=self._client.n_bytes - n_bytes,
            seconds=self._now() - self._began_s,
        )
