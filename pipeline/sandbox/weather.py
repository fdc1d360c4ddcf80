"""
Bad days on purpose: throttling, errors, torn connections, slowness, expired tokens.

Pure and repeatable: the fate of a request depends on the seed and on its number
alone, so equal seeds give equal sequences, whatever runs at the same time. The shell
around the app (`pipeline.sandbox.shell`) carries the fates out.
"""

import math
import random
from dataclasses import dataclass, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import Final


class Fate(Enum):
    """What befalls one request; the value is the name of its rate in `Weather`."""

    NONE = "none"
    THROTTLE = "throttle"
    THROTTLE_BARE = "throttle_bare"
    ERROR = "error"
    UNAVAILABLE = "unavailable"
    TORN_BEFORE = "torn_before"
    TORN_AFTER = "torn_after"
    EXPIRE = "expire"


_RATED: Final = tuple(fate for fate in Fate if fate is not Fate.NONE)


@dataclass(frozen=True, slots=True)
class Weather:
    """
    How often what goes wrong. Rates are shares of requests, from 0 to 1.

    Attributes:
        throttle: 429 with `Retry-After: retry_after_s`.
        throttle_bare: 429 without `Retry-After`.
        error: 500 with an error body; nothing was applied.
        unavailable: 503 with the HTML of a gateway; nothing was applied.
        torn_before: The connection ends without an answer, nothing was applied.
        torn_after: The request was carried out, then the connection ends.
        expire: The token of the request is declared expired, for good.
        slow: The answer takes `slow_s` seconds longer, whatever it is.
        limit: Requests per second before 429 sets in; 0 means no limit. A hidden
            limit: no header announces it.
        on_login: Whether logging in and refreshing have weather too.
    """

    seed: int = 1
    throttle: float = 0.0
    throttle_bare: float = 0.0
    error: float = 0.0
    unavailable: float = 0.0
    torn_before: float = 0.0
    torn_after: float = 0.0
    expire: float = 0.0
    slow: float = 0.0
    slow_s: float = 0.2
    retry_after_s: int = 1
    limit: float = 0.0
    on_login: bool = False

    def __post_init__(self) -> None:
        rates = {fate.value: self.rate(fate) for fate in _RATED} | {"slow": self.slow}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"{name} must be between 0 and 1")
        if math.fsum(self.rate(fate) for fate in _RATED) > 1:
            raise ValueError("the rates of things that go wrong exceed 1 in total")
        for name in ("slow_s", "retry_after_s", "limit"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative")

    def rate(self, fate: Fate) -> float:
        """Return the rate of one fate."""
        return float(getattr(self, fate.value))


@dataclass(frozen=True, slots=True)
class Forecast:
    """What happens to one request: a fate, and a delay before any answer."""

    fate: Fate = Fate.NONE
    delay_s: float = 0.0


PRESETS: Final = MappingProxyType(
    {
        "calm": Weather(),
        "rain": Weather(
            throttle=0.03,
            throttle_bare=0.01,
            error=0.02,
            unavailable=0.02,
            torn_before=0.01,
            torn_after=0.01,
            expire=0.005,
            slow=0.05,
        ),
        "storm": Weather(
            throttle=0.08,
            throttle_bare=0.05,
            error=0.06,
            unavailable=0.06,
            torn_before=0.05,
            torn_after=0.05,
            expire=0.02,
            slow=0.1,
            slow_s=0.5,
        ),
    }
)


def forecast(weather: Weather, request_no: int) -> Forecast:
    """Tell the fate of the request with this number."""
    dice = random.Random(f"{weather.seed} {request_no}")  # noqa: S311 - repeatable
    delay_s = weather.slow_s if dice.random() < weather.slow else 0.0
    drawn = dice.random()
    for fate in _RATED:
        drawn -= weather.rate(fate)
        if drawn < 0:
            return Forecast(fate, delay_s)
    return Forecast(Fate.NONE, delay_s)


@dataclass(frozen=True, slots=True)
class Bucket:
    """What is left of a request limit, and when that was counted."""

    tokens: float
    at_s: float


def admit(bucket: Bucket, limit: float, now_s: float) -> tuple[Bucket, float]:
    """
    Let one request through a limit, or say how long it should wait.

    The bucket holds one second's worth of requests, at least one.

    Returns:
        The bucket afterwards, and seconds to wait; 0 means admitted.
    """
    size = max(1.0, limit)
    tokens = min(size, bucket.tokens + (now_s - bucket.at_s) * limit)
    if tokens >= 1:
        return Bucket(tokens - 1, now_s), 0.0
    return Bucket(tokens, now_s), (1 - tokens) / limit


def parse_weather(spec: str) -> Weather:
    """
    Read weather from text such as `storm` or `rain,seed=7,torn_after=0.05`.

    The first part may be a preset, calm when there is none; every other part sets a
    field of `Weather`.

    Raises:
        ValueError: With the words that would have been understood.
    """
    parts = [part.strip() for part in spec.split(",") if part.strip()]
    weather = PRESETS["calm"]
    if parts and "=" not in parts[0]:
        if parts[0] not in PRESETS:
            raise ValueError(
                f"unknown weather {parts[0]!r}: use {', '.join(PRESETS)} "
                "or settings such as throttle=0.1"
            )
        weather = PRESETS[parts.pop(0)]
    settings = dict(_parse_setting(part) for part in parts)
    return replace(weather, **settings)  # type: ignore[arg-type]


def _parse_setting(part: str) -> tuple[str, float | int | bool]:
    name, equals, text = (piece.strip() for piece in part.partition("="))
    defaults = {field.name: field.default for field in fields(Weather)}
    if not equals or name not in defaults:
        raise ValueError(f"unknown setting {part!r}: use {', '.join(defaults)}")
    default = defaults[name]
    try:
        if isinstance(default, bool):
            return name, {"true": True, "false": False, "1": True, "0": False}[text]
        return name, int(text) if isinstance(default, int) else float(text)
    except (KeyError, ValueError) as reason:
        raise ValueError(f"{name} has no value {text!r}") from reason
