"""`profile`: one profile at a time."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING, Any, Final

import click

from pipeline import (
    Identifier,
    ProfileReply,
    create_profile,
    delete_profile,
    get_profile,
    update_profile,
)
from pipeline.cli.exit_codes import OK, PARTIAL
from pipeline.cli.options import connector_of, json_option, remote_options, talk_options
from pipeline.cli.render import show_json, workspace_line
from pipeline.cli.talking import say
from pipeline.environment import remote_settings
from pipeline.errors import SettingsError
from pipeline.settings import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline import Connector

_IDENTIFIERS: Final = {
    "email": "email",
    "phone": "phone",
    "uuid": "uuid",
    "custom_id": "customId",
    "client_id": "clientId",
}


@click.group("profile", short_help="Get, create, update or delete one profile.")
def command() -> None:
    """Get, create, update or delete one profile."""


def _identified(function: Callable[..., int]) -> Callable[..., int]:
    return _with_options(function, tuple(_IDENTIFIERS))


def _creatable(function: Callable[..., int]) -> Callable[..., int]:
    """Offer all but the clientId, which the CRM gives."""
    return _with_options(function, tuple(_IDENTIFIERS)[:-1])


def _with_options(
    function: Callable[..., int], names: tuple[str, ...]
) -> Callable[..., int]:
    for name in reversed(names):
        option = click.option(f"--{name.replace('_', '-')}", name, metavar="VALUE")
        function = option(function)
    return function


def _written(function: Callable[..., int]) -> Callable[..., int]:
    return click.option(
        "--set",
        "sets",
        multiple=True,
        metavar="FIELD=VALUE",
        help="Text; FIELD:=JSON for a number, true, false or a list.",
    )(function)


@command.command("get")
@_identified
@remote_options
@talk_options
def get(**flags: Any) -> int:  # noqa: ANN401
    """Print one profile as JSON on stdout; end with 3 when there is none."""
    identifier = _identifier(flags)
    reply = asyncio.run(get_profile(_connector(flags), identifier, _pin(flags)))
    if reply.profile is None:
        return _end(reply, flags)
    show_json(reply.profile)
    return OK


@command.command("create")
@_creatable
@_written
@remote_options
@json_option
@talk_options
def create(sets: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """Create a profile, or update the one its identifiers name."""
    named = {
        field: flags[name] for name, field in _IDENTIFIERS.items() if flags.get(name)
    }
    fields = {**named, **_fields(sets)}
    return _end(
        asyncio.run(create_profile(_connector(flags), fields, _pin(flags))), flags
    )


@command.command("update")
@_identified
@_written
@click.option("--unset", multiple=True, metavar="FIELD", help="Erase a field.")
@click.option("--yes", is_flag=True, help="Also when found by a phone others share.")
@remote_options
@json_option
@talk_options
def update(sets: tuple[str, ...], unset: tuple[str, ...], **flags: Any) -> int:  # noqa: ANN401
    """Change fields of one profile."""
    reply = asyncio.run(
        update_profile(
            _connector(flags),
            _identifier(flags),
            _fields(sets),
            unset,
            confirmed=flags["yes"],
            expected_guid=_pin(flags),
        )
    )
    return _end(reply, flags)


@command.command("delete")
@_identified
@click.option("--yes", is_flag=True, help="Do not ask.")
@remote_options
@json_option
@talk_options
def delete(**flags: Any) -> int:  # noqa: ANN401
    """Delete one profile; this cannot be undone."""
    identifier = _identifier(flags)
    if not flags["yes"]:
        if not sys.stdin.isatty():
            raise SettingsError("a deletion cannot be undone: add --yes")
        click.confirm(
            "Delete this profile? This cannot be undone.", abort=True, err=True
        )
    reply = asyncio.run(
        delete_profile(
            _connector(flags),
            identifier,
            confirmed=flags["yes"],
            expected_guid=_pin(flags),
        )
    )
    return _end(reply, flags)


def _identifier(flags: dict[str, Any]) -> Identifier:
    given = {name: flags[name] for name in _IDENTIFIERS if flags[name] is not None}
    if len(given) != 1:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in _IDENTIFIERS)
        raise SettingsError(f"name the profile by exactly one of {names}")
    ((name, value),) = given.items()
    return Identifier(_IDENTIFIERS[name], value)


def _fields(sets: tuple[str, ...]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for text in sets:
        name, separator, value = text.partition("=")
        if not separator or not name:
            raise SettingsError("--set takes FIELD=VALUE or FIELD:=JSON")
        if name.endswith(":"):
            name = name[:-1]
            try:
                fields[name] = json.loads(value)
            except ValueError:
                raise SettingsError(f"--set {name}:= is not followed by JSON") from None
        else:
            fields[name] = value
    return fields


def _connector(flags: dict[str, Any]) -> Connector:
    remote = remote_settings(
        Job(),
        base_url=flags["base_url"],
        ca_bundle=flags["ca_bundle"],
        env_proxy=flags["env_proxy"],
    )
    return connector_of(remote)


def _pin(flags: dict[str, Any]) -> str | None:
    pin: str | None = flags["expect_workspace"]
    return pin


def _end(reply: ProfileReply, flags: dict[str, Any]) -> int:
    words = {
        "accepted": "accepted: the API has queued it",
        "absent": "there is no such profile",
        "refused": "the API refused the content",
    }
    if not flags["quiet"]:
        say(workspace_line(reply.workspace))
        where = f" (clientId {reply.client_id})" if reply.client_id else ""
        say(words[reply.state] + where)
    if flags.get("as_json"):
        show_json({"state": reply.state, "clientId": reply.client_id})
    return OK if reply.state == "accepted" else PARTIAL
