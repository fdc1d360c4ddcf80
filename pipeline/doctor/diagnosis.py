"""What `doctor` says of each thing it looked at; data, made by what looks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from pipeline.endings import gravest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pipeline.errors import PipelineError

MOST_SKEW_S: Final = 30.0
DAY_S: Final = 86_400
LAST_DAYS: Final = 14
# Types of file systems that other machines see too.
NETWORK_DISKS: Final = frozenset(
    "9p afs beegfs ceph cifs fuse.glusterfs fuse.s3fs fuse.sshfs gpfs lustre ncpfs nfs "
    "nfs4 smb2 smb3 smbfs vboxsf virtiofs".split()
)


class Level(StrEnum):
    """How it is."""

    OK = "ok"
    WARNING = "warning"
    FAILS = "fails"


@dataclass(frozen=True, slots=True)
class Checked:
    """
    One thing that was looked at.

    Attributes:
        told: What was found, and what to do; never a secret.
        error: What a run would end with; with it, the thing fails.
    """

    name: str
    level: Level
    told: str
    error: PipelineError | None = None


def fine(name: str, told: str) -> Checked:
    """Say that all is well."""
    return Checked(name, Level.OK, told)


def warning(name: str, told: str) -> Checked:
    """Say what a run may stumble over."""
    return Checked(name, Level.WARNING, told)


def failure(name: str, error: PipelineError) -> Checked:
    """Say what would end a run."""
    return Checked(name, Level.FAILS, str(error), error)


def gravest_of(checks: Sequence[Checked]) -> BaseException | None:
    """Return the error that a run would be ended with first; None when none would."""
    return gravest(*(check.error for check in checks))


def clock(server: datetime | None, ours_s: float) -> Checked:
    """
    Compare the clocks.

    Args:
        server: Its `Date`; None without one.
        ours_s: Seconds since 1970 when it was made.
    """
    if server is None:
        return warning("clock", "the service tells no time; ours cannot be compared")
    skew_s = ours_s - server.timestamp()
    if abs(skew_s) <= MOST_SKEW_S:
        return fine("clock", "within half a minute of the service's")
    way = "ahead of" if skew_s > 0 else "behind"
    return warning(
        "clock",
        f"this machine is {abs(skew_s):,.0f} s {way} the service; tokens may look "
        "expired or too young: let the machine set its clock by the network (NTP)",
    )


def certificate(host: str, version: str, seconds_left: float) -> Checked:
    """Tell how long the certificate of a server still holds."""
    days = seconds_left / DAY_S
    if days > LAST_DAYS:
        return fine("encryption", f"{version}, certificate of {host} trusted")
    return warning(
        "encryption",
        f"{version}, but the certificate of {host} ends in {days:.0f} days; tell those "
        "who run it",
    )


def file_system(mounts: str, path: str) -> str | None:
    """
    Return the type of the file system that *path* is on; None when it is not told.

    Args:
        mounts: As Linux tells them: device, place, type, and more.
        path: Absolute, without links.
    """
    best, found = "", None
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:  # noqa: PLR2004 - the three that matter
            continue
        place = fields[1].replace("\\040", " ")
        is_above = path == place or path.startswith(f"{place.rstrip('/')}/")
        if is_above and len(place) >= len(best):
            best, found = place, fields[2]
    return found
