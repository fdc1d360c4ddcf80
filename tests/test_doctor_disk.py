"""The work folder is tried out, told in words, and left as it was."""

import errno
from pathlib import Path

import pytest

from pipeline.doctor.diagnosis import Checked, Level
from pipeline.doctor.disk import look_at_disk
from pipeline.errors import CannotWriteError


def levels(found: list[Checked]) -> dict[str, Level]:
    return {check.name: check.level for check in found}


def test_a_good_disk_is_fine_and_left_as_it_was(tmp_path: Path) -> None:
    found = list(look_at_disk(tmp_path, mounts=tmp_path / "none"))

    assert levels(found) == dict.fromkeys(
        ("work folder", "space", "durable writes", "locks", "journal"), Level.OK
    )
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_yet_stays_so(tmp_path: Path) -> None:
    found = list(look_at_disk(tmp_path / "a" / "b"))

    assert found[0].told.endswith(f"to be made in {tmp_path}")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("n_bytes", "level"),
    [(2**40, Level.OK), (2**29, Level.WARNING), (2**20, Level.FAILS)],
)
def test_space(tmp_path: Path, n_bytes: int, level: Level) -> None:
    found = list(look_at_disk(tmp_path, free_bytes=lambda _: n_bytes))

    assert levels(found)["space"] is level


def test_a_network_disk_is_a_warning(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(f"server:/x {tmp_path.resolve()} nfs4 rw 0 0\n")
    found = list(look_at_disk(tmp_path, mounts=mounts))

    assert levels(found)["disk"] is Level.WARNING


def test_a_disk_that_refuses_is_told_once(tmp_path: Path) -> None:
    def refuse(_: Path) -> int:
        raise OSError(errno.EROFS, "Read-only file system")

    *_, last = look_at_disk(tmp_path, free_bytes=refuse)

    assert last.level is Level.FAILS
    assert isinstance(last.error, CannotWriteError)
    assert "Read-only file system" in last.told


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    found = list(look_at_disk(tmp_path / "file"))

    assert levels(found) == {"work folder": Level.FAILS}
