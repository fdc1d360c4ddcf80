"""
A model of the service that keeps the truth: what it took, when it applied it, and what
it told whom.

It applies later than it answers, and a copy of a request that the caller gave up may
be applied hours later. What it refuses depends on the content of a row alone; what it
does besides, on the weather and on one seeded source of chance.
"""

import asyncio
import hashlib
import heapq
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from random import Random
from typing import Any, Final

import h11
import httpx

from pipeline.contract import BATCH_PATH, LOGIN_PATH, WORKSPACE_PATH
from torture.ledger import Row

GUID: Final = "11111111-2222-3333-4444-555555555555"
FOR_EVER_S: Final = 1e9
WALL_S: Final = 1_790_000_000.0  # what the service's clock says at the beginning

# Of the request, nothing or all is taken; the reply is lost, late, odd or a refusal.
SERVER_ERRORS: Final = (500, 502, 503, 504, 520, 524)
AGAIN: Final = (408, 409, 423, 425)
BREACHES: Final = (200, 204, 302, 404, 415, 418, 501)
FATES: Final = (
    *("unsent", "connect timeout", "lost before", "lost after", "half a reply"),
    *("not http", "hang", "slow", "error", "throttled", "again"),
    *("torn 202", "202 with errors", "unreadable 207"),
)
OUTAGES: Final = (
    *("error", "throttled", "unsent", "lost before", "lost after", "hang"),
    *("forbidden", "no login", "any"),
)
RETRY_AFTER: Final = (
    *("0", "1", "7", "+3", "1.5", "-5", "", "soon", "1e3", "２", "120", "2000"),
    *("date", "rfc 850", "asctime", "past date", "date alone", None, None),
)
MANNERS: Final = (
    *("named 400", "named 422", "nobody", "by value", "some", "counted from 1"),
    *("named 207", "some 207", "any"),
)


@dataclass(frozen=True)
class Tastes:
    """What the service takes, by content alone."""

    poison: frozenset[Row] = frozenset()
    poison_status: int = 500
    refused: frozenset[Row] = frozenset()
    manner: str = "named 400"
    max_bytes: int = 1_000_000


@dataclass(frozen=True)
class Phase:
    """From when to when which share of requests meets which fate."""

    from_s: float
    to_s: float
    fate: str
    share: float


@dataclass(frozen=True)
class Weather:
    """
    `errors` is the share of requests that meet any fate by chance.

    `late_s` is how long a queue or a lost copy may take; `breaches` the share of
    answers that the contract does not know; tokens live for `token_s`.
    """

    phases: tuple[Phase, ...] = ()
    errors: float = 0.0
    breaches: float = 0.0
    late_s: float = 3600.0
    latency_s: float = 0.3
    token_s: float = 3600.0
    hidden_limit: float | None = None


@dataclass
class Truth:
    """
    What happened, whatever anybody believes.

    `credited`: rows of requests that were answered 202, or 207 without naming them.
    `seen` counts requests by the digest of their body; `failed_alone` and `passed` are
    moments, for the proof that a row is poison.
    """

    credited: set[Row] = field(default_factory=set)
    store: dict[str, dict[str, Any]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    in_flight: Counter[str] = field(default_factory=Counter)
    most_in_flight: int = 0
    named: set[Row] = field(default_factory=set)
    failed_alone: dict[Row, list[float]] = field(
        default_factory=lambda: defaultdict(list)
    )
    passed: list[float] = field(default_factory=list)


class Service(httpx.AsyncBaseTransport):
    """
    The service. `note` is told of every event, and may end the caller's process.

    `on_batch` is shown each batch before anything is done with it; what a process that
    `is_cut_off` sends never leaves its machine.
    """

    def __init__(
        self,
        tastes: Tastes,
        weather: Weather,
        chance: Random,
        note: Callable[[str], None],
    ) -> None:
        self.tastes = tastes
        self.weather = weather
        self.truth = Truth()
        self.on_batch: Callable[[str], None] = lambda _: None
        self.is_cut_off: Callable[[], bool] = lambda: False
        self.tokens: dict[str, float] = {}
        self._chance = chance
        self._note = note
        self._queue: list[tuple[float, int, list[dict[str, Any]]]] = []
        self._n = 0
        self._n_tokens = 0
        self._bucket = (0.0, 1.0)

    @property
    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.is_cut_off():
            await asyncio.sleep(FOR_EVER_S)  # of a process that is no more
        path = request.url.path
        if path == LOGIN_PATH:
            return await self._log_in()
        if not self._is_let_in(request):
            await asyncio.sleep(0.01)
            return self._answer(self._chance.choice((401, 401, 403)))
        if path == WORKSPACE_PATH:
            return await self._whoami()
        assert path == BATCH_PATH, path
        return await self._batch(request.content)

    # -- who is asking -----------------------------------------------------------------

    async def _log_in(self) -> httpx.Response:
        await asyncio.sleep(0.05)
        if self._phase() in ("no login", "error", "throttled"):
            return self._throttled() if self._chance.random() < 0.5 else self._error()
        self._n_tokens += 1
        text = f"token-{self._n_tokens}"
        self.tokens[text] = self.now_s + self.weather.token_s
        self._note("login")
        return self._answer(200, {"token": text})

    def _is_let_in(self, request: httpx.Request) -> bool:
        scheme, _, text = request.headers["Authorization"].partition(" ")
        is_known = scheme == "Bearer" and self.tokens.get(text, 0.0) > self.now_s
        return is_known and self._phase() != "forbidden"

    async def _whoami(self) -> httpx.Response:
        await asyncio.sleep(0.05)
        fate = self._phase()
        if fate in ("error", "throttled"):
            return self._error()
        if fate in ("unsent", "lost before", "hang"):
            raise httpx.ConnectError("")
        return self._answer(200, {"businessProfileGuid": GUID, "name": "Model"})

    # -- a batch -----------------------------------------------------------------------

    async def _batch(self, body: bytes) -> httpx.Response:
        digest = hashlib.sha256(body).hexdigest()
        truth = self.truth
        self.on_batch(digest)
        truth.seen[digest] += 1
        truth.in_flight[digest] += 1
        truth.most_in_flight = max(truth.most_in_flight, truth.in_flight.total())
        wait_s, end = self._decide(body)
        self._note(f"request {digest[:8]}")
        try:
            await asyncio.sleep(wait_s)
            self._note(f"answer {digest[:8]}")
            response = end()
            if response.status_code in SERVER_ERRORS:
                people = json.loads(body)
                if len(people) == 1:
                    truth.failed_alone[_row_of(people[0])].append(self.now_s)
            return response
        finally:
            truth.in_flight[digest] -= 1

    def _decide(self, body: bytes) -> tuple[float, Callable[[], httpx.Response]]:
        """Do now whatever the request does; return when and how its caller learns."""
        people = json.loads(body)
        fate = self._fate()
        short_s = 0.01 + 0.02 * self._chance.random()
        wait_s = self.weather.latency_s * (0.7 + 0.6 * self._chance.random())
        if fate in ("unsent", "connect timeout", "lost before", "error", "throttled"):
            is_taken = fate == "error" and self._chance.random() < 0.4
            if is_taken:
                self._judge(body, people)
            return short_s, lambda: self._fail(fate)
        if fate in ("again", "breach", "unreadable 207"):
            return short_s, lambda: self._fail(fate)
        if fate == "not http":
            return short_s, _not_http
        if fate == "hang":
            if self._chance.random() < 0.5:
                self._judge(body, people, late_s=self.weather.late_s)
            return FOR_EVER_S, lambda: self._answer(202)
        answer = self._judge(body, people)
        if fate in ("lost after", "half a reply"):
            return wait_s, lambda: self._fail(fate)
        if fate == "slow":
            wait_s += 50 * self._chance.random()
        return wait_s, lambda: self._told(answer, fate)

    def _judge(
        self, body: bytes, people: list[dict[str, Any]], *, late_s: float | None = None
    ) -> tuple[int, Any, list[Row]]:
        """Take what is to be taken; return status, body, and the rows it took."""
        tastes = self.tastes
        rows = [_row_of(person) for person in people]
        if len(body) > tastes.max_bytes:
            return 413, None, []
        if tastes.poison & set(rows):
            return tastes.poison_status, None, []
        bad = [n for n, row in enumerate(rows) if row in tastes.refused]
        status, told = (202, None) if not bad else self._refusal(people, bad)
        self.truth.named |= {rows[n] for n in bad}
        if status not in (202, 207):
            return status, told, []
        good = [n for n in range(len(rows)) if n not in bad]
        most_s = 30.0 if late_s is None else late_s
        at_s = self.now_s + most_s * self._chance.random() ** 3
        self._n += 1
        heapq.heappush(self._queue, (at_s, self._n, [people[n] for n in good]))
        return status, told, [rows[n] for n in good]

    def _refusal(self, people: list[dict[str, Any]], bad: list[int]) -> tuple[int, Any]:
        manner = self.tastes.manner
        if manner == "any":
            manner = self._chance.choice(MANNERS[:-1])
        if manner == "nobody":
            return self._chance.choice((400, 422)), {"message": "invalid request"}
        status = 207 if "207" in manner else 422 if "422" in manner else 400
        shift = 1 if manner == "counted from 1" else 0
        entries = [
            {"message": "invalid", "rejectedValue": people[n]["customId"]}
            if manner == "by value"
            else {
                "field": f"list[{n + shift}].customId",
                "message": "invalid",
                "rejectedValue": people[n]["customId"],
            }
            for n in bad
        ]
        if "some" in manner and len(entries) > 1:
            entries[1:] = [{"message": "invalid", "code": "X"} for _ in entries[1:]]
        return status, entries if self._chance.random() < 0.5 else {"errors": entries}

    def _told(self, answer: tuple[int, Any, list[Row]], fate: str) -> httpx.Response:
        status, told, rows = answer
        self.truth.credited.update(rows)
        if status == 202:
            self.truth.passed.append(self.now_s)
            if fate == "torn 202":
                return httpx.Response(202, stream=_Torn())
            if fate == "202 with errors":
                return self._answer(202, [{"field": "list[0].email", "message": "x"}])
        return self._answer(status, told)

    # -- the weather -------------------------------------------------------------------

    def _phase(self) -> str:
        now_s = self.now_s
        for phase in self.weather.phases:
            if (
                phase.from_s <= now_s < phase.to_s
                and self._chance.random() < phase.share
            ):
                return phase.fate
        return ""

    def _fate(self) -> str:
        fate = self._phase()
        if not fate and self._chance.random() < self.weather.errors:
            fate = "any"
        if not fate and self._chance.random() < self.weather.breaches:
            fate = "breach"
        if not fate and self._is_over_limit():
            fate = "throttled"
        return self._chance.choice(FATES) if fate == "any" else fate

    def _is_over_limit(self) -> bool:
        limit = self.weather.hidden_limit
        if limit is None:
            return False
        at_s, left = self._bucket
        left = min(max(1.0, limit), left + (self.now_s - at_s) * limit)
        self._bucket = self.now_s, left - (left >= 1.0)
        return left < 1.0

    def _fail(self, fate: str) -> httpx.Response:
        if fate == "unsent":
            raise httpx.ConnectError("")
        if fate == "connect timeout":
            raise httpx.ConnectTimeout("")
        if fate in ("lost before", "lost after"):
            lost = (httpx.ReadError, httpx.WriteError, httpx.ReadTimeout)
            raise self._chance.choice(lost)("")
        if fate == "half a reply":
            raise httpx.RemoteProtocolError("")
        if fate == "throttled":
            return self._throttled()
        if fate == "error":
            return self._error()
        if fate == "unreadable 207":
            return self._answer(207, {"message": "partly"})
        return self._answer(self._chance.choice(AGAIN if fate == "again" else BREACHES))

    def _error(self) -> httpx.Response:
        status = self._chance.choice(SERVER_ERRORS)
        if self._chance.random() < 0.2:
            return self._throttled(503)
        return self._answer(status)

    def _throttled(self, status: int = 429) -> httpx.Response:
        form = self._chance.choice(RETRY_AFTER)
        now = datetime.fromtimestamp(WALL_S + self.now_s, UTC)
        until = datetime.fromtimestamp(WALL_S + self.now_s + 9.0, UTC)
        past = datetime.fromtimestamp(WALL_S + self.now_s - 99.0, UTC)
        texts = {
            "date": format_datetime(until, usegmt=True),
            "date alone": format_datetime(until, usegmt=True),
            "rfc 850": until.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
            "asctime": until.strftime("%a %b %d %H:%M:%S %Y"),
            "past date": format_datetime(past, usegmt=True),
        }
        headers = {} if form is None else {"Retry-After": texts.get(form, form)}
        if form != "date alone":
            headers["Date"] = format_datetime(now, usegmt=True)
        raw = [(name.encode(), text.encode()) for name, text in headers.items()]
        return httpx.Response(
            status, headers=httpx.Headers(raw), stream=httpx.ByteStream(b"")
        )

    def _answer(self, status: int, told: Any = None) -> httpx.Response:
        body = b"" if told is None else json.dumps(told).encode()
        return httpx.Response(status, stream=httpx.ByteStream(body))

    # -- what became of it -------------------------------------------------------------

    def profiles(self) -> dict[str, dict[str, Any]]:
        """Everything that is applied by now."""
        while self._queue and self._queue[0][0] <= self.now_s:
            for person in heapq.heappop(self._queue)[2]:
                known = self.truth.store.setdefault(person["customId"], {})
                known.update(person)
        return self.truth.store

    @property
    def settled_at_s(self) -> float:
        """When the last of what is queued will be applied."""
        return max((at_s for at_s, _, _ in self._queue), default=0.0)


class _Torn(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'{"mess'
        raise httpx.ReadError("")


def _row_of(person: dict[str, Any]) -> Row:
    source_no, _, row_no = person["customId"].partition("-")
    return int(source_no), int(row_no)


def _not_http() -> httpx.Response:
    raise httpx.RemoteProtocolError("") from h11.RemoteProtocolError("illegal")
