"""
What a network and a service may do, and how a whole command ends: one table.

N1 to N15 are the faults of a network, by the numbers of `test_faults_network`; R1 to
R30 the answers of a service: R1 and R2 an acceptance, plain and with a body, R3 other
successes, R4 a partial one, R5 redirects, R6 and R15 a refusal, R7 and R8 tokens and
permissions, R9 no such address, R10 no such profile, R11 what no contract knows, R12
and R13 come again, R14 too large, R16 slow down, R17 and R18 failures, of all and of
one row, R19 and R20 what is not applied, or late, R22 to R26 lists, R27 maintenance,
R28 and R29 logins and lifetimes, R30 another workspace.

That each fault of a socket is the exception raised here is proven, on sockets, by
`test_faults_network` and `test_faults_unsent`; a choice runs on sockets here, too.
"""

import json
import re
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import h11
import httpx

from pipeline.contract import BATCH_PATH, LIST_PATH, LOGIN_PATH, WORKSPACE_PATH
from pipeline.sandbox.server import SandboxOptions
from pipeline.sandbox.switches import Switches
from pipeline.sandbox.weather import parse_weather
from torture.command import KEY, Ended, Service, run
from torture.proof import Chapter, Figure

N_ROWS: Final = 40
MOST_S: Final = 2.0
PEOPLE: Final = "email,customId\n" + "".join(
    f"p{n}@example.com,C{n}\n" for n in range(N_ROWS)
)
IMPORT: Final = (
    "import", "people.csv", "--max-rows", "10", "--concurrency", "2", "--verify=none",
)  # fmt: skip
EXPORT: Final = ("export", "out.jsonl")
GUID: Final = "11111111-2222-4333-8444-555555555555"
_JARGON: Final = re.compile(
    r"Traceback|\b\w+(?:Error|Exception)\b|httpx|@example|\bNone\b"
)
# A run that leaves rows pending says so, and how to go on.
_PENDING: Final = ("rows are pending", "To send them: crm-pipeline resume")
Step = httpx.Response | BaseException | None
Answer = Callable[[httpx.Request], Step]


@dataclass(frozen=True)
class NetFault:
    """
    One fault, and how the command must end.

    Attributes:
        weather: Of the sandbox, on every kind of request.
        answer: In place of the sandbox's, or the exception that a socket would be.
        torn_after: Of a body that each 202 announces, and that does not come whole.
        words: Of the message, beside those about rows that are pending.
        accepted: Rows; None where the command sends none.
        rejected: Rows.
        most_requests: A service that fails must not be flooded.
    """

    kind: str
    name: str
    exit_code: int
    words: tuple[str, ...] = ()
    accepted: int | None = N_ROWS
    rejected: int = 0
    weather: str = "calm"
    answer: Answer = lambda _request: None
    torn_after: bytes | None = None
    command: tuple[str, ...] = IMPORT
    options: dict[str, Any] = field(default_factory=dict)
    most_requests: int = 60

    @property
    def title(self) -> str:
        return f"{self.kind} {self.name}"

    @property
    def is_slow(self) -> bool:
        """Whether others of its class are enough for every day."""
        return self.name.endswith(("twice", "three times")) or self.kind in (
            "R5", "R11", "R17", "R23",
        )  # fmt: skip


def on(path: str, make: Callable[[], Step], n_times: int = 10**9) -> Answer:
    """Return what answers the first *n_times* requests to *path*."""
    seen: Counter[str] = Counter()

    def answer(request: httpx.Request) -> Step:
        seen[request.url.path] += 1
        if request.url.path != path or seen[path] > n_times:
            return None
        return make()

    return answer


def status(code: int, body: object = None, **headers: str) -> Callable[[], Step]:
    """Return a maker of one answer; `Retry_After` is the header `Retry-After`."""
    content = b"" if body is None else body
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda: httpx.Response(code, headers=named, stream=httpx.ByteStream(content))


def caused_by(error: httpx.HTTPError, cause: BaseException) -> httpx.HTTPError:
    error.__cause__ = cause
    return error


def for_ever_or_twice(
    kind: str, name: str, error: Callable[[], BaseException]
) -> list[NetFault]:
    """Batches that meet a fault for ever, and only twice."""
    return [
        NetFault(
            kind, f"{name}, of every batch", 75, (*_PENDING, "attempts"), 0,
            answer=on(BATCH_PATH, error),
        ),
        NetFault(kind, f"{name}, twice", 0, answer=on(BATCH_PATH, error, 2)),
    ]  # fmt: skip


def network() -> Iterator[NetFault]:
    def nobody() -> BaseException:
        return httpx.ConnectError("")

    unsure = ssl.SSLCertVerificationError("self-signed certificate")
    sent_nothing = ("http://127.0.0.1:1", "does not answer", "nothing was sent")

    def first(
        kind: str, name: str, code: int, error: Callable[[], BaseException], *w: str
    ) -> NetFault:
        return NetFault(
            kind, name, code, w, None, answer=on(LOGIN_PATH, error), most_requests=10
        )

    yield first("N1", "nobody listens", 69, nobody, *sent_nothing, "base URL")
    yield from for_ever_or_twice("N1", "nobody listens any more", nobody)
    yield first(
        "N2",
        "no connection in time",
        69,
        lambda: httpx.ConnectTimeout(""),
        *sent_nothing,
        "in time",
    )
    yield from for_ever_or_twice(
        "N2", "no connection is free", lambda: httpx.PoolTimeout("")
    )
    yield first(
        "N3",
        "a certificate that proves nothing",
        76,
        lambda: caused_by(httpx.ConnectError(""), unsure),
        "certificate",
        "nothing was sent",
        "--ca-bundle",
    )
    yield first(
        "N4",
        "a handshake cut short",
        69,
        lambda: caused_by(httpx.ConnectError(""), ssl.SSLError("eof")),
        "encrypted connection",
        "nothing was sent",
    )
    yield first(
        "N5",
        "a proxy that refuses",
        78,
        lambda: httpx.ProxyError("407"),
        "proxy",
        "nothing was sent",
        "--env-proxy",
    )
    yield from for_ever_or_twice("N6", "a reset", lambda: httpx.ReadError(""))
    yield from for_ever_or_twice(
        "N6", "a reset in the upload", lambda: httpx.WriteError("")
    )
    yield from for_ever_or_twice(
        "N7", "an end without a reply", lambda: httpx.RemoteProtocolError("")
    )
    yield from for_ever_or_twice("N8", "silence", lambda: httpx.ReadTimeout(""))
    yield from for_ever_or_twice(
        "N8", "an upload that stands still", lambda: httpx.WriteTimeout("")
    )
    yield from for_ever_or_twice("N9", "a drip", TimeoutError)
    noise = on(
        BATCH_PATH,
        lambda: caused_by(
            httpx.RemoteProtocolError(""), h11.RemoteProtocolError("illegal")
        ),
    )
    yield NetFault(
        "N11", "bytes that are not HTTP", 76, ("not HTTP", "base URL", *_PENDING), 0,
        answer=noise,
    )  # fmt: skip
    for name, spoil in (
        ("no body behind 202", b""),
        ("half a body behind 202", b'[{"fie'),
    ):
        yield NetFault("N10", name, 0, torn_after=spoil)
    yield NetFault("N12", "a packed body", 0, weather="packed=1")
    yield NetFault("N12", "noise that calls itself gzip", 0, torn_after=b"noise")
    yield NetFault(
        "N13",
        "a portal at the first call",
        76,
        ("login", "without a token"),
        None,
        answer=on(LOGIN_PATH, status(200, b"<html>Welcome, guest</html>")),
    )
    yield NetFault(
        "N13",
        "a portal in the middle",
        76,
        ("base URL", *_PENDING),
        0,
        answer=on(BATCH_PATH, status(200, b"<html>Welcome, guest</html>")),
    )
    yield NetFault("N14", "slow answers", 0, weather="slow=1,slow_s=20")
    yield first(
        "N15", "an address that swallows packets", 69,
        lambda: httpx.ConnectTimeout(""), *sent_nothing,
    )  # fmt: skip


def accepting() -> Iterator[NetFault]:
    yield NetFault("R1", "202", 0)
    yield NetFault("R2", "202 with a body", 0, weather="remark=1")
    for code in (200, 201, 204):
        yield NetFault(
            "R3", f"{code}", 76, (f"{code}", "contract", *_PENDING), 0,
            answer=on(BATCH_PATH, status(code)),
        )  # fmt: skip
    yield NetFault(
        "R4", "207 that names rows", 3, ("REFUSED", "to do"), N_ROWS - 1, 1,
        weather="refuse=p17@,refuse_status=207",
    )  # fmt: skip
    yield NetFault(
        "R4", "207 that names nobody", 76, ("partly refused", *_PENDING), 0,
        answer=on(BATCH_PATH, status(207, {"errors": []})), most_requests=300,
    )  # fmt: skip
    for code in (301, 302, 303, 307, 308):
        yield NetFault(
            "R5", f"{code}", 76, (f"{code}", "base URL", *_PENDING), 0,
            answer=on(BATCH_PATH, status(code, Location="https://elsewhere.invalid/")),
        )  # fmt: skip


def refusing() -> Iterator[NetFault]:
    for kind, code in (("R6", 400), ("R15", 422)):
        yield NetFault(
            kind, f"{code} that names rows", 3, ("REFUSED", "to do: repair"),
            N_ROWS - 1, 1, weather=f"refuse=p17@,refuse_status={code}",
        )  # fmt: skip
        yield NetFault(
            kind, f"{code} that names nobody, for one row", 3, ("REFUSED", "to do"),
            N_ROWS - 1, 1,
            weather=f"refuse=p17@,refuse_status={code},refuse_named=false",
        )  # fmt: skip
        yield NetFault(
            kind, f"{code} for everything", 3, ("REFUSED", "to do"), 0, N_ROWS,
            answer=on(BATCH_PATH, status(code)), most_requests=150,
        )  # fmt: skip
    yield NetFault(
        "R14", "413 for more than one row", 0, answer=_too_large_above(200),
        most_requests=150,
    )  # fmt: skip
    yield NetFault(
        "R14", "413 for every row", 3, ("TOO_LARGE", "to do"), 0, N_ROWS,
        answer=on(BATCH_PATH, status(413)), most_requests=150,
    )  # fmt: skip
    yield NetFault(
        "R18", "500 for one row", 3, ("QUARANTINED", "retry: true"), N_ROWS - 1, 1,
        weather='poison="C17"', most_requests=300,
    )  # fmt: skip


def _too_large_above(n_bytes: int) -> Answer:
    def answer(request: httpx.Request) -> Step:
        is_large = request.url.path == BATCH_PATH and len(request.content) > n_bytes
        return status(413)() if is_large else None

    return answer


def access() -> Iterator[NetFault]:
    def at_login(name: str, kind: str, code: int, make: int, *w: str) -> NetFault:
        answer = on(LOGIN_PATH, status(make))
        return NetFault(kind, name, code, w, None, answer=answer, most_requests=20)

    yield NetFault("R7", "tokens that expire", 0, weather="expire=0.4,seed=3")
    for code in (401, 403):
        yield NetFault(
            "R7", f"{code} for ever", 77, (f"{code}", "fresh token", *_PENDING), 0,
            answer=on(BATCH_PATH, status(code)), most_requests=12,
        )  # fmt: skip
        yield at_login(f"{code} at the login", "R7", 77, code, "SYNERISE_API_KEY")
    yield NetFault(
        "R8", "the key may not write", 77, ("403", "permission", *_PENDING), 0,
        weather="denied=API_BATCH_CLIENT_CREATE", most_requests=12,
    )  # fmt: skip
    yield NetFault(
        "R9", "404", 78, ("no such address", "base URL", *_PENDING), 0,
        answer=on(BATCH_PATH, status(404)), most_requests=12,
    )  # fmt: skip
    yield at_login("404 at the login", "R9", 76, 404, "base URL")
    yield NetFault(
        "R10", "a profile that is not there", 3, ("no such profile",), None,
        command=("profile", "get", "--custom-id", "C1"),
    )  # fmt: skip
    yield at_login("429 at the login", "R28", 75, 429, "login", "later")
    yield at_login("503 at the login", "R28", 75, 503, "login", "later")
    yield NetFault(
        "R29", "a token of three seconds", 0, options={"token_lifetime_s": 3.0},
        weather="slow=1,slow_s=1",
    )  # fmt: skip
    yield NetFault(
        "R30", "another workspace", 78, ("is pinned. Nothing was sent", GUID), None,
        command=(*IMPORT, "--expect-workspace", GUID),
    )  # fmt: skip
    yield NetFault(
        "R30", "an answer that names no workspace", 76, ("naming a workspace",), None,
        answer=on(WORKSPACE_PATH, status(200, b"[]")),
    )  # fmt: skip


def waiting() -> Iterator[NetFault]:
    for code in (405, 406, 411, 415, 426, 431, 501, 505):
        yield NetFault(
            "R11", f"{code}", 76, (f"{code}", "contract does not know", *_PENDING), 0,
            answer=on(BATCH_PATH, status(code)), most_requests=12,
        )  # fmt: skip
    for kind, codes in (
        ("R12", (408, 425)),
        ("R13", (409, 423)),
        ("R17", (500, 502, 503, 504, 520, 522, 524)),
    ):
        for code in codes:
            yield NetFault(
                kind, f"{code} for ever", 75, (f"{code}", *_PENDING), 0,
                answer=on(BATCH_PATH, status(code)), most_requests=120,
            )  # fmt: skip
            yield NetFault(
                kind, f"{code}, twice", 0, answer=on(BATCH_PATH, status(code), 2)
            )
    for how, value in (
        ("without a time", ""), ("for 1 s", "1"), ("and noise", "soon"),
        ("and -5", "-5"), ("and a date", "Wed, 21 Oct 2015 07:28:00 GMT"),
    ):  # fmt: skip
        headers = {"Retry_After": value} if value else {}
        yield NetFault(
            "R16", f"429 {how}, three times", 0,
            answer=on(BATCH_PATH, status(429, **headers), 3),
        )  # fmt: skip
    yield NetFault(
        "R16", "429 for a day", 75, ("86400 s", *_PENDING), 0,
        answer=on(BATCH_PATH, status(429, Retry_After="86400")), most_requests=12,
    )  # fmt: skip
    yield NetFault(
        "R16", "429 for ever", 75, ("429", *_PENDING), 0,
        answer=on(BATCH_PATH, status(429)), most_requests=120,
    )  # fmt: skip
    yield NetFault(
        "R19", "202, and never applied", 0, ("taken into the API's queue",),
        weather="lost=1",
    )  # fmt: skip
    yield NetFault("R20", "applied late", 0, weather="late=1,late_s=9999")
    yield NetFault(
        "R27", "a service that is down for ever", 75, ("later",), None,
        answer=lambda _: status(503)(), most_requests=40,
    )  # fmt: skip


def lists() -> Iterator[NetFault]:
    def one(
        kind: str, name: str, code: int, make: Callable[[], Step], *w: str
    ) -> NetFault:
        return NetFault(
            kind, name, code, w, None, answer=on(LIST_PATH, make), command=EXPORT,
            options={"seed_profiles": 30}, most_requests=40,
        )  # fmt: skip

    yield NetFault(
        "R22", "a list that is whole", 0, (), None, command=EXPORT,
        options={"seed_profiles": 30},
    )  # fmt: skip
    yield NetFault(
        "R23", "a list of more than it tells", 5,
        ("NOT COMPLETE", "15 in all, and 30 in the whole"), None, command=EXPORT,
        options={"seed_profiles": 30, "switches": Switches(all_is="halved")},
    )  # fmt: skip
    yield one("R26", "no JSON", 76, status(200, b"<html>"), "list")
    yield one("R26", "JSON of another shape", 76, status(200, b'"x"'), "list")
    yield one("R26", "half of it, for ever", 75, lambda: httpx.ReadError(""), "later")
    yield one("R26", "503 for ever", 75, status(503), "later")
    yield one("R26", "403", 77, status(403), "403", "permission")


def cases() -> tuple[NetFault, ...]:
    parts = (network, accepting, refusing, access, waiting, lists)
    return tuple(case for part in parts for case in part())


# -- held to it ------------------------------------------------------------------------


class _Torn(httpx.AsyncByteStream):
    """A body that ends with its connection."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body
        raise httpx.ReadError("")


@dataclass
class FaultyService(Service):
    """A sandbox some of whose answers are replaced."""

    answer: Answer = lambda _request: None
    torn_after: bytes | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        step = self.answer(request)
        if step is None:
            reply = await super().handle_async_request(request)
            if request.url.path != BATCH_PATH or self.torn_after is None:
                return reply
            await reply.aread()
            headers = {"Content-Encoding": "gzip", "Content-Length": "1000"}
            torn = _Torn(self.torn_after)
            return httpx.Response(reply.status_code, headers=headers, stream=torn)
        self.n_requests += 1
        if isinstance(step, BaseException):
            raise step
        return step


@dataclass(frozen=True)
class FaultResult:
    """What became of a case; `faults` are sentences, none when all is as promised."""

    case: NetFault
    ended: Ended
    faults: tuple[str, ...]


def run_fault(case: NetFault, folder: Path) -> FaultResult:
    """Run the command of a case, and look at everything that it came to."""
    (folder / "people.csv").write_text(PEOPLE)
    weather = parse_weather(case.weather)
    options = SandboxOptions(weather=weather, settle_s=0.0, **case.options)
    service = FaultyService(options, answer=case.answer, torn_after=case.torn_after)
    try:
        ended = run(folder, *case.command, environment=KEY, connect=service.connect)
        service.sandbox.settle()
        n_stored = service.sandbox.store.count_profiles()
    finally:
        service.close()
    faults = list(_words_faults(case, ended))
    if case.accepted is not None:
        faults += _row_faults(case, folder, n_stored)
    elif case.command is IMPORT and n_stored:
        faults.append("something was sent")
    if service.n_requests > case.most_requests:
        faults.append(f"it made {service.n_requests} requests")
    return FaultResult(case, ended, tuple(faults))


def _words_faults(case: NetFault, ended: Ended) -> Iterator[str]:
    if ended.code != case.exit_code:
        yield f"it ended with {ended.code}, not with {case.exit_code}"
    if found := _JARGON.search(ended.out + ended.err):
        yield f"{found[0]!r} is no word for an operator"
    stops = case.exit_code not in (0, 3, 5)
    if stops and not ended.last_words.startswith("crm-pipeline: "):
        yield "the last line is not the message"
    said = ended.last_words if stops else ended.err
    for word in case.words:
        if word not in said:
            yield f"the message lacks {word!r}"
    if ended.seconds > MOST_S:
        yield f"it took {ended.seconds:.1f} s"


def _row_faults(case: NetFault, folder: Path, n_stored: int) -> Iterator[str]:
    """Hold the summary against the promise and against the truth of the service."""
    found = [*folder.glob(".crm-pipeline/runs/*/summary.json")]
    if len(found) != 1:
        yield f"{len(found)} summaries"
        return
    rows = json.loads(found[0].read_text())["rows"]
    n_pending = N_ROWS - (case.accepted or 0) - case.rejected
    wanted = {
        "accepted": case.accepted, "rejected": case.rejected, "pending": n_pending,
    }  # fmt: skip
    states = {name: rows[name] for name in wanted}
    if states != wanted:
        yield f"the rows ended as {states}"
    if "lost" not in case.weather and rows["accepted"] > n_stored:
        yield f"{rows['accepted']} are told to be accepted, {n_stored} are there"


def prove(n: int | None) -> Chapter:
    """Run the table, or about *n* of it."""
    table = cases()
    chosen = table if n is None else table[:: max(1, len(table) // n)]
    results = []
    for case in chosen:
        with TemporaryDirectory() as folder:
            results.append(run_fault(case, Path(folder)))
    bad = [result for result in results if result.faults]
    kinds = {case.kind for case in table}
    n_network = sum(kind.startswith("N") for kind in kinds)
    figures = (
        Figure(
            "cases run",
            f"{len(results)} of {len(table)}",
            "all" if n is None else "some",
            is_met=len(results) == len(chosen) > 0,
        ),
        Figure("classes of the network", str(n_network), "15", n_network == 15),
        Figure(
            "classes of the service",
            str(len(kinds) - n_network),
            "≥ 20",
            len(kinds) - n_network >= 20,
        ),
        Figure("cases that ended otherwise", str(len(bad)), "0", is_met=not bad),
    )
    rows = tuple(
        (r.case.kind, r.case.name, str(r.ended.code), _said(r)) for r in results
    )
    head = ("class", "fault", "exit code", "what it says")
    return Chapter(
        "Faults of the network and of the service", _WORDS, figures, (head, *rows)
    )


def _said(result: FaultResult) -> str:
    faults = f" FAULT: {'; '.join(result.faults)}" if result.faults else ""
    is_told = result.case.exit_code not in (0, 3, 5)
    said = result.ended.last_words.removeprefix("crm-pipeline: ") if is_told else "-"
    said = re.sub(r"resume \S+ --work-dir \S+", "resume RUN --work-dir DIR", said)
    return said + faults


_WORDS: Final = """\
Every case is a whole command against a sandbox that answers so, under a clock whose
waits cost nothing: the exit code, one sentence with the place and what to do, the state
of each row, and what the service really got. A cause that may pass rejects no row. What
a socket would raise is raised; that it does so is shown by the tests of the network."""
