"""What `doctor` says of what it found: levels, the gravest error, kinds of disks."""

from datetime import UTC, datetime

import pytest

from pipeline.doctor.diagnosis import (
    DAY_S,
    Level,
    certificate,
    clock,
    failure,
    file_system,
    fine,
    gravest_of,
    warning,
)
from pipeline.errors import CannotWriteError, TokenRefusedError, UnreachableError

MOUNTS = """\
/dev/vda1 / ext4 rw 0 0
proc /proc proc rw 0 0
server:/crm /srv/crm nfs4 rw 0 0
/dev/vdb1 /srv/crm/local xfs rw 0 0
//box/a\\040b /mnt/a\\040b cifs rw 0 0
short line
"""
THEN = datetime(2026, 11, 26, tzinfo=UTC)


def test_the_gravest_is_what_a_run_would_end_with() -> None:
    disk, key = CannotWriteError("full"), TokenRefusedError("no")
    away = UnreachableError("away")
    checks = [fine("a", ""), failure("b", away), failure("c", key), warning("d", "")]

    assert gravest_of(checks) is key
    assert gravest_of([*checks, failure("e", disk)]) is disk
    assert gravest_of(checks[:1]) is None
    assert failure("b", away).told == "away"


@pytest.mark.parametrize(
    ("skew_s", "level", "word"),
    [
        (0, Level.OK, "half a minute"),
        (-30, Level.OK, "half a minute"),
        (3_600, Level.WARNING, "3,600 s ahead of"),
        (-86_400, Level.WARNING, "86,400 s behind"),
    ],
)
def test_a_clock_that_is_off_is_a_warning(
    skew_s: float, level: Level, word: str
) -> None:
    check = clock(THEN, THEN.timestamp() + skew_s)

    assert check.level is level
    assert word in check.told


def test_a_service_without_a_clock_is_a_warning() -> None:
    assert clock(None, 0.0).level is Level.WARNING


@pytest.mark.parametrize(
    ("days", "level"), [(90, Level.OK), (13, Level.WARNING), (0, Level.WARNING)]
)
def test_a_certificate_that_ends_soon_is_a_warning(days: int, level: Level) -> None:
    check = certificate("api.example.com", "TLSv1.3", days * DAY_S)

    assert check.level is level
    assert "TLSv1.3" in check.told


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home", "ext4"),
        ("/srv/crm", "nfs4"),
        ("/srv/crm/work", "nfs4"),
        ("/srv/crm/local/work", "xfs"),
        ("/srv/crmx", "ext4"),
        ("/mnt/a b/work", "cifs"),
    ],
)
def test_a_path_is_on_the_nearest_disk(path: str, kind: str) -> None:
    assert file_system(MOUNTS, path) == kind


def test_where_nothing_is_told_the_disk_is_not_known() -> None:
    assert file_system("", "/srv") is None
