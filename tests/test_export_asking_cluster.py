"""
Profiles asked for by workers that are tasks of this process: the file is the same.

Time is that of the loop, and jumps. Real processes are in
`flows/test_export_cluster.py`.
"""

from __future__ import annotations

import asyncio
import pickle
import random
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from benchmarks.virtual_time import run_virtually
from pipeline import (
    Cluster,
    Connector,
    Credentials,
    ExportReport,
    ExportRequest,
    RemoteSettings,
    Secret,
    StopSignal,
    export_profiles,
)
from pipeline.distributed.hub import Turn
from pipeline.errors import (
    ContractError,
    InterruptedRunError,
    PatienceEndedError,
    SettingsError,
    WrongWorkspaceError,
)
from pipeline.export.asking_cluster import AHEAD_A_PLACE, ClusterAsking
from pipeline.retrying import Clock
from pipeline.sandbox.server import (
    API_KEY,
    WORKSPACE_GUID,
    Sandbox,
    SandboxOptions,
    build_sandbox,
)
from pipeline.sandbox.weather import parse_weather
from sandbox_driver import WALL_S, Wire
from task_workers import Falling, Gone, Here

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping
    from pathlib import Path

    from pipeline.distributed.cluster import Answer
    from pipeline.distributed.pace import Lot
    from pipeline.export.asking_work import UnitTask

N_PROFILES = 210  # three units
ONE = ("get_by_id", "get_by_identifier")


@dataclass
class Town:
    """A workspace, and folders to export it to."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    shown: list[int] = field(default_factory=list)

    def here(self, kind: type[Here] = Here, **more: Any) -> Here:
        """Two workers, unless something else is said."""
        return kind(self.connector, self.connector.clock.now, **more)

    async def exported(
        self, here: Here | None, name: str = "all.jsonl", **more: Any
    ) -> ExportReport:
        """Export by the workers of *here*, or by this process."""
        told: dict[str, Any] = {
            "work_dir": self.folder / "w",
            "detail": "full",
            "road": "windows",
            "on_rows": lambda n, _: self.shown.append(n),
            "cluster": here and Cluster(n_workers=2, opens=here.opens),
        }
        request = ExportRequest(self.folder / name, **told | more)
        return await export_profiles(request, self.connector)

    def moments(self) -> list[float]:
        """Return when the questions for a profile came."""
        records = self.sandbox.store.requests()
        return [record.at_s for record in records if record.name in ONE]

    def named(self) -> dict[str, Any]:
        """Ask for a file that names more than two units, two of it nobody."""
        path = self.folder / "who.csv"
        lines = [f",S{n:07}" for n in range(1, 120)] + ["no@example.com,"]
        lines += [f",S{n:07}" for n in range(120, 205)]
        lines += ["seed0000002@example.com,", ",nobody"]
        path.write_text("email,customId\n" + "\n".join(lines) + "\n")
        return {"names_path": path, "road": "auto"}

    def left(self) -> list[str]:
        """Name the files that an export left, and those of questions and answers."""
        found = (*self.folder.glob("all*"), *self.folder.glob("w/**/scratch/**"))
        return [path.name for path in found]


@asynccontextmanager
async def town(
    folder: Path, weather: str = "calm", n_profiles: int = N_PROFILES
) -> AsyncIterator[Town]:
    """Give a workspace in this weather."""
    now = asyncio.get_running_loop().time
    sandbox = build_sandbox(
        SandboxOptions(
            weather=parse_weather(weather), seed_profiles=n_profiles, settle_s=0.0
        ),
        clock=now,
        wall_clock=lambda: WALL_S + now(),
        sleep=asyncio.sleep,
    )
    remote = RemoteSettings("http://127.0.0.1:1", Credentials(api_key=Secret(API_KEY)))
    chance = random.Random(7)  # noqa: S311 - a test's dice
    clock = Clock(now=now, sleep=asyncio.sleep, chance=chance.random)
    yield Town(folder, sandbox, Connector(remote, Wire(sandbox), clock))
    sandbox.close()


@pytest.mark.parametrize("by", ["ids", "names"])
def test_workers_write_what_one_process_writes(tmp_path: Path, by: str) -> None:
    async def scenario(name: str, weather: str) -> tuple[Town, Here, ExportReport]:
        async with town(tmp_path / name, weather) as at:
            here = at.here()
            more = at.named() if by == "names" else {}
            report = await at.exported(here if name == "many" else None, **more)
            return at, here, report

    # Units end in another order than they began.
    weather = "slow=0.05,slow_s=3,seed=2"
    for name in ("one", "many"):
        (tmp_path / name).mkdir()
    alone, _, one = run_virtually(scenario("one", "calm"))
    at, here, many = run_virtually(scenario("many", weather))

    assert many.path.read_bytes() == one.path.read_bytes()
    assert many.certificate_path.read_bytes() == one.certificate_path.read_bytes()
    assert many.absent_rows == one.absent_rows == ((120, 207) if by == "names" else ())
    assert at.shown == alone.shown
    assert (here.most_at_once, len(here.tasks)) == (2, 3)
    # Beside what one process asks, a login and a look at the workspace for each unit.
    assert many.n_requests == one.n_requests + 2 * len(here.tasks)


class Late(Here):
    """Begins with the first unit when all others that may be had are through."""

    n_before = 0

    async def run(self, work: Any, task: Any) -> Answer[Any]:
        if task.number == 1:
            await asyncio.sleep(9)
            self.n_before = len(self.tasks)
        return await super().run(work, task)


def test_answers_come_in_order_and_nobody_is_far_ahead(tmp_path: Path) -> None:
    kept: list[tuple[int, tuple[int, ...]]] = []

    async def scenario() -> int:
        async with town(tmp_path, n_profiles=0) as at:
            here = Late(at.connector, at.connector.clock.now)
            cluster = Cluster(n_workers=2, opens=here.opens)
            asking = ClusterAsking(
                cluster, at.connector, tmp_path / "scratch", guid=WORKSPACE_GUID
            )
            units = [[("customId", f"C{n}")] for n in range(20)]
            await asking.ask(units, lambda n, told: kept.append((n, told.absent)))
            return here.n_before

    assert run_virtually(scenario()) == 2 * AHEAD_A_PLACE - 1
    assert kept == [(n, (0,)) for n in range(20)]
    assert not (tmp_path / "scratch").exists()


@pytest.mark.parametrize(
    ("first", "by"), [("cluster", "ids"), ("process", "ids"), ("cluster", "names")]
)
def test_an_export_that_was_stopped_goes_on_whoever_began_it(
    tmp_path: Path, first: str, by: str
) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:
            more = at.named() if by == "names" else {}
            whole = await at.exported(None, "whole.jsonl", **more)
            n_all = len(at.moments())
            stop = StopSignal()
            here, kept = at.here(), 0

            def on_rows(n: int, _: int | None) -> None:
                nonlocal kept
                if n in (100, 200):  # a list shows all at once
                    kept = n
                    stop.request()

            who = here if first == "cluster" else None
            with pytest.raises(InterruptedRunError):
                await at.exported(who, stop=stop, on_rows=on_rows, **more)
            assert here.n_at_work == 0
            assert at.left() == []
            n_before = len(at.moments())
            who = None if first == "cluster" else at.here()
            report = await at.exported(who, **more)

            assert report.path.read_bytes() == whole.path.read_bytes()
            assert report.absent_rows == whole.absent_rows
            assert kept in (100, 200)
            assert len(at.moments()) - n_before == n_all - kept

    run_virtually(scenario())


def test_nothing_is_handed_out_where_all_is_known(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:

            def fail(_: ExportReport) -> list[Path]:
                raise InterruptedRunError("the page is not written")

            with pytest.raises(InterruptedRunError):
                await at.exported(None, on_written=fail)
            here = at.here()
            report = await at.exported(here, overwrite=True)

            assert here.tasks == []
            assert len(at.moments()) == N_PROFILES == report.certificate.n_profiles

    run_virtually(scenario())


class Mortal(Here):
    """Lets nobody die who has only begun."""

    n_leases = 0

    async def lease(self, turn: Turn, n_wanted: int) -> Lot:
        self.n_leases += 1
        if self.n_leases < 20:
            return self.hub.lease(self.now(), turn, n_wanted)
        return await super().lease(turn, n_wanted)


def test_a_unit_of_a_dead_worker_is_asked_by_another(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.1") as at:
            expected = (await at.exported(None, "one.jsonl")).path.read_bytes()
            here = at.here(Mortal, deaths={2: 1})
            report = await at.exported(here)

            assert report.path.read_bytes() == expected
            assert here.hub.counts.keys() >= {Turn(2, 1), Turn(2, 2)}
            n_twice = len(at.moments()) - 2 * N_PROFILES
            assert 0 < n_twice <= 100

    run_virtually(scenario())


class Poisoned(Here):
    """Whoever gets the second unit dies."""

    async def _once(self, work: Any, task: Any) -> Any:
        if task.number == 2:
            raise Gone
        return await super()._once(work, task)


def test_a_worker_whose_unit_another_one_has_lets_go_of_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.1") as at:

            def take(here: Here) -> None:
                if here.hub.counts.keys() == {Turn(1, 1), Turn(2, 1)}:
                    here.hub.begin(1)

            with pytest.raises(PatienceEndedError, match="gave the partition to anoth"):
                await at.exported(at.here(on_tell=take))

            assert len(at.moments()) < 50

    run_virtually(scenario())


def test_a_unit_that_kills_everybody_ends_the_export_and_it_goes_on(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.1") as at:
            with pytest.raises(PatienceEndedError) as ended:
                await at.exported(at.here(Poisoned))
            assert str(ended.value) == (
                "partition 2: it dies. Look at the logs of the workers. The same "
                "export, started again, goes on."
            )
            assert at.left() == []
            assert len(at.moments()) < 50  # the other worker was stopped
            report = await at.exported(None)

            assert report.certificate.n_profiles == N_PROFILES
            assert report.n_continued == N_PROFILES  # as the list shows them

    run_virtually(scenario())


def test_a_scheduler_that_is_gone_ends_the_export_and_it_goes_on(
    tmp_path: Path,
) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.1", 310) as at:

            def die(here: Here) -> None:
                here.is_silent = len(at.moments()) > 220

            with pytest.raises(PatienceEndedError, match="scheduler of the cluster"):
                await at.exported(at.here(on_tell=die))
            assert at.left() == []
            n_before = len(at.moments())
            report = await at.exported(None)

            assert report.certificate.n_profiles == 310
            assert len(at.moments()) - n_before <= 310 - 100

    run_virtually(scenario())


def test_an_export_without_workers_ends_when_patience_does(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:
            here = at.here(n_workers=0)
            with pytest.raises(PatienceEndedError, match="no worker of the cluster"):
                await at.exported(here)

            assert asyncio.get_running_loop().time() > 900
            assert here.tasks == []

    run_virtually(scenario())


def test_workers_together_keep_a_rate_that_was_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.2") as at:
            await at.exported(at.here(), rate=20.0)
            times = sorted(at.moments())

            most = max(sum(at_s <= t < at_s + 1 for t in times) for at_s in times)
            assert most <= 22
            # Places that a worker holds at the end of its unit are lost.
            assert len(times) / (times[-1] - times[0]) > 0.8 * 20

    run_virtually(scenario())


class Throttling(Wire):
    """Says once, of one question for a profile, to come back later."""

    def __init__(self, sandbox: Sandbox, now: Callable[[], float]) -> None:
        super().__init__(sandbox)
        self._now = now
        self._n = 0
        self.asked_s: list[float] = []
        self.refused_s = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v4/clients/"):
            self._n += 1
            self.asked_s.append(self._now())
            if self._n == 60:
                self.refused_s = self._now()
                return httpx.Response(
                    429, headers={"Retry-After": "5"}, stream=httpx.ByteStream(b"")
                )
        return await super().handle_async_request(request)


def test_a_retry_after_that_one_worker_sees_holds_both(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.2") as at:
            wire = Throttling(at.sandbox, at.connector.clock.now)
            at.connector = replace(at.connector, transport=wire)
            report = await at.exported(at.here())

            assert report.certificate.n_profiles == N_PROFILES
            # What was leased before may still leave, for half a second and a beat.
            held = [
                t for t in wire.asked_s if wire.refused_s + 0.9 < t < wire.refused_s + 5
            ]
            assert held == []
            assert sum(t > wire.refused_s + 5 for t in wire.asked_s) > 100

    run_virtually(scenario())


def test_a_service_that_is_gone_for_a_while_is_waited_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path, "slow=1,slow_s=0.1") as at:
            wire = Falling(at.sandbox, at.connector.clock.now)
            at.connector = replace(at.connector, transport=wire)
            report = await at.exported(at.here())

            assert report.certificate.n_profiles == N_PROFILES

    run_virtually(scenario())


@dataclass
class Changed(Here):
    """Hands out something else than it was given."""

    change: Mapping[str, Any] = field(default_factory=dict)

    async def run(self, work: Any, task: Any) -> Answer[Any]:
        return await super().run(work, replace(task, **self.change))


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"versions": {"polars": "0.1"}}, SettingsError, "install the same versions"),
        ({"guid": "another"}, WrongWorkspaceError, "but another is pinned"),
    ],
)
def test_what_a_worker_cannot_do_ends_the_export_and_names_the_host(
    tmp_path: Path, change: dict[str, Any], kind: type[Exception], words: str
) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:
            here = at.here(Changed, change=change)
            with pytest.raises(kind, match=words) as ended:
                await at.exported(here)

            assert "(worker on here): " in str(ended.value)
            assert at.moments() == []

    run_virtually(scenario())


class Odd(Wire):
    """Answers questions for a profile with something else."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/v4/clients/"):
            return httpx.Response(200, stream=httpx.ByteStream(b"[]"))
        return await super().handle_async_request(request)


def test_an_answer_that_is_none_has_the_words_of_one_process(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:
            at.connector = replace(at.connector, transport=Odd(at.sandbox))
            with pytest.raises(ContractError) as alone:
                await at.exported(None)
            with pytest.raises(ContractError) as many:
                await at.exported(at.here())

            assert str(many.value) == f"partition 1 (worker on here): {alone.value}."

    run_virtually(scenario())


def test_no_identifier_and_no_secret_travels(tmp_path: Path) -> None:
    answers: list[Any] = []
    modes: set[tuple[str, int]] = set()

    class Looking(Here):
        async def run(self, work: Any, task: Any) -> Answer[Any]:
            answers.append(answer := await super().run(work, task))
            folder = task.questions.parent
            for path in (folder, *folder.iterdir()):
                modes.add((path.suffix, path.stat().st_mode & 0o777))
            return answer

    async def scenario() -> list[UnitTask]:
        async with town(tmp_path) as at:
            here = at.here(Looking)
            await at.exported(here, **at.named())
            await at.exported(here, "more.jsonl")
            ids = [str(one["clientId"]) for one in at.sandbox.profiles()]
        text = pickle.dumps((here.tasks, answers))
        assert [one for one in ids if one.encode() in text] == []
        return here.tasks

    tasks = run_virtually(scenario())

    text = pickle.dumps((tasks, answers))
    assert len(tasks) == len(answers) == 6
    assert b"S00000" not in text
    assert b"example.com" not in text
    assert API_KEY.encode() not in text
    # What is on its way is for its owner alone.
    assert modes == {("", 0o700), (".json", 0o600), (".ipc", 0o600)}


def test_a_list_alone_has_no_use_for_workers(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with town(tmp_path) as at:
            with pytest.raises(SettingsError, match="--detail full or --by-identif"):
                await at.exported(at.here(), detail="list")

            assert at.sandbox.store.requests() == []

    run_virtually(scenario())
