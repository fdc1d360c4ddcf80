"""
What a verdict ends a run with, once it is the last word: an error and its words.

Also which error is told when several things end a run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    AccessError,
    ContractError,
    InvariantError,
    JournalDamagedError,
    LimitError,
    PatienceEndedError,
    PipelineError,
    RemoteError,
    SettingsError,
    SourceChangedError,
    SourceError,
    SourceReadError,
    StateError,
    StoppedError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.records import BatchState, Step
from pipeline.verdict import PARTLY

if TYPE_CHECKING:
    from pipeline.records import Verdict

    _Kinds = type[PipelineError] | tuple[type[PipelineError], ...]

# The gravest first. A stop was asked for, so what broke while the run drained is not
# its reason; a limit of the operator would be reached again, so anything else is news.
_GRAVITY: Final[tuple[_Kinds, ...]] = (
    StoppedError,
    InvariantError,
    (StateError, SourceReadError),
    ContractError,
    AccessError,
    SettingsError,
    SourceError,
    RemoteError,
    LimitError,
)

_CERTIFICATE: Final = (
    "the certificate of the service cannot be trusted; {left}name the right authority "
    "with --ca-bundle, or find out who answers there."
)
_PROXY: Final = (
    "the proxy of the environment refuses; {left}correct the proxy variables or leave "
    "--env-proxy away."
)
_NOT_FOUND: Final = 404
_LOGIN: Final = "LOGIN_"
_STATUS: Final = "HTTP_"
# The codes of `faults`, in words; another code is told as it is.
_IN_WORDS: Final = {
    "CONNECT_ERROR": "no connection can be made",
    "CONNECT_TIMEOUT": "no connection was made in time",
    "POOL_TIMEOUT": "no connection became free in time",
    "READ_TIMEOUT": "no answer came in time",
    "WRITE_TIMEOUT": "the request could not be handed over in time",
    "READ_ERROR": "the connection broke off",
    "WRITE_ERROR": "the connection broke off",
    "CLOSE_ERROR": "the connection broke off",
    "DISCONNECTED": "the connection was closed before an answer",
    "DEADLINE": "no whole answer came in time",
    "TLS_ERROR": "no encrypted connection could be agreed on",
    "BODY_TORN": "the answer broke off",
    "TOKEN_EXPIRED": "the token had expired as soon as it was given",
}


# After these, what is pending cannot be sent by going on with the same run.
_FINAL: Final = (SourceChangedError, JournalDamagedError)


def is_resumable(n_pending: int, error: BaseException | None) -> bool:
    """Return whether a recorded run that ended so has something left to go on with."""
    return n_pending > 0 and not isinstance(error, _FINAL)


def gravest(*errors: BaseException | None) -> BaseException | None:
    """Return the error that a run is ended with; of equals, the first."""
    found = [error for error in errors if error is not None]
    return min(found, key=_rank, default=None)


def _rank(error: BaseException) -> int:
    if not isinstance(error, PipelineError):
        return _GRAVITY.index(InvariantError)  # a defect, too
    return next(
        (n for n, kind in enumerate(_GRAVITY) if isinstance(error, kind)),
        len(_GRAVITY),
    )


def too_many_rejects(most: int) -> LimitError:
    """Return what a run ends with of which the service refused too many rows."""
    return LimitError(
        f"the service refused more than {most} rows (--max-rejects); "
        "look at the rejected rows, then raise the limit or repair them."
    )


def out_of_time(most_s: float) -> PatienceEndedError:
    """Return what a run ends with that may not take longer."""
    return PatienceEndedError(f"the {most_s:.0f} s of --max-duration are over.")


def fatal(
    verdict: Verdict, what: str, n: int, *, heard: bool, of_rows: bool = True
) -> PipelineError:
    """
    Return the error that a verdict ends a run with, once it is not to be repeated.

    Args:
        verdict: Of the last attempt.
        what: The batch or call, without any value of a row.
        n: Attempts made.
        heard: Whether the service ever answered anything.
        of_rows: Whether rows are left pending by it, as by a batch.
    """
    left = "its rows are pending; " if of_rows else ""
    if verdict.step is Step.AGAIN:
        return _out_of_patience(verdict, what, n, heard=heard, left=left)
    if not heard:
        left = "nothing was sent; "
    said = in_words(verdict.code)
    if verdict.step is Step.AUTH:
        return TokenRefusedError(
            f"{what} was refused ({said}); {left}check the key and its permissions."
        )
    if verdict.code.endswith("CERTIFICATE"):  # of the login, too
        return ContractError(_CERTIFICATE.format(left=left))
    if verdict.code.endswith("PROXY_ERROR"):
        return SettingsError(_PROXY.format(left=left))
    if verdict.status == _NOT_FOUND:
        return SettingsError(
            f"{what} was answered with {said}: there is no such address; {left}"
            "check the base URL."
        )
    return ContractError(
        f"{what} was answered with {said}, which the contract does not know; {left}"
        "check the base URL and proxies on the way."
    )


def _out_of_patience(
    verdict: Verdict, what: str, n: int, *, heard: bool, left: str
) -> PipelineError:
    if verdict.code == "NOT_HTTP":
        return ContractError(
            f"{what} was answered {n} times with bytes that are not HTTP; {left}"
            "check the base URL and proxies on the way."
        )
    said = in_words(verdict.code)
    if verdict.status == PARTLY:
        return ContractError(
            f"{what} was partly refused ({said}), and the answer does not say which "
            f"rows; {left}repeating them does no harm."
        )
    times = f"{n} attempt" if n == 1 else f"{n} attempts"
    if not heard and verdict.state is BatchState.PENDING:
        return UnreachableError(
            f"the service does not answer: {said}, in {times}; check the base URL and "
            "the network; nothing was sent."
        )
    # Behind a failed login stands a pause of our own, not a wish of the service.
    asked_s = None if verdict.code.startswith(_LOGIN) else verdict.retry_after_s
    wait = "" if asked_s is None else f", and it asks to wait {asked_s:.0f} s"
    return PatienceEndedError(
        f"{what} got no lasting answer in {times}: {said}{wait}; {left}come back later."
    )


def in_words(code: str) -> str:
    """Return the code of a verdict as an operator would say it."""
    plain = code.removeprefix(_LOGIN)
    number = plain.removeprefix(_STATUS)
    words = f"status {number}" if number != plain else _IN_WORDS.get(plain, plain)
    return f"{words} (at the login)" if code.startswith(_LOGIN) else words
