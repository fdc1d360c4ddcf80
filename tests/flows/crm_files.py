"""A village whose CRM somebody else has filled, and exports of it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flows.delta_town import Town, people, town
from pipeline import ExportRequest, ImportRequest, export_profiles, run_import

N_VILLAGERS = 12


@asynccontextmanager
async def village(folder: Path) -> AsyncIterator[Town]:
    """Give a town of few people, because exports ask for them one by one."""
    async with town(folder) as at:
        at.rows = people(N_VILLAGERS)
        yield at


async def filled(at: Town) -> None:
    """Let the CRM hold what the source has now, sent by somebody else."""
    job = at.job.model_copy(update={"name": "somebody else", "verify": "none"})
    request = ImportRequest(job, at.folder / "elsewhere")
    report = await run_import(request, at.connector)
    assert report.error is None
    at.sandbox.settle()


async def exported(at: Town, name: str = "crm.parquet", **more: Any) -> Path:
    """Export the CRM, in full."""
    told: dict[str, Any] = {"detail": "full", "wall": at.time.wall} | more
    request = ExportRequest(at.folder / name, at.folder / "exports", **told)
    report = await export_profiles(request, at.connector)
    return report.path
