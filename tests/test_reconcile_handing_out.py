"""
Buckets that workers compare, with workers that are tasks of this process.

Real worker processes are in `flows/test_reconcile_cluster.py`.
"""

from __future__ import annotations

import pickle
import stat
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from edits import world, write_profiles, write_source
from pipeline import Cluster, Connector, ReconcileRequest, StopSignal, reconcile_source
from pipeline.errors import (
    CannotWriteError,
    InterruptedRunError,
    PatienceEndedError,
    SettingsError,
)
from pipeline.reconcile.bucket import (
    BASELINE,
    CRM,
    SOURCE,
    BucketResult,
    BucketRules,
    compare_bucket,
)
from pipeline.reconcile.compare import FieldRules
from pipeline.reconcile.handing_out import Sharing, compare_on_cluster
from pipeline.records import RowClass
from pipeline.sandbox.server import SandboxOptions
from pipeline.spill import Spill
from sandbox_driver import served
from task_workers import Here
from torture.three_way import job_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline import ReconcileReport
    from pipeline.distributed.cluster import Answer
    from pipeline.reconcile.bucket_work import BucketTask

N_ROWS = 40
ROWS_A_BUCKET = 5
N_BUCKETS = N_ROWS // ROWS_A_BUCKET + 1  # the last one is of strangers
CITY = "Nowhere"


def rules() -> BucketRules:
    def rows(*numbers: int) -> pl.Series:
        return pl.Series(numbers, dtype=pl.UInt32)

    conflicts = {RowClass.SEVERAL_PROFILES: rows(3), RowClass.SEVERAL_ROWS: rows(17)}
    known, doubtful = frozenset({"city"}), rows(21)
    return BucketRules(
        [FieldRules("city")],
        known,
        is_complete=True,
        conflicts=conflicts,
        doubtful=doubtful,
        n_examples=2,
    )


def cells() -> pl.DataFrame:
    """Rows, their profiles and their baseline; every third one moved."""
    rows: list[tuple[int, int | None, int, str | None, str | None]] = [
        (side, n, n, None if side != CRM else f"customId=C{n}", f'"{CITY} {town}"')
        for n in range(N_ROWS)
        for side, town in ((SOURCE, n), (CRM, n + (n % 3 == 0)), (BASELINE, n))
    ]
    rows += [(CRM, None, N_ROWS + n, f"customId=S{n}", None) for n in range(4)]
    schema = {
        "side": pl.UInt8,
        "row": pl.UInt32,
        "number": pl.UInt32,
        "profile": pl.String,
        "city": pl.String,
    }
    bucket = (pl.col("row") // ROWS_A_BUCKET).fill_null(2**31).alias("bucket")
    return pl.DataFrame(rows, schema=schema, orient="row").with_columns(bucket)


@dataclass
class Bench:
    """What waits to be compared, and workers that do it."""

    folder: Path
    connector: Connector
    here: Here
    stop: StopSignal = field(default_factory=StopSignal)

    def waiting(self) -> Spill:
        waiting = Spill(self.folder / "waiting", max_rows=2 * ROWS_A_BUCKET)
        waiting.add(cells())
        return waiting

    async def compared(
        self, take: Callable[[Iterator[BucketResult]], None] | None = None
    ) -> list[BucketResult]:
        found: list[BucketResult] = []
        cluster = Cluster(n_workers=2, opens=self.here.opens)
        with self.waiting() as waiting:
            await compare_on_cluster(
                waiting,
                rules(),
                Sharing(
                    cluster,
                    "a",
                    self.folder,
                    self.stop,
                    self.connector.clock,
                    max_wait_s=5.0,
                ),
                take or found.extend,
            )
            assert not list((self.folder / "waiting").iterdir())
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with served(SandboxOptions()) as (_, connector, time):
        yield Bench(tmp_path, connector, Here(connector, time.clock))


def are_equal(one: BucketResult, two: BucketResult) -> bool:
    return (
        one.counts == two.counts
        and one.lines.equals(two.lines)
        and one.marks.equals(two.marks)
        and one.examples.equals(two.examples)
    )


def expected(bench: Bench) -> list[BucketResult]:
    with bench.waiting() as waiting:
        return [compare_bucket(bucket, rules()) for bucket in waiting.buckets()]


@pytest.mark.anyio
async def test_results_are_those_of_one_process_in_their_order(bench: Bench) -> None:
    wanted = expected(bench)
    found = await bench.compared()

    assert len(found) == len(wanted) == N_BUCKETS
    assert all(map(are_equal, found, wanted))
    told = pl.concat(result.lines for result in found)
    counts = dict(told["class"].value_counts().iter_rows())
    assert counts == {
        "crm_edited": 12,
        "differs": 1,  # its baseline is doubtful
        "several_profiles": 1,
        "several_rows": 1,
        "only_in_crm": 4,
    }
    assert [task.number for task in bench.here.tasks] == [*range(1, N_BUCKETS + 1)]
    assert bench.here.most_at_once == 2


@pytest.mark.anyio
async def test_who_is_late_is_waited_for(bench: Bench) -> None:
    class Late(Here):
        """The first bucket is answered when all others are."""

        async def run(self, work: Any, task: Any) -> Answer[Any]:
            answer = await super().run(work, task)
            while task.number == 1 and len(self.tasks) < N_BUCKETS:
                await self.connector.clock.sleep(0.1)
            return answer

    bench.here = Late(bench.connector, bench.here.now)

    assert all(map(are_equal, await bench.compared(), expected(bench)))


@pytest.mark.anyio
async def test_a_worker_that_dies_before_it_tells_is_followed_by_another(
    bench: Bench,
) -> None:
    bench.here.deaths = {2: 1, 5: 2}
    found = await bench.compared()

    assert bench.here.deaths == {2: 0, 5: 0}
    assert all(map(are_equal, found, expected(bench)))


@pytest.mark.anyio
async def test_a_bucket_that_kills_everybody_ends_it(bench: Bench) -> None:
    bench.here.deaths = {4: 3}

    with pytest.raises(PatienceEndedError, match="part 4 of the comparison: it dies"):
        await bench.compared()


@pytest.mark.anyio
async def test_a_stop_ends_it(bench: Bench) -> None:
    def take(results: Iterator[BucketResult]) -> None:
        next(results)
        bench.stop.request()
        next(results)

    with pytest.raises(InterruptedRunError):
        await bench.compared(take)
    assert len(bench.here.tasks) < N_BUCKETS


@pytest.mark.anyio
async def test_a_scheduler_that_is_gone_ends_it(bench: Bench) -> None:
    def take(results: Iterator[BucketResult]) -> None:
        next(results)
        bench.here.is_silent = True
        next(results)

    with pytest.raises(PatienceEndedError, match="the scheduler of the cluster is"):
        await bench.compared(take)


@pytest.mark.anyio
async def test_without_workers_it_ends_when_patience_does(bench: Bench) -> None:
    bench.here.n_workers = 0

    with pytest.raises(PatienceEndedError, match="no worker of the cluster is left"):
        await bench.compared()
    assert bench.here.tasks == []


@pytest.mark.anyio
async def test_a_disk_that_is_full_here_is_told(bench: Bench) -> None:
    def take(results: Iterator[BucketResult]) -> None:
        next(results)
        raise CannotWriteError("no space left")

    with pytest.raises(CannotWriteError, match="no space left"):
        await bench.compared(take)


@pytest.mark.anyio
async def test_what_a_worker_cannot_do_ends_it_and_names_the_host(
    bench: Bench,
) -> None:
    class Old(Here):
        async def run(self, work: Any, task: BucketTask) -> Answer[Any]:
            return await super().run(work, replace(task, versions={"polars": "0.1"}))

    bench.here = Old(bench.connector, bench.here.now)

    with pytest.raises(SettingsError, match=r"\(worker on here\).* the same versions"):
        await bench.compared()


@pytest.mark.anyio
async def test_no_cell_travels_and_files_are_private(bench: Bench) -> None:
    told: list[bytes] = []
    modes: set[str] = set()

    class Heard(Here):
        async def run(self, work: Any, task: BucketTask) -> Answer[Any]:
            answer = await super().run(work, task)
            told.extend((pickle.dumps(task), pickle.dumps(answer)))
            for path in (task.folder, *task.folder.iterdir()):
                modes.add(stat.filemode(path.stat().st_mode))
            return answer

    bench.here = Heard(bench.connector, bench.here.now)
    found = await bench.compared()

    assert CITY in found[0].lines["source_value"][0]
    assert not any(CITY.encode() in each or b"customId" in each for each in told)
    assert max(map(len, told)) < 4_000
    assert modes == {"drwx------", "-rw-------"}


def request_in(folder: Path, *, has_baseline: bool) -> ReconcileRequest:
    made = world(7, 60)
    source, crm, then = (folder / name for name in ("s.csv", "c.jsonl", "t.jsonl"))
    write_source(source, made.source)
    write_profiles(crm, made.crm, "jsonl", 1)
    write_profiles(then, made.baseline, "jsonl", 2)
    return ReconcileRequest(
        job_for(folder, source),
        folder / "work",
        against=crm,
        baseline=str(then) if has_baseline else None,
    )


def contents(report: ReconcileReport) -> dict[str, bytes]:
    paths = map(Path, report.files.values())
    return {path.name: path.read_bytes() for path in paths}


@pytest.mark.anyio
@pytest.mark.parametrize("has_baseline", [True, False])
async def test_the_report_and_the_files_are_those_of_one_process(
    bench: Bench,
    has_baseline: bool,  # noqa: FBT001 - a parameter
) -> None:
    request = request_in(bench.folder, has_baseline=has_baseline)
    one = await reconcile_source(request, bench.connector)
    cluster = Cluster(n_workers=2, opens=bench.here.opens)
    many = await reconcile_source(replace(request, cluster=cluster), bench.connector)

    assert len(bench.here.tasks) == 1
    assert one.n_differing > 0
    assert contents(many) == contents(one)
    assert replace(many, run_id=one.run_id, folder=one.folder, files=one.files) == one
    assert not (request.work_dir / "scratch").exists()


@pytest.mark.anyio
async def test_what_ends_it_is_told_past_the_writer_of_the_file(bench: Bench) -> None:
    class Deaf(Here):
        async def run(self, work: Any, task: Any) -> Answer[Any]:
            del work, task
            raise ConnectionError

    request = request_in(bench.folder, has_baseline=False)
    dies = Here(bench.connector, bench.here.now, deaths={1: 3})
    gone = Deaf(bench.connector, bench.here.now)
    for here, words in ((dies, "part 1 of the"), (gone, "the scheduler of the")):
        cluster = Cluster(n_workers=2, opens=here.opens)
        with pytest.raises(PatienceEndedError, match=f"^{words}"):
            await reconcile_source(replace(request, cluster=cluster), bench.connector)
    assert not list(request.work_dir.rglob("differences*"))
