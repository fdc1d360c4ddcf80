"""
Phone numbers: what is repaired, and what is one.

`judge_phone` is the rule, one number at a time, decided by phonenumbers and then by the
API's own pattern (API 3.3). `PhoneClaims` proves most of a column valid without it; it
may leave a cell open, but never answers differently.

phonenumbers reads text leniently: letters become digits, extensions and second numbers
vanish. So the shape is decided here, and the library sees digits and a plus sign only.
Digits and punctuation in full width and Arabic-Indic digits are read as their ASCII
counterparts, as the library does; the digits of other scripts are refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat

from pipeline.contract import PHONE_PATTERN
from pipeline.identifiers.patterns import (
    CLAIMED_REGIONS,
    NationalRule,
    NumberPatterns,
    international_patterns,
    national_rule,
)
from pipeline.identifiers.repair import (
    Answer,
    fill_rows,
    nothing,
    only_where,
    unpad,
    unpad_cells,
    unsettled_rows,
)

if TYPE_CHECKING:
    import polars as pl

_INVALID: Final[Answer] = (None, "PHONE")
_NO_REGION: Final[Answer] = (None, "PHONE_REGION")
_ACCEPTED: Final = re.compile(PHONE_PATTERN)
_MIN_DIGITS: Final = 3  # the API wants 6, a calling code has 3 at most
_MAX_CHARS: Final = 250  # phonenumbers' own limit

_TO_ASCII: Final = str.maketrans(
    "０１２３４５６７８９٠١٢٣٤٥٦٧٨٩۰۱۲۳۴۵۶۷۸۹＋（）．／－ー−‐‑‒–—―\u00a0\u3000",
    "0123456789" * 3 + "+()./" + "-" * 9 + "  ",
)
_SHAPE: Final = re.compile(r"\(?\+?[0-9 .\-()/]*[0-9][0-9 .\-()/]*")
_PUNCTUATION: Final = re.compile(r"[ .\-()/]")
# A number may go on after these, but a second one or an extension may begin as well.
_BREAK: Final = re.compile(r"[/(]")

# The same for a column. A slash or an opening bracket may follow three digits at most:
# no numbering plan has a number that short, so none can have ended there.
_PLAIN: Final = r"^(?:\(?\+?|\+?[0-9]{1,3} ?[/(])[0-9][0-9 .\-)\x{A0}]{0,40}$"
_PLAIN_PUNCTUATION: Final = r"[.\-()/\x{A0}]"


def judge_phone(cell: str, *, region: str | None) -> Answer:
    """
    Return the number in E.164, or the code of what is wrong.

    `00` at the start is a plus sign. A padded nothing gives two Nones.
    """
    text = unpad(cell).translate(_TO_ASCII)
    if not text:
        return None, None
    digits = _digits(text)
    if len(text) > _MAX_CHARS or len(digits) < _MIN_DIGITS:
        return _INVALID
    if not _SHAPE.fullmatch(text):
        return _INVALID
    if region is None and not digits.startswith("+"):
        return _NO_REGION
    # Where the part before a slash is a number of its own, two stand in the cell, and
    # the library would make a third one of them.
    parts = {_digits(text[: found.start()]) for found in _BREAK.finditer(text)}
    is_two = any(_e164(part, region) for part in parts)
    number = None if is_two else _e164(digits, region)
    if number is None or not _ACCEPTED.fullmatch(number):
        return _INVALID
    return number, None


def _digits(text: str) -> str:
    digits = _PUNCTUATION.sub("", text)
    return f"+{digits[2:]}" if digits.startswith("00") else digits


def _e164(digits: str, region: str | None) -> str | None:
    # With a region the library would read an unknown "+0..." as a national number.
    try:
        number = phonenumbers.parse(digits, None if digits.startswith("+") else region)
    except NumberParseException:
        return None
    if not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


class PhoneClaims:
    """
    The vectorised proof, prepared for one region.

    Args:
        region: Of national numbers; without one none of them is proven.
    """

    def __init__(self, region: str | None) -> None:
        own = () if region is None else (region,)
        self._international = international_patterns((*CLAIMED_REGIONS, *own))
        self._national = None if region is None else national_rule(region)

    def claim(self, cells: pl.Series) -> pl.Series:
        """Return the E.164 form of each provably valid cell, null elsewhere."""
        claimed = only_where(cells, _is_proven(cells, self._international))
        rows = unsettled_rows(cells, claimed)
        if rows.is_empty():
            return claimed
        unpadded = unpad_cells(cells.gather(rows))
        plain = unpadded.str.contains(_PLAIN)
        digits = _plain_digits(unpadded.filter(plain))
        return fill_rows(claimed, rows.filter(plain), self._claim_digits(digits))

    def _claim_digits(self, digits: pl.Series) -> pl.Series:
        """Do the same for texts of digits with at most a plus sign before them."""
        is_foreign = digits.str.starts_with("+")
        rows = is_foreign.arg_true()
        foreign = digits.gather(rows)
        claimed = fill_rows(
            nothing(len(digits)),
            rows,
            only_where(foreign, _is_proven(foreign, self._international)),
        )
        if self._national is None:
            return claimed
        rows = (~is_foreign).arg_true()
        national = _claim_national(digits.gather(rows), self._national)
        return fill_rows(claimed, rows, national)


def _plain_digits(cells: pl.Series) -> pl.Series:
    """Do to plain cells what `_digits` does to any text."""
    # Spaces are the most common, and a literal is removed three times as fast.
    digits = cells.str.replace_all(" ", "", literal=True)
    rows = digits.str.contains(_PLAIN_PUNCTUATION).arg_true()
    others = digits.gather(rows).str.replace_all(_PLAIN_PUNCTUATION, "")
    digits = fill_rows(digits, rows, others)
    rows = digits.str.starts_with("00").arg_true()
    return fill_rows(digits, rows, digits.gather(rows).str.replace("^00", "+"))


def _is_proven(digits: pl.Series, patterns: NumberPatterns) -> pl.Series:
    proven = digits.str.contains(patterns.valid).fill_null(value=False)
    rows = proven.arg_true()
    if rows.is_empty():
        return proven
    found = digits.gather(rows)
    is_sure = found.str.contains(patterns.general) & ~found.str.contains(patterns.trap)
    return proven if is_sure.all() else proven.scatter(rows, is_sure)


def _claim_national(digits: pl.Series, rule: NationalRule) -> pl.Series:
    has_code = digits.str.starts_with(rule.calling_code)
    rest = digits.str.strip_prefix(rule.prefix)
    trapped = digits.str.contains(rule.trap)
    if has_code.any():
        rest = digits.str.strip_prefix(rule.calling_code).zip_with(has_code, rest)
        trapped |= has_code & digits.str.contains(rule.general)
    proven = _is_proven(rest, rule.digits) & ~trapped
    if not proven.any():
        return nothing(len(digits))
    return only_where(f"+{rule.calling_code}" + rest, proven)
