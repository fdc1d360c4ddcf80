"""
What an export has seen so far, on disk: profiles once each, and what was asked.

A unit is one thing that was asked to its end: a window, a page of road 1, some profiles
by id. Its new profiles are written first, then one line that names them, with a check
sum. So a process that dies at any instant leaves whole units, and perhaps one that is
not counted; the same export goes on behind the last whole one. Files are private
(0600); they are removed when the file of the export is written.
"""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from pipeline.export.ids import DistinctIds
from pipeline.export.plain import ID
from pipeline.files import make_private_dir, using

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

VAULTS_NAME: Final = "exports"
OUTGOING_NAME: Final = "outgoing"
_VERSION: Final = 1
_JOURNAL: Final = "units.jsonl"
_SCRATCH: Final = "scratch"


@dataclass(frozen=True, slots=True)
class Unit:
    """
    Something that was asked to its end.

    Attributes:
        told: What its asker needs, to go on as if it had just asked.
        ids: Of all profiles that it showed, Int64, in order.
        n_new: Profiles that no unit before it had shown.
    """

    told: Mapping[str, Any]
    ids: pl.Series
    n_new: int


class Vault:
    """
    Keeps profiles of two kinds, as lists show them and in full.

    Attributes:
        seen: Ids of all profiles that are kept.
        began_at: Seconds since 1970.
        n_resumed: Units that an earlier process left.
    """

    def __init__(self, folder: Path, began_at: float) -> None:
        self._folder = folder
        self._journal = folder / _JOURNAL
        self._recorded: dict[tuple[str, str], Unit] = {}
        self._parts: list[tuple[str, Path]] = []
        self._n_units = 0
        self._ids: dict[str, DistinctIds] = {}
        self.seen = DistinctIds()
        self.began_at = began_at
        self.n_resumed = 0

    @classmethod
    def open(
        cls, folder: Path, question: Mapping[str, Any], *, now: float, oldest: float
    ) -> Vault:
        """
        Open what an interrupted export left, or begin anew.

        Args:
            folder: Of this export alone; made when needed.
            question: What is exported; another one begins anew.
            now: Seconds since 1970, as the next.
            oldest: What began before is not gone on with.

        Raises:
            CannotWriteError: The folder cannot be written.
        """
        make_private_dir(folder)
        lines = _whole_lines(folder / _JOURNAL)
        head = {"version": _VERSION, "question": dict(question)}
        if lines and lines[0].get("head") == head and lines[0]["began_at"] >= oldest:
            vault = cls(folder, lines[0]["began_at"])
            vault._take_over(lines)
            return vault
        shutil.rmtree(folder)
        make_private_dir(folder)
        vault = cls(folder, now)
        vault._append({"head": head, "began_at": now})
        return vault

    @property
    def scratch(self) -> Path:
        """A folder in it for what is on its way; whoever uses it makes it."""
        return self._folder / _SCRATCH

    def remove(self) -> None:
        """Remove the folder: its export has been written."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def recorded(self, kind: str, key: str) -> Unit | None:
        """Return what an earlier process was told, if it asked this."""
        return self._recorded.pop((kind, key), None)

    def keep(
        self, kind: str, key: str, frame: pl.DataFrame, told: Mapping[str, Any]
    ) -> Unit:
        """
        Record a unit, and those of its profiles that are new.

        Args:
            kind: Of its profiles.
            key: Names the unit; no two have the same.
            frame: Plain, as `pages` gives it.

        Raises:
            CannotWriteError: The disk is full or cannot be written.
        """
        ids = frame[ID]
        n_seen = len(self.seen)
        self.seen.add(ids)
        is_new = self.ids_of(kind).add(ids)
        number = f"{self._n_units:06d}"
        self._n_units += 1
        rows = frame.filter(is_new)
        line: dict[str, Any] = {
            "kind": kind,
            "key": key,
            "n_new": len(self.seen) - n_seen,
        }
        line["ids"] = ids.to_list()
        line["rows"] = self._write(f"{number}.ipc", rows) if rows.height else None
        if rows.height:
            self._parts.append((kind, self._folder / f"{number}.ipc"))
        self._append(line | {"told": dict(told)})
        return Unit(told, ids, len(self.seen) - n_seen)

    def frames(self, kind: str) -> Iterator[pl.DataFrame]:
        """Give the profiles of one kind, in the order in which they were first seen."""
        for part, path in self._parts:
            if part == kind:
                with using(path):
                    frame = pl.read_ipc(path.read_bytes())
                yield frame

    def ids_of(self, kind: str) -> DistinctIds:
        """Return the ids of one kind of profiles; for looking only."""
        return self._ids.setdefault(kind, DistinctIds())

    def _take_over(self, lines: list[dict[str, Any]]) -> None:
        """Read units back, up to the first that is not whole, and forget the rest."""
        whole = [json.dumps(lines[0])]
        for number, line in enumerate(lines[1:]):
            path = self._folder / f"{number:06d}.ipc"
            if line["rows"] is not None:
                rows = _read(path, line["rows"])
                if rows is None:
                    break
                self.seen.add(rows[ID])
                self.ids_of(line["kind"]).add(rows[ID])
                self._parts.append((line["kind"], path))
            whole.append(json.dumps(line))
            ids = pl.Series(ID, line["ids"], dtype=pl.Int64)
            unit = Unit(line["told"], ids, line["n_new"])
            self._recorded[line["kind"], line["key"]] = unit
        with using(self._journal):
            self._journal.write_text("".join(f"{text}\n" for text in whole))
        self.n_resumed = self._n_units = len(self._recorded)

    def _write(self, name: str, frame: pl.DataFrame) -> int:
        buffer = BytesIO()
        frame.write_ipc(buffer, compression="lz4")
        content = buffer.getvalue()
        path = self._folder / name
        with using(path):
            path.touch(mode=0o600)
            path.write_bytes(content)
        return zlib.crc32(content)

    def _append(self, line: Mapping[str, Any]) -> None:
        with using(self._journal):
            self._journal.touch(mode=0o600)
            with self._journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def remove_forgotten(folder: Path, oldest: float) -> None:
    """
    Remove what other exports left and nobody goes on with any more.

    Args:
        folder: Of all exports.
        oldest: Seconds since 1970; what was last written before is forgotten.
    """
    for journal in folder.glob(f"*/*/{_JOURNAL}"):
        if journal.stat().st_mtime < oldest:
            for path in (journal.parent, journal.parent.with_name(OUTGOING_NAME)):
                shutil.rmtree(path, ignore_errors=True)


def _read(path: Path, check_sum: int) -> pl.DataFrame | None:
    """Read what a unit wrote; None where not all of it is there."""
    if not path.is_file():
        return None
    with using(path):
        content = path.read_bytes()
    return pl.read_ipc(content) if zlib.crc32(content) == check_sum else None


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """Read the lines of a journal, without one that a dying process left torn."""
    lines: list[dict[str, Any]] = []
    if path.is_file():
        with using(path):
            text = path.read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines(keepends=True):
            try:
                read = json.loads(line)
            except ValueError:
                break
            if not line.endswith("\n"):
                break
            lines.append(read)
    return lines
