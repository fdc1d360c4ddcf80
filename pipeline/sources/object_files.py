"""Which objects a `s3://`, `gs://` or `az://` source is, and whether they still are."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from pipeline.errors import SourceMissingError, SourceUnusableError
from pipeline.logs import printable
from pipeline.objects import ObjectInfo, ObjectStore, object_changed
from pipeline.sources.folders import DELTA_LOG, is_marker, partition_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_SEPARATOR: Final = "/"


@dataclass(frozen=True, slots=True)
class FoundObjects:
    """
    The objects of one source path.

    Attributes:
        is_delta: They are a Delta table, which its log explains; none is listed.
    """

    store: ObjectStore
    objects: tuple[ObjectInfo, ...] = ()
    is_delta: bool = False

    def check_unchanged(self) -> None:
        """
        Ask for each object whether it is still the same.

        Raises:
            SourceChangedError: One is not, or is gone.
            AccessError, RemoteError, SettingsError: As `ObjectStore.get`.
        """
        for known in self.objects:
            if self.store.head(known.key) != known:
                raise object_changed(f"{self.store.root}/{known.key}")


def find_objects(url: str) -> FoundObjects:
    """
    Return the object of this name, those below it, or those that match it.

    Below a name count the objects that lie directly there, and those in folders named
    `column=value`.

    Raises:
        SourceMissingError: There is none.
        AccessError, RemoteError, SettingsError: As `ObjectStore.get`.
    """
    store = ObjectStore(url)
    key = url.partition("://")[2].partition(_SEPARATOR)[2]
    found: list[ObjectInfo] | None
    if glob.has_magic(key):
        found = _matching(store, key)
    else:
        one = None if key.endswith(_SEPARATOR) or not key else store.head(key)
        found = [one] if one else None
    if found is None:
        folder = key.rstrip(_SEPARATOR)
        below = list(store.list(folder))
        log = f"{folder}/{DELTA_LOG}/".lstrip(_SEPARATOR)
        if any(info.key.startswith(log) for info in below):
            return FoundObjects(store, is_delta=True)
        found = [info for info in below if _counts(info.key, folder)]
    if not found:
        raise SourceMissingError(f"No object matches {printable(url)}. Check the name.")
    odd = [info.key for info in found if ".." in info.key.split(_SEPARATOR)]
    if odd:
        raise SourceUnusableError(
            f"The name of the object {printable(odd[0])} cannot be a file's. Rename it."
        )
    return FoundObjects(store, tuple(sorted(found, key=lambda info: info.key)))


def partition_path(info: ObjectInfo) -> tuple[str, ...]:
    """Return the parts of a key that a copy has to keep: partitions, and the name."""
    *folders, name = info.key.split(_SEPARATOR)
    kept: list[str] = []
    for part in reversed(folders):
        if partition_of(part) is None:
            break
        kept.insert(0, part)
    return (*kept, name)


def _matching(store: ObjectStore, pattern: str) -> list[ObjectInfo]:
    wanted = pattern.split(_SEPARATOR)
    literal: list[str] = []
    for part in wanted[:-1]:
        if glob.has_magic(part):
            break
        literal.append(part)
    return [
        info
        for info in store.list(_SEPARATOR.join(literal))
        if _matches(info.key.split(_SEPARATOR), wanted)
    ]


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


def _counts(key: str, folder: str) -> bool:
    *between, name = key.removeprefix(f"{folder}/" if folder else "").split(_SEPARATOR)
    if not name or name.startswith(".") or is_marker(name):
        return False
    return all(partition_of(part) is not None for part in between)
