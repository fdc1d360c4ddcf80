"""Where an export goes: a file, or objects that are uploaded once they are whole."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pipeline.errors import CannotWriteError, SettingsError
from pipeline.extras import extra_module
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pipeline.objects import ObjectStore

_URL: Final = re.compile(r"(?:s3|gs|az)://", re.IGNORECASE)
_ANY_URL: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclass(frozen=True, slots=True)
class ObjectFolder:
    """
    Where the files of an export go when they are whole.

    Attributes:
        prefix: Of their keys; empty, or ends with a slash.
    """

    store: ObjectStore
    prefix: str

    def shown(self, name: str) -> str:
        """Return the address of a file."""
        return f"{self.store.root}/{self.prefix}{name}"

    def check(self, names: Iterable[str], *, overwrite: bool) -> None:
        """
        Refuse to begin what would replace an object in the end, or cannot be uploaded.

        Nobody is kept from writing one meanwhile: the last one wins.

        Raises:
            CannotWriteError: There is an object of one of these names, and shall stay.
            AccessError, RemoteError, SettingsError: As `ObjectStore.get`.
        """
        for name in names:
            found = self.store.head(self.prefix + name)
            if found is not None and not overwrite:
                raise CannotWriteError(
                    f"{printable(self.shown(name))} exists already; give another "
                    "name, or --overwrite"
                )

    def upload(self, paths: Iterable[Path]) -> None:
        """
        Write files as objects, one after the other; each appears whole or not at all.

        Raises:
            AccessError, RemoteError, SettingsError: As `ObjectStore.get`.
        """
        for path in paths:
            self.store.put_file(self.prefix + path.name, path)


def destination_of(text: str) -> tuple[Path, ObjectFolder | None]:
    """
    Return the file that is named, or its bare name and where it is uploaded to.

    Raises:
        SettingsError: An address of another kind, one without a bucket or a name, or
            the extra `cloud` is not installed.
    """
    if not _URL.match(text):
        if _ANY_URL.match(text):
            raise SettingsError(
                f"{printable(text)}: an export goes to a file, or to s3://, gs:// or "
                "az://"
            )
        return Path(text), None
    scheme, _, rest = text.partition("://")
    bucket, _, key = rest.partition("/")
    prefix, slash, name = key.rpartition("/")
    if not bucket or not name:
        raise SettingsError(
            f"{printable(text)} names no object; write the name of a file behind it, "
            "as in s3://BUCKET/customers.parquet"
        )
    objects = extra_module("objects", f"an export to {scheme}://", "cloud")
    return Path(name), ObjectFolder(objects.ObjectStore(text), prefix + slash)
