"""What the engine does to the workers of a cluster that is there already."""

from __future__ import annotations

import sys
from importlib.util import find_spec

import anyio
import pytest

if find_spec("distributed") is None:
    pytest.skip(
        "distributed not installed: pip install 'crm-pipeline[dask]'",
        allow_module_level=True,
    )

from distributed import LocalCluster

from pipeline.distributed.cluster import Cluster
from pipeline.distributed.dask_engine import SAFE_TO_WATCH, opened


def test_no_worker_is_profiled_where_that_can_halt_it() -> None:
    """Python 3.11 waits for itself there now and then, and the run with it."""

    async def watched() -> tuple[bool, bool, bool]:
        # By its address, since the library looks for a network where it has to guess.
        async with LocalCluster(
            n_workers=1,
            processes=False,
            host="127.0.0.1",
            protocol="tcp://",
            dashboard_address=None,
            asynchronous=True,
        ) as local:
            (worker,) = local.workers.values()
            profiler = worker.periodic_callbacks["profile"]
            before = profiler.is_running()
            address = local.scheduler_address
            async with opened(Cluster(address), run_id="a", rate=None):
                during = profiler.is_running()
            plugins = {str(name) for name in local.scheduler.worker_plugins}
            return before, during, any("crm-pipeline" in name for name in plugins)

    before, during, is_left_behind = anyio.run(watched)

    assert before
    assert during == (sys.version_info >= SAFE_TO_WATCH)
    assert not is_left_behind
