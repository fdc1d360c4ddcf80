"""Runs by two worker processes: the same CRM and outcomes as by one machine."""

from __future__ import annotations

import signal
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if find_spec("distributed") is None:
    pytest.skip(
        "distributed not installed: pip install 'crm-pipeline[dask]'",
        allow_module_level=True,
    )

from cluster_day import (
    BATCH_ROWS,
    PACE,
    TWO_WORKERS,
    Driver,
    arrivals,
    equation,
    most_in_a_second,
    outcomes,
    own_cluster,
    people_in,
    sent_twice,
    start,
    until,
    worker_processes,
    write_people,
)
from pipeline.sandbox.records import TruthKind
from pipeline.sandbox.weather import parse_weather
from torture.process import place

if TYPE_CHECKING:
    from pathlib import Path

# Their short twins are in `test_distributed_driving.py`, without processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
N_ROWS = 1200


def test_two_workers_leave_what_one_machine_leaves(tmp_path: Path) -> None:
    sky = parse_weather("refuse=Name 77,refuse_status=400")
    with place(tmp_path / "alone", sky) as alone:
        write_people(alone.folder, N_ROWS)
        one = alone.run("import", f"--max-rows={BATCH_ROWS}")
        expected = outcomes(alone, one.summary["run_id"]), people_in(alone)
    with place(tmp_path / "cluster", sky) as many:
        write_people(many.folder, N_ROWS)
        two = start(many, *TWO_WORKERS).ended()
        found = outcomes(many, two.summary["run_id"]), people_in(many)
        n_batches = many.n_batches()
        left = {path.name for path in many.work_dir.rglob("*")}

    assert (one.code, two.code) == (3, 3), two.said
    assert found[0].equals(expected[0])
    assert found[1] == expected[1]
    assert two.summary["rows"] == one.summary["rows"]
    assert equation(two.summary) == two.summary["rows"]["read"] == N_ROWS + 11
    assert two.summary["requests"]["sent"] == n_batches
    assert two.said == ""
    assert not left & {"partitions", "scratch", "000001.sqlite"}


def test_a_killed_worker_costs_no_more_than_what_it_had_in_flight(
    tmp_path: Path,
) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day:
        write_people(day.folder, N_ROWS)
        driver = start(day, *TWO_WORKERS)
        driver.wait_for_batches(12)
        victim = worker_processes(driver.process.pid)[0]
        victim.kill()
        ended = driver.ended()
        n_profiles = len(day.crm())
        n_twice = sent_twice(day)

    assert (ended.code, ended.said) == (3, "")
    assert ended.summary["rows"]["accepted"] == N_ROWS
    assert n_profiles == N_ROWS
    assert n_twice <= 2  # its two places in flight


def test_a_driver_that_dies_is_resumed_by_one_machine(tmp_path: Path) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day:
        write_people(day.folder, N_ROWS)
        driver = start(day, *TWO_WORKERS)
        driver.wait_for_batches(12)
        workers = worker_processes(driver.process.pid)
        driver.process.kill()
        driver.ended()
        until(lambda: not any(w.is_running() for w in workers), "a worker lives on")
        n_answered = sum(
            event.kind is TruthKind.ANSWERED and event.status == 202
            for event in day.truth()
        )
        assert n_answered >= 8
        resumed = day.run("resume")
        n_twice, n_profiles = sent_twice(day), len(day.crm())

    assert resumed.code == 3, resumed.said
    assert resumed.summary["rows"]["accepted"] == n_profiles == N_ROWS
    assert n_twice <= 4  # two places in flight of each worker
    assert equation(resumed.summary) == N_ROWS + 11


def test_a_night_loses_a_worker_and_the_next_one_has_nothing_to_send(
    tmp_path: Path,
) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day:
        write_people(day.folder, N_ROWS)
        words = ("people.csv", *PACE, *TWO_WORKERS)
        driver = Driver(day, day.start("sync", *words))
        driver.wait_for_batches(15)  # what goes first is in five at most
        worker_processes(driver.process.pid)[0].kill()
        first = driver.ended()
        n_twice, n_profiles = sent_twice(day), len(day.crm())
        n_batches = day.n_batches()
        second = day.run("sync", *words)
        n_more = day.n_batches() - n_batches

    assert (first.code, first.said) == (3, "")
    assert first.summary["rows"]["accepted"] == n_profiles == N_ROWS
    assert n_twice <= 2  # its two places in flight
    assert second.code == 3, second.said
    assert second.summary["rows"]["unchanged"] == N_ROWS
    assert n_more == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_drains_and_the_cluster_goes_on_later(
    tmp_path: Path, number: signal.Signals
) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day:
        write_people(day.folder, N_ROWS)
        driver = start(day, *TWO_WORKERS)
        driver.wait_for_batches(12)
        if number is signal.SIGINT:  # a terminal sends Ctrl-C to all of them
            for worker in worker_processes(driver.process.pid):
                worker.send_signal(number)
        driver.process.send_signal(number)
        ended = driver.ended()
        rest = day.run("resume", *TWO_WORKERS)
        n_twice, n_profiles = sent_twice(day), len(day.crm())

    assert ended.code == 128 + number, ended.said
    assert ended.summary["rows"]["pending"] > 0
    assert ended.summary["resumable"]
    assert rest.code == 3, rest.said
    assert rest.summary["rows"]["accepted"] == n_profiles == N_ROWS
    assert n_twice == 0


def test_two_workers_together_keep_a_rate_that_was_told(tmp_path: Path) -> None:
    rate = 20
    # The service refuses more than the rate, and allows a second's worth at once.
    with place(tmp_path, parse_weather(f"limit={rate + 2}")) as day:
        write_people(day.folder, N_ROWS)
        ended = start(day, *TWO_WORKERS, f"--rate={rate}").ended()
        times = list(arrivals(day))

    assert ended.code == 3, ended.said
    assert "429" not in ended.summary["requests"]["status"]
    assert most_in_a_second(times) <= rate + 2
    # Between two short partitions, and on a busy machine, places are lost.
    assert len(times) / (max(times) - min(times)) > 0.4 * rate


def test_a_retry_after_that_one_worker_sees_holds_both(tmp_path: Path) -> None:
    with place(tmp_path, parse_weather("throttle=0.02,retry_after_s=2,seed=5")) as day:
        write_people(day.folder, N_ROWS)
        ended = start(day, *TWO_WORKERS, "--rate=25").ended()
        batches = day.sandbox.sandbox.store.batches()

    assert ended.code == 3, ended.said
    refused = [batch.at_s for batch in batches if batch.status == 429]
    assert refused
    for at_s in refused:
        # What was leased before may still leave, for half a second and a beat.
        held = [b.at_s for b in batches if at_s + 0.9 < b.at_s < at_s + 2.0]
        assert held == []


def test_a_scheduler_that_dies_ends_the_import_and_it_is_resumed(
    tmp_path: Path,
) -> None:
    with (
        place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day,
        own_cluster(day) as cluster,
    ):
        write_people(day.folder, N_ROWS)
        address = cluster.start_scheduler("127.0.0.1")
        cluster.start_worker(address)
        cluster.start_worker(address)
        there = replace(day, environment=cluster.environment)
        driver = start(there, "--engine=dask", f"--scheduler={address}")
        driver.wait_for_batches(12)
        cluster.processes[0].kill()
        ended = driver.ended()
        n_before = day.n_batches()
        rest = day.run("resume")
        n_twice, n_profiles = sent_twice(day), len(day.crm())

    assert ended.code == 75, ended.said
    assert "scheduler of the cluster" in ended.said
    assert ended.summary["rows"]["accepted"] > 0
    assert equation(ended.summary) == N_ROWS + 11
    assert rest.code == 3, rest.said
    assert rest.summary["rows"]["accepted"] == n_profiles == N_ROWS
    assert n_twice == 0  # what was in flight was awaited, and recorded
    assert n_before < N_ROWS // BATCH_ROWS


def test_a_partition_that_kills_its_workers_is_left_and_others_go_on(
    tmp_path: Path,
) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.02")) as day:
        write_people(day.folder, N_ROWS)
        # A worker that opens the journal of this partition dies, each time.
        deadly = str(tmp_path / "deadly.py")
        (tmp_path / "deadly.py").write_text(DEADLY)
        environment = day.environment | {"DASK_DISTRIBUTED__WORKER__PRELOAD": deadly}
        ended = start(replace(day, environment=environment), *TWO_WORKERS).ended()
        n_accepted = ended.summary["rows"]["accepted"]
        rest = day.run("resume")

    assert ended.code == 75, ended.said
    assert "every worker that had it died" in ended.said
    assert 0 < ended.summary["rows"]["pending"] <= N_ROWS // 4
    assert n_accepted + ended.summary["rows"]["pending"] == N_ROWS
    assert rest.code == 3, rest.said
    assert rest.summary["rows"]["accepted"] == N_ROWS


DEADLY = '''"""A worker that dies of partition 2."""
import os
from pipeline.distributed import work

if work.deliver_partition.__name__ != "deadly":
    deliver = work.deliver_partition

    async def deadly(task, link):
        if task.partition.number == 2:
            os.kill(os.getpid(), 9)
        return await deliver(task, link)

    work.deliver_partition = deadly
'''
