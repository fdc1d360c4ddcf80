"""
What a reply means for a batch: one table, `TABLE`, read from top to bottom.

Sources: API 5.2 to 5.4 (202 means accepted; 207 and 400 are documented by old
descriptions only), API 7.3 (error bodies), RFC 9110 10.2.3 (Retry-After). Every status
and every fault has a verdict, documented or not, and none that may pass with time
rejects a row.

This module knows neither time nor transport; what HTTP libraries raise arrives here
as a `Fault`. What a verdict ends a run with is told in `endings`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.naming import read_naming
from pipeline.records import BatchState, Fault, Step, Verdict
from pipeline.retry_after import retry_after_s

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    from pipeline.naming import Naming
    from pipeline.records import Reply

OK: Final = 200
ACCEPTED: Final = 202
PARTLY: Final = 207
TOO_MANY: Final = 429
UNAUTHORISED: Final = (401, 403)
CONFLICTS: Final = frozenset({409, 423})
READ_ANSWERS: Final = frozenset({OK})
# Codes of this table beside `HTTP_<status>` and the names of faults.
ACCEPTED_BODY: Final = "ACCEPTED_BODY"
ACCEPTED_TORN: Final = "ACCEPTED_TORN"
REFUSED_CODE: Final = "REFUSED"  # codes of `contract.ROW_CODES`, as the next
TOO_LARGE_CODE: Final = "TOO_LARGE"
EXPIRED_CODE: Final = "TOKEN_EXPIRED"
ANOMALIES: Final = frozenset({ACCEPTED_BODY, ACCEPTED_TORN})

_EXPIRED_ERROR: Final = "Token expired."  # API 2.6, with its full stop
_TIMEOUTS: Final = frozenset({"READ_TIMEOUT", "WRITE_TIMEOUT", "DEADLINE"})


class Shape(StrEnum):
    """What the body of a reply is, as far as the table asks."""

    PLACED = "errors, each of a known row"
    UNPLACED = "errors, not all of a known row"
    EXPIRED = "says that the token has expired"
    TORN = "not complete"
    OTHER = "anything else"


class Size(StrEnum):
    """How many rows the request held."""

    ONE = "one row"
    MANY = "several rows"


@dataclass(frozen=True, slots=True)
class Rule:
    """
    One line of the table.

    Attributes:
        meaning: For people.
        statuses: That it is about; empty for a fault.
        fault: How the call ended without an answer; None for an answer.
        codes: Of the fault; empty for all of it.
        shapes: Of the body; empty for any.
        size: Of the request; None for any.
        code: Of the verdict; empty for `HTTP_<status>`, or the code of the fault.
        max_tries: As in `Verdict`.
    """

    meaning: str
    step: Step
    state: BatchState
    statuses: tuple[int, ...] | range = ()
    fault: Fault | None = None
    codes: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    size: Size | None = None
    code: str = ""
    max_tries: int | None = None

    def holds(self, status: int, shape: Shape, size: Size) -> bool:
        """Return whether it is about this answer."""
        return (
            self.fault is None
            and (not self.statuses or status in self.statuses)
            and (not self.shapes or shape in self.shapes)
            and self.size in (None, size)
        )


_ACCEPTED, _REJECTED = BatchState.ACCEPTED, BatchState.REJECTED
_PENDING, _UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN
_ERRORS: Final = (Shape.PLACED, Shape.UNPLACED)

# `unknown` where the service may have applied the batch before it answered so.
TABLE: Final[tuple[Rule, ...]] = (
    Rule(
        "accepted, but the body speaks of errors; counted as an anomaly",
        *(Step.DONE, _ACCEPTED),
        statuses=(ACCEPTED,),
        shapes=_ERRORS,
        code=ACCEPTED_BODY,
    ),
    Rule(
        "accepted; the body broke off behind the complete header",
        *(Step.DONE, _ACCEPTED),
        statuses=(ACCEPTED,),
        shapes=(Shape.TORN,),
        code=ACCEPTED_TORN,
    ),
    Rule("accepted", Step.DONE, _ACCEPTED, statuses=(ACCEPTED,)),
    Rule(
        "this row is refused",
        *(Step.REFUSED, _REJECTED),
        statuses=(PARTLY,),
        shapes=_ERRORS,
        size=Size.ONE,
        code=REFUSED_CODE,
    ),
    Rule(
        "the named rows are refused, the others accepted",
        *(Step.DONE, _ACCEPTED),
        statuses=(PARTLY,),
        shapes=(Shape.PLACED,),
    ),
    Rule(
        "the named rows are refused, of the others nothing is known: sent again in "
        "parts",
        *(Step.REFUSED, _UNKNOWN),
        statuses=(PARTLY,),
        shapes=(Shape.UNPLACED,),
    ),
    Rule(
        "some rows are refused, nobody knows which: sent again, then the run stops",
        *(Step.AGAIN, _UNKNOWN),
        statuses=(PARTLY,),
        max_tries=3,
    ),
    Rule(
        "this row is refused",
        *(Step.REFUSED, _REJECTED),
        statuses=(400, 422),
        size=Size.ONE,
        code=REFUSED_CODE,
    ),
    Rule(
        "the named rows are refused, the others sent again",
        *(Step.REFUSED, _PENDING),
        statuses=(400, 422),
        shapes=_ERRORS,
    ),
    Rule(
        "some row is refused: sent again in halves",
        *(Step.REFUSED, _PENDING),
        statuses=(400, 422),
    ),
    Rule(
        "the token has expired, the fresh one too: sent again",
        *(Step.AGAIN, _PENDING),
        statuses=UNAUTHORISED,
        shapes=(Shape.EXPIRED,),
        code=EXPIRED_CODE,
    ),
    Rule(
        "the token is refused: once more with a fresh one, then the run stops",
        *(Step.AUTH, _PENDING),
        statuses=UNAUTHORISED,
    ),
    Rule("wrong address: the run stops", Step.STOP, _PENDING, statuses=(404,)),
    Rule(
        "this row is too large for the service",
        *(Step.TOO_BIG, _REJECTED),
        statuses=(413,),
        size=Size.ONE,
        code=TOO_LARGE_CODE,
    ),
    Rule(
        "too big: sent again in halves, and later batches are made smaller",
        *(Step.TOO_BIG, _PENDING),
        statuses=(413,),
    ),
    Rule("sent again", Step.AGAIN, _UNKNOWN, statuses=(408,)),
    Rule(
        "sent again, then left pending",
        *(Step.AGAIN, _PENDING),
        statuses=(409, 423),
        max_tries=3,
    ),
    Rule("sent again", Step.AGAIN, _PENDING, statuses=(425,)),
    Rule("asks for less: sent again", Step.AGAIN, _PENDING, statuses=(TOO_MANY,)),
    Rule(
        "sent again",
        *(Step.AGAIN, _UNKNOWN),
        statuses=(500, 502, 503, 504, 520, 521, 522, 523, 524),
    ),
    Rule(
        "never followed: the run stops",
        *(Step.STOP, _UNKNOWN),
        statuses=range(300, 400),
    ),
    Rule(
        "out of the contract: the run stops",
        *(Step.STOP, _PENDING),
        statuses=(405, 406, 411, 415, 426, 431),
    ),
    Rule(
        "out of the contract: the run stops",
        *(Step.STOP, _UNKNOWN),
        statuses=(501, 505),
    ),
    Rule(
        "another success than 202 proves nothing: the run stops",
        *(Step.STOP, _UNKNOWN),
        statuses=range(200, 300),
    ),
    Rule("unknown: the run stops", Step.STOP, _PENDING, statuses=range(400, 500)),
    Rule("unknown: the run stops", Step.STOP, _UNKNOWN),
    Rule(
        "the handshake of TLS fails: sent again, then the run stops",
        *(Step.AGAIN, _PENDING),
        fault=Fault.UNSENT,
        codes=("TLS_ERROR",),
        max_tries=3,
    ),
    Rule("nothing left: sent again", Step.AGAIN, _PENDING, fault=Fault.UNSENT),
    Rule(
        "what came back is not HTTP: sent again, then the run stops",
        *(Step.AGAIN, _UNKNOWN),
        fault=Fault.AMBIGUOUS,
        codes=("NOT_HTTP",),
        max_tries=3,
    ),
    Rule(
        "nobody knows whether it arrived: sent again",
        *(Step.AGAIN, _UNKNOWN),
        fault=Fault.AMBIGUOUS,
    ),
    Rule(
        "nobody vouches for the certificate: the run stops",
        *(Step.STOP, _PENDING),
        fault=Fault.CERTIFICATE,
    ),
    Rule("the proxy refuses: the run stops", Step.STOP, _PENDING, fault=Fault.PROXY),
)

STOPPED: Final = Verdict(Step.LEAVE, _PENDING, "STOPPED")  # nothing was sent


class NoReplyError(Exception):
    """
    A call ended without a trustworthy answer; raised in place of a library's error.

    Not a `PipelineError`: it ends an attempt, never a run. It holds neither URL nor
    text of the service.
    """

    def __init__(
        self, fault: Fault, code: str, retry_after_s: float | None = None
    ) -> None:
        super().__init__(fault, code, retry_after_s)
        self.fault = fault
        self.code = code
        self.retry_after_s = retry_after_s


def classify(
    reply: Reply,
    n_rows: int = 1,
    *,
    sent: bytes = b"",
    answers: AbstractSet[int] | None = None,
) -> Verdict:
    """
    Read a reply.

    Args:
        reply: Status and headers have arrived completely; its body need not have.
        n_rows: In the body that was sent.
        sent: That body, to find refused values in.
        answers: For a call that is not a batch: statuses that answer it as the
            contract says. Only 202 is worth something without its whole body.

    Raises:
        Nothing, whatever the service sent.

    Cost: a 202 without a body costs one comparison; a body that lists errors is
        compared with the rows that were sent.
    """
    status = reply.status
    if answers is not None and status in answers:
        if reply.is_complete or status == ACCEPTED:
            return Verdict(Step.DONE, _ACCEPTED, f"HTTP_{status}", status)
        return Verdict(Step.AGAIN, _UNKNOWN, "BODY_TORN", status)
    is_batch = answers is None
    naming = read_naming(reply.body, n_rows, sent) if is_batch and reply.body else None
    size = Size.ONE if n_rows == 1 else Size.MANY
    rule = rule_of(status, _shape_of(reply, naming), size, is_batch=is_batch)
    asked_s = retry_after_s(reply) if rule.step is Step.AGAIN else None
    return Verdict(
        rule.step,
        rule.state,
        rule.code or f"HTTP_{status}",
        status,
        is_throttled=rule.step is Step.AGAIN
        and (status == TOO_MANY or asked_s is not None),
        retry_after_s=asked_s,
        named=_named(rule, naming),
        max_tries=rule.max_tries,
    )


def rule_of(status: int, shape: Shape, size: Size, *, is_batch: bool = True) -> Rule:
    """Return the first rule that is about an answer; there always is one."""
    return next(
        rule
        for rule in TABLE
        if rule.holds(status, shape, size)
        # What a success means is said here for batches alone.
        and (is_batch or rule.statuses not in ((ACCEPTED,), (PARTLY,)))
    )


def says_expired(reply: Reply) -> bool:
    """
    Return whether the token is refused because its time is over, and for nothing else.

    Asking again with a younger one may help then, where a permission that is missing
    stays missing. A service that gives no such reason is not believed to have it.
    """
    if reply.status not in UNAUTHORISED:
        return False
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and content.get("error") == _EXPIRED_ERROR


def _shape_of(reply: Reply, naming: Naming | None) -> Shape:
    if says_expired(reply):
        return Shape.EXPIRED
    if naming is not None:
        return Shape.UNPLACED if naming.n_unplaced else Shape.PLACED
    return Shape.OTHER if reply.is_complete else Shape.TORN


def _named(rule: Rule, naming: Naming | None) -> tuple[int, ...]:
    if rule.state is _REJECTED:
        return (0,)
    is_naming = rule.step in (Step.DONE, Step.REFUSED) and rule.code != ACCEPTED_BODY
    return naming.positions if naming is not None and is_naming else ()


def of_fault(error: NoReplyError) -> Verdict:
    """Read a call that has no answer; never a rejection."""
    rule = next(
        rule
        for rule in TABLE
        if rule.fault is error.fault and (not rule.codes or error.code in rule.codes)
    )
    return Verdict(
        rule.step,
        rule.state,
        error.code,
        is_throttled=error.retry_after_s is not None,
        retry_after_s=error.retry_after_s,
        max_tries=rule.max_tries,
    )


def is_overload(verdict: Verdict) -> bool:
    """Return whether the service has more to do than it can: 429, or a timeout."""
    return verdict.is_throttled or verdict.code in _TIMEOUTS


def is_failure(verdict: Verdict) -> bool:
    """Return whether the service failed, rather than refused or asked for less."""
    return verdict.step is Step.AGAIN and verdict.status not in (TOO_MANY, PARTLY)


def is_of_the_batch(verdict: Verdict) -> bool:
    """Return whether only this batch is given up when its tries are used up."""
    return verdict.status in CONFLICTS
