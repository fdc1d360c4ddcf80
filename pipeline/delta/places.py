"""Where the state of a dataset lies: in the work folder, or on object storage."""

from __future__ import annotations

import hashlib
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.delta.lease import USUAL_TIME, Lease, LeaseTime, held
from pipeline.delta.state import StateStore, state_name
from pipeline.delta.state_objects import StateObjects
from pipeline.extras import extra_module

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pipeline.objects import ObjectStore

# Another one each time that a machine starts.
_BOOT_PATH: Final = Path("/proc/sys/kernel/random/boot_id")


@contextmanager
def opened_state(
    url: str | None,
    work_dir: Path,
    told: tuple[str, str],
    about: str,
    *,
    on_lost: Callable[[], None] = lambda: None,
    time: LeaseTime = USUAL_TIME,
) -> Iterator[StateStore]:
    """
    Give the state of a dataset; one on object storage is locked for the block.

    The caller holds the work folder alone: what a process of it that died has locked is
    taken over at once.

    Args:
        url: `s3://BUCKET/PREFIX`, `gs://` or `az://`; None for the work folder.
        told: Workspace and dataset.
        about: What is done, for whoever finds the lock.
        on_lost: Called from another thread when the lock counts no more; why stands in
            `StateStore.lost`.

    Raises:
        LockedError: Another run holds it.
        SettingsError: There is no such bucket, or the extra `cloud` is not installed.
        AccessError, RemoteError: As the store answers.
    """
    if url is None:
        yield StateStore(work_dir, *told)
        return
    scheme, _, rest = url.partition("://")
    prefix = rest.partition("/")[2].strip("/")
    folder = f"{prefix}/{state_name(*told)}".lstrip("/")
    module = extra_module("objects", f"a state at {scheme}://", "cloud")
    objects: ObjectStore = module.ObjectStore(url)
    lease = Lease(objects, folder, time, on_lost, about, _home(work_dir))
    with held(lease):
        yield StateStore(work_dir, *told, StateObjects(lease))


def _home(work_dir: Path) -> str:
    """Return a name for the work folder itself, not for a copy or another mount."""
    try:
        booted = _BOOT_PATH.read_text(encoding="ascii")
        found = work_dir.stat()
    except OSError:  # as on macOS
        return ""
    parts = (booted, socket.gethostname(), found.st_dev, found.st_ino)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]
