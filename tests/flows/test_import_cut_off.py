"""Two hosts in network namespaces; the cable of one is pulled in the middle."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

if find_spec("distributed") is None:
    pytest.skip(
        "distributed not installed: pip install 'crm-pipeline[dask]'",
        allow_module_level=True,
    )

from cluster_day import equation, own_cluster, sent_twice, start, until, write_people
from pipeline.sandbox.weather import parse_weather
from torture.process import place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
HERE, THERE = "10.213.77.1", "10.213.77.2"
HOST = "crmhost"
OUTSIDE, INSIDE = "crmveth0", "crmveth1"
N_ROWS = 1600
# The tool speaks plain http to the loopback only, so every host has the service there.
RELAY = """
import asyncio, sys
async def pump(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()
async def main(listen, port, host, to):
    async def serve(reader, writer):
        try:
            far = await asyncio.open_connection(host, int(to))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pump(reader, far[1]), pump(far[0], writer))
    server = await asyncio.start_server(serve, listen, int(port))
    await server.serve_forever()
asyncio.run(main(*sys.argv[1:]))
"""


def ip(*words: str) -> bool:
    command = [shutil.which("ip") or "ip", *words]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def second_host() -> Iterator[tuple[str, ...]]:
    """A network namespace behind a cable; the command that runs something in it."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and `ip`")
    try:
        if not (
            ip("netns", "add", HOST)
            and ip("link", "add", OUTSIDE, "type", "veth", "peer", "name", INSIDE)
            and ip("link", "set", INSIDE, "netns", HOST)
        ):
            pytest.skip("this machine gives no network namespaces")
        ip("addr", "add", f"{HERE}/24", "dev", OUTSIDE)
        ip("link", "set", OUTSIDE, "up")
        for words in (
            ("addr", "add", f"{THERE}/24", "dev", INSIDE),
            ("link", "set", INSIDE, "up"),
            ("link", "set", "lo", "up"),
        ):
            ip("-n", HOST, *words)
        yield (shutil.which("ip") or "ip", "netns", "exec", HOST)
    finally:
        ip("link", "del", OUTSIDE)
        ip("netns", "del", HOST)


def test_a_host_that_is_cut_off_stops_and_the_other_one_finishes(
    tmp_path: Path,
) -> None:
    with (
        second_host() as inside,
        place(tmp_path, parse_weather("slow=1,slow_s=0.1")) as day,
        own_cluster(day) as cluster,
    ):
        write_people(day.folder, N_ROWS)
        port = day.sandbox.base_url.rpartition(":")[2]
        address = cluster.start_scheduler(HERE)
        cluster.start("-c", RELAY, HERE, port, "127.0.0.1", port)
        cluster.start("-c", RELAY, "127.0.0.1", port, HERE, port, inside=inside)
        cluster.start_worker(address, f"--host={HERE}")
        cluster.start_worker(address, f"--host={THERE}", inside=inside)
        logs = [cluster.folder / f"process-{n}.log" for n in (3, 4)]
        until(
            lambda: all("Registered to" in log.read_text() for log in logs),
            "a worker does not come",
        )
        there = replace(day, environment=cluster.environment)
        driver = start(there, "--engine=dask", f"--scheduler={address}")
        driver.wait_for_batches(16)
        ip("link", "set", OUTSIDE, "down")
        ended = driver.ended()
        n_twice, n_profiles = sent_twice(day), len(day.crm())

    assert ended.code == 3, ended.said
    assert ended.summary["rows"]["accepted"] == n_profiles == N_ROWS
    assert equation(ended.summary) == ended.summary["rows"]["read"]
    assert n_twice <= 2  # what it had in flight
