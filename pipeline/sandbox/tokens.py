"""
Tokens of the workspace login: made, and read back.

Pure: the time comes in as an argument. The platform signs with RS512 (API contract,
section 2.4); the standard library has no RSA, so these carry an HMAC and say so in
their header (HS512). A client treats a token as opaque and reads at most `exp`, which
is where the real one has it.
"""

import base64
import hashlib
import hmac
import json
import math
from typing import Any, Final

from pipeline.sandbox import facts

_SECRET: Final = hashlib.sha512(f"sandbox {facts.API_KEY}".encode()).digest()


class InvalidTokenError(ValueError):
    """A token this sandbox did not make."""


class ExpiredTokenError(ValueError):
    """A token whose time is over."""


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _unpack(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _sign(text: str) -> str:
    return _pack(hmac.digest(_SECRET, text.encode("ascii"), "sha512"))


def _veil(data: bytes, nonce: bytes) -> bytes:
    """Hide or unveil a payload; a stand-in for a cipher, it protects nothing."""
    key = hashlib.shake_256(_SECRET + nonce).digest(len(data))
    return bytes(a ^ b for a, b in zip(data, key, strict=True))


def issue(now_s: float, lifetime_s: float, *, serial: int, encrypted: bool) -> str:
    """
    Make a token for the workspace.

    Args:
        now_s: Seconds since 1970.
        lifetime_s: `exp` is the end of it in whole seconds, rounded up.
        serial: Makes two tokens of one second different.
        encrypted: Five segments and no readable `exp`, as in workspaces with the
            setting "encrypt JWT payload" (API contract, section 2.4).
    """
    payload = _json(
        {
            "sub": facts.WORKSPACE_GUID,
            "origin": "WORKSPACE_API_KEY",
            "iat": math.floor(now_s),
            "exp": math.ceil(now_s + lifetime_s),
            "jti": str(serial),
        }
    )
    if not encrypted:
        header = _json({"alg": "HS512", "typ": "JWT"})
        signed = f"{_pack(header)}.{_pack(payload)}"
        return f"{signed}.{_sign(signed)}"
    header = _json({"alg": "dir", "enc": "A256GCM", "cty": "JWT"})
    nonce = hashlib.sha256(payload).digest()
    wrapped = _pack(hmac.digest(_SECRET, nonce, "sha256"))
    hidden = _pack(_veil(payload, nonce))
    sealed = f"{_pack(header)}.{wrapped}.{_pack(nonce)}.{hidden}"
    return f"{sealed}.{_sign(sealed)}"


def check(token: str, now_s: float) -> None:
    """
    Accept a token that was made here and still lives.

    Raises:
        InvalidTokenError: If it was not made by `issue`.
        ExpiredTokenError: If `now_s` has reached its `exp`.
    """
    sealed, _, signature = token.rpartition(".")
    if not sealed.isascii() or not hmac.compare_digest(
        _sign(sealed).encode(), signature.encode()
    ):
        raise InvalidTokenError("The token was not issued here")
    parts = sealed.split(".")
    payload = _unpack(parts[-1])
    if len(parts) > 2:  # noqa: PLR2004 - header and payload of a plain token
        payload = _veil(payload, _unpack(parts[2]))
    if now_s >= json.loads(payload)["exp"]:
        raise ExpiredTokenError("The token has expired")
