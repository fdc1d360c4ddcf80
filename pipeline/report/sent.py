"""What a run sent, in a report: its pace, and what the service answered."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.plain_text import counted
from pipeline.report.document import (
    FieldBar,
    FieldBars,
    Part,
    Role,
    Section,
    Sentence,
    share,
)
from pipeline.report.pace import pace_charts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.journal_tables import Attempt
    from pipeline.report.document import Block


@dataclass(frozen=True, slots=True)
class Sent:
    """
    What went over the wire.

    Attributes:
        dataset: The name of the job, or the path of its source.
        statuses: Status → how often it came back.
        n_odd: Batches accepted with a body that speaks of errors, or broke off.
        attempts: Since the run began, or went on the last time.
    """

    workspace: str
    dataset: str
    n_requests: int
    n_retried: int
    n_bytes: int
    statuses: Mapping[int, int]
    n_odd: int = 0
    attempts: tuple[Attempt, ...] = ()


def pace_section(sent: Sent | None) -> tuple[Section, ...]:
    """Return throughput, latency and statuses, or nothing."""
    if sent is None:
        return ()
    blocks: list[Block] = [*pace_charts(sent.attempts)]
    n_cut_off = sum(attempt.answered_at is None for attempt in sent.attempts)
    if n_cut_off:
        batches = counted(n_cut_off, "attempt has", "attempts have")
        blocks.append(Sentence(f"{batches} no answer: the process ended before."))
    n_answers = sum(sent.statuses.values())
    if n_answers:
        lines = tuple(
            FieldBar(
                f"{status} {_STATUSES.get(status, '')}".rstrip(),
                n_answers,
                (Part("answers", n, _role_of(status)),),
                (f"{n:,}", share(n, n_answers)),
            )
            for status, n in sent.statuses.items()
        )
        blocks.append(
            FieldBars(
                "What the service answered.", "Status", "", ("Answers", "Share"), lines
            )
        )
    return (Section("Pace", tuple(blocks)),) if blocks else ()


_STATUSES: Final = {
    202: "accepted",
    207: "accepted in part",
    400: "refused",
    413: "too large",
    422: "refused",
    429: "asked for less",
    500: "failed",
    502: "failed",
    503: "not available",
    504: "took too long",
}


def _role_of(status: int) -> Role:
    if status < 300:  # noqa: PLR2004 - HTTP: done
        return Role.GOOD
    if status < 500:  # noqa: PLR2004 - HTTP: the request is at fault
        return Role.WARNING
    return Role.BAD
