"""Where a state lies: in the work folder, or where an address leads."""

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.delta.places import opened_state
from pipeline.errors import SettingsError
from pipeline.settings_sync import SyncSettings

TOLD = ("guid", "people")


def test_without_an_address_it_lies_in_the_work_folder(tmp_path: Path) -> None:
    with opened_state(None, tmp_path, TOLD, "plan r1") as store:
        assert store.folder.parent == tmp_path / "state"
        assert store.place == str(store.folder)
        assert (store.is_shared, store.lost) == (False, None)


def test_a_package_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.delitem(sys.modules, "pipeline.objects", raising=False)

    with (
        pytest.raises(SettingsError, match=r"a state at s3:// needs .*\[cloud\]"),
        opened_state("s3://lake/crm", tmp_path, TOLD, "plan r1"),
    ):
        pass


@pytest.mark.parametrize("address", ["s3://lake", "s3://lake/", "gs://lake/crm/state"])
def test_addresses_of_a_state(address: str) -> None:
    assert SyncSettings(state=address).state == address


@pytest.mark.parametrize(
    "address",
    [
        "",
        "state",
        "/srv/state",
        "ftp://host/a",
        "s3://",
        "s3://k:s@lake/a",
        "s3://lake/a b",
    ],
)
def test_what_is_no_address_of_a_state(address: str) -> None:
    with pytest.raises(ValidationError):
        SyncSettings(state=address)
