"""
Who may call: login, refresh, Basic, permissions, and the current workspace.

API contract, section 2.
"""

import base64
import binascii
import hmac

from starlette.responses import Response

from pipeline.sandbox import facts, tokens
from pipeline.sandbox.replies import Refusal, json_reply
from pipeline.sandbox.service import Call, Desk, json_of


def authenticate(desk: Desk, call: Call) -> None:
    """
    Accept a call with a living token or the right Basic credentials.

    Raises:
        Refusal: 401, or 403 by a switch; for an expired token with the text the
            official clients look for (API contract, section 2.6).
    """
    scheme, _, value = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "basic":
        _check_basic(desk, value.strip())
    else:
        _check_bearer(desk, call)


def _check_basic(desk: Desk, value: str) -> None:
    try:
        sent = base64.b64decode(value, validate=True)
    except binascii.Error:
        sent = b""
    right = f"{desk.workspace_guid}:{facts.API_KEY}".encode()
    if not desk.rules.basic_auth or not hmac.compare_digest(sent, right):
        raise Refusal(desk.rules.bad_token_status, "Basic authentication failed")


def _check_bearer(desk: Desk, call: Call) -> None:
    status = desk.rules.bad_token_status
    scheme, _, token = call.headers.get("authorization", "").partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token:
        raise Refusal(status, "Full authentication is required")
    if call.arrival.omen.expire:
        desk.wallet.revoked.add(token)
    try:
        tokens.check(token, desk.clocks.wall())
    except tokens.InvalidTokenError as reason:
        raise Refusal(status, "The token is invalid") from reason
    except tokens.ExpiredTokenError as reason:
        raise _expired(status) from reason
    if token in desk.wallet.revoked:
        raise _expired(status)


def _expired(status: int) -> Refusal:
    return Refusal(status, "The token has expired", error=facts.EXPIRED_ERROR)


def _new_token(desk: Desk) -> Response:
    desk.wallet.n_issued += 1
    token = tokens.issue(
        desk.clocks.wall(),
        desk.token_lifetime_s,
        serial=desk.wallet.n_issued,
        encrypted=desk.rules.encrypted_tokens,
    )
    return json_reply({"token": token})


def login(desk: Desk, call: Call) -> Response:
    """Exchange the workspace key for a token (API contract, section 2.1)."""
    sent = json_of(call, desk.rules)
    key = sent.get("apiKey") if isinstance(sent, dict) else None
    if not isinstance(key, str):
        raise Refusal(400, "apiKey is required")
    if not hmac.compare_digest(key.encode(), facts.API_KEY.encode()):
        raise Refusal(401, "The API key is invalid")
    return _new_token(desk)


def refresh(desk: Desk, call: Call) -> Response:
    """Exchange a token that still lives for a new one (API contract, section 2.2)."""
    _check_bearer(desk, call)
    return _new_token(desk)


def _workspace_name(desk: Desk) -> str:
    is_usual = desk.workspace_guid == facts.WORKSPACE_GUID
    return facts.WORKSPACE_NAME if is_usual else facts.OTHER_WORKSPACE_NAME


def check_permissions(desk: Desk, call: Call) -> Response:
    """Tell which permissions the key has; both body forms are read (2.7)."""
    sent = json_of(call, desk.rules)
    if isinstance(sent, dict):
        sent = sent.get("permissionsToCheck")
    if not isinstance(sent, list) or not all(isinstance(name, str) for name in sent):
        raise Refusal(400, "An array of permission names is required")
    granted = set(facts.PERMISSIONS) - desk.rules.denied_permissions
    return json_reply(
        {
            "businessProfileName": _workspace_name(desk),
            "permissions": {name: name in granted for name in sent},
        }
    )


def current_workspace(desk: Desk, _call: Call) -> Response:
    """Describe the workspace of the credentials (API contract, section 2.7)."""
    return json_reply(
        {
            "businessProfileGuid": desk.workspace_guid,
            "logo": None,
            "name": _workspace_name(desk),
            "id": facts.WORKSPACE_ID,
            "created": "2020-07-01T00:00:00.000Z",
            "subdomain": "sandbox",
            "ipRestricted": False,
            "mfaRequired": False,
        }
    )
