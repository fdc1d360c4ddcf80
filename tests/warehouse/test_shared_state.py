"""A state on object storage: several machines, two schedulers, and what goes wrong."""

import asyncio
import json
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from warehouse_needs import needs

needs("obstore", "moto")

from pipeline import (  # noqa: E402 - behind the skip
    ApplyReport,
    ApplyRequest,
    Connector,
    ImportRequest,
    Job,
    PlanReport,
    PlanRequest,
    StopSignal,
    SyncReport,
    apply_plan,
    make_plan,
    run_import,
    run_sync,
)
from pipeline.contract import BATCH_PATH  # noqa: E402
from pipeline.delta.lease import LeaseTime  # noqa: E402
from pipeline.delta.places import opened_state  # noqa: E402
from pipeline.errors import (  # noqa: E402
    LimitError,
    LockedError,
    PatienceEndedError,
    PipelineError,
    SettingsError,
    StaleRunError,
    TokenRefusedError,
)
from pipeline.objects import ObjectStore  # noqa: E402
from pipeline.sandbox.server import Sandbox, SandboxOptions  # noqa: E402
from sandbox_driver import Wire, served  # noqa: E402
from shell import Ended, Shell  # noqa: E402

KEY = "0123456789abcdef" * 4
PLACE = "s3://lake/crm"
N_PEOPLE = 60


@dataclass
class Town:
    """A source, a CRM, and machines with work folders of their own."""

    folder: Path
    sandbox: Sandbox
    connector: Connector
    cities: dict[str, str] = field(
        default_factory=lambda: {f"C{i}": "Opole" for i in range(N_PEOPLE)}
    )

    @property
    def job(self) -> Job:
        path = self.folder / "people.csv"
        lines = [f"{name},{city}" for name, city in self.cities.items()]
        path.write_text("\n".join(["customId,city", *lines]) + "\n")
        told = {
            "name": "people",
            "source": {"path": str(path)},
            "delivery": {"max_rows": 10, "concurrency": 1},
            "sync": {
                "state": PLACE,
                "canary": False,
                "guards": {"max_changed": 1},
            },
        }
        return Job.model_validate(told)

    def request(self, machine: str, key: str = KEY) -> PlanRequest:
        return PlanRequest(ImportRequest(self.job, self.folder / machine), key)

    def plan(self, machine: str, key: str = KEY) -> PlanReport:
        report = asyncio.run(make_plan(self.request(machine, key), self.connector))
        assert report.plan is not None
        return report

    def apply(
        self, machine: str, plan: PlanReport, wire: Wire | None = None, **more: Any
    ) -> ApplyReport:
        assert plan.plan is not None
        work_dir = self.folder / machine
        request = ApplyRequest(work_dir, plan.plan.plan_id, **more)
        connector = replace(self.connector, transport=wire) if wire else self.connector
        return asyncio.run(apply_plan(request, connector))

    def night(self, machine: str, key: str = KEY) -> SyncReport:
        report = asyncio.run(run_sync(self.request(machine, key), self.connector))
        self.sandbox.settle()
        return report

    def n_sent(self, report: SyncReport) -> int:
        assert report.applied is not None
        return report.applied.counts.accepted

    def assert_equal(self) -> None:
        held = {one["customId"]: one["city"] for one in self.sandbox.profiles()}
        assert held == self.cities


@pytest.fixture
def town(s3: Any, tmp_path: Path) -> Iterator[Town]:
    s3.make_bucket("lake")
    with served(SandboxOptions(settle_s=0.0)) as (sandbox, connector, _):
        yield Town(tmp_path, sandbox, connector)


class Doing(Wire):
    """Does something after so many batches."""

    def __init__(self, sandbox: Sandbox, after: int, act: Callable[[], None]) -> None:
        super().__init__(sandbox)
        self._left = after
        self._act = act

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        reply = await super().handle_async_request(request)
        if request.url.path == BATCH_PATH:
            self._left -= 1
            if self._left == 0:
                await asyncio.to_thread(self._act)
        return reply


def objects() -> ObjectStore:
    return ObjectStore(PLACE)


def names() -> list[str]:
    return [info.key for info in objects().list("crm")]


def lock() -> str:
    (found,) = [name for name in names() if name.endswith("lock.json")]
    return found


def test_what_one_machine_confirmed_another_does_not_send(town: Town) -> None:
    assert town.n_sent(town.night("one")) == N_PEOPLE
    assert town.n_sent(town.night("two")) == 0
    town.cities["C1"] = "Lublin"
    assert town.n_sent(town.night("two")) == 1
    again = town.night("one")

    assert town.n_sent(again) == 0
    assert again.planned.plan is not None
    assert again.planned.plan.reasons == ()
    town.assert_equal()
    assert len([name for name in names() if name.endswith("state.json")]) == 1
    assert len({name.split("/")[2] for name in names() if "/g0" in name}) == 1


def test_a_machine_of_every_night_anew_needs_no_disk(town: Town) -> None:
    for n, city in enumerate(("Opole", "Lublin", "Opole")):
        town.cities["C1"] = city
        assert town.n_sent(town.night(f"m{n}")) == (1 if n else N_PEOPLE)
        shutil.rmtree(town.folder / f"m{n}")
    town.assert_equal()


def test_what_a_lost_machine_had_sent_is_sent_again(town: Town) -> None:
    town.night("one")
    before = dict(town.cities)
    town.cities |= {f"C{i}": "Lublin" for i in range(30)}
    stop = StopSignal()
    plan = town.plan("one")
    sent = town.apply("one", plan, Doing(town.sandbox, 2, stop.request), stop=stop)
    assert 0 < sent.counts.accepted < 30
    shutil.rmtree(town.folder / "one")  # with the only proof of what was sent
    town.cities = before

    assert town.n_sent(town.night("two")) == 30
    town.assert_equal()


def test_who_was_overtaken_does_not_go_on_and_takes_back_what_was_known(
    town: Town,
) -> None:
    town.night("one")
    town.cities |= {f"C{i}": "Lublin" for i in range(30)}
    stop = StopSignal()
    plan = town.plan("one")
    sent = town.apply("one", plan, Doing(town.sandbox, 2, stop.request), stop=stop)
    town.cities |= {f"C{i}": "Sopot" for i in range(40)}
    assert town.n_sent(town.night("two")) == 40

    with pytest.raises(StaleRunError, match="older values must not replace newer"):
        town.apply("one", plan)
    last = town.night("one")
    assert sent.counts.accepted <= town.n_sent(last) <= 30
    town.assert_equal()
    assert town.n_sent(town.night("two")) == 0


def test_an_interrupted_night_goes_on_where_it_was(town: Town) -> None:
    stop = StopSignal()
    plan = town.plan("one")
    town.apply("one", plan, Doing(town.sandbox, 2, stop.request), stop=stop)
    done = town.apply("one", plan)

    assert done.counts.accepted == N_PEOPLE
    assert town.n_sent(town.night("two")) == 0


def test_a_plan_is_stale_once_another_machine_has_begun(town: Town) -> None:
    town.night("one")
    plan = town.plan("one")
    town.cities["C1"] = "Lublin"
    town.night("two")

    with pytest.raises(StaleRunError, match="other rows were sent or confirmed"):
        town.apply("one", plan)


def test_another_key_makes_a_full_plan_that_nobody_sends_by_chance(
    town: Town,
) -> None:
    town.night("one")
    other = "f" * 64
    stopped = town.night("two", key=other)
    assert isinstance(stopped.error, LimitError)
    assert "give both the same CRM_PIPELINE_KEY" in str(stopped.error)
    plan = stopped.planned.plan
    assert plan is not None
    assert plan.figures.n_new == N_PEOPLE
    assert "CRM_PIPELINE_KEY" in plan.reasons[0]

    town.apply("two", stopped.planned)
    assert town.n_sent(town.night("two", key=other)) == 0


def test_an_import_of_one_machine_is_told_when_that_machine_plans(town: Town) -> None:
    town.night("one")
    asyncio.run(
        run_import(ImportRequest(town.job, town.folder / "one"), town.connector)
    )
    town.night("two")
    plan = town.plan("one")

    assert plan.plan is not None
    assert plan.plan.figures.n_new == N_PEOPLE
    assert "(import) sent rows of this dataset without a plan" in plan.plan.reasons[0]


def test_two_schedulers_at_once(town: Town) -> None:
    plan = town.plan("one")
    guid = plan.run.workspace.guid if plan.run.workspace else ""
    with opened_state(PLACE, town.folder / "x", (guid, "people"), "sync r1"):
        for act in (lambda: town.plan("two"), lambda: town.apply("one", plan)):
            with pytest.raises(LockedError, match=r"holds the state s3://.*sync r1\)"):
                act()
    assert town.sandbox.store.ledger.batches() == []
    assert town.apply("one", plan).counts.accepted == N_PEOPLE


def test_the_folder_of_a_process_that_died_goes_on_at_once(town: Town) -> None:
    held: list[bytes] = []

    def look() -> None:
        found = objects().get(lock())
        assert found is not None
        held.append(found[0])

    town.apply("one", town.plan("one"), Doing(town.sandbox, 1, look))
    objects().put(lock(), held[0])  # as if nobody had let go of it
    shutil.copytree(town.folder / "one", town.folder / "copy")

    for other in ("two", "copy"):
        with pytest.raises(LockedError):
            town.plan(other)
    assert town.n_sent(town.night("one")) == 0


def test_a_lock_that_is_lost_stops_the_sending(town: Town) -> None:
    plan = town.plan("one")
    is_robbed, is_stopped = threading.Event(), threading.Event()

    class Telling(StopSignal):
        def request(self, signal_no: int = signal.SIGINT) -> None:
            super().request(signal_no)
            is_stopped.set()

    def rob() -> None:
        objects().put(lock(), json.dumps({"owner": "another", "who": "x"}).encode())
        is_robbed.set()
        assert is_stopped.wait(20.0)

    def wait(done: threading.Event, _seconds: float) -> bool:
        is_robbed.wait(20.0)
        return done.is_set()

    ended = town.apply(
        "one",
        plan,
        Doing(town.sandbox, 2, rob),
        stop=Telling(),
        lease_time=LeaseTime(wait=wait),
    )

    assert isinstance(ended.error, LockedError)
    assert 0 < ended.counts.accepted < N_PEOPLE
    assert ended.counts.pending == N_PEOPLE - ended.counts.accepted
    assert ended.is_resumable


@pytest.mark.parametrize(
    ("what", "kind"),
    [
        ("deny", TokenRefusedError),
        ("vanish", PatienceEndedError),
        ("forget", SettingsError),
    ],
)
def test_a_store_that_fails_in_the_middle_loses_nothing(
    town: Town, s3: Any, what: str, kind: type[PipelineError]
) -> None:
    ended = town.apply(
        "one", town.plan("one"), Doing(town.sandbox, 2, getattr(s3, what))
    )
    assert ended.counts.accepted == N_PEOPLE
    assert isinstance(ended.error, kind)
    assert "catches up first" in str(ended.error)

    s3.appear()
    s3.permit()
    s3.make_bucket("lake")
    town.sandbox.settle()
    assert town.n_sent(town.night("one")) == 0


# -- as an operator types it -------------------------------------------------------

JOB = (
    "version: 1\nname: people\nsource: {path: people.csv}\n"
    "sync: {state: 's3://lake/crm/', canary: false}\n"
)


@pytest.fixture
def at(
    shell: Shell, sandbox: Any, s3: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    del sandbox
    monkeypatch.setenv("XDG_STATE_HOME", str(shell.folder / "locks"))
    monkeypatch.setenv("CRM_PIPELINE_KEY", KEY)
    s3.make_bucket("lake")
    shell.write("job.yaml", JOB)
    shell.write("people.csv", "customId,city\nC1,Opole\nC2,Lublin\n")
    return lambda command="sync", *more: shell.run(
        command, "-c", "job.yaml", "--json", *more
    )


def test_a_second_machine_sends_nothing(at: Callable[..., Ended]) -> None:
    first = at("sync", "--work-dir", "a")
    second = at("sync", "--work-dir", "b")

    assert (first.code, first.json["rows"]["accepted"]) == (0, 2)
    assert (second.code, second.json["requests"]["sent"]) == (0, 0)


def test_every_door_has_its_own_exit_code(
    at: Callable[..., Ended],
    shell: Shell,
    s3: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert at().code == 0
    record = next(name for name in names() if name.endswith("state.json"))
    locked = lock()
    good = objects().get(record)
    free = objects().get(locked)
    assert good is not None
    assert free is not None

    def refused(code: int, words: str) -> None:
        ended = at()
        assert (ended.code, words in ended.err) == (code, True), ended.err

    objects().put(record, b"{")
    refused(74, "the delta state is damaged: s3://lake/crm/")
    objects().put(record, json.dumps({"version": 99}).encode())
    refused(78, "was written by a newer version")
    objects().put(record, good[0])
    objects().put(
        locked, json.dumps({"owner": "x", "who": "process 1 on mars"}).encode()
    )
    refused(80, "another run holds the state s3://lake/crm/")
    objects().put(locked, free[0])
    s3.deny()
    refused(77, "s3://lake does not let us")
    s3.permit()
    shell.write("job.yaml", JOB.replace("lake", "nowhere"))
    refused(78, "there is no bucket s3://nowhere")
    shell.write("job.yaml", JOB.replace("s3:", "ftp:"))
    refused(78, "sync.state")
    shell.write("job.yaml", JOB)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    refused(69, "s3://lake does not answer")
