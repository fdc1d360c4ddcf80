"""
What a reply means for a batch: one table, and how a refusal names rows.

Sources: API 5.2 to 5.4 (202 means accepted, 207 and 400 are undocumented for rows),
API 7.3 (error bodies), RFC 9110 10.2.3 (Retry-After). Statuses that the API does not
document still get a verdict: every status has one, and none of those that may pass
with time rejects a row.

This module knows neither time nor transport; what HTTP libraries raise arrives here
as a `Fault`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from pipeline.contract import FIELD_BY_NAME
from pipeline.errors import (
    ContractError,
    InvariantError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.records import BatchState, Fault, Step, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet

    from pipeline.records import Reply

ACCEPTED: Final = 202
OK: Final = 200
TOO_MANY: Final = 429
CLIENT_ERRORS: Final = range(400, 500)
WRITE_ANSWERS: Final = frozenset({ACCEPTED})
READ_ANSWERS: Final = frozenset({OK})

_PENDING, _UNKNOWN = BatchState.PENDING, BatchState.UNKNOWN
# A 5xx or a 408 may have been applied before it was answered: nothing is known.
_TABLE: Final = {
    400: (Step.REFUSED, _PENDING),
    401: (Step.AUTH, _PENDING),
    403: (Step.AUTH, _PENDING),
    408: (Step.AGAIN, _UNKNOWN),
    409: (Step.AGAIN, _PENDING),
    413: (Step.TOO_BIG, _PENDING),
    422: (Step.REFUSED, _PENDING),
    423: (Step.AGAIN, _PENDING),
    425: (Step.AGAIN, _PENDING),
    429: (Step.AGAIN, _PENDING),
    500: (Step.AGAIN, _UNKNOWN),
    502: (Step.AGAIN, _UNKNOWN),
    503: (Step.AGAIN, _UNKNOWN),
    504: (Step.AGAIN, _UNKNOWN),
    520: (Step.AGAIN, _UNKNOWN),
    521: (Step.AGAIN, _UNKNOWN),
    522: (Step.AGAIN, _UNKNOWN),
    523: (Step.AGAIN, _UNKNOWN),
    524: (Step.AGAIN, _UNKNOWN),
}
_FAULTS: Final = {
    Fault.UNSENT: (Step.AGAIN, _PENDING),
    Fault.AMBIGUOUS: (Step.AGAIN, _UNKNOWN),
    Fault.CERTIFICATE: (Step.STOP, _PENDING),
    Fault.PROXY: (Step.STOP, _PENDING),
}

STOPPED: Final = Verdict(Step.LEAVE, _PENDING, "STOPPED")  # nothing was sent
REFUSED_CODE: Final = "REFUSED"  # a code of `contract.ROW_CODES`
_TIMEOUTS: Final = frozenset({"READ_TIMEOUT", "WRITE_TIMEOUT", "DEADLINE"})

_SECONDS = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_MOST_SECONDS: Final = 1e9
# "list[3].email" (API 5.3); the word before the bracket must not be a profile field,
# or "tags[3]" would name row 3.
_ROW_NAME = re.compile(r"([A-Za-z]*)\[([0-9]{1,6})\]")
_LIST_FIELDS: Final = frozenset(FIELD_BY_NAME) | {"attributes", "agreements"}
# Numbers are left as text: only their ends matter, and a long one must not fail.
_DECODER: Final = json.JSONDecoder(parse_float=str, parse_int=str)
_BLANK = re.compile(r"[ \t\r\n]*")


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
    reply: Reply, n_rows: int = 1, *, answers: AbstractSet[int] = WRITE_ANSWERS
) -> Verdict:
    """
    Read a reply.

    Args:
        reply: Status and headers have arrived completely; its body need not have.
        n_rows: In the body that was sent; a single refused row is rejected.
        answers: Statuses that answer this call as the contract says. Only 202 is
            worth something without its whole body.

    Raises:
        Nothing, whatever the service sent.
    """
    status = reply.status
    code = f"HTTP_{status}"
    if status in answers:
        if reply.is_complete or status == ACCEPTED:
            return Verdict(Step.DONE, BatchState.ACCEPTED, code, status)
        return Verdict(Step.AGAIN, _UNKNOWN, "BODY_TORN", status)
    step, state = _TABLE.get(status, (Step.STOP, _state_of_the_unknown(status)))
    verdict = Verdict(step, state, code, status)
    if step is Step.AGAIN:
        wait_s = retry_after_s(reply)
        throttled = status == TOO_MANY or wait_s is not None
        return replace(verdict, is_throttled=throttled, retry_after_s=wait_s)
    if step is Step.REFUSED:
        if n_rows == 1:
            return Verdict(step, BatchState.REJECTED, REFUSED_CODE, status, named=(0,))
        return replace(verdict, named=named_rows(reply.body, n_rows))
    return verdict


def of_fault(error: NoReplyError) -> Verdict:
    """Read a call that has no answer; never a rejection."""
    step, state = _FAULTS[error.fault]
    return Verdict(
        step,
        state,
        error.code,
        is_throttled=error.retry_after_s is not None,
        retry_after_s=error.retry_after_s,
    )


def fatal(verdict: Verdict, what: str, n: int, *, heard: bool) -> PipelineError:
    """
    Return the error that a verdict ends a run with, once it is not to be repeated.

    Args:
        verdict: Of the last attempt.
        what: The batch or call, without any value of a row.
        n: Attempts made.
        heard: Whether the service ever answered anything.
    """
    if verdict.step is Step.AGAIN:
        return _out_of_patience(verdict, what, n, heard=heard)
    if verdict.step is Step.AUTH:
        return TokenRefusedError(
            f"{what} was refused ({verdict.code}); check the key and its permissions."
        )
    if verdict.step is Step.TOO_BIG:
        return ContractError(
            f"{what} is too big for the service ({verdict.code}); its rows are "
            "pending, begin anew with a smaller --max-bytes."
        )
    if verdict.code == "CERTIFICATE":
        return ContractError(
            "the certificate of the service cannot be trusted; nothing was sent; name "
            "the right authority with --ca-bundle, or find out who answers there."
        )
    if verdict.code == "PROXY_ERROR":
        return SettingsError(
            "the proxy of the environment refuses; nothing was sent; correct the proxy "
            "variables or leave --env-proxy away."
        )
    return ContractError(
        f"{what} was answered with {verdict.code}, which the contract does not know; "
        "its rows are pending; check the base URL and what stands on the way."
    )


def _out_of_patience(
    verdict: Verdict, what: str, n: int, *, heard: bool
) -> PipelineError:
    if not heard and verdict.state is BatchState.PENDING:
        return UnreachableError(
            f"the service does not answer ({verdict.code}, {n} attempts); check the "
            "base URL and the network; nothing was sent."
        )
    asked_s = verdict.retry_after_s
    wait = "" if asked_s is None else f", and it asks to wait {asked_s:.0f} s"
    return PatienceEndedError(
        f"{what} got no lasting answer in {n} attempts: {verdict.code}{wait}; its rows "
        "are pending; run the same command later."
    )


def is_overload(verdict: Verdict) -> bool:
    """Return whether the service has more to do than it can: 429, or a timeout."""
    return verdict.is_throttled or verdict.code in _TIMEOUTS


def _state_of_the_unknown(status: int) -> BatchState:
    return _PENDING if status in CLIENT_ERRORS else _UNKNOWN


def retry_after_s(reply: Reply) -> float | None:
    """
    Return the seconds that `Retry-After` asks for; None when it says nothing usable.

    A date counts from the reply's own `Date`, so a wrong clock here does no harm; one
    without `Date` is unusable. Past and negative is 0; huge is cut at a billion.
    """
    text = reply.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(max(0.0, float(text)), _MOST_SECONDS)
    until, now = _moment(text), _moment(reply.headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now).total_seconds()), _MOST_SECONDS)


def _moment(text: str) -> datetime | None:
    """Read an HTTP date in any of its three forms (RFC 9110 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def named_rows(body: bytes, n_rows: int) -> tuple[int, ...]:
    """
    Return the positions, from 0, that an error body names (API 5.3, 7.3); often none.

    Positions outside the batch are not believed.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return ()
    errors = content.get("errors") if isinstance(content, dict) else content
    if not isinstance(errors, list):
        return ()
    found = (_position(entry) for entry in errors)
    return tuple(sorted({n for n in found if n is not None and n < n_rows}))


def _position(entry: object) -> int | None:
    field = entry.get("field") if isinstance(entry, dict) else None
    match = _ROW_NAME.match(field) if isinstance(field, str) else None
    if match is None or match[1] in _LIST_FIELDS:
        return None
    return int(match[2])


def pieces(
    body: bytes, groups: Sequence[tuple[int, ...]]
) -> list[tuple[tuple[int, ...], bytes]]:
    """
    Cut a body into bodies of the rows at the given positions, byte for byte.

    Nothing is encoded anew: a number keeps its spelling.

    Raises:
        InvariantError: *body* is not a JSON array, or has no such row.
    """
    rows = _elements(body)
    if any(n >= len(rows) for group in groups for n in group):
        raise InvariantError(
            f"a body holds {len(rows)} rows, fewer than its batch; please report this"
        )
    return [
        (group, b"[" + b",".join(rows[n] for n in group) + b"]") for group in groups
    ]


def _elements(body: bytes) -> list[bytes]:
    text = body.decode()
    found: list[bytes] = []
    at = 1
    try:
        while True:
            at = _past_blank(text, at)
            end = _DECODER.raw_decode(text, at)[1]
            found.append(text[at:end].encode())
            at = _past_blank(text, end)
            if text[at] == "]":
                return found
            at += 1
    except (ValueError, IndexError):
        raise InvariantError(
            f"a body of {len(body)} bytes is not a JSON array; please report this"
        ) from None


def _past_blank(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at
