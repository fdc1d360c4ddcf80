"""
How long a service asks to wait: the header `Retry-After` (RFC 9110 10.2.3).

Knows no clock: a date is counted from the reply's own `Date`.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.records import Reply

_SECONDS: Final = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")
_MOST_SECONDS: Final = 1e9


def retry_after_s(reply: Reply) -> float | None:
    """
    Return the seconds that `Retry-After` asks for; None when it says nothing usable.

    A date counts from the reply's own `Date`, so a wrong clock here does no harm; one
    without `Date` is unusable. Past and negative is 0; huge is cut at a billion.
    """
    text = reply.headers.get("retry-after", "").strip()
    if _SECONDS.fullmatch(text):
        return min(max(0.0, float(text)), _MOST_SECONDS)
    until, now = http_date(text), http_date(reply.headers.get("date", ""))
    if until is None or now is None:
        return None
    return min(max(0.0, (until - now).total_seconds()), _MOST_SECONDS)


def http_date(text: str) -> datetime | None:
    """Read an HTTP date in any of its three forms (RFC 9110 5.6.7)."""
    try:
        moment = parsedate_to_datetime(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
