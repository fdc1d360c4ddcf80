"""Profiles asked for by two worker processes: the file is that of one process."""

from __future__ import annotations

import signal
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if find_spec("distributed") is None:
    pytest.skip(
        "distributed not installed: pip install 'crm-pipeline[dask]'",
        allow_module_level=True,
    )

from cluster_day import TWO_WORKERS, Driver, until, worker_processes, write_people
from pipeline.sandbox.weather import parse_weather
from torture.process import Place, place

if TYPE_CHECKING:
    from pathlib import Path

# Their short twins are in `test_export_asking_cluster.py`, without processes.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
N_ROWS = 400
FULL = ("--detail=full", "--road=windows", "--concurrency=2")


def n_asked(at: Place) -> int:
    records = at.sandbox.sandbox.store.requests()
    return sum(record.name == "get_by_id" for record in records)


def filled(at: Place) -> bytes:
    """Import people, and return what one process exports of them."""
    write_people(at.folder, N_ROWS)
    assert at.run("import").code == 3
    assert at.run("export", "one.jsonl", *FULL).code == 0
    return (at.folder / "one.jsonl").read_bytes()


def begun(at: Place, n_wanted: int) -> Driver:
    """Start an export by two workers, and wait until they have asked so much."""
    n_before = n_asked(at)
    driver = Driver(at, at.start("export", "two.jsonl", *FULL, *TWO_WORKERS))

    def is_begun() -> bool:
        if driver.process.poll() is not None:
            raise AssertionError(driver.process.communicate())
        return n_asked(at) > n_before + n_wanted

    until(is_begun, "nothing is asked")
    return driver


def test_a_killed_worker_costs_its_questions_and_the_file_is_the_same(
    tmp_path: Path,
) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.02")) as day:
        expected = filled(day)
        n_before = n_asked(day)
        driver = begun(day, 150)
        worker_processes(driver.process.pid)[0].kill()
        ended = driver.ended()
        n_twice = n_asked(day) - n_before - N_ROWS

    assert (ended.code, ended.said) == (0, "")
    assert (tmp_path / "two.jsonl").read_bytes() == expected
    assert ended.summary["profiles"] == N_ROWS
    assert 0 <= n_twice <= 100  # a unit
    assert not list(tmp_path.glob(".crm-pipeline/exports/*/seen"))


def test_a_stop_ends_the_workers_and_one_process_goes_on(tmp_path: Path) -> None:
    with place(tmp_path, parse_weather("slow=1,slow_s=0.02")) as day:
        expected = filled(day)
        driver = begun(day, 250)
        workers = worker_processes(driver.process.pid)
        for worker in workers:  # a terminal sends Ctrl-C to all of them
            worker.send_signal(signal.SIGINT)
        driver.process.send_signal(signal.SIGINT)
        ended = driver.ended()
        until(lambda: not any(w.is_running() for w in workers), "a worker lives on")
        n_before = n_asked(day)
        rest = day.run("export", "two.jsonl", *FULL)
        n_again = n_asked(day) - n_before

    assert ended.code == 128 + signal.SIGINT, ended.said
    assert rest.code == 0, rest.said
    assert (tmp_path / "two.jsonl").read_bytes() == expected
    assert rest.summary["continued"] == N_ROWS
    assert n_again <= N_ROWS - 100  # a unit at least was kept
