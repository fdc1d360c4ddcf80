"""
What phonenumbers' own metadata proves, as regular expressions for a whole column.

A number is claimed for a calling code when it fully matches a fixed-line or mobile
pattern of a region of that code (`valid`), fully matches its general pattern
(`general`), and does not start like something the library treats in a special way
(`trap`): a national prefix it would strip, leading digits that send the number to
another region. Then `phonenumbers.parse` leaves the digits alone and `is_valid_number`
is true. Whatever the metadata does not prove in this way is simply not claimed.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final, cast

from phonenumbers import (
    COUNTRY_CODE_TO_REGION_CODE,
    PhoneMetadata,
    PhoneNumberDesc,
    country_code_for_region,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# One region of each calling code that is worth its share of the expressions; the code
# of the declared region comes on top. Reading all 240 takes a third of a second.
CLAIMED_REGIONS: Final = tuple(
    """
    AE AT AU BE BG BR CH CN CY CZ DE DK EE ES FI FR GB GR HR HU IE IL IN IT JP KR LT LU
    LV MT MX NL NO NZ PL PT RO RS RU SA SE SI SK TR UA US ZA
    """.split()
)

_NEVER: Final = "[^0-9]"  # no number that is looked at holds anything but digits
# The API takes 6 to 19 characters after the plus sign (API 3.3).
_MIN_DIGITS, _MAX_DIGITS = 6, 19
_TOKEN: Final = re.compile(
    r"(\((?:\?:)?|\||\)|\[[0-9-]+\]|\\d|[0-9])(\?|\{[0-9]+(?:,[0-9]+)?\})?"
)


@dataclass(frozen=True, slots=True)
class NumberPatterns:
    """
    Three expressions that together prove a number; see the module's first lines.

    They are anchored, and name digits as `[0-9]`, not by the class of all scripts.
    """

    valid: str
    general: str
    trap: str


@dataclass(frozen=True, slots=True)
class NationalRule:
    """
    How a number without a plus sign is read in one region.

    Attributes:
        calling_code: Digits, such as `48`.
        prefix: The national prefix that is dropped, such as `0`; empty if there is none
            or if what is dropped depends on more than it.
        trap: Starts that mean something else: an international prefix, a carrier.
        general: The region's general pattern, to tell a number that begins like the
            calling code from one that begins with it.
        digits: What proves the digits after calling code or prefix.
    """

    calling_code: str
    prefix: str
    trap: str
    general: str
    digits: NumberPatterns


def international_patterns(regions: Iterable[str]) -> NumberPatterns:
    """Return what proves `+` numbers of the calling codes of *regions*."""
    codes = sorted({country_code_for_region(region) for region in regions})
    parts = [(code, _code_patterns(code)) for code in codes]
    return NumberPatterns(
        valid=_starts(rf"\+{code}(?:{part.valid})$" for code, part in parts),
        general=_starts(rf"\+{code}(?:{part.general})$" for code, part in parts),
        trap=_starts(rf"\+{code}(?:{part.trap})" for code, part in parts),
    )


def national_rule(region: str) -> NationalRule:
    """Return how numbers written in the national form of *region* are proven."""
    metadata = _metadata(region)
    code = country_code_for_region(region)
    part = _code_patterns(code)
    dropped = _branches(metadata.national_prefix_for_parsing or _NEVER)
    prefix = metadata.national_prefix or ""
    # `re.match` takes the plain prefix where no other branch matches: those are traps.
    others = [branch for branch in dropped if branch != prefix]
    if prefix not in dropped:
        prefix = ""
    # Elsewhere the region and its calling code may disagree about a number.
    is_claimed = any(region == claimed.id for claimed in _claimed_regions(code))
    return NationalRule(
        calling_code=str(code),
        prefix=prefix,
        trap=_starts([metadata.international_prefix or _NEVER, *others]),
        general=f"^(?:{part.general})$",
        digits=NumberPatterns(
            valid=f"^(?:{part.valid if is_claimed else _NEVER})$",
            general=f"^(?:{part.general})$",
            trap=_starts([part.trap, *dropped]),
        ),
    )


def number_lengths(pattern: str) -> set[int]:
    """Return the lengths a match of *pattern* can have; none if it is too odd."""
    tokens = _TOKEN.findall(pattern)
    if "".join(atom + repeat for atom, repeat in tokens) != pattern:
        return set()
    return _lengths(iter(tokens))[0] - {0}


def _metadata(region: str) -> PhoneMetadata:
    # The callers name supported regions only, and each of those has metadata.
    return cast("PhoneMetadata", PhoneMetadata.metadata_for_region(region))


def _general(metadata: PhoneMetadata) -> PhoneNumberDesc:
    return cast("PhoneNumberDesc", metadata.general_desc)


def _claimed_regions(code: int) -> list[PhoneMetadata]:
    """
    Return the regions of a calling code whose valid numbers are valid for the code.

    The library gives a number to the first region that has its leading digits, or, for
    a region without leading digits, under whose patterns it is valid. So the first
    region counts, and others without leading digits that share its general pattern, by
    which parsing decides (Canada beside the United States).
    """
    main, *others = map(_metadata, COUNTRY_CODE_TO_REGION_CODE[code])
    if main.leading_digits is not None:
        return [main]
    general = _general(main)
    return [main] + [
        other
        for other in others
        if other.leading_digits is None
        and _general(other).national_number_pattern == general.national_number_pattern
        and set(_general(other).possible_length) >= set(general.possible_length)
    ]


def _code_patterns(code: int) -> NumberPatterns:
    """Return unanchored expressions for the digits after the calling code *code*."""
    main, *others = map(_metadata, COUNTRY_CODE_TO_REGION_CODE[code])
    general = _general(main)
    valid = {
        pattern
        for region in _claimed_regions(code)
        for desc in _claimed_kinds(region)
        if (pattern := desc.national_number_pattern)
        and _has_possible_lengths(desc, general, code)
    }
    traps = {other.leading_digits for other in others if other.leading_digits}
    traps.add(main.national_prefix_for_parsing or _NEVER)
    traps.add(_other_starts(main.leading_digits or ""))
    return NumberPatterns(
        valid=_ascii("|".join(sorted(valid)) or _NEVER),
        general=_ascii(general.national_number_pattern or _NEVER),
        trap=_ascii("|".join(sorted(traps))),
    )


def _claimed_kinds(region: PhoneMetadata) -> list[PhoneNumberDesc]:
    kinds = [region.fixed_line]
    if not region.same_mobile_and_fixed_line_pattern:
        kinds.append(region.mobile)
    return [desc for desc in kinds if desc is not None]


def _has_possible_lengths(
    desc: PhoneNumberDesc, general: PhoneNumberDesc, code: int
) -> bool:
    """Return whether every number that fits *desc* has a length the library accepts."""
    lengths = number_lengths(desc.national_number_pattern or "")
    n_code = len(str(code))
    return (
        bool(lengths)
        and lengths <= set(desc.possible_length)
        and lengths <= set(general.possible_length)
        and lengths.isdisjoint(general.possible_length_local_only)
        and all(_MIN_DIGITS <= n_code + n <= _MAX_DIGITS for n in lengths)
    )


def _lengths(tokens: Iterator[tuple[str, str]]) -> tuple[set[int], str]:
    """Return the lengths up to the end of a group, and how often the group repeats."""
    before: set[int] = set()
    branch = {0}
    for atom, repeat in tokens:
        if atom == "|":
            before, branch = before | branch, {0}
            continue
        if atom == ")":
            return before | branch, repeat
        inner, times = _lengths(tokens) if atom.startswith("(") else ({1}, repeat)
        branch = {a + b for a in branch for b in _repeated(inner, times)}
    return before | branch, ""


def _repeated(inner: set[int], times: str) -> set[int]:
    least, _, most = ("0,1" if times == "?" else times.strip("{}") or "1").partition(
        ","
    )
    found: set[int] = set()
    total = {0}
    for n in range(int(most or least) + 1):
        found |= total if n >= int(least) else set()
        total = {a + b for a in total for b in inner}
    return found


def _other_starts(leading_digits: str) -> str:
    """Return the starts of numbers that do not match *leading_digits*."""
    width = max(number_lengths(leading_digits), default=0)
    starts = ("".join(digits) for digits in product("0123456789", repeat=width))
    return "|".join(s for s in starts if not re.match(leading_digits, s)) or _NEVER


def _branches(pattern: str) -> list[str]:
    """Return the alternatives of *pattern* that stand outside of any bracket."""
    branches, depth = [""], 0
    for char in pattern:
        depth += (char in "([") - (char in ")]")
        if char == "|" and depth == 0:
            branches.append("")
        else:
            branches[-1] += char
    return branches


def _starts(patterns: Iterable[str]) -> str:
    return f"^(?:{'|'.join(map(_ascii, patterns))})"


def _ascii(pattern: str) -> str:
    return pattern.replace(r"\d", "[0-9]")
