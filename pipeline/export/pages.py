"""
Pages of the list endpoint become one frame: its names to native names, nothing dropped.

The cap bounds the number of profiles (API 6.1), so all of them fit into memory at once,
and a key that first appears on the last page is still a column of every row.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.contract import LIST_TO_NATIVE
from pipeline.errors import ContractError

if TYPE_CHECKING:
    from collections.abc import Iterable

# What every export has, whether or not a profile has it, in this order.
COLUMNS: Final[dict[str, pl.DataType]] = {
    "clientId": pl.Int64(),
    **dict.fromkeys(
        (
            "email",
            "phone",
            "customId",
            "uuid",
            "firstName",
            "lastName",
            "company",
            "address",
            "city",
            "province",
            "zipCode",
            "countryCode",
            "birthDate",
            "sex",
            "avatarUrl",
        ),
        pl.String(),
    ),
    "tags": pl.List(pl.String()),
}
# API 3.10: the list has a word of its own for it.
_LIST_SEX: Final = {"UNDEFINED": "NOT_SPECIFIED"}


@dataclass(frozen=True, slots=True)
class Page:
    """
    One page of the list.

    Attributes:
        n_all: What the service says there are in all; None when it does not say.
        matching: The same of those that the question is about.
    """

    profiles: list[dict[str, Any]]
    n_all: int | None
    matching: int | None = None


def read_page(body: bytes) -> Page:
    """
    Read a list reply: the documented wrapper, or a bare array (API 6.1).

    Raises:
        ContractError: It is neither, or a profile in it has no id.
    """
    try:
        read = json.loads(body)
    except ValueError:
        raise ContractError(
            "the list was answered with something that is not JSON; check the base URL"
        ) from None
    profiles = read.get("customers") if isinstance(read, dict) else read
    n_all = read.get("all") if isinstance(read, dict) else None
    if not isinstance(profiles, list) or not all(map(_has_id, profiles)):
        raise ContractError(
            "the list was answered in a form that the contract does not know: neither "
            "`customers` nor an array of profiles with an id; check the base URL"
        )
    matching = read.get("matching") if isinstance(read, dict) else None
    return Page(profiles, _count(n_all), _count(matching))


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return value if is_count else None  # type: ignore[return-value]


def _has_id(profile: object) -> bool:
    return isinstance(profile, dict) and isinstance(profile.get("id"), int)


def frame_of(profiles: Iterable[dict[str, Any]]) -> pl.DataFrame:
    """
    Return profiles of the list under native names, one row each, repeated ids once.

    Frame:
        out  `COLUMNS`, then every other key that occurs, as String; a value that is no
             text is JSON text there

    Rows: in the order of their first appearance; a later copy of an id is left out.
    """
    distinct = {profile["id"]: profile for profile in reversed(list(profiles))}
    rows = [
        {LIST_TO_NATIVE.get(key, key): value for key, value in profile.items()}
        for profile in reversed(list(distinct.values()))
    ]
    late = dict.fromkeys(key for row in rows for key in row if key not in COLUMNS)
    schema = {**COLUMNS, **dict.fromkeys(late, pl.String())}
    cells = [
        [_cell(row.get(name), dtype) for name, dtype in schema.items()] for row in rows
    ]
    return pl.DataFrame(cells, schema=schema, orient="row").with_columns(
        pl.col("sex").replace(_LIST_SEX)
    )


def _cell(value: Any, dtype: pl.DataType) -> Any:  # noqa: ANN401
    if value is None or value in ("", []):
        return None
    if dtype == pl.Int64:
        return value
    if dtype == pl.List(pl.String):
        tags = value if isinstance(value, list) else [value]
        return [tag if isinstance(tag, str) else json.dumps(tag) for tag in tags]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
