"""
Where a state lies that several machines share: objects below one name.

    PREFIX/DATASET/lock.json              who works with it, see `lease`
    PREFIX/DATASET/state.json             which generation counts
    PREFIX/DATASET/g000012-5f3c2a91/…     a generation; no two writers share a name

A generation is uploaded first, and then named by `state.json`, which is replaced only
as what it was when it was read. So of two writers one wins, and the other has left
objects that nobody names; the next writer removes them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pipeline.errors import (
    JournalDamagedError,
    PipelineError,
    StaleRunError,
)
from pipeline.files import make_private_dir, replacing, sha256_of, using
from pipeline.logs import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pipeline.delta.lease import Lease
    from pipeline.objects import ObjectInfo

STATE_NAME: Final = "state.json"
_GENERATION: Final = re.compile(r"g(\d{6,})-[0-9a-f]{8}")
_FILE: Final = re.compile(r"\d\d-\d\d\.parquet")


class StateObjects:
    """The objects of one state, while its lock is held."""

    def __init__(self, lease: Lease) -> None:
        self.lease = lease
        self._objects = lease.objects
        self._folder = lease.folder
        self._known: ObjectInfo | None = None

    @property
    def place(self) -> str:
        """Where the state lies, for a message."""
        return printable(f"{self._objects.root}/{self._folder}")

    def new_name(self, number: int) -> str:
        """Return a name for a generation that no other writer will use."""
        return f"g{number:06d}-{secrets.token_hex(4)}"

    def text(self) -> bytes | None:
        """
        Return what `state.json` says, and remember which one that was.

        Raises:
            AccessError, RemoteError, SettingsError: As the store answers.
        """
        found = self._objects.get(f"{self._folder}/{STATE_NAME}")
        self._known = None if found is None else found[1]
        return None if found is None else found[0]

    def fetch(self, name: str, files: Mapping[str, str], folder: Path) -> None:
        """
        Bring a generation to this machine; what is here already is not asked for.

        Args:
            files: Name → SHA-256.

        Raises:
            JournalDamagedError: An object is gone, or is not what was written.
            StaleRunError: It is gone because another generation counts by now.
            AccessError, RemoteError, CannotWriteError: The store or the disk.
        """
        if not _GENERATION.fullmatch(name) or not all(map(_FILE.fullmatch, files)):
            raise self.damaged(STATE_NAME)  # it shall lead nowhere else
        make_private_dir(folder)
        for file, digest in files.items():
            path = folder / file
            if path.exists() and sha256_of(path) == digest:
                continue
            with replacing(path) as draft, using(draft):
                draft.write_bytes(self._content(f"{name}/{file}", digest))

    def publish(
        self, name: str, number: int, paths: Iterable[Path], text: bytes
    ) -> None:
        """
        Make a generation the one that counts, if the one it was made from still does.

        Args:
            paths: Its files.
            text: Of `state.json`; no two writers have the same.

        Raises:
            StaleRunError: Another writer was first; nothing of his was touched.
            AccessError, RemoteError, SettingsError: As the store answers; what counted
                counts on, or this generation does.
        """
        for path in paths:
            self._objects.put(f"{self._folder}/{name}/{path.name}", path.read_bytes())
        key = f"{self._folder}/{STATE_NAME}"
        if self._known is None:
            written = self._objects.put_new(key, text)
        else:
            written = self._objects.put_over(self._known, text)
        if written is None:
            # The answer to the write may have been lost, and the write repeated.
            found = self._objects.get(key)
            if found is None or found[0] != text:
                raise self._overtaken()
            written = found[1]
        self._known = written
        # What stays behind now is found the next time.
        with suppress(PipelineError):
            self._clean(name, number)

    def damaged(self, what: str) -> JournalDamagedError:
        """Return what to say of an object that is not what was written."""
        return JournalDamagedError(
            f"the delta state is damaged: {self.place}/{printable(what)} cannot be "
            f"read as what was written. Move {self.place} away; the next plan then "
            "sends every row"
        )

    def _content(self, name: str, digest: str) -> bytes:
        known = self._objects.head(f"{self._folder}/{name}")
        content = b"" if known is None else b"".join(self._objects.parts(known))
        if hashlib.sha256(content).hexdigest() == digest:
            return content
        before = self._known
        self.text()
        raise self.damaged(name) if self._known == before else self._overtaken()

    def _overtaken(self) -> StaleRunError:
        return StaleRunError(
            f"another run has changed the state {self.place} meanwhile, and that one "
            "counts. Make a new plan"
        )

    def _clean(self, name: str, number: int) -> None:
        """Remove the generations that were, and what writers left that lost."""
        for info in list(self._objects.list(self._folder)):
            part = info.key.removeprefix(f"{self._folder}/").partition("/")[0]
            found = _GENERATION.fullmatch(part)
            if found and part != name and int(found[1]) <= number:
                self._objects.delete(info.key)
