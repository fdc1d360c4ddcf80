"""
What the query strings of the two lists and of the autocompletion ask for.

Pure: a query string becomes a `Query`, conditions and order in SQL for the store to
run. The cap, the paging and every comparison that the contract leaves open follow
the switches (API contract, sections 6.1 and 6.2).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from pipeline.sandbox import facts
from pipeline.sandbox.rows import BETWEEN
from pipeline.sandbox.switches import Switches

_INT: Final = re.compile(r"-?[0-9]{1,10}")
_INT32_MAX: Final = 2**31 - 1
_COLUMNS: Final = {
    **{field: f'"{field}"' for field in facts.SCALAR_FIELDS},
    **{
        name: "client_id" if field == "clientId" else f'"{field}"'
        for name, field in facts.CRM_NAMES.items()
    },
    "clientId": "client_id",
    "lastActivityDate": "created_s",
    "last_activity_date": "created_s",
    "created": "created_s",
    "updated": "updated_s",
}
_TIMES: Final = ("created_s", "updated_s")
Comparison = Literal["contains", "prefix", "exact"]


class BadQueryError(ValueError):
    """A query parameter that cannot be served; the message names it."""


@dataclass(frozen=True, slots=True)
class Condition:
    """A part of a WHERE clause with its parameters."""

    sql: str = "TRUE"
    params: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Query:
    """
    One page of profiles.

    Attributes:
        limit: As the answer repeats it, after clamping.
        is_empty: The page is empty whatever the workspace holds.
    """

    condition: Condition
    order: str
    limit: int
    offset: int
    is_empty: bool = False


def _whole(
    params: Mapping[str, str], name: str, default: int, *, least: int, most: int
) -> int:
    text = params.get(name)
    if text is None:
        return default
    if not _INT.fullmatch(text) or not least <= int(text) <= most:
        raise BadQueryError(f"{name} must be an integer from {least} to {most}")
    return int(text)


def _both(*conditions: Condition) -> Condition:
    return Condition(
        " AND ".join(f"({condition.sql})" for condition in conditions),
        tuple(param for condition in conditions for param in condition.params),
    )


def _folded(column: str, how: Comparison, value: str) -> Condition:
    """Compare without regard to case; `fold` is a function of the store."""
    value = value.casefold()
    if how == "contains":
        return Condition(f"instr(fold({column}), ?) > 0", (value,))
    if how == "prefix":
        return Condition(f"substr(fold({column}), 1, ?) = ?", (len(value), value))
    return Condition(f"fold({column}) = ?", (value,))


# --- GET /crm/v1/list ----------------------------------------------------------------


def read_crm_query(params: Mapping[str, str], rules: Switches, turn: int) -> Query:
    """
    Read the parameters of the documented list.

    Args:
        turn: A number of the request, which decides an unstable order.

    Raises:
        BadQueryError: For a parameter out of range, or a page beyond the cap when
            the cap is an error (open question 14).
    """
    most = rules.max_list_limit
    limit = _whole(params, "limit", facts.LIST_DEFAULT_LIMIT, least=1, most=most)
    offset = _whole(params, "offset", 0, least=0, most=_INT32_MAX)
    is_empty = False
    cap = rules.list_cap_rows
    if offset + limit > cap:
        if rules.list_cap == "error":
            raise BadQueryError(f"offset + limit must not exceed {cap}")
        if rules.list_cap in ("clamp", "result"):
            limit = max(0, cap - offset)
        is_empty = limit == 0 or rules.list_cap == "empty_page"
    condition = _both(
        _recognised(params.get("recognized", "NONE")),
        _search(params.get("search", ""), rules),
    )
    order = _crm_order(params.get("sortBy", ""), rules, turn)
    return Query(condition, order, limit, offset, is_empty)


def _recognised(word: str) -> Condition:
    if word in ("RECOGNIZED", "true"):
        return Condition("NOT anonymous")
    if word in ("ANONYMOUS", "false"):
        return Condition("anonymous")
    if word == "NONE":
        return Condition()
    raise BadQueryError("recognized must be RECOGNIZED, ANONYMOUS or NONE")


def _search(text: str, rules: Switches) -> Condition:
    """Read `field:value`, or a plain text that is looked for in five places."""
    if not text or not rules.search_works:
        return Condition()
    field, colon, value = text.partition(":")
    if colon and (field in _COLUMNS or field == "tags"):
        return _search_field(field, value, rules)
    before = "" if rules.search_plain == "contains" else BETWEEN
    behind = BETWEEN if rules.search_plain == "exact" else ""
    sought = f"{before}{text.casefold()}{behind}"
    return Condition("instr(searched, ?) > 0", (sought,))


def _search_field(field: str, value: str, rules: Switches) -> Condition:
    if field == "tags":
        return Condition(
            "EXISTS (SELECT 1 FROM json_each(tags) WHERE value = ?)", (value,)
        )
    column = _COLUMNS[field]
    if rules.search_field != "exact":
        return _folded(column, rules.search_field, value)
    if field == "email" and rules.email_case == "insensitive":
        return _folded(column, "exact", value)
    if field == "sex" and value == "UNDEFINED":
        return Condition("sex NOT IN ('FEMALE', 'MALE')")
    return Condition(f"CAST({column} AS TEXT) = ?", (value,))


def _crm_order(text: str, rules: Switches, turn: int) -> str:
    if text and not rules.sort_works:
        raise BadQueryError("sortBy is not supported")
    if not text:
        if rules.default_order == "unstable":
            spread = turn * 524_287 % 999_983 + 1  # two primes: no two turns agree
            return f"(client_id * {spread}) % 1000003"
        return "client_id"
    field, _, direction = text.partition(rules.sort_separator)
    if field not in _COLUMNS or direction not in ("", "ASC", "DESC"):
        raise BadQueryError(f"sortBy must be field{rules.sort_separator}ASC or DESC")
    return f"{_COLUMNS[field]} {direction or 'ASC'}, client_id"


# --- GET /v4/clients -----------------------------------------------------------------


def read_v4_query(params: Mapping[str, str], rules: Switches) -> Query:
    """
    Read the parameters of the older list; a page number counts from 1.

    Raises:
        BadQueryError: For a parameter out of range or outside its enumeration.
    """
    size = _whole(
        params, "pageSize", rules.default_page_size, least=1, most=rules.max_page_size
    )
    page = _whole(params, "pageIndex", 1, least=1, most=_INT32_MAX)
    field = params.get("sortBy")
    direction = params.get("sortOrder", "ASC")
    if direction not in ("ASC", "DESC"):
        raise BadQueryError("sortOrder must be ASC or DESC")
    if field is not None and field not in facts.SORT_FIELDS:
        raise BadQueryError(f"sortBy must be one of {', '.join(facts.SORT_FIELDS)}")
    column = "client_id" if field is None else _COLUMNS[field]
    conditions = [_anonymous_filter(params.get("filters[anonymous]"), rules)]
    for name in facts.FILTER_FIELDS:
        value = params.get(f"filters[{name}]")
        if value is not None:
            conditions.append(_folded(_COLUMNS[name], rules.filter_match, value))
    return Query(
        _both(*conditions), f"{column} {direction}, client_id", size, (page - 1) * size
    )


def _anonymous_filter(word: str | None, rules: Switches) -> Condition:
    if word is None or (word == "false" and rules.anonymous_false == "ignored"):
        return Condition()
    if word not in ("true", "false"):
        raise BadQueryError("filters[anonymous] must be true or false")
    return Condition("anonymous" if word == "true" else "NOT anonymous")


# --- GET /crm/v1/autocomplete --------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EntriesQuery:
    """Distinct values of one column; `column` is None for a field nobody knows."""

    column: str | None
    condition: Condition
    limit: int


def read_entries_query(params: Mapping[str, str]) -> EntriesQuery:
    """
    Read the parameters of the autocompletion (API contract, section 4.13).

    Raises:
        BadQueryError: When `field` is missing or `limit` is out of range.
    """
    limit = _whole(
        params, "limit", facts.AUTOCOMPLETE_DEFAULT_LIMIT, least=1, most=1000
    )
    field = params.get("field")
    if not field:
        raise BadQueryError("field is required")
    column = _COLUMNS.get(field)
    if column is None or column in _TIMES:
        return EntriesQuery(None, Condition(), limit)
    column = f"CAST({column} AS TEXT)"
    return EntriesQuery(
        column, _folded(column, "prefix", params.get("prefix", "")), limit
    )
