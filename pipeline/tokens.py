"""
Proofs of identity: how long a token lives, when to renew it, what a refusal means.

A state machine without a clock: the time (seconds on a clock that never goes back)
comes in as an argument. Lifetimes are a matter of the workspace and sources disagree
(API 2.3), so `exp` is read where it can be, and a refused token is always believed.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from pipeline.contract import TOKEN_LIFETIME_S
from pipeline.credentials import Secret
from pipeline.errors import ContractError, SettingsError, TokenRefusedError
from pipeline.records import Fault, Step
from pipeline.verdict import READ_ANSWERS, NoReplyError, classify

if TYPE_CHECKING:
    from pipeline.credentials import Credentials
    from pipeline.records import Reply

RENEW_SHARE: Final = 0.8
RENEW_LEFT_S: Final = 300.0
LEAST_SHARE: Final = 0.5
LOGIN_SPACING_S: Final = 60.0
LOGIN_PAUSE_S: Final = 2.0
LONGEST_PAUSE_S: Final = 60.0
JWT_PARTS: Final = 3
_VISIBLE: Final = re.compile(r"[!-~]+")
_NOT_SENT: Final = frozenset({Fault.CERTIFICATE, Fault.PROXY})


@dataclass(frozen=True, slots=True)
class Token:
    """
    What stands in the `Authorization` header, and until when.

    Attributes:
        number: How many logins led to it.
        renew_at: From here on a new one is asked for.
        expires_at: What the token itself says; the service may think otherwise.
    """

    header: Secret
    number: int = 0
    renew_at: float = math.inf
    expires_at: float = math.inf


class Keyring:
    """
    The one token of a run, and the rules of renewing it.

    At most one login a minute, unless the service refused a token: so a workspace
    with tokens of two seconds costs one refused request a token, never a login loop.

    Attributes:
        number: Of the youngest token.
        can_log_in: Whether a refused token can be replaced at all.

    Raises:
        SettingsError: From the constructor, for a key that cannot stand in a header.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._how = credentials
        self.number = 0
        self._token: Token | None = None
        self._login_at = -math.inf
        self._shut_until = -math.inf
        self._n_failed = 0
        self._failure = ""
        for secret in (credentials.token, credentials.api_key):
            if secret and not _VISIBLE.fullmatch(secret.reveal()):
                raise SettingsError(
                    "the key or token holds a blank, a line end or another character "
                    "that no key has; copy it again (it is not shown here)"
                )
        if credentials.token:
            self._token = Token(Secret(f"Bearer {credentials.token.reveal()}"))
        elif credentials.basic:
            pair = f"{credentials.guid or ''}:{credentials.api_key.reveal()}"
            text = base64.b64encode(pair.encode()).decode()
            self._token = Token(Secret(f"Basic {text}"))
        self.can_log_in = self._token is None

    @property
    def api_key(self) -> Secret:
        """What a login is paid with."""
        return self._how.api_key

    def usable(self, now_s: float, refused: Token | None = None) -> Token | None:
        """
        Return the token to send with; None when a login has to come first.

        Args:
            now_s: The time.
            refused: A token that the service did not take; another one is wanted.

        Raises:
            NoReplyError: A login failed a moment ago; its wait is not over.
            TokenRefusedError: There is no key at all.
        """
        token = self._token
        if token is not None and token is not refused:
            may_ask = now_s - self._login_at >= LOGIN_SPACING_S
            if now_s < token.renew_at or not may_ask:
                return token
        if not self._how.api_key:
            raise TokenRefusedError(
                "there is neither a token nor an API key; set SYNERISE_API_KEY or "
                "SYNERISE_TOKEN; nothing was sent"
            )
        if now_s < self._shut_until:
            if token is not None and token is not refused:
                return token
            wait_s = self._shut_until - now_s
            raise NoReplyError(Fault.UNSENT, f"LOGIN_{self._failure}", wait_s)
        return None

    def can_replace(self, token: Token, before: int) -> bool:
        """Return whether *token*, refused, is no younger than the one *before*."""
        return self.can_log_in and token.number <= before

    def begin_login(self, now_s: float) -> None:
        """Count a login; from now on the old token serves until the new one is here."""
        self._login_at = now_s

    def take(
        self, reply: Reply, now_s: float, wall_s: float, refused: Token | None
    ) -> Token:
        """
        Read the answer to a login.

        Args:
            reply: Its answer.
            now_s: The time.
            wall_s: Seconds since 1970, used when the answer has no date.
            refused: The token that is being replaced because it was refused.

        Raises:
            NoReplyError: The service cannot log anybody in now.
            TokenRefusedError: It refused the key.
            ContractError: It answered what no login answers.
        """
        verdict = classify(reply, answers=READ_ANSWERS)
        if verdict.step is Step.DONE:
            text = _token_text(reply)
            life_s = _life_s(text, _date_s(reply, wall_s)) or TOKEN_LIFETIME_S
            renew_s = min(RENEW_SHARE * life_s, life_s - RENEW_LEFT_S)
            renew_at = now_s + max(renew_s, LEAST_SHARE * life_s)
            header = Secret(f"Bearer {text}")
            self.number += 1
            self._token = Token(header, self.number, renew_at, now_s + life_s)
            self._n_failed = 0
            return self._token
        if verdict.step is Step.AGAIN:
            error = NoReplyError(Fault.UNSENT, verdict.code, verdict.retry_after_s)
            return self.login_failed(error, now_s, refused)
        if verdict.step in (Step.AUTH, Step.REFUSED):
            raise TokenRefusedError(
                f"the service refused the API key at login ({reply.status}); check "
                "SYNERISE_API_KEY: it must be a key of the workspace, not of a profile"
            )
        raise ContractError(
            f"the login was answered with status {reply.status}, which no login "
            "answers; check the base URL and proxies on the way"
        )

    def login_failed(
        self, error: NoReplyError, now_s: float, refused: Token | None
    ) -> Token:
        """
        Return the old token while it lives; without one nobody logs in for a while.

        Raises:
            NoReplyError: Nothing of the caller's own request was sent.
        """
        pause_s = min(LONGEST_PAUSE_S, LOGIN_PAUSE_S * 2.0 ** min(self._n_failed, 10))
        pause_s = max(pause_s, error.retry_after_s or 0.0)
        self._n_failed += 1
        self._failure = error.code
        self._shut_until = now_s + pause_s
        token = self._token
        if token is not None and token is not refused and now_s < token.expires_at:
            return token
        fault = error.fault if error.fault in _NOT_SENT else Fault.UNSENT
        raise NoReplyError(fault, f"LOGIN_{error.code}", pause_s)

    def refusal(self, place: str, status: int) -> TokenRefusedError:
        """Say why a call was not let in, and what to do about it."""
        if self._how.token:
            cause = (
                "the token of SYNERISE_TOKEN is expired or lacks the permission, and "
                "without an API key no new one can be fetched; set a fresh token, or "
                "SYNERISE_API_KEY instead"
            )
        elif self._how.basic:
            cause = (
                "basic authentication must be allowed for this key, and the workspace "
                "GUID must be its own; check both, or use `auth: login`"
            )
        else:
            cause = (
                "a fresh token was refused, too: the key lacks the permission for this "
                "call, or this machine's address is not on its list"
            )
        return TokenRefusedError(f"{place} was refused ({status}): {cause}")


def _token_text(reply: Reply) -> str:
    try:
        content = json.loads(reply.body)
    except (ValueError, RecursionError):
        content = None
    text = content.get("token") if isinstance(content, dict) else None
    if not isinstance(text, str) or not _VISIBLE.fullmatch(text):
        raise ContractError(
            "the login was answered without a token; check the base URL and proxies "
            "on the way (the answer is not shown, it may hold a secret)"
        )
    return text


def _life_s(token: str, now_s: float) -> float | None:
    """Return the life left by the token's own `exp`; None when it cannot be read."""
    parts = token.split(".")
    if len(parts) != JWT_PARTS:  # an encrypted token has five (API 2.4)
        return None
    try:
        padded = parts[1] + "=" * (-len(parts[1]) % 4)
        payload = json.loads(base64.b64decode(padded, b"-_", validate=True))
    except (ValueError, binascii.Error, RecursionError):
        return None
    exp = payload.get("exp") if isinstance(payload, dict) else None
    if isinstance(exp, bool) or not isinstance(exp, int | float):
        return None
    try:
        life_s = float(exp) - now_s
    except OverflowError:
        return None
    return life_s if math.isfinite(life_s) and life_s > 0 else None


def _date_s(reply: Reply, wall_s: float) -> float:
    """Return the service's own time, so that a wrong clock here does no harm."""
    try:
        return parsedate_to_datetime(reply.headers["date"]).timestamp()
    except (KeyError, ValueError, TypeError, OverflowError, IndexError):
        return wall_s
