"""
Objects of S3, Google Cloud Storage and Azure: read, listed, and written on a condition.

A write that must not overwrite is how two processes on two machines agree on one of
them: the store itself answers who came first. Credentials and endpoints come from the
variables that the stores' own tools use (`AWS_…`, `GOOGLE_…`, `AZURE_…`); no message
holds one.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore import exceptions
from obstore.store import from_url

from pipeline.errors import (
    SettingsError,
    SourceChangedError,
    SourceMissingError,
    TokenRefusedError,
    UnreachableError,
)
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PART_BYTES: Final = 8 << 20
# The library's own patience is three minutes a request.
_RETRIES: Final = {"max_retries": 3}
_NO_BUCKET: Final = re.compile(
    r"NoSuchBucket|ContainerNotFound|bucket does not exist|container does not exist",
    re.IGNORECASE,
)
_NO_CREDENTIALS: Final = re.compile(
    r"169\.254\.|metadata\.google|credential|InvalidAccessKeyId|SignatureDoesNotMatch"
    r"|InvalidToken|ExpiredToken|must be specified",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """
    What an object is at the moment.

    Attributes:
        key: Below the bucket, without a leading slash.
        tag: The ETag: another content has another one.
        version: Where the store keeps versions.
        modified_s: When it was written, in seconds since 1970 by the clock of the
            store; None where it was not asked. It tells no contents apart.
    """

    key: str
    size_bytes: int
    tag: str | None
    version: str | None
    modified_s: float | None = field(default=None, compare=False)


class ObjectStore:
    """One bucket or container. Its methods may be called from any thread."""

    def __init__(self, url: str) -> None:
        """
        Prepare the access; nothing is asked yet.

        Args:
            url: Its scheme and bucket count: `s3://BUCKET/…`, `gs://`, `az://`.

        Raises:
            SettingsError: The URL or a variable of the environment makes no sense.
        """
        scheme, _, rest = url.partition("://")
        self.root = f"{scheme}://{rest.partition('/')[0]}"
        try:
            self._store: Any = from_url(self.root, retry_config=_RETRIES)
        except (exceptions.BaseError, ValueError):
            raise SettingsError(
                f"{printable(self.root)} cannot be opened: check the address, and the "
                "variables of the environment that name its region and endpoint"
            ) from None

    def head(self, key: str) -> ObjectInfo | None:
        """Return what the object is; None if there is none. Raises as `get`."""
        with self._asking():
            try:
                return _info(obstore.head(self._store, key))
            except FileNotFoundError as error:
                self._refuse_bucket(error)
                return None

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """
        Give the objects whose key begins with the path *prefix*, in the order of keys.

        Raises as `get`. Cost: a request a thousand objects.
        """
        with self._asking():
            for page in obstore.list(self._store, prefix or None):
                yield from map(_info, page)

    def get(self, key: str) -> tuple[bytes, ObjectInfo] | None:
        """
        Return the content of an object, and what it is; None if there is none.

        Raises:
            TokenRefusedError: The store does not let us.
            SettingsError: There is no such bucket.
            UnreachableError: The store does not answer.
        """
        with self._asking():
            try:
                found = obstore.get(self._store, key)
                return bytes(found.bytes()), _info(found.meta)
            except FileNotFoundError as error:
                self._refuse_bucket(error)
                return None

    def parts(self, known: ObjectInfo) -> Iterator[bytes]:
        """
        Give the content of an object in parts of 8 MiB.

        Raises:
            SourceChangedError: It is not what *known* says any more.
            SourceMissingError: It is gone.
            AccessError, RemoteError, SettingsError: As `get`.
        """
        place = f"{self.root}/{known.key}"
        info = self.head(known.key)
        if info is None:
            raise SourceMissingError(f"{printable(place)} is gone. Bring it back")
        if info != known:
            raise object_changed(place)
        for start in range(0, known.size_bytes, _PART_BYTES):
            end = min(start + _PART_BYTES, known.size_bytes)
            with self._asking():
                try:
                    found = obstore.get(
                        self._store,
                        known.key,
                        options={"range": (start, end), "if_match": known.tag},
                    )
                    part = bytes(found.bytes())
                except (exceptions.PreconditionError, FileNotFoundError):
                    raise object_changed(place) from None
            yield part

    def put(self, key: str, content: bytes) -> None:
        """Write an object, whatever was there. Raises as `get`."""
        with self._asking():
            obstore.put(self._store, key, content)

    def put_file(self, key: str, path: Path) -> None:
        """
        Write an object from a file, whatever was there; it appears whole or not at all.

        Raises as `get`.

        Cost: memory of a few parts. An upload that is cut off leaves parts that nobody
        sees, until a rule of the bucket removes them.
        """
        with self._asking():
            obstore.put(self._store, key, path, chunk_size=_PART_BYTES)

    def put_new(self, key: str, content: bytes) -> ObjectInfo | None:
        """
        Write an object that must not exist.

        Returns:
            What it is now; None if somebody else was first, and nothing was written. Of
            several writers exactly one is told that it was.

        Raises as `get`.
        """
        return self._put(key, content, "create")

    def put_over(self, known: ObjectInfo, content: bytes) -> ObjectInfo | None:
        """
        Write an object that must still be what it was.

        Args:
            known: As any other method returned it.

        Returns:
            What it is now; None if it has changed or is gone, and nothing was written.

        Raises as `get`.
        """
        marks = {"e_tag": known.tag, "version": known.version}
        given = {name: mark for name, mark in marks.items() if mark is not None}
        return self._put(known.key, content, given)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Raises as `get`."""
        with self._asking():
            try:
                obstore.delete(self._store, key)
            except FileNotFoundError as error:
                self._refuse_bucket(error)

    def _put(
        self, key: str, content: bytes, mode: str | dict[str, str]
    ) -> ObjectInfo | None:
        with self._asking():
            try:
                done = obstore.put(self._store, key, content, mode=mode)
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                return None
            except FileNotFoundError as error:
                self._refuse_bucket(error)
                return None
        return ObjectInfo(key, len(content), done["e_tag"], done["version"])

    def _refuse_bucket(self, error: Exception) -> None:
        if _NO_BUCKET.search(str(error)):
            raise SettingsError(
                f"there is no bucket {printable(self.root)}: correct the address"
            ) from None

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Turn what the library raises into our own errors, without its text."""
        root = printable(self.root)
        try:
            yield
        except (
            exceptions.PermissionDeniedError,
            exceptions.UnauthenticatedError,
        ):
            raise self._denied() from None
        except (exceptions.BaseError, OSError) as error:
            self._refuse_bucket(error)
            if _NO_CREDENTIALS.search(str(error)):
                raise self._denied() from None
            raise UnreachableError(
                f"{root} does not answer as an object store does; check the endpoint "
                "and the network"
            ) from None

    def _denied(self) -> TokenRefusedError:
        return TokenRefusedError(
            f"{printable(self.root)} does not let us: check the credentials in the "
            "environment, and what they may do in this bucket"
        )


def object_changed(place: str) -> SourceChangedError:
    """Return what to say of an object that is not the one that was read."""
    return SourceChangedError(
        f"{printable(place)} is not the object that was checked. Bring that one back, "
        "or run the command anew."
    )


def _info(meta: Any) -> ObjectInfo:  # noqa: ANN401 - a mapping of the library
    return ObjectInfo(
        meta["path"],
        meta["size"],
        meta["e_tag"],
        meta["version"],
        meta["last_modified"].timestamp(),
    )
