"""
What a page of profiles becomes: a plain frame, here cell by cell, in Python alone.

One row a profile:

    clientId Int64, `TEXT_COLUMNS` String, tags List(String), agreements.* Boolean,
    every other key (attributes.* too) String: the JSON text of its value
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.contract import (
    AGREEMENT_WORDS,
    AGREEMENTS,
    LIST_SEX_TO_NATIVE,
    LIST_TO_NATIVE,
)
from pipeline.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ID: Final = "clientId"
TEXT_COLUMNS: Final = (
    "email",
    "phone",
    "customId",
    "uuid",
    "firstName",
    "lastName",
    "displayName",
    "company",
    "address",
    "city",
    "province",
    "zipCode",
    "countryCode",
    "birthDate",
    "sex",
    "avatarUrl",
)
AGREEMENT_COLUMNS: Final = tuple(f"agreements.{name}" for name in AGREEMENTS)
FIXED: Final[dict[str, pl.DataType]] = {
    ID: pl.Int64(),
    **dict.fromkeys(TEXT_COLUMNS, pl.String()),
    "tags": pl.List(pl.String()),
    **dict.fromkeys(AGREEMENT_COLUMNS, pl.Boolean()),
}
PARENTS: Final = ("agreements", "attributes")
# API 3.6: older descriptions spell it so.
_OLD_AGREEMENTS: Final = {"agreements.webpush": "agreements.webPush"}
PROFILES: Final = "customers"
_MOST_ID: Final = 2**63 - 1
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of a list.

    Attributes:
        frame: Plain; its rows in the order of the page.
        n_all: What the service says there are in all; None when it does not say.
        matching: The same of those that the question is about.
    """

    frame: pl.DataFrame
    n_all: int | None = None
    matching: int | None = None


def read_exactly(body: bytes) -> Page:
    """
    Read a page as `PageReader.read` does, in Python alone.

    Raises:
        ContractError: As there.
    """
    try:
        read = json.loads(body, parse_constant=_refuse_constant)
        told = read if isinstance(read, dict) else {}
        profiles = told.get(PROFILES) if told else read
        if not isinstance(profiles, list) or not all(map(_has_id, profiles)):
            raise ContractError(
                "the list was answered in a form that the contract does not know: "
                "neither `customers` nor an array of profiles with an id; check the "
                "base URL"
            )
        frame = frame_of_profiles(profiles)
    except (ValueError, RecursionError):
        raise ContractError(
            "the list was answered with something that is not JSON; check the base URL"
        ) from None
    return Page(frame, count_of(told.get("all")), count_of(told.get("matching")))


def frame_of_profiles(profiles: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """
    Return profiles, each with an id, as a plain frame.

    Raises:
        ValueError: A text in one is no Unicode.
    """
    if not profiles:
        return pl.DataFrame(schema=FIXED)
    rows = [_flat(profile) for profile in profiles]
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [
        pl.Series(
            name,
            [_cell(name, row.get(name)) for row in rows],
            dtype=FIXED.get(name, pl.String()),
        )
        for name in names
    ]
    return _whole(pl.DataFrame(columns))


def _flat(profile: Mapping[str, Any]) -> dict[str, Any]:
    cells: dict[str, Any] = {}
    for key, value in profile.items():
        if key in PARENTS and isinstance(value, dict):
            for name, inner in value.items():
                cells[native_name(f"{key}.{name}")] = inner
        else:
            cells.setdefault(native_name(key), value)
    return cells


def _cell(name: str, value: Any) -> Any:  # noqa: ANN401 - any JSON
    if value is None or name == ID:
        return value
    if name == "tags":
        tags = value if isinstance(value, list) else [value]
        return [tag if isinstance(tag, str) else _encode(tag) for tag in tags] or None
    if name in AGREEMENT_COLUMNS:
        return AGREEMENT_WORDS.get(str(value).lower())
    if name in TEXT_COLUMNS and isinstance(value, str):
        return value or None
    return _encode(value)


def _has_id(profile: object) -> bool:
    if not isinstance(profile, dict):
        return False
    found = profile.get("id", profile.get(ID))
    if not isinstance(found, int) or isinstance(found, bool):
        return False
    return -_MOST_ID <= found <= _MOST_ID


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def native_name(key: str) -> str:
    """Return the name that a key of a list or of a profile has in every export."""
    return _OLD_AGREEMENTS.get(key) or LIST_TO_NATIVE.get(key, key)


def _whole(frame: pl.DataFrame) -> pl.DataFrame:
    """Put the fixed columns first, all of them; of the others, those with a value."""
    # API 3.10: the list has a word of its own for it.
    sex = (
        {"sex": pl.col("sex").replace(LIST_SEX_TO_NATIVE)}
        if "sex" in frame.columns
        else {}
    )
    fixed = [
        sex.get(name, pl.col(name))
        if name in frame.columns
        else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in FIXED.items()
    ]
    n_nulls = dict(zip(frame.columns, frame.null_count().row(0), strict=True))
    others = [
        name
        for name in frame.columns
        if name not in FIXED and n_nulls[name] < frame.height
    ]
    return frame.select(*fixed, *others)


def count_of(value: object) -> int | None:
    """Return a count; whole, also where a page of another type came before."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or value < 0 or value != int(value):  # type: ignore[operator, call-overload]
        return None
    return int(value)  # type: ignore[call-overload, no-any-return]
