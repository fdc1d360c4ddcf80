"""
E-mail addresses: what is repaired, and what is one.

The API's own pattern and character rules decide (API 3.3), not an opinion about what
addresses look like; a library is asked for one thing only, the punycode form of an
internationalised domain. `judge_email` is the rule, one address at a time;
`claim_emails` answers for every ASCII cell of a column at once, and never differently.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Final

from email_validator import EmailNotValidError, validate_email

from pipeline.contract import EMAIL_PATTERN, FORBIDDEN_IN_IDENTIFIERS
from pipeline.identifiers.repair import (
    Answer,
    fill_rows,
    only_where,
    unpad,
    unpad_cells,
    unsettled_rows,
)

if TYPE_CHECKING:
    import polars as pl

_INVALID: Final[Answer] = (None, "EMAIL")
# All of the forbidden that ASCII has, and what only Python takes for a space.
_CONTROL: Final = r"[\x00-\x1F]"
# A library that takes its time sees no domain longer than the DNS allows.
_MAX_DOMAIN_CHARS: Final = 253

_ACCEPTED: Final = re.compile(EMAIL_PATTERN)
# The contract writes code points for polars; Python spells them otherwise.
_FORBIDDEN: Final = re.compile(
    re.sub(
        r"\\x\{([0-9A-F]+)\}",
        lambda match: f"\\U{int(match[1], 16):08X}",
        FORBIDDEN_IN_IDENTIFIERS,
    )
)


def judge_email(cell: str, *, keep_case: bool) -> Answer:
    """
    Return the address in its normal form, or the code of what is wrong.

    Repaired are outer white space, zero-width characters, NFC, case (unless
    *keep_case*) and an IDN domain, which becomes punycode by UTS 46. A padded nothing
    gives two Nones.
    """
    text = unicodedata.normalize("NFC", unpad(cell))
    if not text:
        return None, None
    # A quoted local part may hold an "@" of its own; a domain never does.
    local, _, domain = text.rpartition("@")
    if not keep_case:
        # A non-ASCII domain is left to UTS 46, whose mapping is not plain lower case.
        local = unicodedata.normalize("NFC", local.lower())
        domain = domain.lower() if domain.isascii() else domain
    if not domain.isascii():
        domain = _punycode(domain)
    address = f"{local}@{domain}"
    if not _ACCEPTED.fullmatch(address) or _FORBIDDEN.search(address):
        return _INVALID
    return address, None


def _punycode(domain: str) -> str:
    """Return the ASCII form of an IDN domain; "" where there is none."""
    if len(domain) > _MAX_DOMAIN_CHARS:
        return ""
    try:
        found = validate_email(
            f"a@{domain}",
            allow_smtputf8=True,
            check_deliverability=False,
            globally_deliverable=False,
            test_environment=True,
        )
    except (EmailNotValidError, UnicodeError):
        return ""
    return found.ascii_domain


def claim_emails(cells: pl.Series, *, keep_case: bool) -> pl.Series:
    """
    Return the normal form of every cell that is provably valid, null elsewhere.

    Proven is an ASCII address that the API's pattern and character rules accept.
    """
    claimed = only_where(cells, cells.str.contains(_NORMAL))
    rows = unsettled_rows(cells, claimed)
    if rows.is_empty():
        return claimed
    unpadded = unpad_cells(cells.gather(rows))
    plain = _is_plain(unpadded)
    found = unpadded.filter(plain)
    if not keep_case:
        found = found.str.to_lowercase()
    return fill_rows(claimed, rows.filter(plain), found)


# Most addresses: in their normal form already, and a subset of the API's pattern.
_NORMAL: Final = r"^[a-z0-9_%+\-]+(?:\.[a-z0-9_%+\-]+)*@(?:[a-z0-9\-]+\.)+[a-z]{2,}$"


def _is_plain(cells: pl.Series) -> pl.Series:
    return (
        (cells.str.len_bytes() == cells.str.len_chars())
        & cells.str.contains(EMAIL_PATTERN)
        & ~cells.str.contains(_CONTROL)
    )
