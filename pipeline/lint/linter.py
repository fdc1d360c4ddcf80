"""
What a file went through before it came here, judged from what was seen in its cells.

A finding changes nothing and blocks no row; it says which column looks damaged, by
what, and what to do. One kind stops a run: a column of identifiers whose digits are
gone, since rows of different people would become one. Where only a few cells of it
show that by themselves, their rows are blocked one by one (`transform`).

Beyond proof: codes that were counted up from 1 and padded (00001, 00002, …) look like
plain numbers once the zeros are gone; dates that were swapped and then all written in
one order look like dates; a letter of one code page that became a letter of another
(Turkish as Western) looks like a name. A phone needs no zero that its region does not:
`transform` judges it by its numbering plan.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pipeline.contract import IDENTIFIERS, FieldKind
from pipeline.findings import Finding
from pipeline.lint.signs import BOM, Role, Sign
from pipeline.lint.zeros import n_without_zeros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pipeline.lint.evidence import ColumnEvidence, Evidence

# Fewer cells, or a smaller share of the column, are told and stop nothing.
_FATAL_CELLS: Final = 3
_FATAL_SHARE: Final = 0.01
# Of 16 random digits, the last one is a zero in every tenth number.
_MIN_ROUNDED: Final = 5
_ROUNDED_SHARE: Final = 0.5
_ROUNDER_SHARE: Final = 0.6
# That all of so many days are at most the 12th is no chance.
_MIN_DATES: Final = 40
_MOST: Final = 0.9
_HALF: Final = 0.5
_MIN_NUMBERS: Final = 5
# In names of columns that hold dates, in the languages that customers write here.
_DATE_WORDS: Final = re.compile(
    r"(?i)(^|[^a-z])(date|datum|data|dob|fecha|tarih|tarihi)([^a-z]|$)"
    r"|(birth|purchase|order|signup|start|end|due|expiry)_?date|[a-z]Date$|_at$|_on$"
    r"|geburt|urodz|nascita|naissance|дата|日期"
)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a judge has to say about a column."""

    n_cells: int
    rows: tuple[int, ...]
    text: str
    is_fatal: bool = False


def judge(evidence: Evidence, roles: Mapping[str, Role]) -> tuple[Finding, ...]:
    """Say what the evidence means, column by column, in the order of the roles."""
    return tuple(
        Finding(
            name,
            role.field,
            code,
            told.n_cells,
            told.rows,
            f"column {name}: {_cells(told.n_cells)} {told.text}",
            told.is_fatal,
        )
        for name, role in roles.items()
        if name in evidence.columns
        for code, told in _judged(evidence.columns[name], role)
    )


def judge_header(columns: Sequence[str]) -> tuple[Finding, ...]:
    """Say which names of columns begin with a byte order mark."""
    return tuple(
        Finding(
            column,
            None,
            "BOM",
            1,
            (),
            f"column {number}: its name begins with a byte order mark. Export the file "
            "as UTF-8 with one mark or none, or declare the encoding of the source.",
        )
        for number, column in enumerate(columns, start=1)
        if re.match(BOM, column)
    )


def _judged(seen: ColumnEvidence, role: Role) -> Iterator[tuple[str, _Told]]:
    for code, judge_of in _JUDGES.items():
        told = judge_of(seen, role)
        if told is not None:
            yield code, told


def _cells(n_cells: int) -> str:
    return f"{n_cells:,} cell" if n_cells == 1 else f"{n_cells:,} cells"


def _share(n_cells: int, n_all: int) -> float:
    return n_cells / n_all if n_all else 0.0


def _is_fatal(n_cells: int, seen: ColumnEvidence, role: Role) -> bool:
    """Judge lost identifiers that the transform refuses one by one."""
    if role.field not in IDENTIFIERS or role.options.on_invalid == "omit":
        return False
    return n_cells >= _FATAL_CELLS and _share(n_cells, seen.n_given) >= _FATAL_SHARE


# -- identifiers and codes -----------------------------------------------------------

_AGAIN: Final = (
    "Format the column as text in the spreadsheet, fill it from the system that made "
    "it, and export again"
)


def _leading_zeros(seen: ColumnEvidence, role: Role) -> _Told | None:
    found = n_without_zeros(seen, role)
    if found is None:
        return None
    n_cells, rows = found
    return _Told(
        n_cells,
        rows,
        "shorter than the others, and no cell begins with a zero: a spreadsheet drops "
        "leading zeros. Format the column as text there and export again.",
    )


def _e_notation(seen: ColumnEvidence, role: Role) -> _Told | None:
    n_cells = seen.count(Sign.E_NOTATION)
    if not n_cells:
        return None
    return _Told(
        n_cells,
        seen.rows(Sign.E_NOTATION),
        f"in scientific notation; the last digits are lost. {_AGAIN}.",
        _is_fatal(n_cells, seen, role),
    )


def _rounded(seen: ColumnEvidence, role: Role) -> _Told | None:
    n_lost = seen.count(Sign.FLOAT_LOST)
    if n_lost:
        return _Told(
            n_lost,
            seen.rows(Sign.FLOAT_LOST),
            "with floating numbers too large to be exact; digits are lost. Write the "
            "column as text or whole numbers in the source.",
            is_fatal=_is_fatal(n_lost, seen, role),
        )
    n_rounded = seen.count(Sign.ROUNDED)
    is_usual = _share(n_rounded, seen.count(Sign.LONG)) < _ROUNDED_SHARE
    # Round numbers, such as 5,000,000,000,000,000, have zeros before that too.
    is_round = _share(seen.count(Sign.ROUNDER), n_rounded) > _ROUNDER_SHARE
    if n_rounded < _MIN_ROUNDED or is_usual or is_round:
        return None
    return _Told(
        n_rounded,
        seen.rows(Sign.ROUNDED),
        "with nothing but zeros after the 15th digit, where a spreadsheet stops "
        f"counting; the last digits are lost. {_AGAIN}.",
        # No single cell proves it, so nothing else would stop the rows.
        is_fatal=role.field in IDENTIFIERS,
    )


def _float_id(seen: ColumnEvidence, _role: Role) -> _Told | None:
    n_cells = seen.count(Sign.FLOAT)
    if not n_cells:
        return None
    return _Told(
        n_cells,
        seen.rows(Sign.FLOAT),
        "with a fraction of zeros behind a whole number, as a program writes a column "
        "with gaps. Write it as text or whole numbers in the source.",
    )


# -- dates and numbers ---------------------------------------------------------------


def _is_date(role: Role) -> bool:
    return role.kind is FieldKind.BIRTH_DATE or role.options.type in (
        "date",
        "datetime",
    )


def _serial_date(seen: ColumnEvidence, role: Role) -> _Told | None:
    n_cells = seen.count(Sign.SERIAL)
    n_dates = seen.count(Sign.DAY_FIRST, Sign.MONTH_FIRST, Sign.EITHER)
    if not _is_date(role):
        # A number is one, unless the column or its other cells speak of dates.
        share = _share(n_cells + n_dates, seen.n_given)
        speaks = bool(_DATE_WORDS.search(f"{role.column} {role.field}"))
        if share < _MOST or not (speaks or n_dates > n_cells):
            return None
    if not n_cells:
        return None
    return _Told(
        n_cells,
        seen.rows(Sign.SERIAL),
        "with the day number of a spreadsheet, not a date. Format the column there as "
        "yyyy-mm-dd and export again.",
    )


_SLASHED: Final = (Sign.DAY_FIRST, Sign.MONTH_FIRST, Sign.EITHER)


def _day_month(seen: ColumnEvidence, role: Role) -> _Told | None:
    days, months = seen.count(Sign.DAY_FIRST), seen.count(Sign.MONTH_FIRST)
    n_cells = seen.count(*_SLASHED)
    if days and months:
        text = (
            "with dates, some with the day first and some with the month first; those "
            "up to the 12th cannot be told apart. Export them as yyyy-mm-dd from the "
            "system that made them."
        )
    elif _is_swapped(seen, role):
        return _Told(
            seen.count(Sign.ISO_EARLY, Sign.ISO_FIRST),
            seen.rows(Sign.ISO_EARLY),
            "with dates, and no day is later than the 12th: a spreadsheet took the day "
            "for the month where it could. Export them as yyyy-mm-dd from the system "
            "that made them.",
        )
    elif _is_date(role) and days + months:
        order = "%d/%m/%Y" if days else "%m/%d/%Y"
        text = (
            "with dates that are not written as yyyy-mm-dd. Declare their order and "
            f'separators, such as `format: "{order}"`, which these fit.'
        )
    elif n_cells >= (1 if _is_date(role) else _MIN_DATES) and not days + months:
        text = (
            "with dates, and none tells whether the day or the month comes first. Ask "
            'where the file comes from, and declare `format: "%d/%m/%Y"` or '
            '`"%m/%d/%Y"`.'
        )
    else:
        return None
    return _Told(n_cells, seen.rows(*_SLASHED), text)


def _is_swapped(seen: ColumnEvidence, role: Role) -> bool:
    """Return whether only dates are in ISO order that could be taken for another."""
    n_first, n_early = seen.count(Sign.ISO_FIRST), seen.count(Sign.ISO_EARLY)
    if not _is_date(role) or seen.count(Sign.ISO_LATE) or n_first > n_early:
        return False
    # Dates that the spreadsheet could not turn around stand beside them.
    has_witness = seen.count(Sign.DAY_FIRST, Sign.MONTH_FIRST) > 0
    return n_early >= (_MIN_NUMBERS if has_witness else _MIN_DATES)


def _decimal_comma(seen: ColumnEvidence, role: Role) -> _Told | None:
    n_cells = seen.count(Sign.COMMA)
    if not n_cells:
        return None
    n_all = n_cells + seen.count(Sign.COMMA_THREE)
    if role.options.type not in ("number", "integer"):
        is_text = _share(n_all, seen.n_given) < _HALF
        if is_text or n_all < _MIN_NUMBERS:
            return None
    return _Told(
        n_cells,
        seen.rows(Sign.COMMA),
        'with a decimal comma. Declare `type: number` and `decimal: ","`.',
    )


# -- text ----------------------------------------------------------------------------


def _of_sign(sign: Sign, text: str) -> Callable[[ColumnEvidence, Role], _Told | None]:
    def judge_sign(seen: ColumnEvidence, _role: Role) -> _Told | None:
        n_cells = seen.count(sign)
        return _Told(n_cells, seen.rows(sign), text) if n_cells else None

    return judge_sign


_JUDGES: Final[dict[str, Callable[[ColumnEvidence, Role], _Told | None]]] = {
    "LEADING_ZEROS_LOST": _leading_zeros,
    "E_NOTATION": _e_notation,
    "ROUNDED_15": _rounded,
    "FLOAT_ID": _float_id,
    "SERIAL_DATE": _serial_date,
    "DAY_MONTH": _day_month,
    "DECIMAL_COMMA": _decimal_comma,
    "MOJIBAKE": _of_sign(
        Sign.MOJIBAKE,
        "with text that was read in a wrong encoding on its way. Export the file as "
        "UTF-8, or declare its `encoding`.",
    ),
    "INVISIBLE": _of_sign(
        Sign.INVISIBLE,
        "with characters that nobody sees, such as zero-width spaces. Remove them in "
        "the source if they are not meant; nothing here does.",
    ),
    "BOM": _of_sign(
        Sign.BOM,
        "with a byte order mark at the start, as where files were joined. Remove it "
        "there.",
    ),
    "NULL_WORD": _of_sign(
        Sign.NULL_WORD,
        "with a word that stands for nothing, such as NULL, #N/A or nan. Export empty "
        "cells, or declare the word as `null_token`, if it is to erase the field.",
    ),
}
