"""Where an export goes, by the words of its destination."""

import sys
from pathlib import Path

import pytest

from pipeline.errors import SettingsError
from pipeline.export.places import destination_of


@pytest.mark.parametrize("text", ["all.csv", "a/b.parquet", "s3:/x.csv", "/data/x.csv"])
def test_a_path_is_a_file(text: str) -> None:
    assert destination_of(text) == (Path(text), None)


@pytest.mark.parametrize("text", ["s3://", "s3://lake", "gs://lake/", "az://box/crm/"])
def test_an_address_without_a_name_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"write the name of a file behind it"):
        destination_of(text)


@pytest.mark.parametrize("text", ["https://example.com/x.csv", "ftp://x/y.csv"])
def test_an_address_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match=r"goes to a file, or to s3://, gs://"):
        destination_of(text)


def test_a_package_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "pipeline.objects", raising=False)

    with pytest.raises(SettingsError, match=r"an export to s3:// needs .*\[cloud\]"):
        destination_of("s3://lake/all.csv")
