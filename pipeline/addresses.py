"""
Addresses of the service that cannot be made to point anywhere else.

A key travels only under https or inside this machine, and an identifier stays inside
its own segment of the path: an unquoted `../123` under `by-customid/` would become
`/v4/clients/123`, and with DELETE that is the wrong person.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import quote, urlsplit

from pipeline import contract
from pipeline.errors import SettingsError

IDENTIFIER_PATHS: Final = {
    "email": contract.BY_EMAIL,
    "phone": contract.BY_PHONE,
    "uuid": contract.BY_UUID,
    "customId": contract.BY_CUSTOM_ID,
}
UPDATABLE_BY: Final = ("clientId", "email", "customId")  # API 4.7
DELETABLE_BY: Final = ("clientId", "customId")  # API 4.8
_ROOT: Final = re.compile(
    r"https?://([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?", re.IGNORECASE
)
_PRINTABLE: Final = re.compile(r"[!-~]+")
_DIGITS: Final = re.compile(r"[0-9]{1,20}")


def check_base_url(base_url: str) -> str:
    """
    Return scheme, host and port of the service, without a trailing slash.

    Raises:
        SettingsError: Not a bare https address, or plain http to another machine.
    """
    root = base_url.removesuffix("/")
    if not _ROOT.fullmatch(root):
        raise SettingsError(
            "the base URL has to be a scheme, a host and maybe a port, as in "
            "https://api.synerise.com; remove user, path and query from it"
        )
    parts = urlsplit(root)
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise SettingsError(
            "plain http is for this machine only, because it shows the key and the "
            "profiles to the network; write https:// in the base URL"
        )
    return root


def check_webhook(address: str, name: str) -> None:
    """
    Refuse what alerts cannot be sent to safely.

    Args:
        name: Of the variable that holds it; the address never appears in a message.

    Raises:
        SettingsError: Not an https address, or plain http to another machine.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    is_safe = parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))
    if not host or not is_safe or not _PRINTABLE.fullmatch(address):
        raise SettingsError(
            f"{name} has to hold the whole address for alerts, beginning with https:// "
            "(http:// only to this machine)"
        )


def check_scheduler(address: str) -> None:
    """
    Refuse the address of a scheduler that would talk in the open.

    Raises:
        SettingsError: Not `tls://host:port`, or plain `tcp://` to another machine.
    """
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        parts, host, port = urlsplit(""), "", None
    if parts.scheme not in ("tls", "tcp") or not host or port is None:
        raise SettingsError(
            "the address of a scheduler is tls://HOST:PORT, as its log shows it"
        )
    if parts.scheme == "tcp" and not _is_loopback(host):
        raise SettingsError(
            "tcp:// is for this machine only: whoever reaches such a scheduler may run "
            "code on all of its workers. Give it certificates and write tls://"
        )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def profile_path(field: str, value: str) -> str:
    """
    Return the path of one profile; in an identifier every character is encoded.

    Args:
        field: `clientId`, `email`, `phone`, `uuid` or `customId`.
        value: As it is; it never appears in a message.

    Raises:
        SettingsError: *value* would name another resource, or none.
    """
    if field == "clientId":
        if not _DIGITS.fullmatch(value):
            raise SettingsError("a clientId is a whole number; nothing was sent")
        return f"{contract.CLIENTS_PATH}/{value}"
    if value in ("", ".", ".."):
        raise SettingsError(
            f"a {field} that is empty, '.' or '..' cannot stand in an address, the "
            "call would reach another resource; nothing was sent"
        )
    try:
        return f"{contract.CLIENTS_PATH}/{IDENTIFIER_PATHS[field]}/{quote(value, '')}"
    except UnicodeEncodeError:
        raise SettingsError(
            f"the {field} is not valid Unicode text; nothing was sent"
        ) from None


def check_field(field: str, verb: str, allowed: tuple[str, ...]) -> None:
    """
    Refuse a call that the service has no address for.

    Raises:
        SettingsError: There is no such endpoint.
    """
    if field not in allowed:
        raise SettingsError(
            f"the service cannot {verb} a profile by {field}, only by "
            f"{', '.join(allowed)}; read the profile first and use its clientId"
        )
