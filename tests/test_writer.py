"""A file is written whole, or the disk's refusal is told; a defect stays a defect."""

import resource
from collections.abc import Iterator
from pathlib import Path
from random import Random

import polars as pl
import pytest

from pipeline.errors import CannotWriteError
from pipeline.settings import SourceFormat
from pipeline.writer import FileForm, write_frames

NOISE = Random(1).randbytes(300_000).hex()  # noqa: S311 - what no codec makes small
SCHEMA = {"text": pl.String()}


@pytest.fixture
def small_disk() -> Iterator[None]:
    """A disk on which no file may have more than 64 KiB."""
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**16, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.usefixtures("small_disk")
@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_a_disk_that_ends_in_the_middle_of_a_file_is_told(
    tmp_path: Path, kind: SourceFormat
) -> None:
    form = FileForm(kind)
    parts = [NOISE[i : i + 200_000] for i in range(0, 600_000, 200_000)]
    frames = [pl.DataFrame({"text": [part]}) for part in parts]

    with pytest.raises(CannotWriteError, match="too large"):
        write_frames(tmp_path / "a", form, lambda: frames, SCHEMA)

    assert list(tmp_path.iterdir()) == []


def test_a_defect_of_whoever_gives_the_frames_is_not_blamed_on_the_disk(
    tmp_path: Path,
) -> None:
    def frames() -> Iterator[pl.DataFrame]:
        yield pl.DataFrame({"text": ["a"]})
        raise ZeroDivisionError

    with pytest.raises((ZeroDivisionError, pl.exceptions.ComputeError)):
        write_frames(tmp_path / "a", FileForm("parquet"), frames, SCHEMA)

    assert list(tmp_path.iterdir()) == []
