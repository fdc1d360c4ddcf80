"""Every generated edit gets its class, in every form of the other side."""

from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edits import world
from pipeline.records import FieldClass, RowClass
from torture import three_way
from torture.three_way import FORMS, classes_of, compared

N_PEOPLE = 200


def check(
    folder: Path, seed: int, form: str, *, n_people: int, has_baseline: bool
) -> None:
    made = world(seed, n_people)
    report = compared(folder, made, form, seed, has_baseline=has_baseline)
    found = classes_of(report)

    assert found == made.truth(has_baseline=has_baseline)
    lines = pl.read_parquet(report.files["differences_parquet"])
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
def test_many_edits_are_classified_as_they_were_made() -> None:
    assert three_way.prove(200).is_met
