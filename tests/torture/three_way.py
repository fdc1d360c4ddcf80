"""Edits made on both sides of a comparison, and the classes that they were given."""

import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import polars as pl

from edits import JOB, World, world, write_profiles, write_source
from pipeline import ReconcileReport, ReconcileRequest, reconcile_source
from pipeline.config import read_job
from pipeline.settings import Job
from torture.proof import Chapter, Figure

FORMS: Final = ("csv", "parquet", "portal", "jsonl", "json")
N_PEOPLE: Final = 20_000
_SUFFIX: Final = {"portal": "csv"}


def job_for(folder: Path, source: Path) -> Job:
    path = folder / "job.yaml"
    path.write_text(f"version: 1{JOB}")
    job = read_job(path).job
    return job.model_copy(
        update={"source": job.source.model_copy(update={"path": str(source)})}
    )


def compared(
    folder: Path, made: World, form: str, seed: int, *, has_baseline: bool
) -> ReconcileReport:
    """Write a world into files of one form, and compare them."""
    source, suffix = folder / "people.csv", _SUFFIX.get(form, form)
    write_source(source, made.source)
    write_profiles(folder / f"crm.{suffix}", made.crm, form, seed)
    write_profiles(folder / f"then.{suffix}", made.baseline, form, seed + 1)
    request = ReconcileRequest(
        job_for(folder, source),
        folder / "work",
        against=folder / f"crm.{suffix}",
        baseline=str(folder / f"then.{suffix}") if has_baseline else None,
    )
    return asyncio.run(reconcile_source(request, None))


def classes_of(report: ReconcileReport) -> dict[tuple[int, str], str]:
    """Return row_no and field → class, of all lines about a field."""
    lines = pl.read_parquet(report.files["differences_parquet"])
    told = lines.drop_nulls("field").select("row_no", "field", "class")
    return {(row_no, name): word for row_no, name, word in told.iter_rows()}


def prove(n: int | None) -> Chapter:
    n_people = N_PEOPLE if n is None else 10 * n
    right: Counter[str] = Counter()
    n_edits = n_wrong = 0
    for number, form in enumerate(FORMS):
        made = world(number, n_people)
        for has_baseline in (True, False):
            with TemporaryDirectory() as folder:
                report = compared(
                    Path(folder), made, form, number, has_baseline=has_baseline
                )
                found, truth = classes_of(report), made.truth(has_baseline=has_baseline)
            n_edits += len(made.edits)
            for key in made.edits.keys() | found.keys():
                is_right = found.get(key) == truth.get(key)
                n_wrong += not is_right
                right[truth.get(key, "equal")] += is_right
    return Chapter(
        "Who changed a value",
        f"{n_people:,} people, each field of them kept or changed in the source and "
        "kept, changed, erased or changed alike in the CRM; compared with and without "
        f"a baseline, the other side as {', '.join(FORMS)}. The truth is what was "
        "done, not what the values are. A wrong class, a line too many and a line too "
        "few count alike.",
        (
            Figure(
                f"fields with a wrong class, of {n_edits:,}",
                str(n_wrong),
                "0",
                n_wrong == 0,
            ),
        ),
        (("class", "right"), *((name, f"{k:,}") for name, k in sorted(right.items()))),
    )
