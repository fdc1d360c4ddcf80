"""What an error of the HTTP library proves about a request."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final

import httpx

from pipeline.records import Fault
from pipeline.verdict import NoReplyError

if TYPE_CHECKING:
    from collections.abc import Iterator

DISCONNECTED: Final = "DISCONNECTED"
NOT_HTTP: Final = "NOT_HTTP"
TLS_ERROR: Final = "TLS_ERROR"

# The positive list: what a call may end with, and what that proves (measured for
# httpx 0.28.1). Order matters: a timeout of connecting is a timeout, too.
_FAULTS: Final[tuple[tuple[type[Exception], Fault, str], ...]] = (
    (httpx.ConnectTimeout, Fault.UNSENT, "CONNECT_TIMEOUT"),
    (httpx.PoolTimeout, Fault.UNSENT, "POOL_TIMEOUT"),
    (httpx.ConnectError, Fault.UNSENT, "CONNECT_ERROR"),
    (httpx.ProxyError, Fault.PROXY, "PROXY_ERROR"),
    (httpx.ReadTimeout, Fault.AMBIGUOUS, "READ_TIMEOUT"),
    (httpx.WriteTimeout, Fault.AMBIGUOUS, "WRITE_TIMEOUT"),
    (httpx.ReadError, Fault.AMBIGUOUS, "READ_ERROR"),
    (httpx.WriteError, Fault.AMBIGUOUS, "WRITE_ERROR"),
    (httpx.CloseError, Fault.AMBIGUOUS, "CLOSE_ERROR"),
    (httpx.RemoteProtocolError, Fault.AMBIGUOUS, DISCONNECTED),
    (TimeoutError, Fault.AMBIGUOUS, "DEADLINE"),
)
TRANSPORT_FAULTS: Final = tuple(kind for kind, _, _ in _FAULTS)


def no_reply(error: BaseException) -> NoReplyError:
    """
    Return what one of `TRANSPORT_FAULTS` proves.

    A reply that breaks off in its status line or headers is a closed connection; one
    whose bytes the parser of HTTP refuses is something else than HTTP.
    """
    causes = list(_causes(error))
    if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
        return NoReplyError(Fault.CERTIFICATE, "CERTIFICATE")
    fault, code = next(
        (fault, code) for kind, fault, code in _FAULTS if isinstance(error, kind)
    )
    if code == DISCONNECTED and any(map(_is_of_the_parser, causes)):
        code = NOT_HTTP
    if fault is Fault.UNSENT and any(isinstance(c, ssl.SSLError) for c in causes):
        code = TLS_ERROR
    return NoReplyError(fault, code)


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__


def _is_of_the_parser(cause: BaseException) -> bool:
    return type(cause).__module__.partition(".")[0] == "h11"
