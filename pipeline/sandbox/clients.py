"""
The endpoints of profiles: create, batch, read, update, delete, and the lists.

A write is checked at once and applied later; an answer 202 therefore says nothing
about its effect (API contract, sections 4, 5 and 6).
"""

from dataclasses import replace
from typing import Any, Final

from starlette.responses import HTMLResponse, Response

from pipeline.sandbox import facts
from pipeline.sandbox.churning import churn
from pipeline.sandbox.fates import RowsRefused
from pipeline.sandbox.listing import (
    BadQueryError,
    Query,
    read_crm_query,
    read_entries_query,
    read_v4_query,
)
from pipeline.sandbox.profiles import Profile, show, show_in_list
from pipeline.sandbox.replies import Refusal, details_of, json_reply
from pipeline.sandbox.service import Call, Desk, json_of
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.validation import (
    Problem,
    clean_item,
    missing_identifier,
)
from pipeline.sandbox.writes import Write, WriteKind

Problems = list[tuple[str, Problem]]


def _accepted() -> Response:
    return Response(status_code=202)


def _queued(desk: Desk, call: Call, writes: list[Write]) -> Response:
    arrival = call.arrival
    desk.store.enqueue(arrival.request_no, writes, arrival.omen.extra_s)
    return _accepted()


def _details(desk: Desk, problems: Problems) -> list[dict[str, Any]]:
    return details_of(problems, desk.rules, desk.clocks.wall())


# --- one profile ---------------------------------------------------------------------


def _item_of(desk: Desk, call: Call, *, is_create: bool) -> dict[str, Any]:
    sent = json_of(call, desk.rules)
    if not isinstance(sent, dict):
        raise Refusal(400, "A JSON object is required")
    cleaned = clean_item(sent, desk.rules, in_batch=False)
    problems = [("", problem) for problem in cleaned.problems]
    if is_create and not problems:
        missing = missing_identifier(cleaned.item, in_batch=False)
        problems += [("", missing)] if missing else []
    if problems:
        raise Refusal(400, "Validation failed", details=_details(desk, problems))
    return cleaned.item


def create(desk: Desk, call: Call) -> Response:
    """Queue a new profile, or an update of the one it matches (4.1)."""
    item = _item_of(desk, call, is_create=True)
    write = Write(WriteKind.CREATE, None, item)
    return _queued(desk, call, [write])


def create_instant(desk: Desk, call: Call) -> Response:
    """Create at once and answer with a string (4.2, open question 21)."""
    item = _item_of(desk, call, is_create=True)
    write = Write(WriteKind.CREATE, None, item)
    profile = desk.store.write_now(call.arrival.request_no, write)
    if profile is None or desk.rules.instant_body == "empty":
        return json_reply("")
    if desk.rules.instant_body == "uuid":
        return json_reply(profile.scalars["uuid"])
    return json_reply(str(profile.client_id))


def _found(profile: Profile | None) -> Profile:
    if profile is None:
        raise Refusal(404, "Profile not found")
    return profile


def _by_id(desk: Desk, call: Call, status: int = 404) -> Profile:
    text = call.parts["clientId"]
    if not (text.isascii() and text.isdigit() and len(text) < 19):  # noqa: PLR2004 - int64
        raise Refusal(status, "clientId must be an integer")
    return _found(desk.store.get(int(text)))


def _update(desk: Desk, call: Call, item: dict[str, Any], profile: Profile) -> Response:
    write = Write(WriteKind.UPDATE, profile.client_id, item)
    return _queued(desk, call, [write])


def update_by_id(desk: Desk, call: Call) -> Response:
    """Queue changes of the profile with this id (4.7)."""
    item = _item_of(desk, call, is_create=False)
    return _update(desk, call, item, _by_id(desk, call, 400))


def update_by_email(desk: Desk, call: Call) -> Response:
    """Queue changes of the profile with this e-mail (4.7)."""
    item = _item_of(desk, call, is_create=False)
    found = desk.store.find("email", call.parts["email"])
    return _update(desk, call, item, _found(found))


def update_by_custom_id(desk: Desk, call: Call) -> Response:
    """Queue changes of the profile with this customId (4.7)."""
    item = _item_of(desk, call, is_create=False)
    found = desk.store.find("customId", call.parts["customId"])
    return _update(desk, call, item, _found(found))


def _delete(desk: Desk, call: Call, profile: Profile) -> Response:
    write = Write(WriteKind.DELETE, profile.client_id, {})
    if desk.rules.delete_timing == "immediate":
        desk.store.write_now(call.arrival.request_no, write)
        return _accepted()
    return _queued(desk, call, [write])


def delete_by_id(desk: Desk, call: Call) -> Response:
    """Queue the end of the profile with this id (4.8)."""
    return _delete(desk, call, _by_id(desk, call))


def delete_by_custom_id(desk: Desk, call: Call) -> Response:
    """Queue the end of the profile with this customId (4.8)."""
    found = desk.store.find("customId", call.parts["customId"])
    return _delete(desk, call, _found(found))


def get_by_id(desk: Desk, call: Call) -> Response:
    """Show the profile with this id (4.5)."""
    return json_reply(show(_by_id(desk, call), desk.rules))


def get_by_identifier(desk: Desk, call: Call) -> Response:
    """Show the profile with this e-mail, phone, uuid or customId (4.6)."""
    kind = call.parts["identifierType"]
    if kind not in desk.rules.identifier_types:
        raise Refusal(400, "Unknown identifier type")
    field = facts.IDENTIFIER_TYPES[kind]
    found = desk.store.find(field, call.parts["identifierValue"])
    return json_reply(show(_found(found), desk.rules))


# --- batch ---------------------------------------------------------------------------


def batch(desk: Desk, call: Call) -> Response:
    """
    Queue up to 1000 upserts (API contract, section 5).

    One invalid item refuses the batch, is named in a 207, or disappears without a
    word, as `invalid_item` says (open question 4). Where the weather refuses items,
    it also says how.
    """
    sent = json_of(call, desk.rules)
    if not isinstance(sent, list):
        raise Refusal(400, "A JSON array is required")
    if len(sent) < facts.MIN_BATCH_ITEMS:
        raise Refusal(400, "At least one item is required")
    if len(sent) > facts.MAX_BATCH_ITEMS:
        raise Refusal(
            desk.rules.oversize_items_status,
            f"The batch exceeds the maximum size of {facts.MAX_BATCH_ITEMS} items",
        )
    refused = call.arrival.omen.refused
    positions = refused.positions(sent) if refused else frozenset()
    writes, problems = _clean_batch(sent, desk, positions)
    status, named = _partly(desk.rules)
    if refused and positions:
        status, named = refused.status, refused.named
    if problems and status in _WHOLE_BATCH:
        details = _details(desk, problems) if named else ()
        raise Refusal(status, "Validation failed", details=details)
    accepted = _queued(desk, call, writes)
    if problems and (status == _PARTLY or named):
        told = problems if named else [("", _unnamed(one)) for _, one in problems]
        return json_reply(_details(desk, told), status)
    return accepted


_PARTLY: Final = 207
_WHOLE_BATCH: Final = frozenset({400, 422})


def _partly(rules: Switches) -> tuple[int, bool]:
    """Return the status of a batch with an invalid item, and whether it is named."""
    if rules.invalid_item == "reject_batch":
        return rules.invalid_status, rules.invalid_named
    if rules.invalid_item == "partial_207":
        return _PARTLY, rules.invalid_named
    return 202, False


def _unnamed(problem: Problem) -> Problem:
    return replace(problem, rejected=None)


def _clean_batch(
    sent: list[Any], desk: Desk, refused: frozenset[int]
) -> tuple[list[Write], Problems]:
    writes: list[Write] = []
    problems: Problems = []
    for position, raw in enumerate(sent):
        if not isinstance(raw, dict):
            raise Refusal(400, "Every item must be a JSON object")
        cleaned = clean_item(raw, desk.rules, in_batch=True)
        found = list(cleaned.problems)
        if not found:
            missing = missing_identifier(cleaned.item, in_batch=True)
            found += [missing] if missing else []
        if position in refused:
            found.append(RowsRefused.problem(raw))
        if found:
            problems += [(f"list[{position}].", problem) for problem in found]
        else:
            writes.append(Write(WriteKind.UPSERT, None, cleaned.item))
    return writes, problems


# --- lists ---------------------------------------------------------------------------


def list_v4(desk: Desk, call: Call) -> Response:
    """Show a page of full profiles as a bare array (6.2)."""
    churn(desk.store, call.arrival.request_no, desk.rules.churn_per_page)
    try:
        query = read_v4_query(call.params, desk.rules)
    except BadQueryError as reason:
        raise Refusal(400, str(reason)) from reason
    return json_reply([show(found, desk.rules) for found in desk.store.page(query)])


def list_crm(desk: Desk, call: Call) -> Response:
    """Show a page of the documented list, which ends at 10,000 (6.1)."""
    trouble = desk.rules.list_trouble
    churn(desk.store, call.arrival.request_no, desk.rules.churn_per_page)
    if trouble == "html":
        return HTMLResponse("<html><body>Please log in</body></html>")
    try:
        query = read_crm_query(call.params, desk.rules, call.arrival.request_no)
    except BadQueryError as reason:
        raise Refusal(400, str(reason)) from reason
    asked = _troubled(query, trouble)
    customers = [show_in_list(p, desk.rules) for p in desk.store.page(asked)]
    if trouble == "text_ids":
        customers = [{**shown, "id": str(shown["id"])} for shown in customers]
    if trouble == "twice":
        customers = [shown for shown in customers for _ in range(2)]
    if desk.rules.list_shape == "bare_array":
        return json_reply(customers)
    return json_reply(
        {
            "customers": customers,
            "all": _told_total(desk),
            "limit": query.limit,
            "offset": query.offset,
            "matching": _told_matching(desk, query),
        }
    )


def _troubled(query: Query, trouble: str) -> Query:
    """Return what is looked up in place of a page that was asked for."""
    if trouble == "repeats":
        return replace(query, offset=0)
    if trouble == "short_pages" and query.offset:
        return replace(query, limit=max(1, query.limit // 2))
    return query


def _told_total(desk: Desk) -> int:
    """Return the total as the switches have it (open question 18)."""
    n_profiles = desk.store.count_profiles()
    if desk.rules.all_is in ("halved", "both_halved"):
        return n_profiles // 2
    if desk.rules.all_is == "doubled":
        return 2 * n_profiles
    if desk.rules.all_is == "capped":
        return min(n_profiles, desk.rules.list_cap_rows)
    return n_profiles


def _told_matching(desk: Desk, query: Query) -> int:
    n_matching = desk.store.count_matching(query)
    if desk.rules.list_cap == "result":
        n_matching = min(n_matching, desk.rules.list_cap_rows)
    return n_matching // 2 if desk.rules.all_is == "both_halved" else n_matching


def autocomplete(desk: Desk, call: Call) -> Response:
    """Show values of one field that begin with a prefix (4.13)."""
    try:
        query = read_entries_query(call.params)
    except BadQueryError as reason:
        raise Refusal(400, str(reason)) from reason
    works = desk.rules.autocomplete_works
    return json_reply({"entries": desk.store.entries(query) if works else []})
