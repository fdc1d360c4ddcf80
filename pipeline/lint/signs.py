"""
What damage looks like: one regular expression for each sign, and where it is sought.

A sign is a fact about one cell; what it means for a column is judged in `lint.py`.
How spreadsheets spell things was seen in the output of one: a long number becomes
`1.23457E+11` or `1.23456789012346E+019`, 15 digits are kept and zeros put behind them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.contract import FieldKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pipeline.settings import ColumnMapping, FieldRule


class Sign(StrEnum):
    """A fact about one cell."""

    E_NOTATION = "e_notation"
    LONG = "long"  # more digits than a double keeps
    ROUNDED = "rounded"  # the same, and nothing but zeros behind the 15th
    ROUNDER = "rounder"  # the same, and the 15th is a zero too
    FLOAT = "float"  # a whole number with a fraction of zeros
    FLOAT_LOST = "float_lost"  # a float too large to hold every whole number
    SERIAL = "serial"
    DAY_FIRST = "day_first"  # 31/12/2020
    MONTH_FIRST = "month_first"  # 12/31/2020
    EITHER = "either"  # 03/04/2020
    ISO_LATE = "iso_late"  # after the 12th: no month can stand there
    ISO_FIRST = "iso_first"  # the 1st
    ISO_EARLY = "iso_early"  # the 2nd to the 12th
    COMMA = "comma"  # 12,50
    COMMA_THREE = "comma_three"  # 1,250: may be thousands
    MOJIBAKE = "mojibake"
    INVISIBLE = "invisible"
    BOM = "bom"
    NULL_WORD = "null_word"


# -- numbers and dates -------------------------------------------------------------

_TIME: Final = r"(?:[ T][0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?(?: ?[AaPp][Mm])?)?"
_ONE_TO_12: Final = "(?:0?[1-9]|1[0-2])"
_LATE: Final = "(?:1[3-9]|2[0-9]|3[01])"
# Versions and addresses look like dates with dots and a short year; columns of dates
# hold neither.
_YEAR: Final = "(?:[./-](?:1[89]|20)[0-9]{2}|/[0-9]{2})"
_ANY_YEAR: Final = "[./-](?:(?:1[89]|20)[0-9]{2}|[0-9]{2})"
_GROUPED: Final = "[+-]?[0-9]{1,3}(?:[ .'’\u00a0\u202f]?[0-9]{3})*"


def _date_patterns(year: str) -> dict[Sign, str]:
    return {
        Sign.DAY_FIRST: f"{_LATE}[./-]{_ONE_TO_12}{year}{_TIME}",
        Sign.MONTH_FIRST: f"{_ONE_TO_12}[./-]{_LATE}{year}{_TIME}",
        Sign.EITHER: f"{_ONE_TO_12}[./-]{_ONE_TO_12}{year}{_TIME}",
    }


E_NOTATION: Final = r"[+-]?[0-9]{1,3}(?:[.,][0-9]+)?[eE]\+[0-9]{1,3}"
_NUMBER_PATTERNS: Final[dict[Sign, str]] = {
    Sign.E_NOTATION: E_NOTATION,
    Sign.LONG: "[0-9]{16,40}",
    Sign.ROUNDED: "[1-9][0-9]{14}0{1,25}",
    Sign.ROUNDER: "[1-9][0-9]{13}0{2,26}",
    Sign.FLOAT: "[0-9]+[.,]0+",
    # Days since 1899-12-30: from 1927 to 2064, with or without a time.
    Sign.SERIAL: "[1-5][0-9]{4}(?:[.,][0-9]+)?",
    **_date_patterns(_YEAR),
    Sign.COMMA: f"{_GROUPED},(?:[0-9]{{1,2}}|[0-9]{{4,}})",
    Sign.COMMA_THREE: f"{_GROUPED},[0-9]{{3}}",
}
ISO_PATTERNS: Final[dict[Sign, str]] = {
    Sign.ISO_LATE: f"^[0-9]{{4}}-[0-9]{{2}}-{_LATE}",
    Sign.ISO_FIRST: "^[0-9]{4}-[0-9]{2}-01",
    Sign.ISO_EARLY: "^[0-9]{4}-[0-9]{2}-(?:0[2-9]|1[0-2])",
}
_DATES: Final = (Sign.DAY_FIRST, Sign.MONTH_FIRST, Sign.EITHER)
_COMMAS: Final = (Sign.COMMA, Sign.COMMA_THREE)
_ROUNDING: Final = (Sign.LONG, Sign.ROUNDED, Sign.ROUNDER)


# -- text in a wrong encoding ------------------------------------------------------

# How the second byte of a UTF-8 pair looks in Windows-1252 (and 1254) and in 1250.
_BEHIND_1252: Final = "\u0080-\u00bf€‚ƒ„†‡ˆ‰Š‹ŒŽ˜šœžŸ"
_BEHIND_1250: Final = (
    "\u0080-\u00a0€‚„†‡‰Š‹ŚŤŽŹšśťžźˇ˘Ł¤Ą¦§¨©Ş«¬\u00ad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż"
)
# The same, but these may follow a capital letter in honest text: ANDRÉ’S, MENÜ…
_CLOSING: Final = "…‘’“”•–—™›"
_BEHIND_1251: Final = (
    "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—™љ›њќћџ\u00a0ЎўЈ¤Ґ¦§Ё©Є«¬\u00ad®Ї°±Ііґµ¶·ё№є»јЅѕї\u0098"
)
MOJIBAKE: Final = "|".join(
    (
        # UTF-8 read as Windows-1252: Å‚, Ã³, Ä…, Ã¼, â€™, emoji.
        f"[ÃÄÅ][{_BEHIND_1252}]",
        f"Â[\u00a0-\u00bf]|(?:^|[^\\p{{Lu}}])[ÃÄÅ][{_CLOSING}]",
        "â€|ðŸ|ğŸ",
        # Scripts of two letters a sound at least: Cyrillic, Greek, Hebrew, Arabic.
        f"(?:[ÐÑÎÏ×ØÙÚÛ][{_BEHIND_1252}{_CLOSING}]){{2}}",
        # Chinese, Japanese, Korean: three bytes a character.
        f"(?:[ã-í][{_BEHIND_1252}{_CLOSING}]{{2}}){{2}}",
        # UTF-8 read as Windows-1250: Ĺ‚, Ăł; as 1251: Р˜РІ.
        f"[ĂĹ][{_BEHIND_1250}{_CLOSING}]|Ä[{_BEHIND_1250}]",
        f"(?:[РС][{_BEHIND_1251}]){{2}}",
        # UTF-8 in a DOS console (852, 850, 437) and on an old Mac.
        "[├┬┼][^\\x00-\\x7f]|─[^\\x00-\\x7f─]|√[≥∂∫ºªΩ±≤¶ü§®©]|≈[ÇÑõº∫Åö]",
        # Windows-1250 read as 1252: Wa³êsa, £ukasz, ¯aneta.
        "\\p{L}[¹³¿¶¼¾£¥¯±]\\p{Ll}|[£¯]\\p{Ll}{2}",
        # Cyrillic or Chinese bytes read as Windows-1252: Èâàí.
        "[À-ÖØ-öø-ÿ][\u00a1-\u00ff]{3}",
        # What cannot be there on purpose: the replacement mark and C1 controls.
        "[\ufffd\u0080-\u0084\u0086-\u009f]",
    )
)

# -- characters that nobody sees ---------------------------------------------------

_HARD: Final = (
    "\u00ad\u180e\u200b\u2028\u2029\u202a-\u202e\u2060-\u2064\u2066-\u206f\ufeff"
)
_JOINERS: Final = "\u200c-\u200f"
# Scripts and emoji that need joiners and marks of direction.
_JOINED: Final = (
    "[\u0590-\u109f\u1780-\u17ff\u2600-\u27bf\ufb1d-\ufdff\\x{1f000}-\\x{1faff}]"
)
# In text, hard ones always; soft ones only where no script asks for them.
INVISIBLE_IN_TEXT: Final = f"(?s:^.+[{_HARD}])|^[{_HARD}--\ufeff]|[{_JOINERS}]"
NEEDS_JOINERS: Final = f"^[^{_HARD}]*{_JOINED}[^{_HARD}]*$"
_ODD_SPACES: Final = "\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000"
# Inside a customId; around it white space is trimmed, as declared.
INVISIBLE_IN_CUSTOM_ID: Final = (
    f"{INVISIBLE_IN_TEXT}|[^\\s{_HARD}][{_ODD_SPACES}]+[^\\s{_HARD}]"
)
# The other identifiers lose zero-width characters by a declared repair.
INVISIBLE_IN_IDENTIFIER: Final = (
    "[\u00ad\u180e\u200e\u200f\u2028-\u202e\u2061-\u2064\u2066-\u206f]"
)
_MARKS: Final = "ï»¿|п»ї|ď»ż"
BOM: Final = f"^(?:\ufeff|{_MARKS})"
BOM_IN_IDENTIFIER: Final = f"^(?:{_MARKS})"
# Cheap on many cells at once; without a match there is none of the signs above.
ANY_TEXT_SIGN: Final = f"(?m){MOJIBAKE}|[{_HARD}{_JOINERS}]|{_MARKS}"
ANY_CUSTOM_ID_SIGN: Final = f"{ANY_TEXT_SIGN}|[{_ODD_SPACES}]"

# Title case is left out: Null and Nan are names of people.
NULL_WORDS: Final = (
    "NULL null (null) (NULL) <null> <NULL> [NULL] \\N NaN nan NAN -nan NaT <NA> None "
    "N/A n/a #N/A #NULL! #REF! #VALUE! #DIV/0! #NAME? #NUM! undefined"
).split()

# -- where signs are sought --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    """
    What is asked of the cells of one column.

    Attributes:
        field: Dotted path of the field that it is mapped to.
        column: As the source calls it; for hints in its name.
        options: What is declared for the field.
        patterns: Of signs in numbers and dates; each fits a whole cell.
        invisible: Pattern of characters that nobody sees.
        bom: Pattern of a byte order mark that is not removed.
        words: That stand for nothing, and are not declared to do so.
        is_strict: Whether the transform refuses every cell that could show a sign.
        counts_digits: Whether the lengths of digit-only cells are counted.
        reads_dates: Whether dates in ISO order are looked at.
    """

    field: str
    column: str
    kind: FieldKind
    options: ColumnMapping
    patterns: Mapping[Sign, str]
    invisible: str = INVISIBLE_IN_TEXT
    bom: str = BOM
    words: tuple[str, ...] = tuple(NULL_WORDS)
    is_strict: bool = False
    counts_digits: bool = False
    reads_dates: bool = False


def roles_of(
    rules: Iterable[FieldRule], null_tokens: Iterable[str] = ()
) -> dict[str, Role]:
    """
    Decide what is sought in each mapped column; what a rule handles is not.

    A column that serves several fields has the role of the first of them.

    Args:
        null_tokens: Words that are declared: they erase the field.
    """
    declared = frozenset(null_tokens)
    roles: dict[str, Role] = {}
    for rule in rules:
        roles.setdefault(rule.column, _role(rule, declared))
    return roles


def _role(rule: FieldRule, null_tokens: frozenset[str]) -> Role:
    options = rule.options
    patterns = {sign: _NUMBER_PATTERNS[sign] for sign in _signs(rule)}
    is_free = rule.kind is FieldKind.ATTRIBUTE and options.type in (None, "text")
    reads_dates = Sign.EITHER in patterns and not is_free
    is_told = _is_told(options)
    counts = rule.kind is FieldKind.CUSTOM_ID or rule.name == "zipCode"
    invisible = _INVISIBLE.get(rule.kind, INVISIBLE_IN_TEXT)
    return Role(
        field=rule.name,
        column=rule.column,
        kind=rule.kind,
        options=options,
        patterns=patterns | _date_patterns(_ANY_YEAR) if reads_dates else patterns,
        invisible=invisible,
        bom=BOM_IN_IDENTIFIER if invisible == INVISIBLE_IN_IDENTIFIER else BOM,
        words=()
        if options.values is not None or options.type == "json"
        else tuple(word for word in NULL_WORDS if word not in null_tokens),
        is_strict=rule.kind in _STRICT
        or options.values is not None
        or options.type not in (None, "text", "json"),
        counts_digits=counts or (is_free and not is_told),
        reads_dates=reads_dates,
    )


_STRICT: Final = frozenset(
    {
        FieldKind.PHONE,
        FieldKind.UUID,
        FieldKind.CLIENT_ID,
        FieldKind.BIRTH_DATE,
        FieldKind.SEX,
        FieldKind.AGREEMENT,
    }
)


_INVISIBLE: Final[Mapping[FieldKind, str]] = {
    FieldKind.EMAIL: INVISIBLE_IN_IDENTIFIER,
    FieldKind.PHONE: INVISIBLE_IN_IDENTIFIER,
    FieldKind.UUID: INVISIBLE_IN_IDENTIFIER,
    FieldKind.CLIENT_ID: INVISIBLE_IN_IDENTIFIER,
    FieldKind.CUSTOM_ID: INVISIBLE_IN_CUSTOM_ID,
}


def _is_told(options: ColumnMapping) -> bool:
    """Return whether the words of the column are all declared, or parts of a list."""
    return options.values is not None or options.split is not None


def _signs(rule: FieldRule) -> tuple[Sign, ...]:
    options = rule.options
    if _is_told(options):
        return ()
    match rule.kind:
        case FieldKind.CUSTOM_ID:
            return (Sign.E_NOTATION, *_ROUNDING, Sign.FLOAT)
        case FieldKind.PHONE | FieldKind.CLIENT_ID:
            return (Sign.E_NOTATION, Sign.FLOAT)
        case FieldKind.BIRTH_DATE:
            return _date_signs(options.format)
        case FieldKind.ATTRIBUTE:
            return _attribute_signs(options)
        case _:
            return (Sign.FLOAT,) if rule.name == "zipCode" else ()


def _attribute_signs(options: ColumnMapping) -> tuple[Sign, ...]:
    match options.type:
        case "number":
            return _COMMAS if options.decimal == "." else ()
        case "integer":
            return (Sign.E_NOTATION, *_COMMAS)
        case "date" | "datetime":
            return _date_signs(options.format)
        case "boolean" | "json":
            return ()
        case _:
            return (Sign.E_NOTATION, *_ROUNDING, Sign.SERIAL, *_DATES, *_COMMAS)


def _date_signs(declared: str | None) -> tuple[Sign, ...]:
    """Return the signs of a date; a declared format leaves no doubt about the order."""
    if declared is None:
        return (Sign.SERIAL, *_DATES)
    # 5 digits may be meant by a format without separators.
    return (Sign.SERIAL,) if any(mark in declared for mark in "./- ") else ()
