"""
What the store is told about time, and what it tells about requests.

Values only. The records are the server's truth, for tests to compare with what a
client believes; no value of any profile is in them.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True, slots=True)
class Clocks:
    """Two ways to ask for the time: `now` for waiting, `wall` for dates."""

    now: Callable[[], float]
    wall: Callable[[], float]


@dataclass(frozen=True, slots=True)
class RequestRecord:
    """
    One request as the server saw it, written when its answer was decided.

    Attributes:
        at_s: The moment of arrival on the sandbox's clock.
        name: Name of the endpoint, `unknown` when there was none.
        digest: SHA-256 of the body in hexadecimal.
        status: The status decided; 0 when the connection was torn before that.
        answered: False when the client never saw the status.
    """

    request_no: int
    at_s: float
    name: str
    digest: str
    n_bytes: int
    status: int
    answered: bool

    def to_row(self) -> tuple[Any, ...]:
        """Lay the record out in the order of its fields."""
        return (
            self.request_no,
            self.at_s,
            self.name,
            self.digest,
            self.n_bytes,
            self.status,
            self.answered,
        )


def request_record(row: tuple[Any, ...]) -> RequestRecord:
    """Read a request back from a row in the order of its fields."""
    request_no, at_s, name, digest, n_bytes, status, answered = row
    return RequestRecord(
        request_no, at_s, name, digest, n_bytes, status, bool(answered)
    )


@dataclass(frozen=True, slots=True)
class BatchRecord:
    """
    One batch request with what became of it.

    Attributes:
        n_items: Items accepted into the queue; 0 when the batch was refused.
        applied: Whether the queued items have been applied by now.
        effects: How many items were created, updated, merged, ignored or in
            conflict; empty until applied.
    """

    request_no: int
    at_s: float
    digest: str
    n_bytes: int
    n_items: int
    status: int
    answered: bool
    applied: bool
    effects: dict[str, int]


def batch_record(row: tuple[Any, ...]) -> BatchRecord:
    """Read a batch back from a row in the order of its fields."""
    request_no, at_s, digest, n_bytes, n_items, status, *flags, effects = row
    answered, applied = map(bool, flags)
    return BatchRecord(
        request_no=request_no,
        at_s=at_s,
        digest=digest,
        n_bytes=n_bytes,
        n_items=n_items,
        status=status,
        answered=answered,
        applied=applied,
        effects=json.loads(effects),
    )


@dataclass(frozen=True, slots=True)
class Taken:
    """
    What was accepted into the queue.

    Attributes:
        n_batches: With different bodies.
        n_items: Of these.
        n_items_again: Items of bodies that came once more.
    """

    n_batches: int
    n_items: int
    n_items_again: int


class TruthKind(Enum):
    """What the server knows to have happened to a request."""

    RECEIVED = "received"  # the whole body has arrived
    QUEUED = "queued"  # its writes wait to be applied
    LOST = "lost"  # its writes were accepted and never will be applied
    APPLIED = "applied"
    ANSWERED = "answered"  # the status is about to leave, as far as it ever will


@dataclass(frozen=True, slots=True)
class TruthEvent:
    """
    One line of the truth log.

    Attributes:
        at_s: The moment on the sandbox's clock.
        name: Name of the endpoint, `unknown` when there was none.
        digest: SHA-256 of the request body in hexadecimal.
        status: Of an answer; 0 for the other kinds.
    """

    at_s: float
    kind: TruthKind
    request_no: int
    name: str
    digest: str
    status: int


def truth_events(rows: Iterable[tuple[Any, ...]]) -> list[TruthEvent]:
    """
    Read the truth log back.

    Args:
        rows: `at_s, kind, request_no, name, digest, status`, in order; name and digest
            stand only where the request is received.
    """
    seen: dict[int, tuple[str, str]] = {}
    events = []
    for at_s, word, request_no, name, digest, status in rows:
        kind = TruthKind(word)
        if kind is TruthKind.RECEIVED:
            seen[request_no] = (name, digest)
        told = seen.get(request_no, ("unknown", ""))
        events.append(TruthEvent(at_s, kind, request_no, *told, status))
    return events
