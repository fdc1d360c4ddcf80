"""
Whether leading zeros were lost, judged from the lengths of digit-only cells.

A code of a fixed length begins with a zero in every tenth case. When no cell does, and
some are shorter instead, the zeros are gone. Numbers that grow (orders, invoices) have
several lengths too; they are told apart by what they lack: first digits in even shares.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pipeline.lint.evidence import ColumnEvidence
    from pipeline.lint.signs import Role

# Codes whose length is public knowledge, by the words of their column or field.
_KNOWN_WIDTHS: Final = (
    (r"zip|postal|postcode|post_?code|plz|kod_?poczt|c_?a_?p$|codigo_?postal", 5),
    (r"pesel|cpf", 11),
    (r"ean|gtin", 13),
    (r"isbn", 10),
    (r"siret|cnpj", 14),
    (r"siren|bsn|(^|[^a-z])ssn([^a-z]|$)|regon", 9),
)
# A twelfth of the codes of a country begins with a zero; 60 without one are no chance.
_MIN_KNOWN: Final = 60
_MIN_UNKNOWN: Final = 300
_MIN_SHORT: Final = 3
_SHORTEST_CODE: Final = 4
_MOST: Final = 0.9
_HALF: Final = 0.5  # beside codes with a suffix, such as ZIP+4
_MAX_LONGER: Final = 0.005
_MAX_DENSITY: Final = 0.2
_MAX_SHORT: Final = 0.3
# Chi-square, 8 degrees of freedom: one honest column in 400 is above.
_CHI_SQUARE: Final = 24.0
_UNEVEN: Final = 0.01


def n_without_zeros(
    seen: ColumnEvidence, role: Role
) -> tuple[int, tuple[int, ...]] | None:
    """
    Return how many codes are too short and where the first ones stand.

    None where nothing is proven: few cells, zeros that were kept, lengths that fit
    numbers as well as codes.
    """
    lengths: Counter[int] = Counter()
    for (length, first), cells in seen.shapes.items():
        lengths[length] += cells.n_cells
        if first == 0 and length > 1:  # zeros were kept
            return None
    total = lengths.total()
    known = _known_width(role)
    usual_share = _MOST if known is None else _HALF
    if total < _MIN_KNOWN or total < usual_share * seen.n_given:
        return None
    width = max(lengths, key=lambda length: lengths[length])
    n_short = sum(n for length, n in lengths.items() if length < width)
    n_longer = sum(n for length, n in lengths.items() if length > width)
    if n_short < _MIN_SHORT or n_longer > _MAX_LONGER * total:
        return None
    if known is not None:
        is_lost = width == known and n_short <= _MAX_SHORT * total
    else:
        is_lost = _is_even(seen, lengths, width)
    if not is_lost:
        return None
    rows = sorted(
        row
        for (length, _), cells in seen.shapes.items()
        if length < width
        for row in cells.rows
    )
    return n_short, tuple(rows[:20])


def _known_width(role: Role) -> int | None:
    names = f"{role.column.lower()} {role.field.rpartition('.')[2].lower()}"
    for words, width in _KNOWN_WIDTHS:
        if re.search(words, names):
            return width
    return None


def _is_even(seen: ColumnEvidence, lengths: Counter[int], width: int) -> bool:
    """
    Return whether the numbers look like random codes of *width* digits.

    Then a tenth is one digit shorter, and the first digits have even shares. Numbers
    counted from 1 upwards do so only where they end near a power of ten; a file that
    holds most numbers below one is such a count.
    """
    total = lengths.total()
    is_few = total < _MIN_UNKNOWN or width < _SHORTEST_CODE
    if is_few or total > _MAX_DENSITY * 10.0**width:
        return False
    n_wide = lengths[width]
    expected = n_wide / 9
    counts = [
        seen.shapes[width, first].n_cells if (width, first) in seen.shapes else 0
        for first in range(1, 10)
    ]
    chi_square = sum((n - expected) ** 2 / expected for n in counts)
    if chi_square > max(_CHI_SQUARE, _UNEVEN * n_wide):
        return False
    spread = max(0.03, 3.5 * math.sqrt(0.09 / total))
    return abs((total - n_wide) / total - 0.1) <= spread
