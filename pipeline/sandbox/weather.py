"""
Bad days on purpose: everything that may stand between a client and a plain answer.

Values only. What befalls a request is drawn in `pipeline.sandbox.fates`, what it looks
like is made in `pipeline.sandbox.strange_answers`, and `pipeline.sandbox.shell`
carries it out. What a rate does depends on the seed and on the number of the request
alone; what `poison` and `refuse` do depends on the content alone.
"""

import math
from dataclasses import dataclass, fields, replace
from enum import Enum
from types import MappingProxyType
from typing import Final, Literal, get_args

from pipeline.sandbox import facts


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
    STATUS = "status"
    STATUS_AFTER = "status_after"
    BAD_REQUEST = "bad_request"
    BAD_ROWS = "bad_rows"
    UNPROCESSABLE = "unprocessable"
    PARTIAL = "partial"
    SUSPECT = "suspect"
    REMARK = "remark"
    LOST = "lost"
    LATE = "late"
    HANG = "hang"
    HANG_AFTER = "hang_after"
    CUT_AFTER_HEAD = "cut_after_head"
    CUT_IN_BODY = "cut_in_body"
    DRIP = "drip"
    REDIRECT = "redirect"
    REDIRECT_FOREIGN = "redirect_foreign"
    PORTAL = "portal"
    HUGE = "huge"
    PACKED = "packed"
    BOMB = "bomb"


RATED: Final = tuple(fate for fate in Fate if fate is not Fate.NONE)

RetryAfter = Literal["seconds", "date", "garbage", "negative", "huge", "mixed"]
_REFUSE_STATUSES: Final = (202, 207, 400, 422)
_STATUSES: Final = range(200, 600)


@dataclass(frozen=True, slots=True)
class Weather:
    """
    How often what goes wrong. Rates are shares of requests, from 0 to 1.

    A share of 1 of a fate that befalls batches alone leaves other requests in peace.
    Numbers and texts in a list are separated by `/` on the command line.

    Attributes:
        seed: Chooses one of many repeatable sequences.
        throttle: 429 with `Retry-After`.
        throttle_bare: 429 without `Retry-After`.
        error: 500 with an error body; nothing was applied.
        unavailable: 503 with the HTML of a gateway; nothing was applied.
        torn_before: The connection ends without an answer, nothing was applied.
        torn_after: The request was carried out, then the connection ends.
        expire: The token of the request is declared expired, for good.
        status: One of `statuses` instead of an answer; nothing was applied.
        status_after: The request was carried out, but answered with one of
            `statuses_after`.
        bad_request: 400 that names nobody; nothing was applied.
        bad_rows: 400 that names one to three rows of a batch; nothing was applied.
        unprocessable: 422 that names one to three rows; nothing was applied.
        partial: 207 that names one to three rows; the others were accepted.
        suspect: As `partial`, but with the status 202.
        remark: 202 with a body, harmless JSON that no description has.
        lost: 202, but what it accepted is never applied.
        late: 202, and what it accepted is applied `late_s` seconds late.
        hang: No answer; nothing was applied. After `hang_s` the connection ends.
        hang_after: The same, but the request was carried out.
        cut_after_head: The request was carried out; of the answer only the status
            and the headers arrive, and the body they announce does not.
        cut_in_body: The same, but half of the body arrives.
        drip: The request was carried out; the body of the answer comes in 20 pieces,
            `drip_s` apart; an empty one becomes 20 blanks.
        redirect: 301, 302, 303, 307 or 308 to the same host; nothing was applied.
        redirect_foreign: The same, to another host.
        portal: 200 with the HTML of a login page; nothing was applied.
        huge: The request was carried out; the body of the answer is filled up with
            blanks to `huge_bytes`.
        packed: The request was carried out; the body is gzip, asked for or not.
        bomb: As `huge`, and packed.
        slow: The answer takes `slow_s` seconds longer, whatever it is.
        slow_s: Seconds that a slow answer takes longer.
        retry_after_s: Seconds that `Retry-After` asks to wait.
        retry_after: How it is written: in `seconds`, as a `date`, as `garbage`,
            `negative`, `huge` (a year), or `mixed`, any of them but huge.
        limit: Requests per second before 429 sets in; 0 means no limit. A hidden
            limit: no header announces it.
        on_login: Whether logging in and refreshing have weather too.
        statuses: For `status`. A 413, 429 or 503 carries `Retry-After`.
        statuses_after: For `status_after`.
        late_s: Seconds that `late` adds to the settle time.
        hang_s: Seconds until a connection without an answer ends.
        drip_s: Seconds between two pieces of a dripping body.
        huge_bytes: Length of a huge body; what a bomb unpacks to.
        poison: A batch with this text in its body is always answered 500; nothing of
            it is applied. Empty: no poison.
        refuse: Rows of a batch that hold this text are refused. Empty: none is.
        refuse_status: How `refuse` answers: 400, 422, 207, or 202, which accepts the
            others and drops these without a word.
        refuse_named: Whether the answer of `refuse` names the rows.
        denied: Permissions that the key lacks.
        workspace: The guid of the workspace that the key opens; empty: the usual.
        login_failure: Share of logins that are answered `login_status`.
        login_status: What a failing login is answered.
        login_s: Seconds that every login takes longer.
    """

    seed: int = 1
    throttle: float = 0.0
    throttle_bare: float = 0.0
    error: float = 0.0
    unavailable: float = 0.0
    torn_before: float = 0.0
    torn_after: float = 0.0
    expire: float = 0.0
    status: float = 0.0
    status_after: float = 0.0
    bad_request: float = 0.0
    bad_rows: float = 0.0
    unprocessable: float = 0.0
    partial: float = 0.0
    suspect: float = 0.0
    remark: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    hang: float = 0.0
    hang_after: float = 0.0
    cut_after_head: float = 0.0
    cut_in_body: float = 0.0
    drip: float = 0.0
    redirect: float = 0.0
    redirect_foreign: float = 0.0
    portal: float = 0.0
    huge: float = 0.0
    packed: float = 0.0
    bomb: float = 0.0
    slow: float = 0.0
    slow_s: float = 0.2
    retry_after_s: int = 1
    retry_after: RetryAfter = "seconds"
    limit: float = 0.0
    on_login: bool = False
    statuses: tuple[int, ...] = (408, 409, 423, 425, 500, 502, 503, 504, 520)
    statuses_after: tuple[int, ...] = (500, 502, 504)
    late_s: float = 2.0
    hang_s: float = 3600.0
    drip_s: float = 0.05
    huge_bytes: int = 50_000_000
    poison: str = ""
    refuse: str = ""
    refuse_status: int = 400
    refuse_named: bool = True
    denied: tuple[str, ...] = ()
    workspace: str = ""
    login_failure: float = 0.0
    login_status: int = 503
    login_s: float = 0.0

    def __post_init__(self) -> None:
        names = [*(fate.value for fate in RATED), "slow", "login_failure"]
        for name in names:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be between 0 and 1")
        if math.fsum(self.rate(fate) for fate in RATED) > 1:
            raise ValueError("the rates of things that go wrong exceed 1 in total")
        for name in _AMOUNTS:
            if not 0 <= getattr(self, name) < math.inf:
                raise ValueError(f"{name} must not be negative")
        self._check_choices()

    def _check_choices(self) -> None:
        for name in ("statuses", "statuses_after"):
            given = getattr(self, name)
            if not given or any(status not in _STATUSES for status in given):
                raise ValueError(f"{name} must be statuses from 200 to 599")
        if self.login_status not in _STATUSES:
            raise ValueError("login_status must be from 200 to 599")
        if self.retry_after not in get_args(RetryAfter):
            raise ValueError(f"retry_after is one of {_listed(get_args(RetryAfter))}")
        if self.refuse_status not in _REFUSE_STATUSES:
            raise ValueError(f"refuse_status is one of {_listed(_REFUSE_STATUSES)}")
        if not set(self.denied) <= set(facts.PERMISSIONS):
            raise ValueError(f"denied may hold {_listed(facts.PERMISSIONS)}")

    def rate(self, fate: Fate) -> float:
        """Return the rate of one fate."""
        return float(getattr(self, fate.value))


_AMOUNTS: Final = (
    "slow_s",
    "retry_after_s",
    "limit",
    "late_s",
    "hang_s",
    "drip_s",
    "huge_bytes",
    "login_s",
)


def _listed(values: tuple[object, ...]) -> str:
    return ", ".join(str(value) for value in values)


# `worst` holds only what passes with time, so that a patient client ends with every
# row in place; `hostile` holds what no client can put right: it must stop, or say so.
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
        "worst": Weather(
            throttle=0.04,
            throttle_bare=0.02,
            error=0.03,
            unavailable=0.03,
            torn_before=0.04,
            torn_after=0.04,
            expire=0.02,
            status=0.05,
            status_after=0.03,
            remark=0.02,
            late=0.1,
            hang=0.005,
            hang_after=0.005,
            cut_after_head=0.03,
            cut_in_body=0.03,
            drip=0.01,
            packed=0.02,
            slow=0.1,
            slow_s=0.5,
            retry_after="mixed",
            late_s=1.0,
            hang_s=2.0,
            drip_s=0.01,
            login_failure=0.1,
            login_s=0.1,
        ),
        "hostile": Weather(
            status=0.02,
            status_after=0.02,
            bad_request=0.01,
            bad_rows=0.02,
            unprocessable=0.02,
            partial=0.02,
            suspect=0.02,
            lost=0.02,
            redirect=0.01,
            redirect_foreign=0.01,
            portal=0.01,
            huge=0.01,
            bomb=0.01,
            retry_after="huge",
            statuses=(404, 405, 413, 415, 501),
            statuses_after=(200, 201, 204, 500, 504),
        ),
    }
)


def parse_weather(spec: str) -> Weather:
    """
    Read weather from text such as `storm` or `rain,seed=7,torn_after=0.05`.

    The first part may be a preset, calm when there is none; every other part sets a
    field of `Weather`. A list is written with slashes: `statuses=408/504`.

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


def _parse_setting(part: str) -> tuple[str, object]:
    name, equals, text = (piece.strip() for piece in part.partition("="))
    defaults = {field.name: field.default for field in fields(Weather)}
    if not equals or name not in defaults:
        raise ValueError(f"unknown setting {part!r}: use {', '.join(defaults)}")
    try:
        return name, _value(name, defaults[name], text)
    except (KeyError, ValueError) as reason:
        raise ValueError(f"{name} has no value {text!r}") from reason


def _value(name: str, default: object, text: str) -> object:
    if isinstance(default, bool):
        return {"true": True, "false": False, "1": True, "0": False}[text]
    if isinstance(default, tuple):
        words = tuple(word for word in text.split("/") if word)
        return words if name == "denied" else tuple(int(word) for word in words)
    return text if isinstance(default, str) else type(default)(text)  # type: ignore[call-arg]
