"""Whatever the service does, the CRM ends as on a calm day, or the rows are pending."""

import hashlib
import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from pipeline import (
    Connector,
    ImportRequest,
    Job,
    RunReport,
    run_import,
)
from pipeline.contract import BATCH_PATH
from pipeline.errors import CannotWriteError, PatienceEndedError, RemoteError
from pipeline.sandbox.server import Sandbox, SandboxOptions
from pipeline.sandbox.weather import parse_weather
from sandbox_driver import Wire, served

N_ROWS = 3_000
BATCH_ROWS = 50


@asynccontextmanager
async def under(
    weather: str, **options: Any
) -> AsyncIterator[tuple[Sandbox, Connector]]:
    told = SandboxOptions(weather=parse_weather(weather), settle_s=0.0, **options)
    with served(told) as (sandbox, connector, _):
        yield sandbox, connector


class DeadForBatches(Wire):
    """A service whose batch endpoint is down."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == BATCH_PATH:
            return httpx.Response(503, stream=httpx.ByteStream(b""))
        return await super().handle_async_request(request)


def source_file(folder: Path, n_rows: int = N_ROWS) -> Path:
    path = folder / "people.csv"
    rows = (f"p{n}@example.com,Ewa {n},C{n}" for n in range(n_rows))
    path.write_text("email,firstName,customId\n" + "\n".join(rows) + "\n")
    return path


async def imported(
    folder: Path, connector: Connector, max_store_bytes: int = 2**30, **delivery: Any
) -> RunReport:
    job = Job.model_validate(
        {
            "source": {"path": str(source_file(folder))},
            "delivery": {"max_rows": BATCH_ROWS, **delivery},
            "verify": "none",
        }
    )
    request = ImportRequest(job, folder / "work", max_store_bytes=max_store_bytes)
    return await run_import(request, connector)


def crm_of(sandbox: Sandbox) -> dict[str, Any]:
    sandbox.settle()
    return {p["customId"]: (p["email"], p["firstName"]) for p in sandbox.profiles()}


CALM = {f"C{n}": (f"p{n}@example.com", f"Ewa {n}") for n in range(N_ROWS)}


def expected_bodies() -> str:
    """The digest of all digests, of bodies written the plain way."""
    rows = [
        {"email": f"p{n}@example.com", "customId": f"C{n}", "firstName": f"Ewa {n}"}
        for n in range(N_ROWS)
    ]
    digests = [
        hashlib.sha256(
            json.dumps(rows[i : i + BATCH_ROWS], separators=(",", ":")).encode()
        ).hexdigest()
        for i in range(0, N_ROWS, BATCH_ROWS)
    ]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


BODIES = expected_bodies()


@pytest.mark.anyio
@pytest.mark.parametrize("seed", [1, 2, None], ids=["1", "2", "drawn"])
@pytest.mark.parametrize("weather", ["calm", "rain", "storm"])
async def test_every_row_arrives_in_any_weather(
    tmp_path: Path, weather: str, seed: int | None
) -> None:
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    print(f"seed {seed}")  # noqa: T201 - shown when the test fails
    async with under(f"{weather},seed={seed}") as (sandbox, connector):
        report = await imported(tmp_path, connector)

        counts = report.counts
        assert (counts.read, counts.accepted + counts.pending) == (N_ROWS, N_ROWS)
        crm = crm_of(sandbox)
        assert crm.items() <= CALM.items()
        assert len(crm) >= counts.accepted
        if report.error is None:
            assert crm == CALM


@pytest.mark.anyio
async def test_a_token_that_expires_in_the_middle_is_renewed(tmp_path: Path) -> None:
    weather = "calm,slow=1.0"
    async with under(weather, token_lifetime_s=3.0) as (sandbox, connector):
        report = await imported(tmp_path, connector, concurrency=2)

        assert report.error is None
        assert report.counts.accepted == N_ROWS
        assert crm_of(sandbox) == CALM
        logins = [
            r
            for r in sandbox.store.requests()
            if "login" in r.name or "refresh" in r.name
        ]
        assert 1 < len(logins) < 60


@pytest.mark.anyio
async def test_fresh_tokens_that_expire_at_once_are_only_asked_again(
    tmp_path: Path,
) -> None:
    async with under("calm,expire=0.3,seed=5") as (sandbox, connector):
        report = await imported(tmp_path, connector)

        assert report.error is None
        assert crm_of(sandbox) == CALM


@pytest.mark.anyio
async def test_tokens_that_are_always_expired_end_in_patience_not_in_permissions(
    tmp_path: Path,
) -> None:
    async with under("calm,expire=1.0") as (sandbox, connector):
        with pytest.raises(PatienceEndedError, match="expired as soon as it was given"):
            await imported(tmp_path, connector)

        assert sandbox.store.count_profiles() == 0
        logins = [r for r in sandbox.store.requests() if "login" in r.name]
        assert 1 < len(logins) < 20


@pytest.mark.anyio
async def test_what_a_torn_reply_hides_is_sent_again_not_lost(tmp_path: Path) -> None:
    async with under("calm,torn_after=0.3,seed=3") as (sandbox, connector):
        report = await imported(tmp_path, connector)

        assert report.error is None
        assert report.delivery is not None
        assert report.delivery.n_retried > 0
        assert crm_of(sandbox) == CALM


@pytest.mark.anyio
async def test_a_service_that_dies_on_batches_leaves_every_row_pending(
    tmp_path: Path,
) -> None:
    async with under("calm") as (sandbox, connector):
        dead = replace(connector, transport=DeadForBatches(sandbox))
        report = await imported(tmp_path, dead)

        assert type(report.error) is PatienceEndedError
        assert report.counts.accepted == 0
        assert report.counts.pending == N_ROWS
        assert sandbox.store.count_profiles() == 0


class FirstLoginTorn(Wire):
    """A service that logs in, and whose first answer gets lost."""

    n_logins = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await super().handle_async_request(request)
        if "login" in request.url.path:
            self.n_logins += 1
            if self.n_logins == 1:
                raise httpx.ReadError("")
        return response


@pytest.mark.anyio
async def test_the_pause_after_a_failed_login_is_of_the_same_clock_as_the_waits(
    tmp_path: Path,
) -> None:
    async with under("calm") as (sandbox, connector):
        torn = replace(connector, transport=FirstLoginTorn(sandbox))
        report = await imported(tmp_path, torn)

        assert report.error is None
        assert report.counts.accepted == N_ROWS


@pytest.mark.anyio
async def test_a_work_folder_that_refuses_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "work" / ".gitignore").mkdir(parents=True)
    async with under("calm") as (sandbox, connector):
        with pytest.raises(CannotWriteError, match=r"\.gitignore cannot be written"):
            await imported(tmp_path, connector)

        assert sandbox.store.batches() == []


@pytest.mark.anyio
async def test_a_service_that_never_speaks_is_told_before_anything_is_sent(
    tmp_path: Path,
) -> None:
    async with under("calm,torn_before=1.0,on_login=true") as (sandbox, connector):
        with pytest.raises(RemoteError):
            await imported(tmp_path, connector)

        assert sandbox.store.batches() == []


@pytest.mark.anyio
@pytest.mark.parametrize("max_store_bytes", [0, 1, 2**30])
async def test_kept_or_read_again_the_same_bodies_go_out(
    tmp_path: Path, max_store_bytes: int
) -> None:
    async with under("calm") as (sandbox, connector):
        report = await imported(tmp_path, connector, max_store_bytes, concurrency=1)

        assert report.counts.accepted == N_ROWS
        assert crm_of(sandbox) == CALM
        digests = [batch.digest for batch in sandbox.store.batches()]
        assert hashlib.sha256("".join(digests).encode()).hexdigest() == BODIES
        files = {path.name for path in report.folder.iterdir()}
        assert files == {"job.json", "outcomes.parquet"}


@pytest.mark.anyio
async def test_what_a_crash_left_on_disk_is_removed_by_the_next_run(
    tmp_path: Path,
) -> None:
    left = tmp_path / "work" / "scratch"
    for name in ("clean", "digests", "held"):
        (left / name).mkdir(parents=True)
        (left / name / "000000.ipc").write_text("somebody@example.com")

    async with under("calm") as (_, connector):
        await imported(tmp_path, connector)

    assert not left.exists()
