"""Every generated edit gets its class, in every form of the other side."""

import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edits import JOB, World, world, write_profiles, write_source
from pipeline import ReconcileReport, ReconcileRequest, reconcile_source
from pipeline.config import read_job
from pipeline.records import FieldClass, RowClass
from pipeline.settings import Job

N_PEOPLE = 200
FORMS = ("csv", "parquet", "portal", "jsonl", "json")
SUFFIX = {"portal": "csv"}


def job_for(folder: Path, source: Path) -> Job:
    path = folder / "job.yaml"
    path.write_text(f"version: 1\nsource: {{path: {source.name}}}{JOB}")
    job = read_job(path).job
    return job.model_copy(
        update={"source": job.source.model_copy(update={"path": str(source)})}
    )


def compared(
    folder: Path, made: World, form: str, seed: int, *, has_baseline: bool
) -> ReconcileReport:
    source, suffix = folder / "people.csv", SUFFIX.get(form, form)
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


def told(report: ReconcileReport) -> pl.DataFrame:
    return pl.read_parquet(report.files["differences_parquet"])


def check(
    folder: Path, seed: int, form: str, *, n_people: int, has_baseline: bool
) -> None:
    made = world(seed, n_people)
    report = compared(folder, made, form, seed, has_baseline=has_baseline)
    lines = told(report)
    fields = lines.filter(pl.col("field").is_not_null())
    found = {
        (row_no, name): word
        for row_no, name, word in fields["row_no", "field", "class"].iter_rows()
    }

    assert found == made.truth(has_baseline=has_baseline)
    whole = lines.filter(pl.col("field").is_null())
    alone = whole.filter(pl.col("class") == RowClass.ONLY_IN_SOURCE.value)
    assert set(alone["row_no"]) == made.only_in_source
    strangers = whole.filter(pl.col("class") == RowClass.ONLY_IN_CRM.value)
    assert strangers.height == len(made.only_in_crm)
    counted = {name: sum(f.counts[name] for f in report.fields) for name in FieldClass}
    assert sum(counted.values()) == len(made.edits) + 2 * report.rows[RowClass.MATCHED]
    for name, n_rows in Counter(found.values()).items():
        assert counted[FieldClass(name)] == n_rows
    assert report.crm.lacking == report.crm.unknown == ()
    assert report.n_compared == n_people
    csv = pl.read_csv(report.files["differences"], infer_schema=False)
    assert csv.height == lines.height


@pytest.mark.parametrize("has_baseline", [True, False], ids=["three-way", "two-way"])
@pytest.mark.parametrize("form", FORMS)
def test_generated_edits_are_classified_as_they_were_made(
    tmp_path: Path,
    form: str,
    has_baseline: bool,  # noqa: FBT001 - a parameter
) -> None:
    check(tmp_path, 20_260_101, form, n_people=N_PEOPLE, has_baseline=has_baseline)


@settings(max_examples=5)
@given(
    seed=st.integers(0, 2**32), form=st.sampled_from(FORMS), has_baseline=st.booleans()
)
def test_any_edits_are_classified_as_they_were_made(
    seed: int,
    form: str,
    has_baseline: bool,  # noqa: FBT001 - drawn
) -> None:
    with TemporaryDirectory() as folder:
        check(Path(folder), seed, form, n_people=40, has_baseline=has_baseline)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_many_edits_are_classified_as_they_were_made(tmp_path: Path, form: str) -> None:
    check(tmp_path, 7, form, n_people=20_000, has_baseline=True)
