"""
What a profile is, what a write makes of it, and what a read shows.

Pure: the moment and the correlation id of a write come in as a `Stamp`. Which profile
a write is about is decided in `pipeline.sandbox.matching`.
"""

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from pipeline.sandbox import facts
from pipeline.sandbox.switches import Switches

_NAMESPACE: Final = uuid.UUID(facts.WORKSPACE_GUID)
_NAMESPACE_BYTES: Final = _NAMESPACE.bytes
_BLANK: Final = dict.fromkeys(facts.SCALAR_FIELDS)
_EVENT_TIME, _CORRELATION = facts.SYSTEM_ATTRIBUTES
_NO_AGREEMENTS: Final = dict.fromkeys(facts.AGREEMENT_KEYS, False)


@dataclass(frozen=True, slots=True)
class Profile:
    """
    One profile as the workspace holds it.

    Attributes:
        scalars: Every field of `facts.SCALAR_FIELDS`; texts may be None.
        uuids: All identities in the order they came; the shown one is
            `scalars["uuid"]` (API contract, section 3.2).
        created_s: Seconds since 1970; `updated_s` likewise.
    """

    client_id: int
    scalars: Mapping[str, str | None]
    agreements: Mapping[str, bool]
    attributes: Mapping[str, Any]
    tags: tuple[str, ...]
    uuids: tuple[str, ...]
    created_s: float
    updated_s: float


@dataclass(frozen=True, slots=True)
class Stamp:
    """
    When a write is applied, and the id that ties its traces together.

    Attributes:
        iso: The moment as text, written once for a whole batch.
    """

    now_s: float
    iso: str
    correlation_id: str


def stamp_of(now_s: float, write_no: int) -> Stamp:
    """Make the stamp of a write; the same number always gives the same id."""
    return Stamp(
        now_s, iso_time(now_s), str(uuid.uuid5(_NAMESPACE, f"write {write_no}"))
    )


def generated_uuid(client_id: int) -> str:
    """Return the uuid of a profile that nobody gave one: `uuid.uuid5`, but faster."""
    told = b"profile %d" % client_id
    text = hashlib.sha1(_NAMESPACE_BYTES + told, usedforsecurity=False).hexdigest()
    variant = "89ab"[int(text[16], 16) & 3]
    return (
        f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{variant}{text[17:20]}-{text[20:32]}"
    )


def is_recognised(scalars: Mapping[str, str | None], rules: Switches) -> bool:
    """Tell a recognised profile from an anonymous one (API contract, section 3.4)."""
    main = "customId" if rules.non_unique_emails else "email"
    return scalars[main] is not None


def iso_time(moment_s: float) -> str:
    """Write a moment as ISO 8601 with milliseconds and `Z`."""
    moment = datetime.fromtimestamp(moment_s, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# --- writes --------------------------------------------------------------------------


def create(
    client_id: int, item: Mapping[str, Any], stamp: Stamp, rules: Switches
) -> Profile:
    """
    Make a new profile with everything the platform generates.

    A uuid, the gravatar address and, for a create with nothing but an e-mail, the
    first name appear although nobody sent them (API contract, section 3.1).
    """
    own_uuid = item.get("uuid") or generated_uuid(client_id)
    empty = Profile(
        client_id=client_id,
        scalars={**_BLANK, "sex": facts.DEFAULT_SEX, "uuid": own_uuid},
        agreements=_NO_AGREEMENTS,
        attributes={},
        tags=(),
        uuids=(own_uuid,),
        created_s=stamp.now_s,
        updated_s=stamp.now_s,
    )
    return update(empty, {**_generated(item, rules), **item}, stamp, rules)


def _generated(item: Mapping[str, Any], rules: Switches) -> dict[str, str]:
    email = item.get("email")
    if email is None:
        return {}
    digest = hashlib.md5(email.strip().lower().encode(), usedforsecurity=False)
    found = {"avatarUrl": f"https://www.gravatar.com/avatar/{digest.hexdigest()}"}
    sent = {key for key, value in item.items() if value is not None}
    if rules.generated_first_name == "when_missing" or (
        rules.generated_first_name == "email_only" and sent == {"email"}
    ):
        found["firstName"] = email.partition("@")[0].capitalize()
    return found


def update(
    profile: Profile, item: Mapping[str, Any], stamp: Stamp, rules: Switches
) -> Profile:
    """
    Lay a cleaned item over a profile: a missing key changes nothing, null erases.

    The rules for null are those of the API contract, section 3.9; the item must not
    carry an identifier that another profile owns.
    """
    scalars = dict(profile.scalars)
    for field, value in item.items():
        if field in scalars and field != "uuid":  # a profile has many uuids
            _set_scalar(scalars, field, value, rules)
    uuids = profile.uuids
    new_uuid = item.get("uuid")
    if new_uuid is not None and new_uuid not in uuids:
        uuids = (*uuids, new_uuid)
        if rules.shown_uuid == "latest":
            scalars["uuid"] = new_uuid
    attributes = dict(profile.attributes)
    if "attributes" in item:
        _set_attributes(attributes, item["attributes"], rules)
    attributes[_EVENT_TIME] = stamp.iso
    attributes[_CORRELATION] = stamp.correlation_id
    return Profile(
        client_id=profile.client_id,
        scalars=scalars,
        agreements=_agreements(profile.agreements, item, rules),
        attributes=attributes,
        tags=_tags(profile.tags, item, rules),
        uuids=uuids,
        created_s=profile.created_s,
        updated_s=stamp.now_s,
    )


def _set_scalar(
    scalars: dict[str, str | None], field: str, value: str | None, rules: Switches
) -> None:
    if value is None:
        if field in facts.IDENTIFIER_FIELDS and rules.identifier_null == "ignore":
            return
        scalars[field] = facts.DEFAULT_SEX if field == "sex" else None
    else:
        scalars[field] = value


def _set_attributes(
    stored: dict[str, Any], sent: Mapping[str, Any] | None, rules: Switches
) -> None:
    if sent is None:
        if rules.null_container == "clear":
            stored.clear()
        return
    for name, value in sent.items():
        if value is None:
            stored.pop(name, None)
        elif rules.attribute_merge == "deep":
            stored[name] = _merge_deep(stored.get(name), value)
        else:
            stored[name] = value


def _merge_deep(stored: object, sent: object) -> object:
    if not isinstance(sent, dict):
        return sent
    merged = dict(stored) if isinstance(stored, dict) else {}
    for key, value in sent.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge_deep(merged.get(key), value)
    return merged


def _agreements(
    stored: Mapping[str, bool], item: Mapping[str, Any], rules: Switches
) -> Mapping[str, bool]:
    if "agreements" not in item:
        return stored
    sent = item["agreements"]
    if sent is None:
        return _NO_AGREEMENTS if rules.null_container == "clear" else stored
    changed = {key: bool(value) for key, value in sent.items()}  # null is the default
    if rules.non_unique_emails:
        changed.pop("email", None)
    return {**stored, **changed}


def _tags(
    stored: tuple[str, ...], item: Mapping[str, Any], rules: Switches
) -> tuple[str, ...]:
    if "tags" not in item:
        return stored
    sent = item["tags"] or []
    if not sent:
        return () if rules.tags_empty == "clear" else stored
    if rules.tags_update == "replace":
        return tuple(sent)
    return (*stored, *(tag for tag in sent if tag not in stored))


# --- reads ---------------------------------------------------------------------------


def show(profile: Profile, rules: Switches) -> dict[str, Any]:
    """
    Write a profile as `/v4` answers it (API contract, section 3.1).

    `lastActivityDate` is the moment of creation: the reference itself says the field
    is of no use. `previousClients` is always empty on reads.
    """
    return {
        "clientId": profile.client_id,
        **profile.scalars,
        "anonymous": not is_recognised(profile.scalars, rules),
        "lastActivityDate": iso_time(profile.created_s),
        "agreements": dict(profile.agreements),
        "attributes": dict(profile.attributes),
        "tags": list(profile.tags),
        "previousClients": [],
    }


def show_in_list(profile: Profile, rules: Switches) -> dict[str, Any]:
    """
    Write a profile as an item of `/crm/v1/list` (API contract, section 3.10).

    The values of `anonymous_type` are not documented; this one names the strongest
    identifier of an anonymous profile.
    """
    scalars = profile.scalars
    shown: dict[str, Any] = {
        name: profile.client_id if field == "clientId" else scalars[field]
        for name, field in facts.CRM_NAMES.items()
    }
    shown["sex"] = facts.CRM_SEX[scalars["sex"] or facts.DEFAULT_SEX]
    shown["anonymous_type"] = _anonymous_type(scalars, rules)
    shown["country_id"] = None
    shown["last_activity_date"] = iso_time(profile.created_s)
    shown["created"] = iso_time(profile.created_s)
    shown["updated"] = iso_time(profile.updated_s)
    shown["deletedAt"] = None
    shown["tags"] = list(profile.tags)
    if rules.list_attributes:
        shown["attributes"] = dict(profile.attributes)
    return shown


def _anonymous_type(scalars: Mapping[str, str | None], rules: Switches) -> str | None:
    if is_recognised(scalars, rules):
        return None
    if scalars["customId"] is not None:
        return "CUSTOM_IDENTIFY"
    return "PHONE" if scalars["phone"] is not None else "UUID"
