"""
The n-th operation fails, for every n: until a run is not touched any more.

Operations of the disk (opening, writing, flushing, renaming, removing; of SQLite and
polars as well, for the disk is put under the process), steps of the event loop, and
requests. After each, what is on the disk is looked at, the job is finished as its
operator would, and all of it is compared with an undisturbed run.

Run as a script, this module is one worker on the faulty disk; see `prove`.
"""

import asyncio
import json
import os
import random
import shutil
import signal
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Coroutine, Generator, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx

from pipeline import RunReport, StopSignal
from torture.faulty_disk import (
    DISK_FAULTS,
    Died,
    Disk,
    DiskFault,
    build,
    in_child,
    told,
    under_it,
    workshop,
)
from torture.proof import Chapter, Figure
from torture.small_job import (
    CALM,
    DONE_CODE,
    Day,
    Ended,
    Left,
    Place,
    clutter_at,
    dumped,
    faults_of_end,
    faults_on_disk,
    finish,
    left_at,
    run,
)

N_WORKERS: Final = 2
NEVER: Final = 10**9
STEP_FAULTS: Final = ("kill -9", "cancel", "one signal", "two signals")
REQUEST_FAULTS: Final = ("kill -9 before", "kill -9 after", "torn before", "torn after")
# Exit codes that a fault may end a run with: 66 is a source that cannot be opened.
FULL_DISK: Final = frozenset({66, 73})
BROKEN_DISK: Final = FULL_DISK | {74}
ALLOWED: Final = {
    "ENOSPC once": FULL_DISK,
    "ENOSPC from there on": FULL_DISK,
    "EIO once": BROKEN_DISK,
    "EIO from there on": BROKEN_DISK,
    "EINTR once": BROKEN_DISK,
    "cancel": frozenset({130}),
    "one signal": frozenset({130}),
    "two signals": frozenset({130}),
}


@dataclass(frozen=True)
class Point:
    """
    One run that was disturbed once.

    Attributes:
        layer: "disk", "step" or "request".
        where: The operation that met the fault; empty when the run went untouched.
        ended: "killed", or the exit code and the class.
        problems: Promises that were broken.
    """

    layer: str
    fault: str
    n: int
    where: str
    ended: str
    problems: list[str]
    seconds: float = 0.0

    @property
    def is_untouched(self) -> bool:
        """Whether the run came to its end before the n-th operation."""
        return self.where.startswith(UNTOUCHED)


UNTOUCHED: Final = "untouched: "
WORDS: Final = """\
A small import in which every file of a run is written is disturbed at its n-th
operation, for every n until a run goes untouched: each opening, write, flush, rename
and removal in its folder (those of SQLite and polars too), each wait of a task, each
request. Then its files are looked at, the job is finished as its operator would (by
`resume` and by the same import in turn), and the CRM, the outcomes and the other files
are compared with those of an undisturbed run. Broken is: a row lost, or accepted and
never received; a file of a run that is there but not whole; a second batch sent again;
an error that is not the tool's own, or has the wrong exit code.
"""

# -- steps and requests ------------------------------------------------------------


class Counting:
    """Counts what happens, and acts once, at the n-th time."""

    def __init__(self, n: int, report: int) -> None:
        self.n_seen = 0
        self.act: Callable[[], object] = die
        self._n = n
        self._report = report

    @property
    def has_fired(self) -> bool:
        """Whether it has acted."""
        return self.n_seen >= self._n

    def tick(self, where: str) -> bool:
        """Count one; return whether it was the one, after acting."""
        self.n_seen += 1
        if self.n_seen != self._n:
            return False
        os.write(self._report, f"{where}\n".encode())
        self.act()
        return True


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@types.coroutine
def _counted(
    work: Coroutine[Any, Any, Any], counting: Counting, name: str
) -> Generator[Any, Any, Any]:
    """Pass everything through, and count each time it waits."""
    step: Callable[[Any], Any] = work.send
    value: Any = None
    while True:
        try:
            awaited = step(value)
        except StopIteration as end:
            return end.value
        counting.tick(name)
        try:
            value = yield awaited
            step = work.send
        except BaseException as error:  # noqa: BLE001 - thrown in where it belongs
            step, value = work.throw, error


def stepwise(fault: str, counting: Counting) -> Day:
    """Return a day on which the n-th wait of any task of the run meets a fault."""

    async def drive(
        work: Coroutine[Any, Any, RunReport], stop: StopSignal
    ) -> RunReport:
        def ask() -> None:
            for _ in range(2 if fault == "two signals" else 1):
                stop.request(signal.SIGINT)

        asyncio.get_running_loop().set_task_factory(partial(_counted_task, counting))
        main = asyncio.create_task(work)
        if fault == "cancel":
            counting.act = main.cancel
        elif fault != "kill -9":
            counting.act = ask
        return await main

    return Day(wrap=Slow, drive=drive)


def _counted_task(
    counting: Counting,
    loop: asyncio.AbstractEventLoop,
    work: Coroutine[Any, Any, Any],
    **more: Any,
) -> asyncio.Task[Any]:
    async def counted() -> Any:
        return await _counted(work, counting, getattr(work, "__qualname__", "?"))

    return asyncio.Task(counted(), loop=loop, **more)


class Slow(httpx.AsyncBaseTransport):
    """A wire on which a request waits three times: to leave, to arrive, to return."""

    def __init__(self, wire: httpx.AsyncBaseTransport) -> None:
        self._wire = wire

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        response = await self._wire.handle_async_request(request)
        await asyncio.sleep(0)
        return response


class Faulty(httpx.AsyncBaseTransport):
    """A wire on which the n-th request meets a fault."""

    def __init__(
        self, wire: httpx.AsyncBaseTransport, fault: str, counting: Counting
    ) -> None:
        self._wire = wire
        self._fault = fault
        self._counting = counting
        if fault.startswith("torn"):
            counting.act = lambda: None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        where = f"{request.method} {request.url.path}"
        if self._fault.endswith("before"):
            if self._counting.tick(where):
                raise httpx.ConnectError("torn", request=request)
            return await self._wire.handle_async_request(request)
        response = await self._wire.handle_async_request(request)
        if self._counting.tick(where):
            raise httpx.ReadError("torn", request=request)
        return response


# -- one point ---------------------------------------------------------------------


def _write(report: int, value: Ended | Left | list[str]) -> None:
    os.write(report, dumped(value))


def _disturbed(
    place: Place, what: tuple[str, str], n: int, reports: tuple[int, int]
) -> None:
    """In a child: run under the fault; tell where it was met, and how it ended."""
    met, answer = reports
    layer, fault = what
    counting, disk = Counting(n, met), Disk()
    day = CALM
    if layer == "disk":
        disk.watch(place.watched)
        disk.arm(_named(fault), n, met)
    elif layer == "step":
        day = stepwise(fault, counting)
    else:
        day = Day(wrap=lambda wire: Faulty(wire, fault, counting))
    ended = run(place, day)
    counter = disk if layer == "disk" else counting
    if not counter.has_fired:
        os.write(met, f"{UNTOUCHED}{counter.n_seen}\n".encode())
    _write(answer, ended)


def _named(fault: str) -> DiskFault:
    return next(each for each in DISK_FAULTS if each.name == fault)


def _examined(
    place: Place, wanted: Left, ended: Ended | None, by_name: int, report: int
) -> None:
    """In a child: look, finish the job unless it is finished, look again; tell."""
    problems = faults_on_disk(place, wanted)
    last = ended
    if last is None or last.error:
        last = finish(place, by_name=bool(by_name))
        problems += clutter_at(place) if last else []
    problems += faults_of_end(place, last, wanted) + faults_on_disk(place, wanted)
    _write(report, problems)


def _texts(told: bytes) -> list[str]:
    found: list[str] = json.loads(told)
    return found


def _ended(told: bytes) -> Ended:
    return Ended(**json.loads(told))


def _left(told: bytes) -> Left:
    return Left(**json.loads(told))


def try_point(folder: Path, kind: tuple[str, str], n: int, wanted: Left) -> Point:
    """Disturb a run at its n-th operation, finish it, and compare."""
    began_s = time.monotonic()
    place = Place(folder)
    place.prepare()
    reading, writing = os.pipe()
    ended = in_child(
        lambda answer: _disturbed(place, kind, n, (writing, answer)), _ended
    )
    os.close(writing)
    with os.fdopen(reading, "rb") as report:
        where = report.read().decode().strip().replace(f"{place.watched}/", "")
    problems = _wrong_end(kind[1], where, ended)
    known = None if isinstance(ended, Died) else ended
    found = in_child(partial(_examined, place, wanted, known, n % 2), _texts)
    problems += [f"the look at it: {found.how}"] if isinstance(found, Died) else found
    shutil.rmtree(folder)
    how = ended.how if isinstance(ended, Died) else f"{ended.code} {ended.error}"
    seconds = time.monotonic() - began_s
    return Point(*kind, n, where, how.strip(), problems, seconds)


def _wrong_end(fault: str, where: str, ended: Ended | Died) -> list[str]:
    """Return what is wrong with how a disturbed run ended."""
    if isinstance(ended, Died):
        is_meant = fault.startswith("kill") and ended.how == "SIGKILL" and where
        return [] if is_meant else [f"it died: {ended.how}"]
    if ended.stray:
        return [f"not an error of this tool: {ended.stray}"]
    if ended.code == DONE_CODE and not ended.error:
        return []
    if where.startswith(UNTOUCHED):
        return [f"untouched, it ended with {ended.code} {ended.error}"]
    # A flush that fails is final, whatever its reason.
    final = {74} if where.startswith("flush") else set()
    if ended.code not in ALLOWED.get(fault, frozenset()) | final:
        return [f"the wrong end: {ended.code} {ended.error}"]
    return []


# -- all points --------------------------------------------------------------------

KINDS: Final = (
    *(("disk", fault.name) for fault in DISK_FAULTS),
    *(("step", fault) for fault in STEP_FAULTS),
    *(("request", fault) for fault in REQUEST_FAULTS),
)


def points(
    folder: Path, kind: tuple[str, str], share: tuple[int, int], wanted: Left
) -> Iterator[Point]:
    """Try a share of all operations: which one, and of how many."""
    first, n_shares = share
    n = first + 1
    while True:
        point = try_point(folder, kind, n, wanted)
        yield point
        if point.is_untouched:
            return
        n += n_shares


def some_points(
    folder: Path, kind: tuple[str, str], share: tuple[int, int], wanted: Left, most: int
) -> Iterator[Point]:
    """Try a share of *most* operations, drawn by chance; the same ones each time."""
    untouched = try_point(folder, kind, NEVER, wanted)
    yield untouched
    total = int(untouched.where.removeprefix(UNTOUCHED))
    chance = random.Random(str(kind))  # noqa: S311 - a choice of cases
    drawn = chance.sample(range(1, total + 1), min(most, total))
    for n in drawn[share[0] :: share[1]]:
        yield try_point(folder, kind, n, wanted)


def _undisturbed(place: Place, report: int) -> None:
    place.prepare()
    ended = run(place)
    assert ended.code == DONE_CODE, ended
    _write(report, left_at(place))


def work(given: str, which: str, n_shares: str, most: str) -> None:
    """Be one of the workers: a line of JSON for each point."""
    folder = Path(given)
    wanted = in_child(partial(_undisturbed, Place(folder / "calm")), _left)
    assert isinstance(wanted, Left), wanted
    share = int(which), int(n_shares)
    for kind in KINDS:
        if int(most):
            tried = some_points(folder / "n", kind, share, wanted, int(most))
        else:
            tried = points(folder / "n", kind, share, wanted)
        for point in tried:
            sys.stdout.write(json.dumps(asdict(point)) + "\n")
            sys.stdout.flush()


def all_points(most: int | None = None) -> list[Point]:
    """Let the workers try all points, or *most* of each kind of fault."""
    with workshop() as folder:
        library = build(folder)
        workers = []
        for i in range(N_WORKERS):
            (folder / str(i)).mkdir()
            given = (str(folder / str(i)), str(i), str(N_WORKERS), str(most or 0))
            workers.append(under_it(library, Path(__file__).name, *given))
        texts = [told(each) for each in workers]
    return [Point(**json.loads(line)) for text in texts for line in text.splitlines()]


def prove(n: int | None) -> Chapter:
    """Try all points, or *n* of each kind of fault."""
    tried = all_points(n)
    met = [point for point in tried if not point.is_untouched]
    failed = [point for point in tried if point.problems]
    calm = {(point.layer, point.fault) for point in tried if point.is_untouched}
    figures = (
        *(_n_tried(met, layer) for layer in ("disk", "step", "request")),
        Figure(
            "kinds of fault tried until a run went untouched",
            str(len(calm)),
            str(len(KINDS)),
            len(calm) == len(KINDS),
        ),
        Figure(
            "points at which a promise was broken", str(len(failed)), "0", not failed
        ),
    )
    table = [("layer", "fault", "points", "how the disturbed runs ended")]
    for kind in KINDS:
        mine = [point for point in met if (point.layer, point.fault) == kind]
        ends = Counter(point.ended for point in mine).most_common()
        words = ", ".join(f"{end} ({n_such})" for end, n_such in ends)
        table.append((*kind, str(len(mine)), words))
    table += [
        (p.layer, p.fault, f"{p.n}: {p.where}", "; ".join(p.problems)) for p in failed
    ]
    return Chapter("The n-th operation fails", WORDS.strip(), figures, tuple(table))


def _n_tried(met: list[Point], layer: str) -> Figure:
    n = sum(point.layer == layer for point in met)
    return Figure(f"points tried: {layer}", str(n), "≥ 1", n > 0)


if __name__ == "__main__":
    work(*sys.argv[1:])
