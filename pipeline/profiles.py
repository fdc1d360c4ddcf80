"""
One profile at a time: get, create, update, delete.

What is written goes through the same checks as a row of a file. Where the API has no
call for an identifier, the profile is read first, and must still carry it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.addresses import DELETABLE_BY, UPDATABLE_BY
from pipeline.connection import connected, patiently
from pipeline.contract import AGREEMENTS, FIELD_BY_NAME, IDENTIFIERS, ROW_CODES
from pipeline.encoder import encode
from pipeline.errors import LimitError, SettingsError
from pipeline.identifiers.proofs import IdentifierChecks
from pipeline.mapping import resolve_mapping
from pipeline.records import Slice
from pipeline.settings import ColumnMapping, Job, MappingSettings
from pipeline.transform import plan_transform, transform

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.client import Client
    from pipeline.connection import Connector, Workspace
    from pipeline.records import Reply

_OK: Final = 200
_QUEUED: Final = 202
_REFUSED: Final = frozenset({400, 422})
_ABSENT: Final = 404


@dataclass(frozen=True, slots=True)
class Identifier:
    """
    How a profile is found.

    Attributes:
        field: One of `contract.IDENTIFIERS`.
    """

    field: str
    value: str


@dataclass(frozen=True, slots=True)
class ProfileReply:
    """
    What became of one profile.

    Attributes:
        state: `found`, `accepted`, `absent` or `refused`.
        profile: As read; None after a write.
        client_id: Acted on, when the profile had to be read first.
    """

    state: str
    workspace: Workspace
    profile: dict[str, Any] | None = None
    client_id: int | None = None


async def get_profile(
    connector: Connector, identifier: Identifier, expected_guid: str | None = None
) -> ProfileReply:
    """
    Read one profile.

    Raises:
        SettingsError: The identifier cannot stand in an address.
        AccessError, RemoteError, ContractError: As the service answers.
    """
    async with connected(connector, expected_guid) as (client, workspace):
        profile = await _read(connector, client, identifier)
        state = "absent" if profile is None else "found"
        return ProfileReply(state, workspace, profile)


async def create_profile(
    connector: Connector, fields: Mapping[str, Any], expected_guid: str | None = None
) -> ProfileReply:
    """
    Create a profile, or update the one that its identifiers name (API 4.1).

    Args:
        fields: Dotted path → text, or a value of JSON.

    Raises:
        SettingsError: A field is unknown, invalid, or there is no identifier.
    """
    body = _body(fields, ())
    if not any(name in fields for name in IDENTIFIERS):
        raise SettingsError(
            "a profile needs an identifier: --email, --phone, --custom-id or --uuid"
        )
    async with connected(connector, expected_guid) as (client, workspace):
        reply = await patiently(
            connector,
            client,
            lambda: client.create_profile(body),
            what="the creation",
            answers={_QUEUED, *_REFUSED},
        )
        return ProfileReply(_state(reply), workspace)


async def update_profile(
    connector: Connector,
    identifier: Identifier,
    fields: Mapping[str, Any],
    unset: tuple[str, ...] = (),
    *,
    confirmed: bool = False,
    expected_guid: str | None = None,
) -> ProfileReply:
    """
    Change fields of one profile; an absent one stays absent.

    Args:
        unset: Fields to erase; identifiers never.
        confirmed: Whether a profile found by phone may have other identifiers.

    Raises:
        SettingsError: A field is unknown or invalid, or nothing is to be changed.
        LimitError: Found by phone, and it is known by more than the phone.
    """
    body = _body(fields, unset)
    async with connected(connector, expected_guid) as (client, workspace):
        target = await _target(
            connector, client, identifier, UPDATABLE_BY, confirmed=confirmed
        )
        if target is None:
            return ProfileReply("absent", workspace)
        reply = await patiently(
            connector,
            client,
            lambda: client.update_profile(target.field, target.value, body),
            what="the update",
            answers={_QUEUED, _ABSENT, *_REFUSED},
        )
        return ProfileReply(_state(reply), workspace, None, _client_id(target))


async def delete_profile(
    connector: Connector,
    identifier: Identifier,
    *,
    confirmed: bool = False,
    expected_guid: str | None = None,
) -> ProfileReply:
    """
    Delete one profile, irreversibly (API 4.8).

    Raises:
        LimitError: Found by phone, and it is known by more than the phone.
    """
    async with connected(connector, expected_guid) as (client, workspace):
        target = await _target(
            connector, client, identifier, DELETABLE_BY, confirmed=confirmed
        )
        if target is None:
            return ProfileReply("absent", workspace)
        reply = await patiently(
            connector,
            client,
            lambda: client.delete_profile(target.field, target.value),
            what="the deletion",
            answers={_QUEUED, _ABSENT},
        )
        return ProfileReply(_state(reply), workspace, None, _client_id(target))


def _state(reply: Reply) -> str:
    if reply.status in _REFUSED:
        return "refused"
    return "absent" if reply.status == _ABSENT else "accepted"


def _client_id(target: Identifier) -> int | None:
    return int(target.value) if target.field == "clientId" else None


async def _read(
    connector: Connector, client: Client, identifier: Identifier
) -> dict[str, Any] | None:
    reply = await patiently(
        connector,
        client,
        lambda: client.get_profile(identifier.field, identifier.value),
        what="the question for the profile",
        answers={_OK, _ABSENT},
    )
    if reply.status == _ABSENT:
        return None
    read: dict[str, Any] = json.loads(reply.body)
    return read


async def _target(
    connector: Connector,
    client: Client,
    identifier: Identifier,
    direct: tuple[str, ...],
    *,
    confirmed: bool,
) -> Identifier | None:
    """Return what the API can act on: the identifier itself, or the clientId behind."""
    if identifier.field in direct:
        return identifier
    profile = await _read(connector, client, identifier)
    if profile is None or not _carries(profile, identifier):
        return None
    others = [n for n in ("email", "customId") if profile.get(n)]
    if identifier.field == "phone" and others and not confirmed:
        raise LimitError(
            f"the profile found by this phone is clientId {profile['clientId']} and is "
            f"also known by {' and '.join(others)}; several people may share a phone. "
            "Use that identifier, or add --yes"
        )
    return Identifier("clientId", str(profile["clientId"]))


def _carries(profile: Mapping[str, Any], identifier: Identifier) -> bool:
    held, asked = str(profile.get(identifier.field, "")), identifier.value
    if identifier.field in ("email", "uuid"):
        return held.lower() == asked.lower()
    return held == asked


def _body(fields: Mapping[str, Any], unset: tuple[str, ...]) -> bytes:
    """Return the JSON object for a write, checked as a row of a file is."""
    if not fields and not unset:
        raise SettingsError(
            "nothing to change: give --set FIELD=VALUE or --unset FIELD"
        )
    for name in (*fields, *unset):
        _check_name(name)
    erased = [name for name in unset if name in IDENTIFIERS or name in fields]
    if erased:
        raise SettingsError(
            f"{', '.join(erased)} cannot be unset: an identifier never, and nothing "
            "that the same command sets"
        )
    record = _checked_record(fields) if fields else {}
    for name in unset:
        parent, _, key = name.partition(".")
        if key:
            record.setdefault(parent, {})[key] = None
        else:
            record[name] = None
    return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode()


def _check_name(name: str) -> None:
    parent, _, key = name.partition(".")
    known = (
        (name in FIELD_BY_NAME and name != "clientId")
        or (parent == "agreements" and key in AGREEMENTS)
        or (parent == "attributes" and bool(key))
    )
    if not known:
        raise SettingsError(
            f"{name!r} is no field that can be written. Fields are: "
            f"{', '.join(n for n in FIELD_BY_NAME if n != 'clientId')}, "
            f"agreements.({'|'.join(AGREEMENTS)}) and attributes.NAME"
        )


def _checked_record(fields: Mapping[str, Any]) -> dict[str, Any]:
    texts = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in fields.items()
    }
    entries: dict[str, Any] = {"agreements": {}, "attributes": {}}
    for name, value in fields.items():
        parent, _, key = name.partition(".")
        is_json = parent == "attributes" and not isinstance(value, str)
        entry = ColumnMapping(column=name, type="json" if is_json else None)
        if key:
            entries[parent][key] = entry
        else:
            entries[name] = entry
    # A stand-in, for an update whose identifier stands in its address.
    alone = not any(name in fields for name in IDENTIFIERS)
    if alone:
        entries["customId"], texts["customId"] = ColumnMapping(column="customId"), "-"
    job = Job(mapping=MappingSettings(**entries))
    frame = pl.DataFrame({name: [text] for name, text in texts.items()}).select(
        pl.lit(0, dtype=pl.UInt32).alias("source_no"),
        pl.lit(1, dtype=pl.UInt64).alias("row_no"),
        pl.all(),
    )
    mapping = resolve_mapping(tuple(texts), job)
    dtypes = dict.fromkeys(texts, pl.String())
    plan = plan_transform(mapping, dtypes, job, IdentifierChecks())
    result = transform(Slice(frame, 0, 1, 1), plan)
    if result.blocked.height:
        told = [
            f"{field or 'the profile'}: {ROW_CODES[code]}"
            for field, code in result.blocked.select("field", "code").iter_rows()
        ]
        raise SettingsError("; ".join(told))
    record: dict[str, Any] = json.loads(
        encode(result.clean, raw=plan.raw).frame["json"][0]
    )
    if alone:
        del record["customId"]
    return record
