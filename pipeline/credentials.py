"""How the service is reached, and with what: nothing here prints or stores a secret."""

from __future__ import annotations

from dataclasses import dataclass, field


class Secret:
    """A string that never shows itself: `repr`, `str` and pickles are masked."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the value, for the one place that puts it on the wire."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('****')"

    __str__ = __repr__

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return Secret, ("",)


@dataclass(frozen=True, slots=True)
class Credentials:
    """
    How to prove who we are: a ready token, or an API key.

    Attributes:
        guid: Of the workspace; needed for `basic` only.
    """

    token: Secret = field(default_factory=lambda: Secret(""))
    api_key: Secret = field(default_factory=lambda: Secret(""))
    guid: str | None = None
    basic: bool = False


@dataclass(frozen=True, slots=True)
class RemoteSettings:
    """
    Which service, and how to reach it.

    Attributes:
        ca_bundle: PEM file of trusted authorities instead of the default ones.
        env_proxy: Whether the proxy variables of the environment are obeyed.
    """

    base_url: str
    credentials: Credentials
    ca_bundle: str | None = None
    env_proxy: bool = False
