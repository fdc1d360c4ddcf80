"""
Identifiers, a column at a time: repaired, checked, or refused with a code.

Every rule has two halves: expressions that prove most cells of a column at once, and a
library that is asked once per distinct value about the rest. The halves agree: the
first may leave a cell to the second, but never answers differently (the tests compare
them). Only the declared repairs change a value; a cell that cannot be used gets a code
of `contract.ROW_CODES`, never a guess.

This file knows columns and the order of asking; what an address or a number is stands
in `identifiers_email.py` and `identifiers_phone.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import phonenumbers
import polars as pl

from pipeline.contract import FORBIDDEN_IN_IDENTIFIERS, UUID_PATTERN
from pipeline.errors import SettingsError
from pipeline.identifiers.email import claim_emails, judge_email
from pipeline.identifiers.phone import PhoneClaims, judge_phone
from pipeline.identifiers.repair import (
    Answer,
    fill_rows,
    nothing,
    only_where,
    unpad_cells,
    unsettled_rows,
)
from pipeline.lint.signs import E_NOTATION, NULL_WORDS

Judge = Callable[[str], Answer]

_CACHE_ENTRIES: Final = 200_000  # some 50 MB, if a file is that bad
_UUID_ANY_CASE: Final = f"(?i){UUID_PATTERN}"
_CLIENT_ID: Final = "^[1-9][0-9]{0,18}$"
_E_NOTATION: Final = f"^{E_NOTATION}$"


@dataclass(frozen=True, slots=True)
class Checked:
    """
    What became of a column of identifiers, row by row.

    Attributes:
        values: String, ready to be sent; null where nothing was given or nothing of it
            can be sent.
        codes: String; null where all is well, else why there is no value.
    """

    values: pl.Series
    codes: pl.Series


class IdentifierChecks:
    """
    The checks of one run, with a memory of what the libraries have answered.

    All methods take a text column in which null and "" mean "not given", and treat
    padding alone the same way; the outcome has as many rows, in the same order.

    Args:
        cache_entries: Answers remembered per rule; later ones are asked for again.
    """

    def __init__(self, *, cache_entries: int = _CACHE_ENTRIES) -> None:
        self._cache_entries = cache_entries
        self._answers: dict[tuple[str, object], dict[str, Answer]] = {}
        self._claims: dict[str | None, PhoneClaims] = {}

    def emails(self, cells: pl.Series, *, keep_case: bool = False) -> Checked:
        """
        Check e-mail addresses; `EMAIL` is the code.

        Args:
            keep_case: Leave letters as they are; an IDN domain is lower-cased anyway.
        """
        claimed = claim_emails(cells, keep_case=keep_case)
        judge = partial(judge_email, keep_case=keep_case)
        return self._settle(cells, claimed, judge, ("email", keep_case))

    def phones(self, cells: pl.Series, *, region: str | None = None) -> Checked:
        """
        Check phone numbers and turn them into E.164; `PHONE`, `PHONE_REGION`.

        Args:
            region: ISO 3166 alpha-2 code; how numbers without `+` or `00` are read.

        Raises:
            SettingsError: The region has no numbering plan.
        """
        if region not in self._claims:
            self._claims[region] = _claims_of(region)
        claimed = self._claims[region].claim(cells)
        judge = partial(judge_phone, region=region)
        return self._settle(cells, claimed, judge, ("phone", region))

    @staticmethod
    def custom_ids(cells: pl.Series) -> Checked:
        """
        Remove outer white space; `CUSTOM_ID` for what the API forbids inside.

        A number that lost its digits, or a word for nothing, would make one profile of
        many people: `E_NOTATION`, `NULL_WORD`.
        """
        values = cells.str.strip_chars()
        checked = _refuse(
            cells=values,
            valid=~values.str.contains(FORBIDDEN_IN_IDENTIFIERS),
            code="CUSTOM_ID",
        )
        for code, is_no_id in (
            ("E_NOTATION", values.str.contains(_E_NOTATION)),
            ("NULL_WORD", values.is_in(NULL_WORDS)),
        ):
            if is_no_id.any():
                checked = _without(checked, is_no_id, code)
        return checked

    @staticmethod
    def uuids(cells: pl.Series) -> Checked:
        """Check UUIDs in groups of 8-4-4-4-12, lower-cased; `UUID` is the code."""
        values = only_where(cells, cells.str.contains(UUID_PATTERN))
        rows = unsettled_rows(cells, values)
        if rows.is_empty():
            return Checked(values, nothing(len(cells)))
        unpadded = unpad_cells(cells.gather(rows))
        checked = _refuse(
            cells=unpadded, valid=unpadded.str.contains(_UUID_ANY_CASE), code="UUID"
        )
        return Checked(
            values=fill_rows(values, rows, checked.values.str.to_lowercase()),
            codes=fill_rows(nothing(len(cells)), rows, checked.codes),
        )

    @staticmethod
    def client_ids(cells: pl.Series) -> Checked:
        """Check for positive whole numbers of 64 bits; `CLIENT_ID` is the code."""
        values = cells.str.strip_chars()
        fits = values.str.to_integer(dtype=pl.Int64, strict=False).is_not_null()
        return _refuse(
            cells=values, valid=values.str.contains(_CLIENT_ID) & fits, code="CLIENT_ID"
        )

    def _settle(
        self,
        cells: pl.Series,
        claimed: pl.Series,
        judge: Judge,
        rule: tuple[str, object],
    ) -> Checked:
        """Ask the library about the cells that are not claimed."""
        codes = nothing(len(cells))
        rows = unsettled_rows(cells, claimed)
        if rows.is_empty():
            return Checked(claimed, codes)
        asked = cells.gather(rows).alias("cell")
        distinct = asked.unique().to_list()
        answers = self._ask(distinct, judge, self._answers.setdefault(rule, {}))
        table = pl.DataFrame(
            {
                "cell": distinct,
                "value": [value for value, _ in answers],
                "code": [code for _, code in answers],
            },
            schema={"cell": pl.String, "value": pl.String, "code": pl.String},
        )
        joined = asked.to_frame().join(
            table, on="cell", how="left", maintain_order="left"
        )
        return Checked(
            values=fill_rows(claimed, rows, joined["value"]),
            codes=fill_rows(codes, rows, joined["code"]),
        )

    def _ask(
        self, cells: list[str], judge: Judge, known: dict[str, Answer]
    ) -> list[Answer]:
        answers = []
        for cell in cells:
            answer = known.get(cell)
            if answer is None:
                answer = judge(cell)
                if len(known) < self._cache_entries:
                    known[cell] = answer
            answers.append(answer)
        return answers


def _claims_of(region: str | None) -> PhoneClaims:
    if region is not None and region not in phonenumbers.SUPPORTED_REGIONS:
        raise SettingsError(
            f"phone: no numbering plan is known for the region {region!r}; "
            "write the ISO 3166 alpha-2 code of a country, such as PL."
        )
    return PhoneClaims(region)


def _refuse(*, cells: pl.Series, valid: pl.Series, code: str) -> Checked:
    """Give *code* to the cells that hold something which is not *valid*."""
    given = (cells != "").fill_null(value=False)
    refused = (given & ~valid).arg_true()
    codes = pl.repeat(code, len(refused), dtype=pl.String, eager=True)
    return Checked(
        values=only_where(cells, given & valid),
        codes=fill_rows(nothing(len(cells)), refused, codes),
    )


def _without(checked: Checked, refused: pl.Series, code: str) -> Checked:
    """Refuse some more cells, with another *code*."""
    rows = refused.arg_true()
    codes = pl.repeat(code, len(rows), dtype=pl.String, eager=True)
    return Checked(
        values=only_where(checked.values, ~refused),
        codes=fill_rows(checked.codes, rows, codes),
    )
